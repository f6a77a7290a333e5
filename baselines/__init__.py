"""The networks AGDN is compared with; discovered by the catalogue, never imported by name."""
