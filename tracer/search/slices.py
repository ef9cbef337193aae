"""Makes a slice of the index out of lines of work: reads the steps, leaves out what the index has, builds segments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

from tracer.otlp.dialects import READER_VERSION
from tracer.otlp.dialects.reading import Kind
from tracer.otlp.records import LogRecord
from tracer.search.documents import Fragment, digest, fragments
from tracer.search.seen import Entry, Seen, SeenTraces
from tracer.search.segments import Builder, Segment
from tracer.search.work import Line, Outrun, wanted
from tracer.store.bodies import BodyReader
from tracer.store.engine import Store
from tracer.store.logs import decode_log
from tracer.store.models import PACKS_PER_TRACE
from tracer.store.spans import body_reader, place_of, record_of
from tracer.store.sql import Sql

FORGET_EVERY = 256
"""Steps of a trace after which its opened packs, up to a mebibyte each, are let go of."""

FETCHED = 16 << 20
"""Bytes of packs fetched at once; most packs have some kilobytes, the largest a mebibyte."""

REBUILT = 4096
"""Steps up to which a trace is indexed anew in one slice."""

COLUMNS = (
    "trace_pk, span_id, parent_id, name, kind, reader_version, otlp_kind, status, status_message, start_time, "
    "end_time, seq, flags, pack, body_offset, body_length"
)


@dataclass(slots=True)
class Slice:
    """What one transaction adds to the index. Entries are counted from the slice's first, 0."""

    lines: list[int]
    traces: list[int]
    segments: list[Segment] = field(default_factory=list)
    seen: list[tuple[int, int, list[Entry]]] = field(default_factory=list)
    """(trace, first entry, entries)."""
    rebuilt: list[int] = field(default_factory=list)
    """Traces that are indexed anew, since a step lost text that it had brought."""
    known: dict[int, Seen] = field(default_factory=dict)

    def without_known(self) -> Slice:
        """The same, without what only its maker needs."""
        return replace(self, known={})

    @property
    def entries(self) -> int:
        """How many entries it has."""
        return sum(segment.entries for segment in self.segments)


class StepReader:
    """Reads the texts of stored steps.

    `late` fetches a pack that was not fetched with the others, by its row number; None when it is gone.
    """

    def __init__(self, sql: Sql, *, late: Callable[[int], bytes | None] | None = None) -> None:
        self._sql = sql
        self._late = late or (lambda number: pack_of(sql, number))
        self._traces: dict[int, tuple[int, bytes]] = {}
        self._logs: dict[tuple[int, bytes], list[LogRecord]] = {}
        self._packs: dict[int, bytes] = {}

    def open(self, pks: Sequence[int]) -> list[int]:
        """Look up traces, and return those that are there."""
        found = self._sql.rows_in("SELECT id, project_id, trace_id FROM trace WHERE id IN ({keys})", sorted(pks))
        self._traces = {row.id: (row.project_id, row.trace_id) for row in found}
        return sorted(self._traces)

    def rows(self, steps: dict[int, set[bytes] | None]) -> dict[int, list[Any]]:
        """The rows of steps by trace, in the order of their starts; None names all of a trace.

        The steps' log records are looked up with them.
        """
        keys = [(pk, span_id) for pk, ids in steps.items() if ids is not None for span_id in sorted(ids)]
        found: dict[int, list[Any]] = {}
        for row in self._sql.rows_at("span", ("trace_pk", "span_id"), keys, what=COLUMNS):
            found.setdefault(row.trace_pk, []).append(row)
        for pk, ids in steps.items():
            if ids is None:
                found[pk] = list(self._sql.rows(f"SELECT {COLUMNS} FROM span WHERE trace_pk = ?", [pk]))
        for rows in found.values():
            rows.sort(key=lambda row: (row.start_time, row.span_id))
        self._logs = self._logs_of(found)
        return found

    def _logs_of(self, rows: dict[int, list[Any]]) -> dict[tuple[int, bytes], list[LogRecord]]:
        by_key = {self._traces[pk]: pk for pk in rows}
        some = {
            row.trace_id
            for row in self._sql.rows_in(
                "SELECT t.trace_id FROM trace t WHERE t.id IN ({keys}) "
                "AND EXISTS (SELECT 1 FROM log_record l WHERE l.trace_id = t.trace_id)",
                sorted(rows),
            )
        }
        keys = [
            (trace_id, project_id, row.span_id)
            for (project_id, trace_id), pk in by_key.items()
            if trace_id in some
            for row in rows[pk]
        ]
        found: dict[tuple[int, bytes], list[LogRecord]] = {}
        logs = self._sql.rows_at("log_record", ("trace_id", "project_id", "span_id"), keys)
        for row in sorted(logs, key=lambda row: (row.time, row.digest)):
            found.setdefault((by_key[row.project_id, row.trace_id], row.span_id), []).append(decode_log(row))
        return found

    def fetch_packs(self, rows: dict[int, list[Any]]) -> None:
        """Fetch at once the packs that these steps' bodies begin in, up to FETCHED; others are fetched when met."""
        wanted = {pk * PACKS_PER_TRACE + row.pack for pk, of_trace in rows.items() for row in of_trace}
        sizes = sorted(
            (row.id, row.size)
            for row in self._sql.rows_in("SELECT id, length(data) AS size FROM pack WHERE id IN ({keys})", wanted)
        )
        ends = accumulate(size for _, size in sizes)
        some = [number for (number, _), end in zip(sizes, ends, strict=True) if end <= FETCHED]
        self._packs = {
            row.id: row.data for row in self._sql.rows_in("SELECT id, data FROM pack WHERE id IN ({keys})", some)
        }

    def reader(self, pk: int) -> BodyReader:
        """A reader of a trace's bodies."""
        return body_reader(pk, self._pack)

    def _pack(self, number: int) -> bytes:
        found = self._packs.pop(number, None) or self._late(number)
        if found is None:
            raise Outrun("a body is gone")
        return found

    def fragments(self, row: Any, bodies: BodyReader) -> list[Fragment]:
        """The texts of a step."""
        record = record_of(self._traces[row.trace_pk][1], row, bodies.read(place_of(row)))
        kind = Kind(row.kind) if row.reader_version == READER_VERSION else None
        return fragments(record, self._logs.get((row.trace_pk, row.span_id), ()), kind)


def pack_of(sql: Sql, number: int) -> bytes | None:
    """A pack's data by its row number; None when it is gone."""
    rows = sql.rows("SELECT data FROM pack WHERE id = ?", [number])
    return rows[0].data if rows else None


class TooLarge(Exception):
    """A trace that has to be indexed anew has too many steps for one slice."""

    def __init__(self, pk: int) -> None:
        super().__init__(pk)
        self.pk = pk


class _LostTextError(Exception):
    """A step lacks a text that it brought to the index: what others repeat of it has to be indexed anew."""

    def __init__(self, pk: int) -> None:
        super().__init__(pk)
        self.pk = pk


class SliceMaker:
    """Makes slices; remembers between them what of each trace is in the index."""

    def __init__(self, *, pause: Callable[[], None] = lambda: None) -> None:
        self.known = SeenTraces()
        self._pause = pause

    def make(self, store: Store, lines: list[Line]) -> Slice:
        """Read the steps that lines of work name, and build what they add to the index.

        What is read is read in short transactions, none of which is open while the texts are split. Raises Outrun
        when a trace goes meanwhile, TooLarge when one has to be taken out of the index and noted as work again.
        """
        steps = wanted(lines)
        rebuilt: set[int] = set()
        while True:
            try:
                return self._make(store, [line.id for line in lines], steps, rebuilt)
            except _LostTextError as found:
                self.known.forget()
                with store.reading() as connection:
                    if _is_large(Sql(connection), found.pk):
                        raise TooLarge(found.pk) from None
                rebuilt.add(found.pk)
                steps[found.pk] = None

    def _make(self, store: Store, lines: list[int], steps: dict[int, set[bytes] | None], rebuilt: set[int]) -> Slice:
        def late(number: int) -> bytes | None:
            with store.reading() as connection:
                return pack_of(Sql(connection), number)

        with store.reading() as connection:
            sql = Sql(connection)
            reader = StepReader(sql, late=late)
            there = reader.open(list(steps))
            made = Slice(lines, there, rebuilt=sorted(rebuilt.intersection(there)))
            made.known = self.known.load(sql, there)
            made.known |= {pk: Seen() for pk in made.rebuilt}
            rows = reader.rows({pk: steps[pk] for pk in there})
            reader.fetch_packs(rows)
        builder, entry = Builder(), 0
        for pk in there:
            own: list[Entry] = []
            first = entry
            for span_id, digests, found in self._additions(reader, rows.pop(pk, []), made.known[pk]):
                if builder.full:
                    made.segments.append(builder.finish())
                    builder = Builder()
                builder.add(pk, found)
                own.append((span_id, digests))
                entry += 1
            if own:
                made.seen.append((pk, first, own))
        if builder.entries:
            made.segments.append(builder.finish())
        return made

    def _additions(
        self, reader: StepReader, rows: list[Any], seen: Seen
    ) -> Iterator[tuple[bytes, list[bytes], list[Fragment]]]:
        """What each step adds: its id, the new fragments' digests, the new fragments."""
        bodies = reader.reader(rows[0].trace_pk) if rows else None
        for number, row in enumerate(rows, 1):
            self._pause()
            if bodies is None or number % FORGET_EVERY == 0:
                bodies = reader.reader(row.trace_pk)
            found = reader.fragments(row, bodies)
            digests = [digest(fragment) for fragment in found]
            brought = seen.spans.get(row.span_id)
            if brought is not None and not set(brought).issubset(digests):
                raise _LostTextError(row.trace_pk)
            new = [place for place, one in enumerate(digests) if one not in seen.digests]
            if new:
                fresh = [digests[place] for place in new]
                seen.add(row.span_id, fresh)
                yield row.span_id, fresh, [found[place] for place in new]


def _is_large(sql: Sql, pk: int) -> bool:
    found = sql.rows("SELECT span_count FROM trace WHERE id = ?", [pk])
    return bool(found) and found[0].span_count > REBUILT
