"""Looks terms up in the index's segments."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any

from tracer.search.postings import Block, count, decode
from tracer.search.query import Reading, Term
from tracer.search.segments import decode_runs, traces_of
from tracer.store.sql import Sql

TOGETHER = (2, 6, 24, 64)
"""Segments that one statement asks for a term: few at first, since the newest often suffice."""

FEW = 400
"""Documents or traces up to which they are looked up one by one instead of all of a segment's."""


class _Opened:
    """A segment as far as it has been read."""

    def __init__(self, sql: Sql, number: int, first_trace: int, last_trace: int) -> None:
        self._sql = sql
        self.id = number
        self.first_trace = first_trace
        self.last_trace = last_trace
        self.needs: dict[tuple[bytes, bool], list[bytes]] = {}
        """Postings found so far."""

    def may_meet(self, term: Term) -> bool:
        """False when it was asked for all that a term needs, and lacks a part of it in each reading."""
        return any(all(self.needs[need] for need in reading.needs) for reading in term.readings)

    @cached_property
    def runs(self) -> list[tuple[int, int]]:
        """(trace, entries), as stored."""
        return decode_runs(self._sql.rows("SELECT runs FROM search_segment WHERE id = ?", [self.id])[0].runs)

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(entries for _, entries in self.runs))

    @cached_property
    def _table(self) -> list[int]:
        return traces_of(self.runs)

    @cached_property
    def _places(self) -> dict[int, list[tuple[int, int]]]:
        """The documents of each trace: ranges from, up to."""
        found: dict[int, list[tuple[int, int]]] = {}
        start = 0
        for (pk, _), end in zip(self.runs, self._ends, strict=True):
            found.setdefault(pk, []).append((start << 2, end << 2))
            start = end
        return found

    def traces(self, documents: Sequence[int]) -> set[int]:
        """The traces that documents belong to, those that are gone left out."""
        if len(documents) < FEW:
            found = {self.runs[bisect_right(self._ends, document >> 2)][0] for document in documents}
        else:
            table = self._table
            found = {table[document >> 2] for document in documents}
        found.discard(0)
        return found

    def among(self, documents: list[int], pks: set[int]) -> dict[int, list[int]]:
        """Which of the documents (rising) belong to which of the traces."""
        found: dict[int, list[int]] = {}
        for pk in pks & self._places.keys() if len(pks) > FEW else [pk for pk in pks if pk in self._places]:
            for start, end in self._places[pk]:
                inside = documents[bisect_left(documents, start) : bisect_left(documents, end)]
                if inside:
                    found.setdefault(pk, []).extend(inside)
        return found


class Index:
    """The index as one read transaction sees it."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql
        rows: Sequence[Any] = sql.rows("SELECT id, first_trace, last_trace FROM search_segment ORDER BY id DESC")
        self._segments = [_Opened(sql, number, first, last) for number, first, last in rows]
        self._documents: dict[tuple[int, Reading, frozenset[Any]], list[int]] = {}
        self._met: dict[tuple[int, Term], set[int]] = {}

    def all_traces(
        self, term: Term, *, enough: int, at_most: int, late: Callable[[float], bool] = lambda _: False
    ) -> set[int] | None:
        """Every trace that may meet a term; None when there are too many to look up.

        That is so when the newest segments alone have `enough` documents, when all have more than `at_most`, and when
        it would get late, which is asked with the part of the segments that were looked through, 0 at the start.
        """
        found: set[int] = set()
        total = start = number = 0
        if late(0.0):
            return None
        while start < len(self._segments):
            some = self._segments[start : start + TOGETHER[min(number, len(TOGETHER) - 1)]]
            start, number = start + len(some), number + 1
            self._look_up_term(some, term)
            some = [segment for segment in some if segment.may_meet(term)]
            for segment in some:
                for reading in term.readings:
                    total += min(sum(map(count, segment.needs[need])) for need in reading.needs)
            if total > at_most or late(start / len(self._segments)):
                return None
            if total > enough and start <= max(TOGETHER[0], len(self._segments) // 10):
                return None
            for segment in some:
                found |= segment.traces(self._of_term(segment, term))
        return found

    def meeting(self, terms: Sequence[Term], pks: list[int]) -> set[int]:
        """Which of the traces meet every term, as far as the index can tell."""
        left = set(pks)
        for term in terms:
            if not left:
                break
            numbers = sorted(left)
            segments = [segment for segment in self._segments if _touches(segment, numbers)]
            self._look_up_term(segments, term)
            met: set[int] = set()
            for segment in segments:
                if not segment.may_meet(term):
                    continue
                documents = self._of_term(segment, term)
                if not documents:
                    continue
                if len(left) < FEW < len(documents):
                    met.update(segment.among(documents, left - met))
                    continue
                key = (segment.id, term)
                if key not in self._met:
                    self._met[key] = segment.traces(documents)
                met |= left & self._met[key]
            left = met
        return left

    def documents(self, term: Term, reading: Reading, pks: set[int]) -> dict[int, list[tuple[int, int]]]:
        """The documents that have a reading's terms, by trace, as (entry, side)."""
        numbers = sorted(pks)
        segments = [segment for segment in self._segments if _touches(segment, numbers)]
        self._look_up_term(segments, term)
        found: dict[int, list[tuple[int, int]]] = {}
        for segment in reversed(segments):
            for pk, documents in segment.among(self._of_reading(segment, term, reading), pks).items():
                found.setdefault(pk, []).extend((segment.id + (document >> 2), document & 3) for document in documents)
        return found

    def _look_up_term(self, segments: Sequence[_Opened], term: Term) -> None:
        for reading in term.readings:
            for need in reading.needs:
                self._look_up(segments, need)

    def _of_term(self, segment: _Opened, term: Term) -> list[int]:
        if len(term.readings) == 1:
            return self._of_reading(segment, term, term.readings[0])
        return sorted({one for reading in term.readings for one in self._of_reading(segment, term, reading)})

    def _of_reading(self, segment: _Opened, term: Term, reading: Reading) -> list[int]:
        """A segment's documents that have all of a reading's terms."""
        key = (segment.id, reading, term.sides)
        known = self._documents.get(key)
        if known is not None:
            return known
        left: set[int] | None = None
        found: list[int] = []
        for need in sorted(set(reading.needs), key=lambda need: sum(map(len, segment.needs[need]))):
            postings = segment.needs[need]
            if len(postings) == 1 and left is None:
                found = decode(postings[0])
            else:
                together = {document for posting in postings for document in decode(posting)}
                found = sorted(together if left is None else left & together)
            if not found:
                break
            left = set(found) if len(reading.needs) > 1 else None
        if len(term.sides) < 4:
            found = [document for document in found if document & 3 in term.sides]
        self._documents[key] = found
        return found

    def _look_up(self, segments: Sequence[_Opened], need: tuple[bytes, bool]) -> None:
        """Read a term's postings in segments that were not asked for it yet."""
        wanted = {segment.id: segment for segment in segments if need not in segment.needs}
        if not wanted:
            return
        term, beginning = need
        found = self._sql.rows_in(
            "SELECT s.id, (SELECT b.data FROM search_block b WHERE b.segment_id = s.id AND b.first_term <= ? "
            "ORDER BY b.first_term DESC LIMIT 1) AS data FROM search_segment s WHERE s.id IN ({keys})",
            list(wanted),
            before=[term],
        )
        for row in found:
            block = Block(row.data) if row.data is not None else None
            if beginning:
                wanted[row.id].needs[need] = block.beginning(term) if block is not None else []
            else:
                posting = block.find(term) if block is not None else None
                wanted[row.id].needs[need] = [] if posting is None else [posting]
        if beginning:
            more = self._sql.rows_in(
                "SELECT segment_id, data FROM search_block WHERE first_term > ? AND first_term < ? "
                "AND segment_id IN ({keys}) ORDER BY segment_id, first_term",
                list(wanted),
                before=[term, _after(term)],
            )
            for row in more:
                wanted[row.segment_id].needs[need] += Block(row.data).beginning(term)


def _after(prefix: bytes) -> bytes:
    """The first bytes after all that begin with a prefix; a term has no byte 255."""
    return prefix + b"\xff"


def _touches(segment: _Opened, pks: list[int]) -> bool:
    """Whether a segment may hold one of the traces (rising)."""
    place = bisect_left(pks, segment.first_trace)
    return place < len(pks) and pks[place] <= segment.last_trace
