"""Finds the flows of the UC Davis QUIC dataset in all forms in which it is shared."""

import contextlib
import dataclasses
import functools
import hashlib
import os
import pathlib
import shutil
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator

from mtl_traffic.data import folders, text
from mtl_traffic.errors import InputError

CLASS_NAMES = (
  "google-doc",
  "google-drive",
  "google-music",
  "google-search",
  "youtube",
)
PARTITIONS = (
  "pretraining",
  "retraining-script-triggered",
  "retraining-human-triggered",
)
_PARTITION_BY_LETTERS = dict(
  zip(("pretraining", "scripttriggered", "humantriggered"), PARTITIONS, strict=True)
)
CURATED_URL = "https://figshare.com/ndownloader/files/42438621"
CURATED_MD5 = {
  "tarball": "36294e70968fe0a30a054e626cb87afe",
  "ucdavis-icdm19.parquet": "f4333724f03a0ccaa7d87ba878148f34",
}
_PARSED_AT_ONCE = 1 << 22  # bytes
# A million packets; the longest published flow has 40,021.
_LONGEST_FILE = 1 << 26
# An archive may unpack to this multiple of its size, and a little more. Text has ten.
_MOST_UNPACKED, _LITTLE = 100, 1 << 24
_TARBALLS = ("*.tar", "*.tgz", "*.tar.*")
LOOKED_FOR = (
  "pretraining.zip, Retraining(script-triggered).zip and Retraining(human-triggered)"
  ".zip, the folders that they unpack to, the curated file (*.parquet) or its tarball "
  f"({', '.join(_TARBALLS)})"
)
_BROKEN_ARCHIVE = (
  zipfile.BadZipFile,
  tarfile.TarError,
  zlib.error,
  EOFError,
  RuntimeError,  # A password, or a compression that Python does not know.
  # zipfile raises these for invalid headers.
  ValueError,
  OverflowError,
  struct.error,
)


@dataclasses.dataclass(frozen=True)
class FlowFile:
  """A text file of one flow, on disk or as a member of a zip."""

  partition: str
  class_name: str
  path: str
  member: str | None = None

  @property
  def flow_id(self) -> str:
    return os.path.basename(self.member or self.path).removesuffix(".txt")

  def __str__(self) -> str:
    return f"{self.path}: {self.member}" if self.member else self.path

  def read_bytes(self) -> bytes:
    """Returns the content; raises InputError if it is unreadable or far too long."""
    with _readable(self):
      if self.member:
        file = _opened(self.path).open(self.member)
      else:
        file = open(self.path, "rb")
      with file:
        content = file.read(_LONGEST_FILE + 1)
    if len(content) > _LONGEST_FILE:
      raise InputError(
        f"{self}: holds over {_LONGEST_FILE} bytes, which no flow has; remove it"
      )
    return content


def read_flows(
  files: Iterable[FlowFile], max_packets: int
) -> list[text.TextFlow | InputError]:
  """Reads files; returns the error in place of the flow for an unusable file."""
  flows, contents, names = [], [], []

  def parse() -> None:
    flows.extend(text.parse_many(contents, names, max_packets))
    contents.clear()
    names.clear()

  for file in files:
    try:
      contents.append(file.read_bytes())
    except InputError as error:
      parse()
      flows.append(error)
      continue
    names.append(str(file))
    if sum(map(len, contents)) > _PARSED_AT_ONCE:
      parse()
  parse()
  return flows


def find_flow_files(
  folder: pathlib.Path, on_error: Callable[[InputError], None] | None = None
) -> list[FlowFile]:
  """The text files below a folder, unpacked or in zips, in the curated file's order.

  Links to folders are followed.

  A file belongs to the dataset if it lies in the folder (or zip) `pretraining`,
  `Retraining(script-triggered)` or `Retraining(human-triggered)`, and in there in a
  folder named after its class. Other `.txt` files are ignored. A flow that exists both
  unpacked and zipped is read once.

  Args:
    folder: where to look.
    on_error: called with the `InputError` of a single file; by default it is raised.

  Raises:
    InputError: a folder cannot be read, a zip is broken, or a file lies in the folder
      of an unknown class.
  """
  on_error = on_error or _reraise
  above = len(str(folder.parent))
  found: dict[tuple[int, str, str], FlowFile] = {}
  for path, member in _text_files(folder, on_error):
    place = f"{path[above:]}/{member}" if member else path[above:]
    partition, class_name = _kind(os.path.dirname(place).replace(os.sep, "/"))
    if partition is None:
      continue
    file = FlowFile(partition, class_name, path, member)
    if class_name is None:
      error = f"{file}: lies in the folder of an unknown class; the classes are "
      on_error(InputError(error + ", ".join(CLASS_NAMES)))
      continue
    key = (PARTITIONS.index(partition), class_name, file.flow_id)
    found.setdefault(key, file)
  return [found[key] for key in sorted(found)]


def find_curated(folder: pathlib.Path) -> pathlib.Path | None:
  """The curated Parquet file in a folder, or else its tarball; None without either.

  Raises:
    InputError: several files match.
  """
  for patterns in (("*.parquet",), _TARBALLS):
    there = sorted(path for pattern in patterns for path in folder.glob(pattern))
    named = [path for path in there if "ucdavis" in path.name.lower()]
    there = named or there
    if len(there) > 1:
      raise InputError(
        f"{folder}: holds several files that may be the dataset "
        f"({', '.join(path.name for path in there)}); leave one there"
      )
    if there:
      return there[0]
  return None


@contextlib.contextmanager
def unpacked_tarball(
  path: pathlib.Path, scratch: str | os.PathLike
) -> Iterator[pathlib.Path]:
  """Unpacks the Parquet file of a tarball until the context is closed.

  Args:
    path: the tarball.
    scratch: an existing folder in which to unpack it.

  Raises:
    InputError: the tarball is broken, holds no or several Parquet files, or its file
      has the curated file's name but another MD5.
  """
  with contextlib.ExitStack() as stack:
    folder = stack.enter_context(tempfile.TemporaryDirectory(dir=scratch))
    with _readable(path), tarfile.open(path) as tarball:
      members = [m for m in tarball if m.isfile() and m.name.endswith(".parquet")]
      if len(members) != 1:
        raise InputError(f"{path}: holds {len(members)} Parquet files, must hold one")
      _check_unpacked(path, members[0].size)
      unpacked = pathlib.Path(folder, pathlib.PurePosixPath(members[0].name).name)
      with unpacked.open("wb") as file:
        shutil.copyfileobj(tarball.extractfile(members[0]), file, length=1 << 20)
    if unpacked.name in CURATED_MD5:
      check_md5(unpacked, CURATED_MD5[unpacked.name], f"{path}: {unpacked.name}")
    yield unpacked


def check_md5(path: pathlib.Path, expected: str, name: str) -> None:
  """Raises InputError, which names `name`, if the file's MD5 differs."""
  with path.open("rb") as file:
    actual = hashlib.file_digest(file, "md5").hexdigest()
  if actual != expected:
    raise InputError(
      f"{name}: its MD5 is {actual}, must be {expected}; the file is cut short or a "
      f"different one: fetch it again from {CURATED_URL}"
    )


def _text_files(folder: pathlib.Path, on_error) -> Iterator[tuple[str, str | None]]:
  """Unpacked files first, so that they win over the same ones in a zip."""
  zips = []
  for path in folders.files_below(folder):
    if path.endswith(".txt"):
      yield path, None
    elif path.lower().endswith(".zip"):
      zips.append(path)
  for path in zips:
    try:
      with _readable(path):
        members = [m.filename for m in _opened(path).infolist()]
        _check_unpacked(path, sum(m.file_size for m in _opened(path).infolist()))
    except InputError as error:
      on_error(error)
      continue
    for member in members:
      if member.endswith(".txt") and not any(map(folders.is_hidden, member.split("/"))):
        yield path, member


def _check_unpacked(path: str | os.PathLike, num_bytes: int) -> None:
  """Raises an InputError if an archive was made to fill memory or disk."""
  most = _MOST_UNPACKED * os.stat(path).st_size + _LITTLE
  if num_bytes > most:
    raise InputError(
      f"{path}: unpacks to {num_bytes} bytes; at most {most} are allowed, "
      f"{_MOST_UNPACKED} times its size; fetch it again"
    )


def _reraise(error: InputError):
  raise error


def _letters(name: str) -> str:
  return "".join(filter(str.isalpha, name.lower()))


@functools.lru_cache(maxsize=1024)
def _kind(place: str) -> tuple[str | None, str | None]:
  """Partition and class of the files in a folder or zip; None if unknown.

  The innermost folder or zip that is named like a partition counts. Google Doc,
  GoogleDoc and Google Doc-human are all google-doc.
  """
  names = [_letters(name) for name in place.split("/")]
  for name in reversed(names):
    for letters, partition in _PARTITION_BY_LETTERS.items():
      if letters in name:
        classes = (c for c in CLASS_NAMES if names[-1].startswith(_letters(c)))
        return partition, next(classes, None)
  return None, None


def _opened(path: str) -> zipfile.ZipFile:
  return _open_zip(path, os.stat(path).st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _open_zip(path: str, modified: int) -> zipfile.ZipFile:
  # Reading the directory of thousands of members takes longer than reading one.
  del modified  # Only a cache key: a replaced zip is read again.
  return zipfile.ZipFile(path)


@contextlib.contextmanager
def _readable(source: FlowFile | pathlib.Path | str) -> Iterator[None]:
  try:
    yield
  except InputError:
    raise
  except _BROKEN_ARCHIVE as error:
    raise InputError(
      f"{source}: the archive is broken or not readable ({error}); fetch it again"
    ) from error
  except OSError as error:
    raise InputError(
      f"{source}: cannot be read or unpacked: {error.strerror}"
    ) from error
