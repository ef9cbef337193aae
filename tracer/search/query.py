"""What is looked for: words, phrases in quotes and beginnings (`refund*`), all of which have to be met."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tracer.errors import BadRequest
from tracer.search.documents import Side
from tracer.search.words import jointed, needed, parts, pieces

MAX_TERMS = 32
MAX_LENGTH = 4_000
OVERLAP = 8 * MAX_LENGTH
"""Characters of a long text in which any phrase has room, punctuation between its words included."""

_TOKEN = re.compile(r'"([^"]*)("?)(\*?)|(\S+)')
_FIELD = re.compile(r"-?[A-Za-z][\w.]*(?::|[<>=])")


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


def read_words(q: str) -> list[Term]:
    """The terms of a search: words, "phrases", and beginnings with a star at the end, in any number.

    Raises BadRequest for what belongs to the search language but is not served here, and when nothing is left to
    look for.
    """
    found: list[Term] = []
    for match in _TOKEN.finditer(q[: MAX_LENGTH + 1]):
        phrase, closing, star, word = match.groups()
        if word is not None:
            _refuse(word, match.start())
            star = word.endswith("*")
            made = term(word.rstrip("*"), beginning=bool(star))
        else:
            if not closing:
                raise BadRequest(f"The quote at character {match.start() + 1} is not closed.", field="q")
            made = term(phrase, beginning=bool(star))
        if made is not None and made not in found:
            found.append(made)
    if not found:
        raise BadRequest("There is no word in this search: letters, digits or symbols beyond ASCII.", field="q")
    if len(found) > MAX_TERMS or len(q) > MAX_LENGTH:
        raise BadRequest(f"A search has at most {MAX_TERMS} words and {MAX_LENGTH} characters.", field="q")
    return found


def _refuse(word: str, place: int) -> None:
    at = f"at character {place + 1}"
    if _FIELD.match(word):
        raise BadRequest(
            f"{word[:40]!r} {at} looks like a field; this version looks for words only. Put it in quotes to find it "
            "as text.",
            field="q",
        )
    if word == "OR" or word[0] in "-(" or word.endswith(")"):
        raise BadRequest(
            f"{word[:40]!r} {at}: OR, -word and parentheses are not served by this version; put it in quotes to find "
            "it as text.",
            field="q",
        )
    if "*" in word.rstrip("*") or '"' in word:
        raise BadRequest(
            f"{word[:40]!r} {at}: a star stands at the end of a word, and quotes around a whole phrase.", field="q"
        )
