"""One trace recomputed from its spans: roll-up, calls, previews, the columns of each span, and every body."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Any

import msgspec
import zstandard

from tracer.ingest.calls import COMPUTED, count_calls
from tracer.ingest.columns import SPAN_COLUMNS, facts_of_row, held, span_row
from tracer.ingest.logs import SpanKey, logs_of_traces, reread
from tracer.ingest.prepare import CACHED, PreparedSpan, as_json
from tracer.ingest.relate import call_columns, pack_loader, partial_output, span_rows, stored_calls
from tracer.ingest.rollup import Rollup, decode_state
from tracer.otlp.dialects import READER_VERSION
from tracer.otlp.dialects.reading import CALL_KINDS
from tracer.otlp.records import LogRecord
from tracer.prices import PriceBook
from tracer.store.bodies import DIGEST_SIZE, read_entries
from tracer.store.models import PACKS_PER_TRACE
from tracer.store.spans import body_reader, place_of
from tracer.store.sql import Sql

SPANS_AT_ONCE = 500
FORGET_AFTER = 16
"""Packs of a trace that are held open at once."""

Found = tuple[str, bytes | None, object, object]
"""(what, span id, stored, expected)."""

NOT_DERIVED = frozenset({"received_at", "pack", "body_offset", "body_length", "reader_version", "seq"})
COSTS = frozenset({"cost", "input_cost", "output_cost", "cost_source"})
"""Worked out at the prices of the day of arrival, which may have changed: their sum is what can be looked at."""

COMPARED = tuple((place, name) for place, name in enumerate(SPAN_COLUMNS) if name not in NOT_DERIVED | COSTS)
JSON_COLUMNS = frozenset({"tags", "metadata", "models", "services", "partial_reasons"})


class TraceCheck:
    """Looks at one trace; `row` is its row."""

    def __init__(self, sql: Sql, row: Any, prices: PriceBook) -> None:
        self._sql = sql
        self._prices = prices
        self._row = row
        self._pk: int = row.id
        self._bodies = body_reader(self._pk, pack_loader(sql))
        self._logs: dict[SpanKey, list[LogRecord]] = {}

    def differences(self) -> Iterator[Found]:
        """Everything that is not as the spans say."""
        yield from self._packs()
        try:
            self._logs = logs_of_traces(self._sql, [self._row.trace_id])
        except Exception as problem:  # noqa: BLE001 - damage comes in any shape
            yield "log record", None, f"not readable: {problem}", "readable"
        rollup = Rollup()
        ids = self._ids()
        if not ids:
            yield "span_count", None, f"{self._row.span_count}, and there is no span", "a trace with spans"
            return
        for rows in self._span_rows():
            yield from self._spans(rows)
            try:
                facts = [facts_of_row(row) for row in rows]
            except ValueError as problem:
                yield "roll-up", None, f"not to be recomputed, as a span has no JSON where it should: {problem}", "JSON"
                return
            rollup.add(facts, stored_parents={fact.parent_id for fact in facts if fact.parent_id in ids} - {None})
        yield from self._roll_up(rollup)

    def _ids(self) -> set[bytes]:
        return {row.span_id for row in self._sql.rows("SELECT span_id FROM span WHERE trace_pk = ?", [self._pk])}

    def _span_rows(self) -> Iterator[Sequence[Any]]:
        last = b""
        while rows := self._sql.rows(
            "SELECT * FROM span WHERE trace_pk = ? AND span_id > ? ORDER BY span_id LIMIT ?",
            [self._pk, last, SPANS_AT_ONCE],
        ):
            yield rows
            last = rows[-1].span_id

    def _packs(self) -> Iterator[Found]:
        """Every pack opens, is one of the trace's numbers, and holds the pieces that it says."""
        first = self._pk * PACKS_PER_TRACE
        numbers = [
            row.id - first
            for row in self._sql.rows(
                "SELECT id FROM pack WHERE id >= ? AND id < ? ORDER BY id", [first, first + PACKS_PER_TRACE]
            )
        ]
        if numbers != list(range(self._row.pack_count)):
            yield "pack_count", None, f"{self._row.pack_count}, and packs {_few(numbers)} are there", "the same"
        for number in numbers:
            row = self._sql.rows("SELECT pieces, data FROM pack WHERE id = ?", [first + number])[0]
            try:
                data = zstandard.ZstdDecompressor().decompress(row.data)
                pieces = list(read_entries(row.pieces))
            except Exception as problem:  # noqa: BLE001 - damage comes in any shape
                yield "pack", None, f"pack {number} cannot be read: {problem}", "readable"
                continue
            for digest, offset, length in pieces:
                piece = data[offset : offset + length]
                if len(piece) != length or blake2b(piece, digest_size=DIGEST_SIZE).digest() != digest:
                    yield "pack", None, f"pack {number} has another piece at {offset} than it says", "the same"

    def _spans(self, rows: Sequence[Any]) -> Iterator[Found]:
        """Each body opens, and read again it gives the columns that are stored."""
        for number, row in enumerate(rows):
            if number % FORGET_AFTER == 0:
                self._bodies.forget()
            try:
                again = self._again(row)
            except Exception as problem:  # noqa: BLE001 - damage comes in any shape
                yield "body", row.span_id, f"not readable: {type(problem).__name__}: {problem}", "readable"
                continue
            if row.reader_version != READER_VERSION:
                continue
            expected = span_row(again, place_of(row), row.received_at)
            for place, name in COMPARED:
                stored = getattr(row, name)
                if stored != expected[place] and not (name in JSON_COLUMNS and _same_json(stored, expected[place])):
                    yield name, row.span_id, stored, expected[place]
            yield from self._cost(row, again)

    def _cost(self, row: Any, again: PreparedSpan) -> Iterator[Found]:
        """A sent cost is as it was sent; a computed one is the sum of its parts, on a model call that has ended."""
        if row.cost_source == COMPUTED:
            parts = held((row.input_cost or 0) + (row.output_cost or 0))
            if row.kind not in CALL_KINDS or again.running or row.cost != parts:
                yield "cost", row.span_id, row.cost, parts
        elif row.cost_source == CACHED.source:
            if row.cost != CACHED.total or not again.facts.cache_hit:
                yield "cost", row.span_id, row.cost, again.price.total
        elif (row.input_cost, row.output_cost) != (None, None):
            yield "cost", row.span_id, (row.input_cost, row.output_cost), None
        elif row.cost_source is not None or row.cost is not None:
            sent = held(again.facts.sent_cost)
            if row.cost != sent or row.cost_source is None:
                yield "cost", row.span_id, row.cost, sent

    def _again(self, row: Any) -> PreparedSpan:
        place = place_of(row)
        if not 0 <= place.pack < self._row.pack_count:
            raise ValueError(f"pack {place.pack} of {self._row.pack_count}")
        return reread(self._row.trace_id, row, self._bodies.read(place), self._logs_of(row.span_id), self._prices)

    def _logs_of(self, span_id: bytes) -> list[LogRecord]:
        return self._logs.get((self._row.project_id, self._row.trace_id, span_id), [])

    def _roll_up(self, rollup: Rollup) -> Iterator[Found]:
        """The trace's own columns."""
        row = self._row
        edges, calls = stored_calls(self._sql, self._pk)
        roots = span_rows(self._sql, [(self._pk, rollup.root[1])])
        expected: dict[str, Any] = rollup.head(facts_of_row(roots[0]))
        expected["metadata"] = as_json(expected["metadata"])
        expected["tags"] = as_json(expected["tags"])
        expected |= {
            "start_time": rollup.start_time,
            "end_time": rollup.end_time,
            "duration": rollup.duration,
            "span_count": rollup.span_count,
            "running_count": rollup.running_count,
            "error_count": rollup.error_count,
            "models": json.dumps(sorted(rollup.models), ensure_ascii=False),
            "services": json.dumps(sorted(rollup.services), ensure_ascii=False),
        }
        counted = [call for call in calls if call.kind in CALL_KINDS]
        expected |= call_columns(count_calls(counted, dict(edges)))
        for name, value in expected.items():
            stored = getattr(row, name)
            if stored != value and not (name in JSON_COLUMNS and _same_json(stored, value)):
                yield name, None, stored, value
        try:
            same = decode_state(row.state) == decode_state(rollup.dump_state())
        except (msgspec.DecodeError, msgspec.ValidationError) as problem:
            yield "state", None, f"not readable: {problem}", "readable"
        else:
            if not same:
                yield "state", None, decode_state(row.state), decode_state(rollup.dump_state())
        yield from self._previews(roots[0])

    def _previews(self, root: Any) -> Iterator[Found]:
        self._bodies.forget()
        try:
            again = self._again(root)
        except Exception:  # noqa: BLE001 - told already, as its body
            return
        if root.reader_version != READER_VERSION:
            return
        if again.running:
            again.partial_output = partial_output(self._sql, self._pk, root.span_id)
        for name, expected in zip(("input_preview", "output_preview"), again.previews(), strict=True):
            stored = getattr(self._row, name)
            if stored != expected:
                yield name, None, stored, expected


def _same_json(stored: object, expected: object) -> bool:
    """True when two texts are the same JSON: the order of an object's keys means nothing."""
    if not (isinstance(stored, str) and isinstance(expected, str)):
        return False
    try:
        return json.loads(stored) == json.loads(expected)
    except ValueError:
        return False


def _few(numbers: list[int]) -> str:
    return ", ".join(map(str, islice(numbers, 20))) or "none"
