"""Archives of a few kilobytes that unpack to more than any dataset."""

import io
import os
import tarfile
import zipfile

import pytest

from mtl_traffic.data.ucdavis_icdm19 import sources
from mtl_traffic.errors import InputError

MEMBER = "pretraining/Youtube/Youtube-1.txt"


def _zip(path, size):
  with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
    with archive.open(MEMBER, "w") as file:
      for _ in range(size >> 20):
        file.write(b"0" * (1 << 20))


def test_a_zip_that_unpacks_to_far_more_than_it_is_long(tmp_path):
  _zip(tmp_path / "a.zip", 64 << 20)
  assert os.path.getsize(tmp_path / "a.zip") < 100_000
  with pytest.raises(InputError, match=r"a\.zip: unpacks to 67108864 bytes; at most"):
    sources.find_flow_files(tmp_path)


def test_a_member_that_is_longer_than_any_flow(tmp_path, monkeypatch):
  monkeypatch.setattr(sources, "_LONGEST_FILE", 1000)
  _zip(tmp_path / "pretraining.zip", 1 << 20)
  (tmp_path / "pretraining" / "Youtube").mkdir(parents=True)
  (tmp_path / "pretraining" / "Youtube" / "Youtube-2.txt").write_bytes(b"0" * 1001)
  files = sources.find_flow_files(tmp_path)
  for problem in sources.read_flows(files, 10):
    assert isinstance(problem, InputError)
    assert "holds over 1000 bytes, which no flow has" in str(problem)


def test_a_tarball_that_unpacks_to_far_more(tmp_path, monkeypatch):
  monkeypatch.setattr(sources, "_LITTLE", 1000)
  with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
    member = tarfile.TarInfo("a.parquet")
    member.size = 1 << 24
    archive.addfile(member, io.BytesIO(bytes(member.size)))
  with (
    pytest.raises(InputError, match="unpacks to 16777216 bytes"),
    sources.unpacked_tarball(tmp_path / "a.tar.gz", tmp_path),
  ):
    pass
  assert os.listdir(tmp_path) == ["a.tar.gz"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_in_a_tarball_is_no_file(tmp_path, kind):
  (tmp_path / "secret").write_text("secret")
  with tarfile.open(tmp_path / "a.tar", "w") as archive:
    member = tarfile.TarInfo("a.parquet")
    member.type, member.linkname = kind, str(tmp_path / "secret")
    archive.addfile(member)
  with (
    pytest.raises(InputError, match="holds 0 Parquet files"),
    sources.unpacked_tarball(tmp_path / "a.tar", tmp_path),
  ):
    pass


def test_a_member_with_a_path_out_of_the_folder_stays_in_it(tmp_path):
  (tmp_path / "scratch").mkdir()
  with tarfile.open(tmp_path / "a.tar", "w") as archive:
    member = tarfile.TarInfo("../../evil.parquet")
    member.size = 4
    archive.addfile(member, io.BytesIO(b"evil"))
  with sources.unpacked_tarball(tmp_path / "a.tar", tmp_path / "scratch") as unpacked:
    assert unpacked.is_relative_to(tmp_path / "scratch")
    assert unpacked.read_bytes() == b"evil"
  assert not list(tmp_path.rglob("evil*"))


def test_headers_that_cannot_be_are_a_broken_archive(tmp_path):
  # The name in the member's own header is no UTF-8; found by fuzzing.
  _zip(tmp_path / "pretraining.zip", 1 << 10)
  content = bytearray((tmp_path / "pretraining.zip").read_bytes())
  content[7] |= 0x08  # The flag that says so.
  content[30] = 0xD7
  (tmp_path / "pretraining.zip").write_bytes(content)
  (problem,) = sources.read_flows(sources.find_flow_files(tmp_path), 10)
  assert isinstance(problem, InputError)
  assert "the archive is broken" in str(problem)
