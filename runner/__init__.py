"""Run things: data, metrics, counters, timing, the store and the command line."""
