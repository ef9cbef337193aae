"""What a search asks of values that no column holds: tags, metadata, attributes and scores, as JSON shows them."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from typing import Any

from tracer.otlp.dialects.values import number_text
from tracer.search.amounts import number_in
from tracer.search.tree import Compares, Is, Pattern

MAX_PARTS = 12
"""Dots of a key that are looked at as steps into nested objects."""

_COMPARE = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
}


def any_tag(leaf: Is | Compares, tags: Iterable[object]) -> bool:
    """Whether a tag is of one of a leaf's forms."""
    return isinstance(leaf, Is) and any(
        pattern.meets(tag) for tag in tags if isinstance(tag, str) for pattern in leaf.any
    )


def has_value(leaf: Is | Compares, values: object) -> bool:
    """Whether an object has a value under a leaf's key that is as the leaf asks; of a list, one of its items."""
    return any(meets_value(leaf, value) for value in at_key(values, leaf.key))


def at_key(values: object, key: str) -> Iterator[object]:
    """What stands under a key: also where its dots lead into nested objects; items of lists one by one."""
    waiting: list[tuple[object, str, int]] = [(values, key, 0)]
    while waiting:
        inside, rest, depth = waiting.pop()
        if not isinstance(inside, dict):
            continue
        if rest in inside:
            found = inside[rest]
            if isinstance(found, list):
                yield from found
            else:
                yield found
        dot = rest.find(".")
        while dot >= 0 and depth < MAX_PARTS:
            if rest[:dot] in inside:
                waiting.append((inside[rest[:dot]], rest[dot + 1 :], depth + 1))
            dot = rest.find(".", dot + 1)


def meets_value(leaf: Is | Compares, value: object) -> bool:
    """Whether one value is as a leaf asks."""
    if isinstance(leaf, Compares):
        number = number_in(value)
        return number is not None and _COMPARE[leaf.operator](number, leaf.amount)
    return any(_is(pattern, value) for pattern in leaf.any)


def meets_score(leaf: Is | Compares, value: float | bool | str) -> bool:
    """Whether a score's value is as a leaf asks: yes is 1 and no is 0, also among means of many."""
    if isinstance(leaf, Compares):
        number = float(value) if isinstance(value, bool) else number_in(value)
        return number is not None and _COMPARE[leaf.operator](number, leaf.amount)
    for pattern in leaf.any:
        word = pattern.exact.lower() if pattern.exact is not None else ""
        if word in ("true", "false") and not isinstance(value, str):
            if float(value) == (word == "true"):
                return True
        elif _is(pattern, float(value) if isinstance(value, bool) else value):
            return True
    return False


def _is(pattern: Pattern, value: Any) -> bool:
    if isinstance(value, str):
        return pattern.meets(value)
    if value is None or isinstance(value, bool):
        return pattern.meets({None: "null", True: "true", False: "false"}[value])
    if isinstance(value, (int, float)):
        number = number_in(pattern.exact) if pattern.exact is not None else None
        return number == value if number is not None else pattern.meets(number_text(value))
    return False
