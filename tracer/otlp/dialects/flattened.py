"""Lists and objects that a client wrote as many dotted keys: `llm.input_messages.0.message.role` and the like."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from tracer.otlp.records import AnyValue

MAX_INDEX_DIGITS: Final = 9

SHORT: Final = 200
"""Characters of a key up to which it is remembered."""

_FIRST_INDEX = re.compile(r"\.(?=[0-9])")


def by_prefix(attributes: Iterable[str]) -> dict[str, list[str]]:
    """Keys grouped by what stands before their first index, dot included: one walk for all flattened lists."""
    found: dict[str, list[str]] = {}
    for key in attributes:
        prefix = _kept_prefix(key) if len(key) <= SHORT else _prefix(key)
        if prefix is not None:
            found.setdefault(prefix, []).append(key)
    return found


def _prefix(key: str) -> str | None:
    place = _FIRST_INDEX.search(key)
    return None if place is None else key[: place.end()]


# Steps have the same keys again and again.
_kept_prefix = lru_cache(maxsize=8192)(_prefix)


def items(
    attributes: Mapping[str, AnyValue], prefix: str, keys: Iterable[str] | None = None
) -> list[dict[str, AnyValue]]:
    """The entries of a flattened list in order of their index: each holds what follows `prefix` + index + dot.

    An index is only a name: 999999999 makes one entry, not a list of that length. A value right at the index
    (`prefix` + index) is kept under the empty key. `prefix` ends with a dot; `keys` spares the search for its keys.
    """
    found: dict[int, dict[str, AnyValue]] = {}
    start = len(prefix)
    for key in attributes if keys is None else keys:
        if not key.startswith(prefix):
            continue
        index, _, rest = key[start:].partition(".")
        if 0 < len(index) <= MAX_INDEX_DIGITS and index.isascii() and index.isdigit():
            found.setdefault(int(index), {})[rest] = attributes[key]
    return [found[index] for index in sorted(found)]


def below(attributes: Mapping[str, AnyValue], prefix: str) -> dict[str, AnyValue]:
    """The keys that start with `prefix`, without it."""
    start = len(prefix)
    return {key[start:]: value for key, value in attributes.items() if key.startswith(prefix) and len(key) > start}
