"""Instants, lengths of time and money, and how people read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import NewType

UnixNanos = NewType("UnixNanos", int)
"""An instant: nanoseconds since 1970-01-01T00:00:00Z."""

Nanos = NewType("Nanos", int)
"""A length of time in nanoseconds."""

NanoUsd = NewType("NanoUsd", int)
"""Money in billionths of a US dollar."""

MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

LAST_INSTANT = 2**63 - 1
"""The last nanosecond that 64 bits can hold, in the year 2262."""

THIN_SPACE = "\u202f"


def format_duration(length: Nanos | int) -> str:
    """Write a length of time for people: `840 µs`, `35 ms`, `1.24 s`, `3 min 07 s`, `2 h 05 min`.

    Rounds before it picks the unit, so 999.6 ms reads `1.00 s`, never `1000 ms`.
    """
    length = max(0, int(length))
    if length < 1_000:
        return f"{length} ns"
    micros = (length + 500) // MICROSECOND
    if micros < 1_000:
        return f"{micros} µs"
    millis = (length + 500_000) // MILLISECOND
    if millis < 1_000:
        return f"{millis} ms"
    centis = (length + 5_000_000) // 10_000_000
    if centis < 6_000:
        return f"{centis // 100}.{centis % 100:02d} s"
    seconds = (length + SECOND // 2) // SECOND
    if seconds < 3_600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    minutes = (seconds + 30) // 60
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes // 1_440} d {minutes % 1_440 // 60} h"


def format_cost(cost: NanoUsd | int) -> str:
    """Write money for people: `$0`, `$0.000764`, `$0.0024`, `$1.25`; below a millionth `<$0.000001`."""
    if cost == 0:
        return "$0"
    sign, cost = ("-", -cost) if cost < 0 else ("", cost)
    if cost < 1_000:
        return f"{sign}<$0.000001"
    dollars = cost / SECOND
    if cost < 1_000_000:
        return f"{sign}${dollars:.6f}"
    if cost < SECOND:
        return f"{sign}${dollars:.4f}"
    return f"{sign}${dollars:,.2f}"


def format_count(number: int) -> str:
    """Write a whole number with a comma every three digits: `1,204`."""
    return f"{number:,}"


def format_bytes(size: int) -> str:
    """Write a size in bytes for people, in powers of 1,000: `812 B`, `3.4 kB`, `20.1 MB`."""
    if size < 1_000:
        return f"{size} B"
    value = float(size)
    for unit in ("kB", "MB", "GB"):
        value /= 1_000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1_000:.1f} TB"


def parse_bytes(text: str) -> int:
    """Read a size: `10GB`, `512 MiB`, `1.5 tb`, or bytes as a plain number. kB is 1,000 bytes, KiB 1,024.

    Raises ValueError when the text is none.
    """
    found = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*(?:([kmgt])(i)?)?b?", text.strip().lower())
    if found is None:
        raise ValueError("must be a size such as 10GB or 512MiB")
    number, prefix, binary = found.groups()
    power = " kmgt".index(prefix) if prefix else 0
    return round(float(number) * (1_024 if binary else 1_000) ** power)


def parse_length(text: str) -> Nanos:
    """Read a length of time in days, hours, minutes or seconds: `30d`, `12h`, `90 min`, `45s`.

    Raises ValueError when the text is none.
    """
    found = re.fullmatch(
        r"([0-9]{1,12}(?:\.[0-9]{1,12})?)\s*(d|days?|h|hours?|m|min|minutes?|s|seconds?)", text.strip().lower()
    )
    if found is None:
        raise ValueError("must be a length of time such as 30d or 12h")
    number, unit = found.groups()
    return Nanos(int(float(number) * {"d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND}[unit[0]]))


def rfc3339(instant: UnixNanos | int) -> str:
    """Write an instant as RFC 3339 in UTC with as many decimals as it needs: `2026-11-22T14:03:11.482Z`.

    Instants outside the years 1 to 9999 are held to that range.
    """
    seconds, nanos = instant // SECOND, instant % SECOND
    if nanos % 10:
        return f"{_second(seconds)}.{nanos:09d}Z"
    if not nanos:
        return f"{_second(seconds)}Z"
    decimals = f"{nanos:09d}".rstrip("0")
    return f"{_second(seconds)}.{decimals}Z"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    """Seconds as RFC 3339 has them, kept since a trace's steps share few."""
    held = min(max(seconds, -62_135_596_800), 253_402_300_799)
    return datetime.fromtimestamp(held, UTC).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")


def parse_rfc3339(text: str) -> UnixNanos:
    """Read RFC 3339 (with an offset or `Z`; up to nine decimals) or a date alone, as an instant.

    What 64 bits cannot hold, before 1677 and after 2262, becomes the first or the last instant that they can.
    Raises ValueError when the text is neither.
    """
    head, decimals = text.strip(), ""
    if "." in head:
        head, rest = head.split(".", 1)
        digits = 0
        while digits < len(rest) and rest[digits].isdigit():
            digits += 1
        decimals, head = rest[:digits], head + rest[digits:]
        if not decimals:
            raise ValueError(f"not a time: {text!r}")
    moment = datetime.fromisoformat(head)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    nanos = int(decimals[:9].ljust(9, "0")) if decimals else 0
    whole = moment - datetime(1970, 1, 1, tzinfo=UTC)
    found = (whole.days * 86_400 + whole.seconds) * SECOND + whole.microseconds * MICROSECOND + nanos
    return UnixNanos(min(max(found, -LAST_INSTANT - 1), LAST_INSTANT))


def millis(length: Nanos | int) -> float:
    """Nanoseconds as milliseconds, for the REST answers."""
    return length / MILLISECOND


def usd(cost: NanoUsd | int) -> float:
    """Billionths of a dollar as dollars, for the REST answers."""
    return cost / SECOND
