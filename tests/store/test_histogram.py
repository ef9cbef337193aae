"""Histograms: what goes in comes out within 3 %, and what is added can be taken away."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tracer.store.histogram import (
    EDGES,
    LAST,
    MIDDLES,
    bin_of,
    counts_of,
    histogram_of,
    percentiles,
    read_histogram,
    sum_histograms,
    write_histogram,
)

lengths = st.one_of(st.integers(0, 100), st.integers(0, 10**12), st.integers(0, LAST - 1))


def test_every_value_of_a_bin_is_within_three_percent_of_its_middle() -> None:
    for middle, (low, high) in zip(MIDDLES, pairwise(EDGES), strict=True):
        assert low <= middle < high
        assert middle - low <= 0.03 * low
        assert high - 1 - middle <= 0.03 * middle


def test_the_bins_reach_from_nothing_to_the_last_length_that_64_bits_hold() -> None:
    assert EDGES[0] == 0
    assert EDGES[-1] >= LAST
    assert (bin_of(0), bin_of(LAST - 1)) == (0, len(MIDDLES) - 1)


@given(lengths)
def test_a_value_lies_in_its_bin(value: int) -> None:
    place = bin_of(value)

    assert EDGES[place] <= value < EDGES[place + 1]


@given(st.lists(lengths, max_size=50), st.lists(lengths, max_size=50))
def test_added_and_taken_away_histograms_are_those_of_the_values_left(some: list[int], others: list[int]) -> None:
    both = histogram_of(some) + histogram_of(others)

    assert both == histogram_of([*others, *some])
    assert both - histogram_of(some) == histogram_of(others)
    assert sum(counts_of(both)[1]) == len(some) + len(others)


@given(st.lists(lengths, max_size=50), st.lists(lengths, max_size=50))
def test_a_stored_difference_comes_back_whether_above_zero_or_below(some: list[int], others: list[int]) -> None:
    difference = histogram_of(some) - histogram_of(others)

    assert read_histogram(write_histogram(difference)) == difference


@given(st.lists(st.lists(lengths, min_size=1, max_size=20), max_size=10))
def test_stored_histograms_add_up(parts: list[list[int]]) -> None:
    whole = histogram_of([value for part in parts for value in part])

    assert sum_histograms([write_histogram(histogram_of(part)) for part in parts]) == whole


@given(st.lists(lengths, min_size=1, max_size=200), st.sampled_from([1, 25, 50, 95, 99, 100]))
def test_a_percentile_is_within_three_percent_of_the_value_of_its_rank(values: list[int], percent: int) -> None:
    true = sorted(values)[-(-len(values) * percent // 100) - 1]
    found = percentiles(histogram_of(values), [percent])

    assert found is not None
    assert found[0] == len(values)
    assert abs(found[1][0] - true) <= 0.03 * max(found[1][0], true)


def test_nothing_has_no_percentiles() -> None:
    assert percentiles(0, [50, 95]) is None
