"""What is counted survives the way through JSON."""

import collections
import json

from mtl_traffic.data.captures.accounts import Accounts


def test_accounts_come_back_from_json():
  accounts = Accounts(
    num_packets=12,
    num_in_flows=9,
    skipped=collections.Counter({"not IP": 2, "damaged record": 1}),
    kinds_skipped=collections.Counter({("not IP", "EtherType 0x0806 (ARP)"): 2}),
    flows=collections.Counter({("TCP", "FIN"): 1, ("UDP", "silence"): 3}),
    label_lines=collections.Counter({2: 3}),
    contradictions=collections.Counter({(2, 3): 1}),
    warnings=["a.pcap: damaged"],
  )
  again = Accounts.from_json(json.loads(json.dumps(accounts.as_json())))
  assert again == accounts
  assert again.summary() == accounts.summary()
  again.add(accounts)
  assert again.contradictions[2, 3] == 2 and again.flows["TCP", "FIN"] == 2
