"""What the benchmark of training counts, worked out by hand."""

from benchmarks import training


def test_operations_of_a_steps_matrix_products():
  # Table II: an output of a convolution of width 3 takes 2 · 3 · channels operations,
  # and a block of two, each shortening the flow by two packets, is pooled by two.
  first = 2 * 3 * 2 * 32 * 58
  convolutions = first + 2 * 3 * 32 * 32 * 56  # → 28
  convolutions += 2 * 3 * 32 * 64 * 26 + 2 * 3 * 64 * 64 * 24  # → 12
  convolutions += 2 * 3 * 64 * 128 * 10 + 2 * 3 * 128 * 128 * 8  # → 4
  dense = 2 * 4 * 128 * 256 + 2 * 256 * 256 + 3 * 2 * 256 * 5
  # As much again for the gradients of the weights, and of all inputs but the flows.
  of_a_flow = 3 * (convolutions + dense) - first
  assert training.product_flops(60) == 64 * of_a_flow


def test_ratios_are_medians_over_the_rounds():
  rounds = {
    "ours": [10.0, 20.0, 30.0],
    "theirs": [5.0, 20.0, 10.0],
    training._PEAK: [1e12, 1e12, 1e12],
  }
  ours, theirs, peak = training._compare(rounds)
  assert (ours["steps_per_second"], ours["ours_to_it"]) == (20.0, 1.0)
  assert (theirs["steps_per_second"], theirs["ours_to_it"]) == (10.0, 2.0)
  assert peak == {"side": training._PEAK, "gflops": 1000.0, "rounds": [1e12] * 3}
