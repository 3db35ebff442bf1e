"""Runs a fuzz target with Atheris, which `pip install mtl_traffic[fuzz]` installs.

    python -m fuzz capture --seconds=600

Inputs that reach new code are kept in `fuzz/corpus/TARGET`, and the next run begins
with them. An input that causes a finding is written to the working directory.
"""

import argparse
import hashlib
import pathlib
import sys

import atheris

with atheris.instrument_imports(include=["mtl_traffic"]):
  from fuzz import targets

_CORPUS = pathlib.Path(__file__).parent / "corpus"


def main() -> None:
  parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
  parser.add_argument("target", choices=targets.TARGETS)
  parser.add_argument("--seconds", type=int, default=600, help="how long; 600")
  given = parser.parse_args()
  corpus = _CORPUS / given.target
  corpus.mkdir(parents=True, exist_ok=True)
  for seed in targets.seeds(given.target):
    (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
  limits = ["-timeout=10", "-rss_limit_mb=4096", "-max_len=65536"]
  length = f"-max_total_time={given.seconds}"
  arguments = [sys.argv[0], str(corpus), length, *limits]
  atheris.Setup(arguments, targets.TARGETS[given.target])
  atheris.Fuzz()


if __name__ == "__main__":
  main()
