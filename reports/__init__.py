"""From specs, claims and records to tables, figures and one HTML file. Never imports torch."""
