"""Finds traces by words, the newest first, within a limit of time.

Two ways lead there. A rare word's traces are few: all are looked up and put in order. Common words are met again and
again on the way from the newest trace back, so the traces are walked in order and each lot is held against the index.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from tracer.search.documents import Fragment, digest
from tracer.search.lookup import Index
from tracer.search.query import Reading, Term, meets
from tracer.search.seen import Entry, decode_entries
from tracer.search.slices import StepReader
from tracer.store.models import trace
from tracer.store.sql import Sql
from tracer.units import UnixNanos

RARE = 4_000
"""Documents up to which a term's traces are looked up all at once."""

READ_TOGETHER = 16
"""Traces whose texts are read together, to look for a phrase."""

LOTS = (64, 256, 1024)
"""Traces of the first lots of a walk, the last size for all that follow."""

WORK_LIMIT_S = 0.05
"""Seconds after which a search answers what it has, unless told otherwise."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A trace's place in the list, newest first: its start and its row number."""

    start_time: UnixNanos
    pk: int


@dataclass(slots=True)
class Found:
    """The traces found, newest first. `searched_to` is set when there may be more: where to go on."""

    places: list[Place] = field(default_factory=list)
    searched_to: Place | None = None


def find_traces(
    conn: Connection,
    terms: Sequence[Term],
    *,
    where: Sequence[ColumnElement[bool]] = (),
    before: Place | None = None,
    limit: int = 50,
    seconds: float = WORK_LIMIT_S,
) -> Found:
    """The newest traces that meet every term, each term in any of the trace's steps, after the place `before`.

    `where` are conditions on the trace table. Stops at `limit` traces, or when the time is over; then at least one
    lot has been looked at, so that going on always leads further.
    """
    search = _Search(conn, terms, where, before, limit, time.perf_counter() + seconds)
    candidates = search.rare()
    return search.walk(search.listed() if candidates is None else search.ordered(candidates))


class _Search:
    def __init__(
        self,
        conn: Connection,
        terms: Sequence[Term],
        where: Sequence[ColumnElement[bool]],
        before: Place | None,
        limit: int,
        deadline: float,
    ) -> None:
        self._conn = conn
        self._sql = Sql(conn)
        self._terms = list(terms)
        self._where = list(where)
        self._before = before
        self._limit = limit
        self._deadline = deadline
        self._index = Index(self._sql)

    def _late(self) -> bool:
        return time.perf_counter() > self._deadline

    def rare(self) -> set[int] | None:
        """All traces of the rarest term when they are few, else None. Puts the terms into a good order."""
        best: set[int] | None = None
        for one in list(self._terms):
            found = self._index.all_traces(one, enough=4 * self._limit, at_most=RARE, late=self._late)
            if found is not None and (best is None or len(found) < len(best)):
                best = found
                self._terms.remove(one)
                self._terms.insert(0, one)
        return best

    def ordered(self, candidates: set[int]) -> Iterator[list[Place]]:
        """Lots of the candidates that meet the conditions, newest first."""
        found: list[Place] = []
        numbers = sorted(candidates)
        for start in range(0, len(numbers), 1000):
            query = select(trace.c.start_time, trace.c.id).where(
                trace.c.id.in_(numbers[start : start + 1000]), *self._where
            )
            found += [Place(*row) for row in self._conn.execute(query)]
        before = self._before
        found = sorted((place for place in found if before is None or place < before), reverse=True)
        for start in range(0, len(found), LOTS[1]):
            yield found[start : start + LOTS[1]]

    def listed(self) -> Iterator[list[Place]]:
        """Lots of all traces that meet the conditions, newest first."""
        at, number = self._before, 0
        while True:
            size = LOTS[min(number, len(LOTS) - 1)]
            conditions = list(self._where)
            if at is not None:
                conditions += [
                    trace.c.start_time <= at.start_time,
                    or_(
                        trace.c.start_time < at.start_time,
                        and_(trace.c.start_time == at.start_time, trace.c.id < at.pk),
                    ),
                ]
            rows = self._conn.execute(
                select(trace.c.start_time, trace.c.id)
                .where(*conditions)
                .order_by(trace.c.start_time.desc(), trace.c.id.desc())
                .limit(size)
            ).all()
            lot = [Place(*row) for row in rows]
            if lot:
                yield lot
            if len(lot) < size:
                return
            at, number = lot[-1], number + 1

    def walk(self, lots: Iterator[list[Place]]) -> Found:
        """Hold lot after lot against the index, and against the texts what the index cannot tell."""
        out = Found()
        phrases = [one for one in self._terms if not all(reading.sure for reading in one.readings)]
        for lot in lots:
            met = self._index.meeting(self._terms, [place.pk for place in lot])
            likely = [place for place in lot if place.pk in met]
            for start in range(0, len(likely), READ_TOGETHER if phrases else len(lot)):
                some = likely[start : start + READ_TOGETHER] if phrases else likely
                sure = self._said(phrases, {place.pk for place in some})
                for place in some:
                    if place.pk not in sure:
                        continue
                    if len(out.places) == self._limit:
                        out.searched_to = out.places[-1]
                        return out
                    out.places.append(place)
                if phrases and self._late():
                    out.searched_to = some[-1]
                    return out
            if self._late():
                out.searched_to = lot[-1]
                return out
        return out

    def _said(self, phrases: list[Term], pks: set[int]) -> set[int]:
        """Which of the traces have a text with the phrases' pieces in a row."""
        left = set(pks)
        texts: _Texts | None = None
        for one in phrases:
            met: set[int] = set()
            for reading in one.readings:
                found = self._index.documents(one, reading, left - met)
                if reading.sure:
                    met |= found.keys()
                    continue
                texts = texts or _Texts(self._sql, pks)
                met |= texts.having(reading, found)
            left = met
        return left


class _Texts:
    """The texts that some traces' entries brought to the index."""

    def __init__(self, sql: Sql, pks: set[int]) -> None:
        self._sql = sql
        self._reader = StepReader(sql)
        self._reader.open(sorted(pks))
        self._entries: dict[int, Entry] = {}
        self._found: dict[tuple[int, bytes], list[tuple[bytes, Fragment]]] = {}
        for row in sql.rows_in("SELECT entry, data FROM search_seen WHERE trace_pk IN ({keys})", sorted(pks)):
            self._entries |= dict(enumerate(decode_entries(row.data), row.entry))

    def having(self, reading: Reading, documents: dict[int, list[tuple[int, int]]]) -> set[int]:
        """The traces of which one of the named documents, (entry, side), has a reading's pieces in a row."""
        self._read({pk: {self._entries[entry][0] for entry, _ in found} for pk, found in documents.items()})
        return {
            pk
            for pk, found in documents.items()
            if any(meets(text, reading) for entry, side in found for text in self._of(pk, entry, side))
        }

    def _read(self, steps: dict[int, set[bytes]]) -> None:
        rows = self._reader.rows(
            {pk: {one for one in ids if (pk, one) not in self._found} for pk, ids in steps.items()}
        )
        self._reader.fetch_packs(rows)
        for pk, of_trace in rows.items():
            bodies = self._reader.reader(pk)
            for row in of_trace:
                self._found[pk, row.span_id] = [(digest(one), one) for one in self._reader.fragments(row, bodies)]

    def _of(self, pk: int, entry: int, side: int) -> list[str]:
        span_id, digests = self._entries[entry]
        return [text for mark, (where, text) in self._found.get((pk, span_id), ()) if where == side and mark in digests]
