"""The settings of every experiment; a dataset's file changes what it needs."""

import ml_collections

from mtl_traffic import settings


def get_config() -> ml_collections.ConfigDict:
  """Every setting of `settings.Settings`, with its default."""
  return ml_collections.ConfigDict(
    {field.name: field.default for field in settings.FIELDS}
  )
