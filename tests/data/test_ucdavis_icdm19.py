"""Tests of the builder of the UC Davis QUIC dataset, on invented flows."""

import functools
import hashlib
import http.server
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import zipfile

import jax
import numpy as np
import pytest

from mtl_traffic import pytrees  # noqa: F401 - flows are compared as trees
from mtl_traffic.data import parquet
from mtl_traffic.errors import InputError

pytest.importorskip("tensorflow_datasets", reason="needs TFDS")

from mtl_traffic.data import tfds_flows
from mtl_traffic.data.ucdavis_icdm19 import sources
from mtl_traffic.data.ucdavis_icdm19 import (
  ucdavis_icdm19_dataset_builder as ucdavis,
)

DUMMY_DATA = pathlib.Path(ucdavis.__file__).parent / "dummy_data"


@pytest.fixture
def manual_dir(tmp_path) -> pathlib.Path:
  return pathlib.Path(shutil.copytree(DUMMY_DATA, tmp_path / "manual"))


@pytest.fixture
def prepare(tmp_path):
  """Prepares a folder and loads the flows."""

  def prepare(manual_dir=None, data_dir="data", builder_config=None, **config):
    builder = ucdavis.Builder(data_dir=tmp_path / data_dir, config=builder_config)
    tfds_flows.prepare(builder, manual_dir, **config)
    return tfds_flows.load(builder)

  return prepare


@pytest.fixture
def flows(prepare):
  return prepare(DUMMY_DATA, "text")


def assert_same(left, right) -> None:
  assert jax.tree.structure(left) == jax.tree.structure(right)
  for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
    assert one.dtype == other.dtype
    np.testing.assert_array_equal(one, other)


def assert_nothing_left(data_dir: pathlib.Path) -> None:
  assert not list(data_dir.rglob("*array_record*"))
  assert not list(data_dir.rglob("dataset_info.json"))


def test_text_gives_the_flows(flows):
  assert flows.class_names == sources.CLASS_NAMES
  assert flows.partition_names == sources.PARTITIONS
  assert flows.ids.tolist() == [
    "GoogleDoc-1",
    "GoogleDoc-10",
    "GoogleDrive-1",
    "GoogleMusic-1",
    "GoogleSearch-1",
    "Youtube-1",
    "GoogleDoc-1",
    "Youtube-1",
    "GoogleMusic-1",
  ]
  assert flows.partitions.tolist() == [0] * 6 + [1] * 2 + [2]
  assert flows.classes.tolist() == [0, 0, 1, 2, 3, 4, 0, 4, 2]
  music = 3  # Its relative times go backwards.
  np.testing.assert_array_equal(
    flows.packets.times[music], np.array([0, 0.125, 0.25, 0.5, 2.5])
  )
  np.testing.assert_array_equal(
    flows.packets.lengths[music], [1250, 1400, 90, 1400, 1400]
  )
  np.testing.assert_array_equal(flows.packets.directions[music], [1, -1, -1, -1, -1])
  assert flows.num_packets[music] == 5
  assert flows.durations[music] == 2.5
  assert flows.num_bytes[music] == 5540


def test_stores_the_first_packets_and_whole_totals(prepare, flows):
  short = prepare(DUMMY_DATA, builder_config=ucdavis.config(max_packets=2))
  assert short.packets.times.shape == (9, 2)
  for name in ("num_packets", "durations", "num_bytes", "ids"):
    np.testing.assert_array_equal(getattr(short, name), getattr(flows, name))


def test_zips_give_the_same(prepare, flows, tmp_path):
  zips = tmp_path / "zips"
  zips.mkdir()
  for folder in DUMMY_DATA.iterdir():
    with zipfile.ZipFile(zips / f"{folder.name}.zip", "w") as archive:
      archive.writestr("__MACOSX/pretraining/Youtube/._Youtube-1.txt", b"\0")
      for file in folder.rglob("*.txt"):
        archive.write(file, file.relative_to(DUMMY_DATA))
  assert_same(prepare(zips), flows)


def test_a_zip_beside_what_it_unpacks_to_adds_nothing(prepare, flows, manual_dir):
  shutil.make_archive(str(manual_dir / "pretraining"), "zip", manual_dir, "pretraining")
  assert_same(prepare(manual_dir), flows)


def test_linked_folders_are_followed(prepare, flows, manual_dir, tmp_path):
  elsewhere = tmp_path / "another disk"
  elsewhere.mkdir()
  (manual_dir / "pretraining").rename(elsewhere / "pretraining")
  (manual_dir / "pretraining").symlink_to(elsewhere / "pretraining")
  (manual_dir / "pretraining" / "back").symlink_to(manual_dir)  # Has no end.
  assert_same(prepare(manual_dir), flows)
  (tmp_path / "link").symlink_to(manual_dir)
  assert_same(prepare(tmp_path / "link", "by link"), flows)


def test_parquet_gives_the_same_and_equals_reading_it_directly(
  prepare, flows, tmp_path
):
  path = tmp_path / "curated" / "ucdavis-icdm19.parquet"
  parquet.write(flows, path)
  assert_same(prepare(path.parent), flows)
  assert_same(parquet.read(path), flows)


def test_several_shards_give_the_same(prepare, flows, monkeypatch, tmp_path):
  monkeypatch.setattr(ucdavis, "FLOWS_PER_SHARD", 2)
  assert_same(prepare(DUMMY_DATA), flows)
  assert len(list((tmp_path / "data").rglob("*-pretraining.array_record-*"))) == 3
  parquet.write(flows, tmp_path / "curated" / "flows.parquet")
  assert_same(prepare(tmp_path / "curated", "from_parquet"), flows)


def test_threads_run_ahead_by_a_bounded_number_of_files():
  started = []
  results = ucdavis._map_in_order(lambda i: started.append(i) or i, range(1000), 2)
  assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
  assert len(started) <= 5 + 2 * 2 + 1
  assert list(results) == list(range(5, 1000))


# Bad input.


@pytest.mark.parametrize(
  ("content", "problem"),
  [
    (b"", "is empty"),
    (b"1\t0\t100\t1\n1\t0\t100\n", "line 2: has 3 tab-separated fields"),
    (b"1\t0\tlong\t1\n", "line 1: length is 'long'"),
    (b"1\tnan\t100\t1\n", "line 1: relative time is 'nan'"),
    (b"1\t0\t100\t2\n", "line 1: direction is '2'"),
    (b"1\t0\t-5\t1\n", "line 1: length is '-5'"),
    (b"1\t0\t0\t1\n", "line 1: length is '0'"),
  ],
)
def test_a_bad_file_is_named_and_nothing_is_left(
  prepare, manual_dir, tmp_path, content, problem
):
  (manual_dir / "pretraining" / "Youtube" / "Youtube-2.txt").write_bytes(content)
  with pytest.raises(InputError) as error:
    prepare(manual_dir)
  assert "pretraining/Youtube/Youtube-2.txt: " + problem in str(error.value)
  assert "\n" not in str(error.value)
  assert_nothing_left(tmp_path / "data")


def test_what_is_prepared_survives_a_later_failure(
  prepare, flows, manual_dir, tmp_path
):
  prepare(manual_dir)
  (manual_dir / "pretraining" / "Youtube" / "Youtube-2.txt").write_bytes(b"bad")
  with pytest.raises(InputError, match=r"Youtube-2\.txt"):
    prepare(manual_dir, builder_config=ucdavis.config(max_packets=3))
  assert_same(prepare(manual_dir), flows)


def test_bad_files_are_skipped_and_listed_on_demand(
  prepare, flows, manual_dir, monkeypatch, caplog
):
  monkeypatch.setattr(ucdavis, "FLOWS_PER_SHARD", 1)  # So that a shard stays empty.
  (manual_dir / "pretraining" / "Youtube" / "Youtube-0.txt").write_bytes(b"bad")
  unknown = manual_dir / "pretraining" / "Netflix" / "Netflix-1.txt"
  unknown.parent.mkdir()
  unknown.write_bytes(b"1\t0\t100\t1\n")
  (manual_dir / "more.zip").write_bytes(b"PK")
  config = ucdavis.config(skip_bad_files=True)
  assert_same(prepare(manual_dir, builder_config=config), flows)
  for name in ("Youtube-0.txt: line 1", "Netflix-1.txt: lies in", "more.zip: the arch"):
    assert name in caplog.text


def test_says_when_every_file_is_bad(prepare, tmp_path):
  folder = tmp_path / "manual" / "pretraining" / "Youtube"
  folder.mkdir(parents=True)
  (folder / "Youtube-1.txt").write_bytes(b"bad")
  with pytest.raises(InputError, match="manual: holds no flow that can be used"):
    prepare(folder.parents[1], builder_config=ucdavis.config(skip_bad_files=True))
  assert_nothing_left(tmp_path / "data")


def test_names_a_file_in_an_unknown_class_folder(prepare, manual_dir):
  folder = manual_dir / "pretraining" / "Netflix"
  folder.mkdir()
  (folder / "Netflix-1.txt").write_bytes(b"1\t0\t100\t1\n")
  with pytest.raises(InputError, match=r"Netflix-1\.txt: .* unknown class"):
    prepare(manual_dir)


def corrupt_member(path: pathlib.Path) -> None:
  with zipfile.ZipFile(path) as archive:
    member = next(m for m in archive.infolist() if not m.is_dir())
  content = bytearray(path.read_bytes())
  content[member.header_offset + 30 + len(member.filename) + 5] ^= 0xFF
  path.write_bytes(content)


def cut_short(path: pathlib.Path) -> None:
  path.write_bytes(path.read_bytes()[:-30])


@pytest.mark.parametrize("damage", [corrupt_member, cut_short])
def test_names_a_corrupt_zip(prepare, tmp_path, damage):
  folder = tmp_path / "zips"
  shutil.make_archive(str(folder / "pretraining"), "zip", DUMMY_DATA, "pretraining")
  damage(folder / "pretraining.zip")
  with pytest.raises(InputError, match=r"pretraining\.zip.*: the archive is broken"):
    prepare(folder)


def test_refuses_parquet_of_another_dataset(prepare, flows, tmp_path):
  parquet.write(
    flows.replace(class_names=("a", "b", "c", "d", "e")), tmp_path / "x" / "f.parquet"
  )
  with pytest.raises(InputError, match=r"f\.parquet: app 'a' is not of this dataset"):
    prepare(tmp_path / "x")


def test_asks_which_of_several_files_is_the_dataset(prepare, flows, tmp_path):
  for name in ("a.parquet", "b.parquet"):
    parquet.write(flows, tmp_path / "x" / name)
  with pytest.raises(InputError, match=r"several files .*\(a\.parquet, b\.parquet\)"):
    prepare(tmp_path / "x")


def test_names_a_cut_or_foreign_tarball(prepare, manual_dir, tmp_path):
  folder = tmp_path / "tarball"
  folder.mkdir()
  with tarfile.open(folder / "some.tar.gz", "w:gz") as tarball:
    tarball.add(DUMMY_DATA, "dummy_data")
  with pytest.raises(InputError, match=r"some\.tar\.gz: holds 0 Parquet files"):
    prepare(folder)
  cut_short(folder / "some.tar.gz")
  with pytest.raises(InputError, match=r"some\.tar\.gz: the archive is broken"):
    prepare(folder)


# The download.


def md5(path: pathlib.Path) -> str:
  return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def tarball(flows, tmp_path, monkeypatch) -> pathlib.Path:
  """A tarball as the curated one; its MD5, and its content's, pass for the known."""
  inner = tmp_path / "ucdavis-icdm19.parquet"
  parquet.write(flows, inner)
  path = tmp_path / "served" / "curated.tar.gz"
  path.parent.mkdir()
  with tarfile.open(path, "w:gz") as archive:
    archive.add(inner, f"some/folder/{inner.name}")
  monkeypatch.setitem(sources.CURATED_MD5, "tarball", md5(path))
  monkeypatch.setitem(sources.CURATED_MD5, inner.name, md5(inner))
  return path


@pytest.fixture
def server(tarball, monkeypatch):
  handler = functools.partial(
    http.server.SimpleHTTPRequestHandler, directory=tarball.parent
  )
  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/{tarball.name}"
    monkeypatch.setattr(sources, "CURATED_URL", url)
    yield url
    server.shutdown()


def test_takes_the_tarball(prepare, flows, tarball):
  assert_same(prepare(tarball.parent), flows)


def test_checks_the_file_in_the_tarball(prepare, tarball, monkeypatch, tmp_path):
  monkeypatch.setitem(sources.CURATED_MD5, "ucdavis-icdm19.parquet", "0" * 32)
  with pytest.raises(InputError, match=r"ucdavis-icdm19\.parquet: its MD5 is .* 0000"):
    prepare(tarball.parent)
  assert_nothing_left(tmp_path / "data")


def test_downloads_when_there_is_nothing(prepare, flows, server):
  assert_same(prepare(), flows)


def test_a_wrong_download_is_refused_and_fetched_anew(
  prepare, flows, server, tarball, tmp_path
):
  right = tarball.read_bytes()
  tarball.write_bytes(right[:-1])
  with pytest.raises(InputError, match=r"its MD5 is .*fetch .* by hand"):
    prepare()
  assert_nothing_left(tmp_path / "data")
  tarball.write_bytes(right)
  assert_same(prepare(), flows)


def test_a_given_folder_without_the_dataset_is_told_at_once(
  prepare, monkeypatch, tmp_path
):
  def download(dl_manager):
    raise AssertionError("must not be downloaded")

  monkeypatch.setattr(ucdavis, "_download", download)
  folder = tmp_path / "manual"
  folder.mkdir()
  with pytest.raises(InputError, match=r"manual: holds no file of this .* nothing at"):
    prepare(folder)
  for number in range(7):
    (folder / f"{number}.dat").touch()
  with pytest.raises(InputError) as error:
    prepare(folder)
  assert f"{folder}: holds no file of this dataset" in str(error.value)
  assert "pretraining.zip" in str(error.value)
  assert "there is 0.dat, 1.dat, 2.dat, 3.dat, 4.dat and 2 more" in str(error.value)
  assert "\n" not in str(error.value)
  assert_nothing_left(tmp_path / "data")


def test_says_what_to_do_when_the_download_fails(prepare, server, tarball):
  tarball.unlink()
  with pytest.raises(InputError, match=r"download failed .*404.*by hand") as error:
    prepare()
  assert "\n" not in str(error.value)


# Interruption, and Beam.

_PREPARE_SLOWLY = """
import sys, time
from mtl_traffic.data import tfds_flows
from mtl_traffic.data.ucdavis_icdm19 import sources
from mtl_traffic.data.ucdavis_icdm19 import ucdavis_icdm19_dataset_builder as ucdavis
sources.read_flows = lambda *_, **__: (print("reading", flush=True), time.sleep(60))
tfds_flows.prepare(ucdavis.Builder(data_dir=sys.argv[1]), sys.argv[2])
"""


def test_a_killed_preparation_leaves_no_dataset_and_starts_again(
  prepare, flows, tmp_path
):
  command = [sys.executable, "-c", _PREPARE_SLOWLY, tmp_path / "data", DUMMY_DATA]
  with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
    while "reading" not in (line := process.stdout.readline()):
      assert line, "the preparation ended before it read a file"
    process.send_signal(signal.SIGKILL)
  with pytest.raises(InputError, match="not prepared"):
    tfds_flows.load(ucdavis.Builder(data_dir=tmp_path / "data"))
  assert_same(prepare(DUMMY_DATA), flows)


@pytest.mark.parametrize("how", ["beam_runner", "beam_options"])
def test_beam_gives_the_same(prepare, flows, monkeypatch, how):
  reason = "needs the extra `beam`"
  options = pytest.importorskip("apache_beam.options.pipeline_options", reason=reason)
  monkeypatch.setattr(ucdavis, "FLOWS_PER_SHARD", 2)
  config = {
    "beam_runner": {"beam_runner": "DirectRunner"},
    "beam_options": {"beam_options": options.PipelineOptions([])},
  }
  assert_same(prepare(DUMMY_DATA, **config[how]), flows)
