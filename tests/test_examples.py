"""The examples in docstrings of public functions give what they say."""

import doctest

import pytest

from mtl_traffic import evaluation, flows, losses, targets


@pytest.mark.parametrize("module", [evaluation, flows, losses, targets])
def test_examples_of_a_module(module):
  done = doctest.testmod(module)
  assert done.attempted and not done.failed
