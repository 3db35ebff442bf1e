"""Tests of the reader of flows in text form."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mtl_traffic.data import text
from mtl_traffic.errors import InputError

GOOD_LINE = b"1600000000.5\t0\t302\t1\n"


def lines(*packets) -> bytes:
  return "".join(f"{16e8 + t!r}\t{t!r}\t{n}\t{d}\n" for t, n, d in packets).encode()


def test_reads_a_flow(tmp_path):
  path = tmp_path / "flow.txt"
  path.write_bytes(lines((0.0, 300, 1), (0.25, 1400, 0), (0.5, 70, 1)))
  flow = text.read(path)
  np.testing.assert_array_equal(flow.times, [0, 0.25, 0.5])
  np.testing.assert_array_equal(flow.lengths, [300, 1400, 70])
  np.testing.assert_array_equal(flow.directions, [1, -1, 1])
  assert (flow.times.dtype, flow.lengths.dtype, flow.directions.dtype) == (
    np.float64,
    np.int32,
    np.int8,
  )
  assert flow[3:] == (3, 0.5, 1770, False)


def test_totals_are_of_the_whole_flow():
  flow = text.parse(lines((0.0, 10, 1), (1.0, 20, 0), (3.0, 30, 0)), "flow", 2)
  assert len(flow.times) == len(flow.lengths) == len(flow.directions) == 2
  assert (flow.num_packets, flow.duration, flow.num_bytes) == (3, 3.0, 60)


def test_sorts_before_it_cuts_and_keeps_the_order_of_equal_times():
  flow = text.parse(
    lines((2.0, 1, 1), (5.0, 2, 0), (3.0, 3, 1), (3.0, 4, 0)), "flow", 3
  )
  np.testing.assert_array_equal(flow.times, [0, 1, 1])
  np.testing.assert_array_equal(flow.lengths, [1, 3, 4])
  np.testing.assert_array_equal(flow.directions, [1, 1, -1])
  assert flow.was_sorted and flow.duration == 3.0


def test_accepts_all_line_ends_and_none_at_the_end():
  for end in (b"\n", b"\r\n", b"\r"):
    content = lines((0.0, 1, 1), (1.0, 2, 0)).rstrip().replace(b"\n", end)
    assert text.parse(content, "flow").num_packets == 2


@pytest.mark.parametrize(
  ("line", "problem"),
  [
    (b"1\t2\t3", "has 3 tab-separated fields, must have 4"),
    (b"1\t2\t3\t1\t1", "has 5 tab-separated fields, must have 4"),
    (b"1 2 3 1", "has 1 tab-separated fields"),
    (b"", "has 1 tab-separated fields"),
    (b"x\t2\t3\t1", "unixtime is 'x'"),
    (b"nan\t2\t3\t1", "unixtime is 'nan'"),
    (b"1\tNaN\t3\t1", "relative time is 'NaN'"),
    (b"1\t-inf\t3\t1", "relative time is '-inf'"),
    (b"1\t1e999\t3\t1", "relative time is '1e999'"),
    (b"1\t\t3\t1", "relative time is ''"),
    (b"1\t2\t0\t1", "length is '0'"),
    (b"1\t2\t-3\t1", "length is '-3'"),
    (b"1\t2\t3.0\t1", "length is '3.0'"),
    (b"1\t2\t0x3\t1", "length is '0x3'"),
    (b"1\t2\t2147483648\t1", "length is '2147483648'"),
    (b"1\t2\t" + b"9" * 5000 + b"\t1", "length is '9999"),
    (b"1\t2\t3\t2", "direction is '2'"),
    (b"1\t2\t3\t-1", "direction is '-1'"),
    (b"1\t2\t3\t1\x00", "direction is '1\\x00'"),
    (b'1\t2\t3\t"1"', "direction is '\"1\"'"),
  ],
)
def test_names_the_line_and_the_field_at_fault(line, problem):
  with pytest.raises(InputError) as error:
    text.parse(GOOD_LINE + line + b"\n" + GOOD_LINE, "some.txt")
  assert str(error.value).startswith("some.txt: line 2: ")
  assert problem in str(error.value)
  assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"\n", b" \n\n"])
def test_rejects_an_empty_file(content):
  with pytest.raises(InputError, match=r"some\.txt: is empty"):
    text.parse(content, "some.txt")


def test_names_a_file_that_cannot_be_read(tmp_path):
  with pytest.raises(InputError, match=r"absent\.txt: cannot be read"):
    text.read(tmp_path / "absent.txt")


packets = st.lists(
  st.tuples(
    st.floats(-1e6, 1e6).map(lambda t: t + 0.0),
    st.integers(1, 2**31 - 1),
    st.integers(0, 1),
  ),
  min_size=1,
  max_size=20,
)


@given(packets)
def test_what_is_written_is_read_back(packets):
  flow = text.parse(lines(*packets), "flow")
  ordered = sorted(packets, key=lambda packet: packet[0])
  times, lengths, directions = map(np.array, zip(*ordered, strict=True))
  np.testing.assert_array_equal(flow.times, times - times[0])
  np.testing.assert_array_equal(flow.lengths, lengths)
  np.testing.assert_array_equal(flow.directions, 2 * directions - 1)
  assert flow.num_bytes == sum(n for _, n, _ in packets)
  in_file = [t for t, _, _ in packets]
  assert flow.was_sorted == (sorted(in_file) != in_file)


def accepted_by_python(content: bytes) -> bool:
  """A slow and independent reading of the format."""
  try:
    for line in content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
      unix_time, time, length, direction = line.decode("ascii").split("\t")
      if any(c not in "0123456789.+-eE" for c in unix_time + time + length + direction):
        return False
      if not (abs(float(unix_time)) < 1e11 and abs(float(time)) < 1e11):
        return False
      if "+" in length + direction:
        return False
      if not (0 < int(length) < 2**31 and int(direction) in (0, 1)):
        return False
  except ValueError:
    return False
  return True


nearly_flows = st.lists(
  st.one_of(
    st.sampled_from(
      [b"1", b"0", b"\t", b"\n", b"\r", b".", b"-", b"e", b"1\t2\t3\t1\n"]
    ),
    st.binary(max_size=3),
  ),
  max_size=20,
).map(b"".join)


@settings(max_examples=500)
@given(st.one_of(st.binary(), nearly_flows))
@example(b"1\t2\t3\t1\x1a")
@example(b"\xef\xbb\xbf1\t2\t3\t1")
@example(b"1\t2\t0x3\t1")
def test_arbitrary_bytes_are_read_or_refused(content):
  without_last_line_end = (
    content[:-2]
    if content.endswith(b"\r\n")
    else content[:-1]
    if content.endswith((b"\n", b"\r"))
    else content
  )
  try:
    flow = text.parse(content, "flow")
  except InputError as error:
    assert not accepted_by_python(without_last_line_end)
    assert str(error).startswith("flow: ")
  else:
    assert accepted_by_python(without_last_line_end)
    assert flow.num_packets == len(without_last_line_end.splitlines())


def outcome(flow) -> object:
  """Something that can be compared with ==."""
  return (
    str(flow) if isinstance(flow, InputError) else [np.array(x).tolist() for x in flow]
  )


@given(
  st.lists(st.one_of(packets.map(lambda p: lines(*p)), nearly_flows), max_size=5),
  st.integers(1, 5),
)
@example([lines((0.0, 1, 1)).rstrip(), lines((5.0, 2, 0), (1.0, 3, 1))], 2)
@example([b"1\t2\t3\t1\r1\t2\t3\t1", b"1\t2\t3\t1"], 2)
@example([b"1\t2\t3\t1\n\n", b"1\t2\t3\t1"], 2)
@example([b"", b"1\t2\t3\t1"], 2)
def test_many_give_what_each_gives(contents, max_packets):
  names = [f"file {number}" for number in range(len(contents))]
  one_by_one = []
  for content, name in zip(contents, names, strict=True):
    try:
      one_by_one.append(text.parse(content, name, max_packets))
    except InputError as error:
      one_by_one.append(error)
  many = text.parse_many(contents, names, max_packets)
  assert list(map(outcome, many)) == list(map(outcome, one_by_one))


def test_sound_files_are_parsed_together(monkeypatch):
  tables = []
  table = text._table
  monkeypatch.setattr(text, "_table", lambda c: tables.append(c) or table(c))
  content = lines((0.0, 1, 1), (1.0, 2, 0))
  assert [f.num_packets for f in text.parse_many([content] * 3, ["a", "b", "c"])] == [
    2,
    2,
    2,
  ]
  assert len(tables) == 1


def test_flows_parsed_together_do_not_keep_each_other_in_memory():
  flow = text.parse_many([lines((0.0, 1, 1))] * 2, ["a", "b"])[0]
  for series in flow[:3]:
    assert series.base is None
