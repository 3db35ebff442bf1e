import numpy as np
from sklearn.ensemble import RandomForestClassifier

from mtl_traffic.methods import forest
from mtl_traffic.methods.packet_statistics import FEATURES


def test_it_is_scikit_learns_forest_on_the_labelled_flows(
  make, problem_of, draw, fit, flows
):
  method, drawn = make("random_forest_online"), draw(6)
  problem = problem_of(method)
  scores = method.ask(fit(method, problem, drawn), problem.inputs, drawn.test)["class"]
  theirs = RandomForestClassifier(300, random_state=forest.seed_of(drawn.key[0]))
  labelled = np.asarray(drawn.train[0, :18])
  inputs = np.asarray(problem.inputs)
  theirs.fit(inputs[labelled], flows.classes[labelled])
  expected = theirs.predict_proba(inputs[np.asarray(drawn.test[0])])
  np.testing.assert_allclose(np.exp(scores[0]), expected, atol=1e-5)


def test_only_the_offline_forest_reads_packets_after_the_kth(make, problem_of, flows):
  online, offline = (
    dict(zip(FEATURES, np.asarray(problem_of(make(name)).inputs).T, strict=True))[
      "number of packets, both ways"
    ]
    for name in ("random_forest_online", "random_forest")
  )
  counts = flows.packets.counts
  np.testing.assert_array_equal(online, np.minimum(counts, 16))
  np.testing.assert_array_equal(offline, counts)
  assert counts.max() > 16
