"""Flows of a capture, with their addresses, ports and end reasons."""

import dataclasses
import enum
import socket

import numpy as np

from mtl_traffic.flows import Flows

PROTOCOL_NAMES = {6: "TCP", 17: "UDP"}


class EndReason(enum.IntEnum):
  """Why a flow ended."""

  OPEN = 0
  FIN = enum.auto()
  RST = enum.auto()
  IDLE = enum.auto()
  ACTIVE = enum.auto()
  END_OF_CAPTURE = enum.auto()
  EVICTED = enum.auto()
  NEW_CONNECTION = enum.auto()


END_REASON_NAMES = {
  EndReason.OPEN: "still open",
  EndReason.FIN: "FIN",
  EndReason.RST: "RST",
  EndReason.IDLE: "silence",
  EndReason.ACTIVE: "active time-out",
  EndReason.END_OF_CAPTURE: "end of capture",
  EndReason.EVICTED: "too many open flows",
  EndReason.NEW_CONNECTION: "new connection",
}


# Ends that the traffic did not cause: further packets may have followed.
CUT_OFF = (EndReason.END_OF_CAPTURE, EndReason.EVICTED)


@dataclasses.dataclass(frozen=True)
class CapturedFlows:
  """N flows of one capture, in the order of their first packets.

  A capture may be several files that follow each other; each is a partition.

  Attributes:
    flows: the flows. Classes are unknown, the partition is the file in which a flow
      begins, and the id is `file#number of the first packet`.
    client_addresses: `[N]` str.
    client_ports: `[N]` int32.
    server_addresses: `[N]` str.
    server_ports: `[N]` int32.
    protocols: `[N]` int32, 6 = TCP, 17 = UDP.
    end_reasons: `[N]` int8, an `EndReason`.
    start_times: `[N]` int64, ns since 1970.
    starts_seen: `[N]` int8, whether a flow's first packet is in the capture: 1 = yes,
      0 = no, −1 = unknown.
    carriers: `[N, 2]` str or None, the tunnel's addresses on the client's side and on
      the server's; `[N, 0]` if not asked for.
  """

  flows: Flows
  client_addresses: np.ndarray
  client_ports: np.ndarray
  server_addresses: np.ndarray
  server_ports: np.ndarray
  protocols: np.ndarray
  end_reasons: np.ndarray
  start_times: np.ndarray
  starts_seen: np.ndarray
  carriers: np.ndarray

  def __len__(self) -> int:
    return len(self.flows)


def format_addresses(words: np.ndarray, versions: np.ndarray) -> np.ndarray:
  """Addresses `[N, 2]` uint64, with IP versions `[N]`, as text `[N]`."""
  packed = words.astype(">u8").tobytes()
  texts = [
    socket.inet_ntop(socket.AF_INET, packed[i + 12 : i + 16])
    if version == 4
    else socket.inet_ntop(socket.AF_INET6, packed[i : i + 16])
    for i, version in zip(range(0, len(packed), 16), versions.tolist(), strict=True)
  ]
  return np.array(texts, dtype=object)
