"""Experiments, one per research question: `python -m experiments.NAME --help`."""
