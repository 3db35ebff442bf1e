"""Small flows that the tests share."""

import gc
import os
import pathlib

import jax
import numpy as np
import pytest

from mtl_traffic import flows as flows_lib
from mtl_traffic.flows import Flows

# Tests of over 2.5 s on two cores, as told by `pytest --durations=0`.
SLOW = pathlib.Path(__file__).parent / "slow.txt"
_MANY_MAPS = 8_000  # Linux allows a process 65,530.


def make_flows(num_flows: int = 90, seed: int = 0, num_packets: int = 14) -> Flows:
  """Flows of three classes that differ in lengths, durations and bandwidths."""
  rng = np.random.default_rng(seed)
  classes = np.arange(num_flows, dtype=np.int32) % 3
  counts = rng.integers(8, num_packets + 1, num_flows)
  total = int(counts.sum())
  of_packet = np.repeat(classes, counts)
  times = rng.exponential(0.02 * 3.0**of_packet, total)
  times = np.concatenate(
    [np.cumsum(t) for t in np.split(times, np.cumsum(counts)[:-1])]
  )
  packets, _ = flows_lib.pad_packets(
    times,
    rng.integers(60, 300, total) + 400 * of_packet,
    rng.choice([-1, 1], total),
    counts,
    num_packets,
  )
  durations = packets.times.max(axis=1) * rng.uniform(1, 2, num_flows)
  return Flows(
    packets=packets,
    num_packets=counts + rng.integers(0, 50, num_flows),
    durations=durations,
    num_bytes=(packets.lengths.sum(axis=1) * rng.uniform(1, 3, num_flows)).astype(int),
    classes=classes,
    partitions=np.zeros(num_flows, np.int32),
    ids=np.array([f"flow-{i}" for i in range(num_flows)]),
    class_names=("a", "b", "c"),
    partition_names=("training",),
  )


def pytest_configure(config: pytest.Config) -> None:
  """Compiles quickly, and what another test or an earlier call compiled not at all.

  Most of the tests' time is compiling. The commands that they start inherit this.
  """
  settings = {"jax_disable_most_optimizations": True}
  if config.pluginmanager.hasplugin("cacheprovider"):
    settings["jax_compilation_cache_dir"] = str(config.cache.mkdir("xla"))
    settings["jax_persistent_cache_min_compile_time_secs"] = 0.1
  for name, value in settings.items():
    os.environ[name.upper()] = str(value)
    jax.config.update(name, value)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
  """Marks the tests of `slow.txt`, with all their parameters or those given there."""
  slow = set(SLOW.read_text().splitlines())
  for item in items:
    if {item.nodeid, item.nodeid.partition("[")[0]} & slow:
      item.add_marker("slow")


@pytest.fixture(autouse=True, scope="module")
def _forget_programs():
  """Forgets compiled programs: thousands of them fill the memory.

  With more maps than Linux allows, compiling the next one would end the process.
  """
  yield
  maps = pathlib.Path("/proc/self/maps")
  if maps.exists() and len(maps.read_bytes().splitlines()) > _MANY_MAPS:
    jax.clear_caches()
    gc.collect()


@pytest.fixture
def flows() -> Flows:
  return make_flows()


@pytest.fixture(scope="session")
def flow_maker():
  return make_flows
