"""When a run of predict ends, it reports lost packets and sets its exit status."""

import pytest

from mtl_traffic.commands import predict
from mtl_traffic.data.captures import Accounts
from mtl_traffic.errors import InputError


@pytest.mark.parametrize(
  ("ended", "accounts", "status", "said"),
  [
    (None, Accounts(), None, []),
    (None, Accounts(warnings=["c: cut"]), 1, ["c: cut"]),
    (None, Accounts(num_lost=7), 3, ["7 packets were lost"]),
    (KeyboardInterrupt(), Accounts(), 130, ["interrupted"]),
    (KeyboardInterrupt(), Accounts(num_lost=7), 3, ["interrupted", "7 packets"]),
    (InputError("out: no space"), Accounts(), 1, ["out: no space"]),
    (InputError("\x1b[2J"), Accounts(num_lost=7), 3, ["\\x1b[2J", "7 packets"]),
  ],
)
def test_the_exit_status(ended, accounts, status, said, capsys):
  if status is None:
    predict._finish(ended, accounts)
  else:
    with pytest.raises(SystemExit) as exit_:
      predict._finish(ended, accounts)
    assert exit_.value.code == status
  lines = capsys.readouterr().err.splitlines()
  assert len(lines) == len(said)
  assert all(
    line.startswith(f"error: {text}") for line, text in zip(lines, said, strict=True)
  )
