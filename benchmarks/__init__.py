"""How fast things are: `python -m benchmarks.NAME --help`."""
