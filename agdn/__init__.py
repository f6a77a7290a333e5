"""AGDN and its ablations; discovered by the catalogue, never imported by name."""
