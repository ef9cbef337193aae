"""What the index is asked for: a word, a phrase or a beginning, in the ways in which it may be read."""

from __future__ import annotations

from dataclasses import dataclass

from tracer.search.documents import Side
from tracer.search.words import jointed, needed, parts, pieces

MAX_LENGTH = 4_000
OVERLAP = 8 * MAX_LENGTH
"""Characters of a long text in which any phrase has room, punctuation between its words included."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a term: camelCase whole or in its parts."""

    needs: tuple[tuple[bytes, bool], ...]
    """What the index must hold of the text; True for a beginning."""
    row: bytes
    """Its pieces with spaces between them, and around them where a word has to begin or end."""

    @property
    def sure(self) -> bool:
        """True when the index alone tells: no order of pieces has to be looked up in the text."""
        return len(self.needs) == 1


@dataclass(frozen=True, slots=True)
class Term:
    """A word, a phrase, or the beginning of one; met by any of its readings, in one of the sides."""

    readings: tuple[Reading, ...]
    sides: frozenset[Side] = frozenset(Side)


def term(text: str, *, beginning: bool = False, sides: frozenset[Side] = frozenset(Side)) -> Term | None:
    """A term out of a text as it was typed, its pieces in a row; None when there is nothing in it to look for."""
    readings = []
    for reading in dict.fromkeys((text, jointed(text))):
        found = pieces(reading)
        if found:
            needs = needed(found)
            first, last = found[0][1], found[-1][1]
            if beginning and not last:
                needs[-1] = (needs[-1][0], True)
            row = b" ".join(piece for piece, _ in found)
            row = row if first else b" " + row
            readings.append(Reading(tuple(needs), row if last or beginning else row + b" "))
    return Term(tuple(readings), sides) if readings else None


def meets(text: str, reading: Reading) -> bool:
    """Whether a text has a reading's pieces in a row."""
    return any(
        reading.row in _row(one)
        for part in parts(text, overlap=OVERLAP)
        for one in dict.fromkeys((part, jointed(part)))
    )


def _row(text: str) -> bytes:
    return b"".join((b" ", b" ".join(piece for piece, _ in pieces(text)), b" "))
