import re
import shlex
import subprocess
import sys

import pytest

from mtl_traffic import provenance

CALL = {"date": "2026-01-01", "command": "a", "commit": "c", "machine": "m"}


def test_a_call_says_when_by_what_and_where():
  call = provenance.of_call(device="1 × H100")
  assert re.fullmatch(r"20\d\d-\d\d-\d\d", call["date"])
  assert call["machine"].endswith(", 1 × H100") and " core" in call["machine"]
  assert re.fullmatch(r"[0-9a-f]{7,40}(-dirty)?|", call["commit"])


@pytest.mark.parametrize("module", [True, False])
def test_the_command_is_the_one_that_was_typed(tmp_path, module):
  script = tmp_path / "some_program.py"
  script.write_text(
    "import sys\nfrom mtl_traffic import provenance\n"
    "sys.argv[1] = 'changed'\nprint(provenance.of_call()['command'])\n"
  )
  how = ["-m", "some_program"] if module else [str(script)]
  done = subprocess.run(
    [sys.executable, *how, "--flag=a b"], capture_output=True, text=True, cwd=tmp_path
  )
  program = ["python", "-m", "some_program"] if module else ["some_program.py"]
  assert shlex.split(done.stdout) == [*program, "--flag=a b"], done.stderr


def test_a_call_that_differs_in_its_date_alone_takes_the_place_of_the_earlier():
  later = {**CALL, "date": "2026-02-02"}
  other = {**CALL, "commit": "d"}
  assert provenance.added([CALL, other], later) == [other, later]


@pytest.mark.parametrize("config", [{}, {"calls": 1}, {"calls": ["x", None]}])
def test_a_config_that_tells_no_calls(config):
  assert provenance.calls_of(config) == []
