from mtl_traffic.comparison import dataset_page


def test_how_many_flows_of_a_class_test_is_said_in_words():
  sizes = [dataset_page._size(size) for size in (30, 0.2, -100)]
  assert sizes == ["30", "20 %", "all but 100"]
