"""Tests of `mtl_traffic.data.captures.labels`, on flows made by hand."""

import ipaddress
import random

import numpy as np
import pytest

from mtl_traffic.data.captures import Accounts, CapturedFlows
from mtl_traffic.data.captures import labels as labels_lib
from mtl_traffic.data.captures.labels import read_labels
from mtl_traffic.errors import InputError
from mtl_traffic.flows import Flows, pad_packets

NS = 10**9


def captured(*flows, captures=("a.pcap", "b.pcap")):
  """Flows of (client, port, server, port, protocol, start in s, capture)."""
  n = len(flows)
  clients, ports, servers, server_ports, protocols, starts, files = zip(
    *flows, strict=True
  )
  packets, _ = pad_packets(
    np.zeros(n), np.ones(n, int), np.ones(n, int), np.ones(n, int)
  )
  return CapturedFlows(
    flows=Flows(
      packets=packets,
      num_packets=np.ones(n, int),
      durations=np.zeros(n),
      num_bytes=np.ones(n, int),
      classes=np.full(n, -1, np.int32),
      partitions=np.array([captures.index(file) for file in files], np.int32),
      ids=np.arange(n).astype(str),
      class_names=(),
      partition_names=captures,
    ),
    client_addresses=np.array(clients, object),
    client_ports=np.array(ports, np.int32),
    server_addresses=np.array(servers, object),
    server_ports=np.array(server_ports, np.int32),
    protocols=np.array(protocols, np.int32),
    end_reasons=np.zeros(n, np.int8),
    start_times=np.array([round(s * NS) for s in starts], np.int64),
    starts_seen=np.ones(n, np.int8),
    carriers=np.empty((n, 0), object),
  )


def flow(client="10.0.0.1", server="10.0.0.2", start=0, capture="a.pcap", port=1000):
  return client, port, server, 80, 17, start, capture


@pytest.fixture
def read(tmp_path):
  def read(text):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    return read_labels(path)

  return read


def names(labels, *flows, accounts=None):
  found = labels.apply(captured(*flows), accounts)
  return [found.class_names[c] if c >= 0 else None for c in found.classes]


HEADER = "source,source_port,destination,destination_port,protocol,label\n"


@pytest.mark.parametrize(
  ("written", "in_capture"),
  [
    ("2001:DB8:0:0::1", "2001:db8::1"),
    ("2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"),
    ("::ffff:10.0.0.1", "::ffff:10.0.0.1"),
    ("::ffff:10.0.0.1", "10.0.0.1"),
    ("::FFFF:a00:1", "10.0.0.1"),
    ("10.0.0.1", "::ffff:10.0.0.1"),
    ("::10.0.0.1", "::10.0.0.1"),
    ("64:ff9b::10.0.0.1", "64:ff9b::a00:1"),
    ("fe80::1%eth0", "fe80::1"),
    ("fe80::1%3", "fe80::1"),
  ],
)
def test_addresses_are_compared_as_numbers(read, written, in_capture):
  labels = read(f"{HEADER}{written},1000,::2,80,UDP,x\n")
  assert names(labels, flow(in_capture, "::2"), flow("::2", in_capture)) == ["x", None]
  assert names(read(f"address,label\n{written},x\n"), flow("::2", in_capture)) == ["x"]


def test_a_compatible_address_is_not_an_ipv4_one(read):
  assert names(read("address,label\n::10.0.0.1,x\n"), flow()) == [None]


def test_an_address_alone_is_of_either_side(read):
  labels = read("address,label\n10.0.0.1,camera\n10.0.0.3,hub\n")
  assert names(
    labels,
    *(flow(), flow("10.0.0.9", "10.0.0.1"), flow("10.0.0.2", "10.0.0.3")),
    flow("10.0.0.9", "10.0.0.2"),
  ) == ["camera", "camera", "hub", None]


def test_an_address_of_one_capture_or_protocol(read):
  labels = read(
    "capture,address,protocol,label\nb.pcap,10.0.0.1,,b\n,10.0.0.2,tcp,tcp\n"
  )
  assert names(labels, flow(), flow(capture="b.pcap")) == [None, "b"]


def test_ports_as_pandas_writes_them(read):
  labels = read(f"{HEADER},,10.0.0.2,80.0,17.0,x\n")
  assert names(labels, flow(port=5), flow("10.0.0.2", "10.0.0.1")) == ["x", None]


def test_a_window_has_its_start_and_not_its_end(read):
  labels = read(
    "start,end,label\n"
    "10,20.5,first\n"
    "1970-01-01T00:00:20.5Z,1970-01-01T01:00:30+01:00,second\n"
    "100,,late\n"
  )
  starts = [9.999999999, 10, 20.499999999, 20.5, 29.999999999, 30, 99, 100, 1e9]
  assert names(labels, *(flow(start=s) for s in starts)) == [
    *(None, "first", "first", "second", "second", None, None, "late", "late")
  ]


def test_the_windows_of_an_address(read):
  labels = read("address,start,end,label\n10.0.0.1,50,60,b\n10.0.0.1,10,20,a\n")
  starts = [5, 15, 30, 55, 70]
  assert names(labels, *(flow(start=s) for s in starts)) == [None, "a", None, "b", None]


def test_what_says_more_of_addresses_counts_then_capture_then_time(read):
  header = "capture,address,source,source_port,destination,destination_port,protocol"
  rows = [
    ",,,,,,,0,9,time",
    "a.pcap,,,,,,,,,capture",
    "a.pcap,,,,,,,0,9,capture and time",
    ",10.0.0.1,,,,,,,,address",
    ",10.0.0.1,,,,,,0,9,address and time",
    "a.pcap,10.0.0.1,,,,,,,,address and capture",
    ",,10.0.0.1,1000,10.0.0.2,80,udp,,,five-tuple",
  ]
  for n in range(1, len(rows) + 1):
    shuffled = random.Random(n).sample(rows[:n], n)
    labels = read("\n".join([f"{header},start,end,label", *shuffled, ""]))
    assert names(labels, flow()) == [rows[n - 1].rpartition(",")[2]]


def test_rows_that_contradict_each_other_label_nothing_and_are_said(read):
  labels = read("address,label\n10.0.0.1,camera\n10.0.0.2,hub\n10.0.0.7,hub\n")
  accounts = Accounts()
  found = names(
    labels, flow(), flow(), flow("10.0.0.2", "10.0.0.7"), flow("10.0.0.1", "10.0.0.9"),
    accounts=accounts,
  )  # fmt: skip
  assert found == [None, None, "hub", "camera"]
  assert accounts.contradictions == {(2, 3): 2}
  assert accounts.labelled == {"hub": 1, "camera": 1}


def test_one_that_says_more_settles_what_others_contradict(read):
  labels = read(
    "address,source,destination,label\n"
    "10.0.0.1,,,camera\n10.0.0.2,,,hub\n,10.0.0.2,10.0.0.1,both\n"
  )
  accounts = Accounts()
  assert names(labels, flow(), accounts=accounts) == ["both"]
  assert not accounts.contradictions


def test_rows_that_fit_no_flow_are_known(read):
  labels = read("address,label\n10.0.0.1,a\n10.0.0.8,a\n10.0.0.9,b\n10.0.0.2,a\n")
  accounts = Accounts()
  labels.apply(captured(flow()), accounts)
  assert labels.unmatched(accounts) == [3, 4]
  labels.apply(captured(flow("10.0.0.9")), accounts)
  assert labels.unmatched(accounts) == [3]


def test_rows_of_captures_that_were_not_looked_at_are_no_rows_that_fit_nothing(read):
  labels = read(
    "capture,address,label\n"
    "b.pcap,,x\nb.pcap,10.0.0.1,x\na.pcap,10.0.0.9,x\n,10.0.0.8,x\na.pcap,,x\n"
  )
  accounts = Accounts()
  labels.apply(captured(flow()), accounts)
  assert labels.unmatched(accounts) == [2, 3, 4, 5]
  assert labels.unmatched(accounts, {"a.pcap"}) == [4, 5]
  assert labels.unmatched(accounts, {"a.pcap", "b.pcap"}) == [2, 3, 4, 5]
  assert labels.unmatched(accounts, {"b.pcap"}) == [2, 3, 5]


def test_a_row_without_a_label_says_nothing(read):
  labels = read("capture,address,label\na.pcap,,x\n,10.0.0.1,\n,10.0.0.2,NaN\n")
  assert names(labels, flow()) == ["x"]
  assert labels.class_names == ("x",) and labels.num_without == 2


def test_cells_that_are_nan_are_empty(read):
  labels = read("capture,address,start,label\nnan,10.0.0.1,NaN,x\n")
  assert names(labels, flow(start=5)) == ["x"]


def test_overlapping_windows_of_one_label_are_one(read):
  labels = read("address,start,end,label\n::1,10,30,a\n::1,15,20,a\n::1,25,40,a\n")
  starts = [9, 12, 22, 35, 40]
  assert names(labels, *(flow("::1", start=s) for s in starts)) == [
    *(None, "a", "a", "a", None)
  ]


def test_all_bad_lines_are_named_at_once(read):
  with pytest.raises(InputError) as error:
    read(
      "capture,address,source_port,protocol,start,end,label\n"
      ",10.0.0.300,,,,,x\n"
      ",10.0.0.1,,icmp,,,x\n"
      ",,70000,,,,x\n"
      ",10.0.0.1,,,2024-05-01T12:30:00,,x\n"
      ",10.0.0.1,,,yesterday,,x\n"
      ",10.0.0.1,,,20,10,x\n"
      ",,,,,,x\n"
      ",10.0.0.1,,,1,9,a\n"
      ",10.0.0.1,,,5,12,b\n"
      "a,,,,,,x,y\n"
    )
  path, *told = str(error.value).replace(": line", "; line", 1).split("; line ")
  assert path.endswith("labels.csv")
  assert [text.partition(": ")[::2] for text in told] == [
    ("2", "address is '10.0.0.300', must be an IP address"),
    ("3", "protocol is 'icmp', must be TCP or UDP"),
    ("4", "source_port is '70000', must be a number up to 65535"),
    (
      "5",
      "start is '2024-05-01T12:30:00', which has no time zone; add Z or +02:00 say",
    ),
    (
      "6",
      "start is 'yesterday', must be seconds since 1970, or as 2024-05-01T12:30:00Z",
    ),
    ("7", "end 10 must be after start 20"),
    (
      "8",
      "does not select any flows; fill in one of capture, address, source, "
      "source_port, destination, destination_port, protocol, start, end",
    ),
    ("10", "labelled 'b', but 'a' on line 9"),
    ("11", "has more cells than line 1"),
  ]


def test_of_many_bad_lines_ten_are_named(read):
  with pytest.raises(
    InputError, match=r"line 11: .*; and 15 more such lines$"
  ) as error:
    read("address,label\n" + "nowhere,x\n" * 25)
  assert str(error.value).count("nowhere") == 10


def test_too_many_rows_raise(read, monkeypatch):
  monkeypatch.setattr(labels_lib, "_MOST_ROWS", 3)
  assert read("capture,label\n" + "a,x\n" * 3)
  with pytest.raises(InputError, match="has over 3 rows"):
    read("capture,label\n" + "a,x\n" * 4)


@pytest.mark.parametrize("seed", range(20))
def test_any_rows_do_what_the_rules_say(read, seed):
  """Against a plain search of all rows."""
  rng = random.Random(seed)
  hosts = ["10.0.0.0", "10.0.0.1", "::", "::1", "ff00::"]

  def some(*values):
    return rng.choice([None, *values])

  rows = []
  for i in range(60):
    cells = {
      "capture": some("a.pcap", "b.pcap"),
      "source": some(*hosts),
      "source_port": some(0, 80),
      "destination": some(*hosts),
      "destination_port": some(0, 80),
      "protocol": some("tcp", "udp"),
      "start": some(-5, 0, 3),
      "end": some(5, 7),
    }
    said = tuple(value for name, value in cells.items() if name not in ("start", "end"))
    # Each its own label, and no two of the same cells, which would contradict.
    if any(v is not None for v in said) and said not in [s for s, _, _ in rows]:
      rows.append((said, cells, f"x{i}"))
  header = list(rows[0][1])
  text = "".join(
    ",".join("" if v is None else str(v) for v in cells.values()) + f",{label}\n"
    for _, cells, label in rows
  )
  labels = read(",".join([*header, "label"]) + "\n" + text)

  def fits(cells, a, ap, b, bp, protocol, start, capture):
    wanted = {
      "capture": capture,
      "source": ipaddress.ip_address(a),
      "source_port": ap,
      "destination": ipaddress.ip_address(b),
      "destination_port": bp,
      "protocol": {6: "tcp", 17: "udp"}[protocol],
    }
    same = all(
      cells[n] is None
      or (
        ipaddress.ip_address(cells[n]) if n in ("source", "destination") else cells[n]
      )
      == value
      for n, value in wanted.items()
    )
    begun = cells["start"] is None or cells["start"] <= start
    return same and begun and (cells["end"] is None or start < cells["end"])

  def rank(cells):
    about = sum(cells[n] is not None for n in header[1:6])
    timed = cells["start"] is not None or cells["end"] is not None
    return about, cells["capture"] is not None, timed

  flows, expected = [], []
  for _ in range(50):
    a, b, ap, bp = *rng.choices(hosts, k=2), *rng.choices([0, 80], k=2)
    rest = rng.choice([6, 17]), rng.randint(-9, 9), rng.choice(["a.pcap", "b.pcap"])
    flows.append((a, ap, b, bp, *rest))
    found = {
      (rank(cells), label)
      for _, cells, label in rows
      if fits(cells, a, ap, b, bp, *rest) or fits(cells, b, bp, a, ap, *rest)
    }
    best = [label for r, label in found if r == max(found)[0]]
    expected.append(best[0] if len(best) == 1 else None)
  assert names(labels, *flows) == expected
  assert any(expected) and not all(expected)
