from mtl_traffic.comparison import findings, results
from tests.comparison.made_up import SETTINGS, write_results


def test_the_papers_claims_are_not_judged_under_the_rules_of_others(tmp_path):
  write_results(tmp_path, "flows", ["a", "b"], {"protocol": SETTINGS})
  (alone,) = results.read(tmp_path)
  assert len(alone.experiments["protocol"]) == 3 * 2 * 2
  assert alone.pooled() == findings.find(alone).judged == []
  write_results(tmp_path, "flows", ["a", "b"], {"label_budget": SETTINGS})
  (both,) = results.read(tmp_path)
  assert len(both.pooled()) == 3 * 2 * 2
  assert findings.find(both).judged
