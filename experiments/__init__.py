"""Binaries for research questions: `python -m experiments.NAME --help`."""
