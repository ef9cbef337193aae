"""How text is split for the search index and for queries: one function for both databases and every script.

A text becomes *pieces*: words of letters, marks and digits, folded (case, width, accents); runs of characters in
scripts that put no spaces between words (Chinese, Japanese, Korean, Thai, …); symbols and emoji, one by one.
`snake_case`, dotted.names and paths fall apart at what is no letter or digit. `camelCase` is read twice, whole and in
its parts.

What the index holds are *terms*: each word and symbol; of a run each character with the one that follows, so that any
part of two and more characters is found by its pairs, and one character as the beginning of a pair. A phrase is pieces
in a row, so order and neighbourhood are looked up in the text itself, not in the index.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache

WORD_BYTES = 64
"""Longer words are cut to so many bytes of UTF-8, in the index and in queries: a SHA-256 in hex is found whole."""

_SPACED = bytes(code if code > 127 or chr(code).isalnum() else 32 for code in range(256))
"""All of ASCII but letters and digits to spaces; what lies beyond ASCII stays, to be looked at word by word."""

_WORDS = _SPACED.lower()
_SHAPES = bytes(
    1 if 97 <= code <= 122 else 2 if 65 <= code <= 90 else 3 if 48 <= code <= 57 else 4 for code in range(256)
)
"""1 a small letter, 2 a capital, 3 a digit: to see quickly whether a text has any camelCase."""

MANY_CAPITALS = 40
"""A text has few capitals when less than one character in so many is one."""

_JOINTS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[0-9])(?=[A-Z][a-z])")

_DROPPED = re.compile(
    "[\u0300-\u036f\u00ad\u200b\u2060\ufeff\ufe00-\ufe0f\u20d0-\u20ff\U0001f3fb-\U0001f3ff\U000e0100-\U000e01ef]"
)
"""Accents of Latin, Greek and Cyrillic letters; soft hyphens, variation selectors, skin tones."""

_UNSPACED = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1100, 0x11FF), (0x1780, 0x17FF), (0x2E80, 0x2FDF), (0x3005, 0x3007),
    (0x3040, 0x30FF), (0x3100, 0x318F), (0x31A0, 0x31BF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF),
    (0xA960, 0xA97F), (0xAC00, 0xD7FF), (0xF900, 0xFAFF), (0x1B000, 0x1B16F), (0x20000, 0x3FFFF),
)  # fmt: skip
"""The blocks of scripts without spaces between words, rising."""

MARKS = 30
"""Marks in a row on one letter, as in Unicode's stream-safe text format."""

PART = 1 << 16
"""Characters of a long text that are split at once: bounds the memory."""

SCANNED = 0x20000
"""What lies above is Han characters, or no text."""

_FOLDED_ALREADY = re.compile("[\u3041-\u3096\u30a1-\u30fa\u30fc\u4e00-\u9fff\uac00-\ud7a3]+")


@cache
def _pieces_pattern() -> re.Pattern[str]:
    """What a folded text is made of: a run of characters without spaces, a symbol, or a word.

    Built from Unicode's categories once, when first needed: `re` knows no marks and no symbols.
    """
    words: list[int] = []
    symbols: list[int] = []
    start = 0
    for first, last in (*_UNSPACED, (SCANNED, SCANNED)):
        for code in range(start, min(first, SCANNED)):
            category = unicodedata.category(chr(code))
            if category[0] in "LNM":
                words.append(code)
            elif code > 127 and category in ("So", "Sm", "Sc"):
                symbols.append(code)
        start = last + 1
    alone = "".join(f"{chr(first)}-{chr(last)}" for first, last in _UNSPACED)
    return re.compile(f"(?P<alone>[{alone}]+)|[{_ranges(symbols)}]|[{_ranges(words)}]+")


def _ranges(codes: Iterable[int]) -> str:
    """Characters as the inside of a character class, neighbours as ranges."""
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


def fold(text: str) -> str:
    """Text without case, width and accents: what differs only in these is the same. Folding again changes nothing.

    Of more marks in a row than MARKS on one letter the rest is left out.
    """
    if _FOLDED_ALREADY.fullmatch(text):
        return text
    while True:
        folded = unicodedata.normalize("NFKC", _calm(unicodedata.normalize("NFKD", _calm(text))).casefold())
        if folded == text:
            return text
        text = folded


def _calm(text: str) -> str:
    """Text without what is dropped, and without endless marks, for which normalizing takes quadratic time."""
    text = _DROPPED.sub("", text)
    return text if len(text) <= MARKS else _endless_marks().sub(r"\1", text)


@cache
def _endless_marks() -> re.Pattern[str]:
    marks = _ranges(code for code in range(0x300, 0x20000) if _is_mark(chr(code)))
    return re.compile(f"([{marks}]{{{MARKS}}})[{marks}]+")


def _is_mark(character: str) -> bool:
    return any(map(unicodedata.combining, unicodedata.normalize("NFKD", character)[:1]))


def _pieces(word: bytes) -> list[tuple[str, bool]]:
    """The pieces of a word that is not all ASCII; True for a run."""
    return [(found.group(), found.lastgroup is not None) for found in _pieces_pattern().finditer(fold(word.decode()))]


def _terms_of(word: bytes) -> tuple[bytes, ...]:
    """The terms of a word of any script that may be camelCase: whole and in its parts."""
    return _kept_terms_of(word) if len(word) <= WORD_BYTES else _made_terms_of(word)


@lru_cache(maxsize=4096)
def _kept_terms_of(word: bytes) -> tuple[bytes, ...]:
    return _made_terms_of(word)


def _made_terms_of(word: bytes) -> tuple[bytes, ...]:
    if not word.isascii():
        found: list[bytes] = []
        for piece, alone in _pieces(word):
            if alone:
                found += [piece[place : place + 2].encode() for place in range(len(piece))]
            else:
                found.append(cut(piece.encode()))
    else:
        found = [cut(word.lower())]
    parts = _JOINTS.sub(" ", word.decode()).encode().split()
    if len(parts) > 1:
        for part in parts:
            found += _terms_of(part)
    return tuple(found)


def terms(text: str) -> set[bytes]:
    """What the index holds of a text."""
    found: set[bytes] = set()
    for part in parts(text, overlap=WORD_BYTES):
        found.update(map(cut, uncut_terms(part)))
    return found


def parts(text: str, *, overlap: int) -> Iterator[str]:
    """A text in parts of at most PART characters, each of which repeats the last `overlap` of the one before."""
    start = 0
    while True:
        end = start + PART
        if end >= len(text):
            yield text[start:] if start else text
            return
        end = max(text.rfind(space, end - PART // 2, end) for space in " \n") if overlap <= WORD_BYTES else -1
        if end >= 0:
            yield text[start:end]
            start = end
        else:
            end = start + PART
            yield text[start:end]
            start = end - overlap


def uncut_terms(text: str) -> set[bytes]:
    """The terms of a text before long ones are cut, which costs less once for many texts."""
    data = text.encode()
    if _has_joints(data.translate(_SHAPES)):
        found = {term for word in set(data.translate(_SPACED).split()) for term in _terms_of(word)}
    else:
        found = set(data.translate(_WORDS).split())
        if len(data) != len(text):
            other = [word for word in found if not word.isascii()]
            found.difference_update(other)
            for word in other:
                found.update(_terms_of(word))
    return found


def _has_joints(shapes: bytes) -> bool:
    """Whether there is any camelCase.

    Prose has few capitals: looking at what stands before each takes a third of the time of looking for the pairs.
    """
    if shapes.count(2) * MANY_CAPITALS > len(shapes):
        return b"\1\2" in shapes or b"\2\2\1" in shapes or b"\3\2\1" in shapes
    place = shapes.find(2)
    while place >= 0:
        before = shapes[place - 1] if place else 4
        if before == 1 or (before < 4 and shapes[place + 1 : place + 2] == b"\1"):
            return True
        place = shapes.find(2, place + 1)
    return False


def pieces(text: str) -> list[tuple[bytes, bool]]:
    """The pieces of a text in their order, camelCase whole; True for a run. The pieces of pieces are themselves."""
    found: list[tuple[bytes, bool]] = []
    for word in text.encode().translate(_WORDS).split():
        if word.isascii():
            found.append((cut(word), False))
        else:
            found += [
                (piece.encode(), True) if alone else (cut(piece.encode()), False) for piece, alone in _pieces(word)
            ]
    return found


def jointed(text: str) -> str:
    """The text with a space at each joint of its camelCase words."""
    return _JOINTS.sub(" ", text)


def needed(found: Iterable[tuple[bytes, bool]]) -> list[tuple[bytes, bool]]:
    """The terms that a text must have to have these pieces in a row; True for one that is only a beginning."""
    terms: list[tuple[bytes, bool]] = []
    for piece, alone in found:
        run = piece.decode() if alone else ""
        if len(run) > 1:
            terms += [(run[place : place + 2].encode(), False) for place in range(len(run) - 1)]
        else:
            terms.append((piece, alone))
    return terms


def cut(piece: bytes) -> bytes:
    """A piece or term as long as they may be."""
    return piece if len(piece) <= WORD_BYTES else piece[:WORD_BYTES].decode(errors="ignore").encode()
