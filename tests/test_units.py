"""Instants, lengths of time and money, as people and programs read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.units import (
    LAST_INSTANT,
    SECOND,
    Nanos,
    NanoUsd,
    format_bytes,
    format_cost,
    format_count,
    format_duration,
    millis,
    parse_rfc3339,
    rfc3339,
    usd,
)


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (-5, "0 ns"),
        (0, "0 ns"),
        (999, "999 ns"),
        (1_000, "1 µs"),
        (999_499, "999 µs"),
        (999_500, "1 ms"),
        (35_000_000, "35 ms"),
        (999_499_999, "999 ms"),
        (999_500_000, "1.00 s"),
        (1_240_000_000, "1.24 s"),
        (59_994_999_999, "59.99 s"),
        (59_995_000_000, "1 min 00 s"),
        (187 * SECOND, "3 min 07 s"),
        (3_599 * SECOND + SECOND // 2, "1 h 00 min"),
        (125 * 60 * SECOND, "2 h 05 min"),
        (49 * 3_600 * SECOND, "2 d 1 h"),
        (2**63 - 1, "106751 d 23 h"),
    ],
)
def test_a_duration_reads(length: int, text: str) -> None:
    assert format_duration(length) == text


@given(st.integers(min_value=0, max_value=60 * 60 * 10**9))
def test_a_duration_never_reads_a_full_larger_unit(length: int) -> None:
    assert not re.match(r"1000 |60\.00 s|60 min|\d+ min 60", format_duration(Nanos(length)))


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        (0, "$0"),
        (1, "<$0.000001"),
        (999, "<$0.000001"),
        (764_000, "$0.000764"),
        (2_400_000, "$0.0024"),
        (SECOND, "$1.00"),
        (1_234_500_000_000, "$1,234.50"),
        (-2_400_000, "-$0.0024"),
    ],
)
def test_money_reads(cost: int, text: str) -> None:
    assert format_cost(NanoUsd(cost)) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (999_940, "999.9 kB"),
        (999_960, "1.0 MB"),
        (2 * 10**13, "20.0 TB"),
    ],
)
def test_a_size_reads(size: int, text: str) -> None:
    assert format_bytes(size) == text


def test_counts_milliseconds_and_dollars() -> None:
    assert (format_count(1_204_000), millis(Nanos(1_500_000)), usd(NanoUsd(2_500_000_000))) == ("1,204,000", 1.5, 2.5)


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (1_764_000_000_482_000_000, "2025-11-24T16:00:00.482Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (LAST_INSTANT, "2262-04-11T23:47:16.854775807Z"),
        (10**30, "9999-12-31T23:59:59Z"),
        (-(10**30), "0001-01-01T00:00:00Z"),
    ],
)
def test_an_instant_is_written(instant: int, text: str) -> None:
    assert rfc3339(instant) == text


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01", 0),
        (" 1970-01-01T00:00:00 ", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1970-01-01T00:00:00.5-00:30", 1_800 * SECOND + SECOND // 2),
        ("1970-01-01T00:00:00.1234567899Z", 123_456_789),
        ("9999-12-31T23:59:59Z", LAST_INSTANT),
        ("0001-01-01T00:00:00Z", -LAST_INSTANT - 1),
    ],
)
def test_an_instant_is_read(text: str, instant: int) -> None:
    assert parse_rfc3339(text) == instant


@pytest.mark.parametrize(
    "text", ["", "now", "2025-13-01", "2025-11-24T25:00:00Z", "2025-11-24T16:00:00.Z", "1e9", "\0"]
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_rfc3339(text)


@given(st.integers(-(2**63), 2**63 - 1))
def test_an_instant_is_read_as_it_was_written(instant: int) -> None:
    assert parse_rfc3339(rfc3339(instant)) == instant


@given(st.datetimes(min_value=datetime(1700, 1, 1), max_value=datetime(2200, 1, 1)))
def test_an_instant_is_the_one_that_python_means(moment: datetime) -> None:
    assert parse_rfc3339(moment.isoformat()) == parse_rfc3339(moment.replace(tzinfo=UTC).isoformat())
    assert datetime.fromisoformat(rfc3339(parse_rfc3339(moment.isoformat()))[:26].rstrip("Z")) == moment.replace(
        tzinfo=None
    )


@given(st.text(max_size=40))
def test_any_text_is_an_instant_or_refused(text: str) -> None:
    try:
        found = parse_rfc3339(text)
    except (ValueError, OverflowError):
        return
    assert -LAST_INSTANT - 1 <= found <= LAST_INSTANT
