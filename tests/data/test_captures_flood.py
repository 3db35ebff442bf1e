"""A flood of SYNs does not push out the flows that go on beside it."""

from mtl_traffic.data.captures import Rules
from tests.data.capture_files import SYN, flows_of, ip_packet, pcap


def test_flows_of_a_single_packet_end_first():
  flood = [
    (1000 * n, ip_packet(source=f"11.0.{n >> 8}.{n & 255}", flags=SYN))
    for n in range(2000)
  ]
  # Silent for as long as 400 of the others take to come, four times the limit.
  innocent = [(400_000 * n, ip_packet(source_port=5)) for n in range(5)]
  innocent.insert(1, (1, ip_packet(source_port=5)))
  content = pcap(sorted(flood + innocent), nano=True)
  flows, accounts = flows_of(content, Rules(max_open_flows=100), 4096)
  (one,) = [flow for flow in flows if flow["num_packets"] > 1]
  assert one["num_packets"] == 6
  evicted = ("TCP", "too many open flows")
  assert accounts.flows[evicted] >= 1800
