"""One file per task: quality, complexity, latency."""
