"""The table of figures: medians, ranges, and ratios that take rounds as pairs."""

import json

from tests.bench.figures import Figure, Peer, as_json, cells, table

SLOW_MIDDLE = Figure("boot", (10.0, 30.0, 11.0), "s", "≤ 1.05 × peer", Peer("other", (10.0, 30.0, 10.0)))


def test_ratio_pairs_the_rounds_so_that_a_slow_one_weighs_on_both_sides():
    assert SLOW_MIDDLE.ratio == 1.0
    one_sided = Figure("boot", (10.0, 20.0, 30.0), "s", peer=Peer("other", (20.0, 20.0, 15.0)))
    assert one_sided.ratio == 1.0  # 0.5, 1, 2


def test_row_has_median_range_goal_ratio_and_peer():
    row = cells(SLOW_MIDDLE)
    assert row == ("boot", "11.0 s", "10.0 – 30.0", "≤ 1.05 × peer", "1.000", "other 10.0 s")


def test_single_sample_has_no_range_and_no_peer_no_ratio():
    assert cells(Figure("worst", (3.456,), "ms")) == ("worst", "3.46 ms", "", "", "", "")


def test_large_numbers_are_whole_and_grouped():
    assert cells(Figure("offers", (12345.6,), "/s"))[1] == "12,346 /s"


def test_columns_of_the_table_line_up():
    lines = table([SLOW_MIDDLE, Figure("a longer name", (1.0,), "ms")]).splitlines()
    assert len(lines) == 4
    assert lines[0].index("median") == lines[2].index("11.0 s") == lines[3].index("1.00 ms")


def test_json_keeps_every_sample_of_both_sides():
    document = json.loads(as_json([SLOW_MIDDLE], cores=2))
    (row,) = document["figures"]
    assert (row["samples"], row["peer_samples"]) == ([10.0, 30.0, 11.0], [10.0, 30.0, 10.0])
    assert (row["ratio"], document["machine"]) == (1.0, {"cores": 2})
