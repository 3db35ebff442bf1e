"""What `mtl-traffic predict --interface` loses at a rate, and in a flood.

    python -m benchmarks.live --model=DIR
    python -m benchmarks.live --model=DIR --workers=2 --rate=100000 --rate=200000
    python -m benchmarks.live --model=DIR --flood
    python -m benchmarks.live --model=DIR --nfstream

Makes a network namespace with a virtual pair of interfaces, sends into one end and
reads the other, for `--seconds`, at one `--rate` after another. No packet leaves the
namespace, and the sender stops by itself. Linux, root, and iproute2 are needed.

Without `--flood`, a thousand UDP flows at a time send 100 packets each; where one ends,
another begins. The delay is that from a flow's k-th packet to its answer, by
`--metrics_port` of predict, if the extra `metrics` is there. Memory and open files of
all readers are told after a quarter of the time and at its end. With `--flood`, a
million SYNs of as many clients are sent beside a thousand UDP flows of k packets; what
counts is how many of the thousand get their answer. With `--nfstream`, NFStream reads
instead, with as many meters as `--workers`; it has no model and answers nothing.
"""

import contextlib
import ctypes
import importlib.util
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

import numpy as np
from absl import app, flags

_MODEL = flags.DEFINE_string("model", None, "The directory of a trained model.")
_RATE = flags.DEFINE_multi_integer("rate", 200_000, "Packets a second.")
_WORKERS = flags.DEFINE_integer("workers", 1, "Workers of predict.")
_SECONDS = flags.DEFINE_integer("seconds", 60, "How long to send.")
_FLOOD = flags.DEFINE_bool("flood", False, "Send a million SYNs beside the flows.")
_NFSTREAM = flags.DEFINE_bool("nfstream", False, "Have NFStream read instead.")
_SEND = flags.DEFINE_string("send", None, "Internal: be the sender, on this interface.")

_FLOWS, _SYNS, _PACKETS = 1000, 1_000_000, 100
_INNOCENT, _FLOODING, _SERVER = 10, 11, (10, 255, 0, 1)  # First bytes of addresses.
_NAME = f"mtl_traffic_{os.getpid()}"
_TURNS_A_SECOND = 500
_METRICS_PORT = 9108
_SCRAPE = f"""
import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:{_METRICS_PORT}").read().decode())
"""


class _Vector(ctypes.Structure):
  _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
  _fields_ = (
    ("name", ctypes.c_void_p),
    ("name_length", ctypes.c_uint32),
    ("vectors", ctypes.c_void_p),
    ("num_vectors", ctypes.c_size_t),
    ("control", ctypes.c_void_p),
    ("control_length", ctypes.c_size_t),
    ("flags", ctypes.c_int),
    ("sent", ctypes.c_uint32),
  )


def frames(clients: np.ndarray, first_byte: int, is_tcp: bool) -> np.ndarray:
  """`[N, 74]` Ethernet frames from clients `[N]`, numbers that make addresses."""
  frame = np.zeros((len(clients), 74), np.uint8)
  frame[:, :14] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]
  frame[:, 14:26] = [0x45, 0, 0, 60, 0, 0, 0, 0, 64, 6 if is_tcp else 17, 0, 0]
  frame[:, 26] = first_byte
  for byte, shift in ((27, 16), (28, 8), (29, 0)):
    frame[:, byte] = clients >> shift & 0xFF
  frame[:, 30:34] = _SERVER
  frame[:, 34:38] = [0x40, 1, 0, 80]
  if is_tcp:
    frame[:, 46:48] = [0xA0, 2]  # A header of 40 bytes, SYN.
  else:
    frame[:, 38:40] = [0, 40]
  return frame


def traffic(k: int, flood: bool) -> np.ndarray:
  """The frames of a run, in order; without a flood, what is sent again and again."""
  if not flood:
    flow, turn = np.arange(_FLOWS), np.arange(_PACKETS)[:, None]
    # One after another, or their answers would all come at once.
    is_next = turn + flow * _PACKETS // _FLOWS >= _PACKETS
    return frames((flow + (is_next << 16)).ravel(), _INNOCENT, False)
  flooding = frames(np.arange(_SYNS), _FLOODING, True)
  clients = np.repeat(np.arange(_FLOWS), k)
  # A flow's packets come one after 2000 SYNs, say; flows begin all the time.
  places = 2000 * np.tile(np.arange(k), _FLOWS)
  places += np.random.default_rng(0).integers(0, _SYNS - 2000 * k, _FLOWS)[clients]
  order = np.argsort(places, kind="stable")
  return np.insert(
    flooding, places[order], frames(clients, _INNOCENT, False)[order], axis=0
  )


def send(interface: str, packets: np.ndarray, total: int, seconds: float) -> None:
  """Sends so many of frames `[N, B]`, round after round, evenly over the seconds.

  In each round the second byte of the clients' addresses is another, so the flows are.
  """
  libc = ctypes.CDLL(None, use_errno=True)
  count, length = packets.shape
  vectors, messages = (_Vector * count)(), (_Message * count)()
  bases = packets.ctypes.data + length * np.arange(count, dtype=np.uint64)
  np.frombuffer(vectors, np.uint64).reshape(-1, 2)[:] = np.stack(
    [bases, np.full_like(bases, length)], axis=1
  )
  words = np.frombuffer(messages, np.uint64).reshape(count, -1)
  size = ctypes.sizeof(_Vector)
  words[:, 2] = ctypes.addressof(vectors) + size * np.arange(count)
  words[:, 3] = 1
  with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
    sender.bind((interface, 0))
    begun, done = time.monotonic(), 0
    while done < total:
      at = done % count
      if not at:
        packets[:, 27] += 1
      due = int(total * (time.monotonic() - begun) / seconds) - done
      due = min(due, total - done, count - at, 1024)  # As many as a call takes.
      if due > 0:
        place = ctypes.byref(messages, at * ctypes.sizeof(_Message))
        done += max(libc.sendmmsg(sender.fileno(), place, due, 0), 0)
      else:
        time.sleep(1 / _TURNS_A_SECOND)
  print(f"{time.monotonic() - begun:.1f}")


@contextlib.contextmanager
def _network():
  subprocess.run(["ip", "netns", "add", _NAME], check=True)
  try:
    for words in (
      "link set lo up",
      "link add v0 type veth peer name v1",
      "link set v0 up",
      "link set v1 up",
    ):
      subprocess.run(["ip", "-n", _NAME, *words.split()], check=True)
    for name in ("v0", "v1"):
      quiet = f"net.ipv6.conf.{name}.disable_ipv6=1"
      subprocess.run(_inside("sysctl", "-qw", quiet), check=True)
    yield
  finally:
    subprocess.run(["ip", "netns", "del", _NAME], check=True)


def _inside(*arguments: str) -> list[str]:
  return ["ip", "netns", "exec", _NAME, *arguments]


def _counter(interface: str, counter: str) -> int:
  path = f"/sys/class/net/{interface}/statistics/{counter}"
  return int(subprocess.check_output(_inside("cat", path)))


def _reader(model: str, out: pathlib.Path, workers: int) -> list[str]:
  """The command that reads."""
  metrics = importlib.util.find_spec("prometheus_client")
  return _inside(
    *(sys.executable, "-m", "mtl_traffic", "predict", f"--model={model}"),
    *("--interface=v1", f"--out={out}", f"--workers={workers}"),
    *([f"--metrics_port={_METRICS_PORT}"] if metrics else []),
  )


def _start_sender(
  model: str, rate: int, seconds: int, flood: bool
) -> subprocess.Popen[str]:
  """Starts to send; the process prints the seconds that it took."""
  options = [f"--rate={rate}", f"--seconds={seconds}", f"--model={model}"]
  program = (sys.executable, "-m", "benchmarks.live", "--send=v0", *options)
  sender = _inside(*program, f"--flood={flood}")
  return subprocess.Popen(sender, stdout=subprocess.PIPE, text=True)


# Reads flows until it is killed, and reports every second how many packets it has read.
_NFSTREAM_READER = """
import sys, nfstream
options = {"n_dissections": 0, "snapshot_length": 96, "performance_report": 1}
for flow in nfstream.NFStreamer(source="v1", n_meters=int(sys.argv[1]), **options):
  pass
"""


def measure_nfstream(model: str, rate: int, seconds: int, meters: int) -> dict:
  """Runs a sender and NFStream; returns how many packets NFStream has in flows."""
  with _network(), tempfile.TemporaryFile("w+") as told:
    reader = subprocess.Popen(
      _inside(sys.executable, "-u", "-c", _NFSTREAM_READER, str(meters)),
      stdout=told,
      stderr=subprocess.DEVNULL,
      start_new_session=True,
    )
    try:
      _await_listeners(reader, 1)  # It takes fewer meters where there are few cores.
      time.sleep(2)
      took, _ = _start_sender(model, rate, seconds, False).communicate()
      sent = _counter("v0", "tx_packets")
      # It counts when a packet comes, at most once a second.
      time.sleep(2)
      _start_sender(model, 100, 2, False).communicate()
      time.sleep(2)
    finally:
      os.killpg(reader.pid, signal.SIGKILL)
      reader.wait()
    told.seek(0)
    counts = re.findall(r'packets_processed"?: *(\d+)', told.read())
  read = min(int(counts[-1]), sent) if counts else 0
  result = {"reader": "nfstream", "rate": rate, "sent": sent, "seconds": float(took)}
  return {**result, "read": read, "missing": sent - read}


def _await_listeners(reader: subprocess.Popen, count: int) -> None:
  """Waits until so many sockets of packets are open."""
  while True:
    listed = subprocess.check_output(_inside("cat", "/proc/net/packet"), text=True)
    if len(listed.splitlines()) > count:
      return
    if reader.poll() is not None:
      raise SystemExit("the reader did not start")
    time.sleep(0.5)


def _delays() -> dict:
  """The share of answers within 20 ms, and within which bound 99 % are."""
  told = subprocess.run(
    _inside(sys.executable, "-c", _SCRAPE), capture_output=True, text=True
  ).stdout
  counts = re.findall(r'answer_delay_seconds_bucket\{le="([^"]+)"\} (\S+)', told)
  if not counts or not float(counts[-1][1]):
    return {}
  below = {float(bound): float(count) / float(counts[-1][1]) for bound, count in counts}
  within = min(bound for bound, share in below.items() if share >= 0.99)
  return {"within_20_ms": round(below[0.02], 4), "p99_s_at_most": within}


def _used(group: int) -> dict[str, int]:
  """What the processes of a group have in memory, MB, and open, added up."""
  resident = handles = 0
  for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
    with contextlib.suppress(OSError):  # It may have just ended.
      fields = stat.read_text().rpartition(")")[2].split()
      if int(fields[2]) == group:
        resident += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
        handles += len(os.listdir(stat.with_name("fd")))
  return {"resident_mb": resident >> 20, "handles": handles}


def _num_answered(answers: pathlib.Path, k: int) -> int:
  """How many flows were answered after k packets, the SYNs of a flood left out."""
  flows = set()
  with open(answers) as lines:  # The answers of a long run do not fit in memory.
    for row in map(json.loads, lines):
      if row["packets"] >= k and row["client_address"].startswith(f"{_INNOCENT}."):
        flows.add(row["flow"])
  return len(flows)


def measure(model: str, rate: int, seconds: int, flood: bool, workers: int) -> dict:
  """Runs a sender and a reader; returns what became of the packets."""
  with _network(), tempfile.TemporaryDirectory() as folder:
    out = pathlib.Path(folder, "answers.jsonl")
    with open(pathlib.Path(folder, "summary"), "w+") as summary:
      reader = subprocess.Popen(
        _reader(model, out, workers),
        stdout=summary,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
      )
      try:
        _await_listeners(reader, workers)
        time.sleep(2)
        before = _counter("v0", "tx_packets")
        sending = _start_sender(model, rate, seconds, flood)
        time.sleep(seconds / 4)
        used = _used(reader.pid)
        took, _ = sending.communicate()
        used = {name: [count, _used(reader.pid)[name]] for name, count in used.items()}
        time.sleep(3)
        sent = _counter("v0", "tx_packets") - before
        load, delays = os.getloadavg()[0], _delays()
      finally:
        # Not Ctrl-C, to which a program started in the background may be deaf.
        reader.terminate()
        status = reader.wait(300)
      summary.seek(0)
      text = summary.read()
    found = {
      name: int(match[1]) if (match := re.search(pattern, text)) else 0
      for name, pattern in (
        ("read", r"^packets: (\d+)"),
        ("lost", r"lost, beside these: (\d+)"),
      )
    }
    result = {"rate": rate, "sent": sent, "seconds": float(took), **found}
    result |= used
    result |= {"unaccounted": sent - found["read"] - found["lost"], "status": status}
    k = json.loads(pathlib.Path(model, "model.json").read_text())["k"]
    result |= {"answered": _num_answered(out, k), **delays}
    return {**result, "load": round(load, 1)}


def main(argv) -> None:
  del argv
  if _SEND.value:
    k = json.loads(pathlib.Path(_MODEL.value, "model.json").read_text())["k"]
    packets = traffic(k, _FLOOD.value)
    total = len(packets) if _FLOOD.value else _RATE.value[0] * _SECONDS.value
    send(_SEND.value, packets, total, _SECONDS.value)
    return
  for rate in _RATE.value:
    options = (_MODEL.value, rate, _SECONDS.value)
    if _NFSTREAM.value:
      result = measure_nfstream(*options, _WORKERS.value)
    else:
      result = measure(*options, _FLOOD.value, _WORKERS.value)
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
  app.run(main)
