"""Fuzz targets: `python -m fuzz TARGET --seconds=600`, see `targets`."""
