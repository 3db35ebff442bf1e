"""Comparing methods: what is run, on what, its rows, tables, figures and report."""
