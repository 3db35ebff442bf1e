"""The settings of every experiment; a dataset's file changes what it needs."""

import ml_collections

from mtl_traffic import settings


def get_config() -> ml_collections.ConfigDict:
  """Every setting of `settings.Settings`, with its default."""
  config = {field.name: field.default for field in settings.FIELDS}
  # A flag takes the kind of number that it finds, and a share has decimals.
  shares = {name: float(config[name]) for name in config if settings.is_share(name)}
  return ml_collections.ConfigDict(config | shares)
