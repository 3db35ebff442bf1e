"""Settings by name: one module a dataset."""
