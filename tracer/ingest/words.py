"""Lists of words (tags, models, services) as their columns hold them: traces of one app have the same ones."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache

from tracer.ingest.prepare import as_json

SHORT = 1_000
"""Characters of a list that is remembered, a word counted as one more: 1,024 of them take some megabytes at most."""


def words_as_json(words: Iterable[str]) -> str:
    """The words, in their order, as a JSON list."""
    given = tuple(words)
    return _written(given) if len(given) + sum(map(len, given)) <= SHORT else as_json(given)


def words_of_json(text: str) -> tuple[str, ...]:
    """The words of a JSON list. Raises ValueError for anything else than JSON."""
    return _read(text) if len(text) <= SHORT else tuple(json.loads(text))


@lru_cache(maxsize=1_024)
def _written(words: tuple[str, ...]) -> str:
    return as_json(words)


@lru_cache(maxsize=1_024)
def _read(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))
