"""Amounts in searches: lengths of time, money, counts and plain numbers, as people write them."""

from __future__ import annotations

import math
import re
from decimal import Decimal

from tracer.search.fields import Takes
from tracer.units import DAY, HOUR, LAST_INSTANT, MICROSECOND, MILLISECOND, MINUTE, SECOND

_NUMBER = re.compile(r"([0-9]{1,30}(?:\.[0-9]{1,30})?|\.[0-9]{1,30})([A-Za-zµ$]{0,12})")
_ANY = re.compile(r"-?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,3})?")

_UNITS: dict[Takes, dict[str, int]] = {
    Takes.duration: {
        **dict.fromkeys(("ns",), 1),
        **dict.fromkeys(("us", "µs"), MICROSECOND),
        **dict.fromkeys(("ms",), MILLISECOND),
        **dict.fromkeys(("s", "sec", "second", "seconds"), SECOND),
        **dict.fromkeys(("m", "min", "minute", "minutes"), MINUTE),
        **dict.fromkeys(("h", "hour", "hours"), HOUR),
        **dict.fromkeys(("d", "day", "days"), DAY),
    },
    Takes.money: {"": SECOND, "$": SECOND, "usd": SECOND},
    Takes.count: {"": 1, "k": 1_000, "m": 1_000_000},
}
_EXPECTED = {
    Takes.duration: "a length of time with its unit, such as 300ms, 1.5s or 2m",
    Takes.money: "dollars, such as 0.05 or $0.05",
    Takes.count: "a whole number, such as 50 or 4k",
    Takes.any: "a number, such as 0.5",
}


def read_amount(text: str, takes: Takes) -> int | float:
    """Read an amount: nanoseconds, billionths of a dollar, a count; a plain number stays as it is written.

    Raises ValueError, with what was expected, for anything else.
    """
    if takes is Takes.any:
        return _read_number(text)
    found = _NUMBER.fullmatch(text.removeprefix("$") if takes is Takes.money else text)
    unit = _UNITS[takes].get(found[2].lower()) if found else None
    if found is None or unit is None:
        raise ValueError(_EXPECTED[takes])
    amount = Decimal(found[1]) * unit
    if amount != amount.to_integral_value():
        finer = "than a whole one" if takes is Takes.count else "than nine decimals of it"
        raise ValueError(f"{_EXPECTED[takes]}; nothing here is finer {finer}")
    if amount > LAST_INSTANT:
        raise ValueError(f"{_EXPECTED[takes]}; this is too large")
    return int(amount)


def _read_number(text: str) -> int | float:
    if _ANY.fullmatch(text) is None:
        raise ValueError(_EXPECTED[Takes.any])
    if text.lstrip("-").isdigit() and len(text) < 19:
        return int(text)
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{_EXPECTED[Takes.any]}; this is too large")
    return number


def number_in(value: object) -> int | float | None:
    """The number that a stored value is, also one written as text; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, str) and len(value) <= 40 and _ANY.fullmatch(value):
        return float(value)
    return None
