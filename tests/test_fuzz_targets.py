"""The fuzz targets take their seeds, and what becomes of these when bytes change."""

import hypothesis
import pytest
from hypothesis import strategies as st

from fuzz import targets


@pytest.mark.parametrize("name", targets.TARGETS)
def test_seeds_are_sound_and_their_damage_is_no_surprise(name):
  target, seeds = targets.TARGETS[name], targets.seeds(name)
  for seed in seeds:
    target(seed)

  @hypothesis.settings(max_examples=25, deadline=None, database=None)
  @hypothesis.given(
    st.sampled_from(seeds), st.integers(0, 2**16), st.binary(max_size=8), st.booleans()
  )
  def damage(seed, place, inserted, is_cut):
    place %= len(seed) + 1
    rest = seed[place + len(inserted) * (not is_cut) :]
    target(seed[:place] + inserted + rest)

  damage()
