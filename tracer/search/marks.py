"""Where in a text the words stand that were searched for, for people to see. web/static/said.js does the same."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from tracer.search.tree import Says

_WORD = re.compile(r"[^\W_]+")
_RUN = re.compile("[\u0e00-\u0e7f\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
"""Scripts that put no spaces between words."""


def places(text: str, said: Iterable[Says]) -> list[tuple[int, int]]:
    """From where to where, none overlapping, in order. Case and accents make no difference."""
    plain = "".join(map(_plain, text))
    found: list[tuple[int, int]] = []
    for one in said:
        words = [re.escape(word) for word in _WORD.findall("".join(map(_plain, one.text)))]
        for match in re.finditer(r"[\W_]+".join(words), plain) if words else ():
            start, end = match.span()
            if _joint(text, start) and (one.beginning or _joint(text, end)):
                found.append((start, end))
    kept: list[tuple[int, int]] = []
    for start, end in sorted(found, key=lambda place: (place[0], -place[1])):
        if not kept or start >= kept[-1][1]:
            kept.append((start, end))
    return kept


def around(text: str, place: tuple[int, int], width: int) -> tuple[str, int]:
    """At most `width` characters of a text with a place in them, cut with marks; and how far its places moved."""
    if len(text) <= width:
        return text, 0
    start = max(0, min(place[0] - width // 3, len(text) - width))
    end = start + width
    cut = text[start:end]
    if start:
        cut = "…" + cut[1:]
    return (cut if end >= len(text) else cut[:-1] + "…"), -start


def _plain(letter: str) -> str:
    if letter.isascii():
        return letter.lower()
    small = unicodedata.normalize("NFKD", letter)[0].lower()
    return small if len(small) == 1 else letter


def _joint(text: str, place: int) -> bool:
    """Whether a word may begin or end there, as the index sees it."""
    before, after = text[place - 1 : place], text[place : place + 1]
    if not before.isalnum() or not after.isalnum() or _RUN.match(before) or _RUN.match(after):
        return True
    return after.isupper() and not before.isupper()
