"""Recomputes everything that is kept beside the spans, and tells what differs. Reads only, in constant memory.

Traces are walked in the order of their row numbers, each list of them in one read transaction, so that it can be run
beside a working service. What it recomputes by is not what ingest applies: roll-ups are made from all spans at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tracer.ingest.alike import alike_differences
from tracer.ingest.cube_check import cube_differences
from tracer.ingest.delete import PACK_BYTES
from tracer.ingest.label_check import Found as LabelFound
from tracer.ingest.label_check import missing_labels, surplus_labels
from tracer.ingest.verify_trace import TraceCheck
from tracer.prices import PriceBook
from tracer.search.verify import IndexDifference, verify_index
from tracer.store.engine import Store
from tracer.store.models import PACKS_PER_TRACE
from tracer.store.sql import Sql

TRACES_AT_ONCE = 50
LAST = 2**63 - 1
SHOWN = 200
"""Characters of a value that a difference shows."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is stored otherwise than the spans say. `stored` and `expected` are for people."""

    what: str
    """A column, or a word for what was looked at: `body`, `pack`, `orphan`, `counter`."""
    project_id: int | None = None
    trace_id: str | None = None
    span_id: str | None = None
    stored: str = ""
    expected: str = ""

    def __str__(self) -> str:
        """One line for people."""
        where = " ".join(
            f"{word} {value}"
            for word, value in (("project", self.project_id), ("trace", self.trace_id), ("span", self.span_id))
            if value is not None
        )
        return f"{where or 'database'}: {self.what} is {self.stored}, should be {self.expected}"


def verify(store: Store) -> Iterator[Difference]:
    """Every difference between what is stored beside the spans and what the spans say, in the order of the traces."""
    prices = PriceBook()
    last = -1
    while True:
        with store.reading() as connection:
            sql = Sql(connection)
            rows = sql.rows("SELECT * FROM trace WHERE id > ? ORDER BY id LIMIT ?", [last, TRACES_AT_ONCE])
            found: list[Difference] = []
            for row in rows:
                check = TraceCheck(sql, row, prices)
                for one in check.differences():
                    found.append(_of_trace(row, *one))
                    if len(found) >= SHOWN:
                        yield from found
                        found.clear()
            found += map(_of_label, missing_labels(sql, rows))
            end = rows[-1].id if rows else LAST
            found += _orphans(sql, last, end)
        yield from found
        last = end
        if not rows:
            break
    with store.reading() as connection:
        sql = Sql(connection)
        yield from _counters(sql)
        for row in sql.rows("SELECT id FROM project ORDER BY id"):
            for sentence in cube_differences(sql, row.id):
                yield Difference("metrics", row.id, stored=sentence, expected="what the spans add up to")
            for sentence in alike_differences(sql, row.id):
                yield Difference("alike", row.id, stored=sentence, expected="what its traces come to")
        yield from _deleted(sql)
    yield from map(_of_label, surplus_labels(store))
    for missed in verify_index(store):
        yield _of_index(store, missed)


def _of_label(found: LabelFound) -> Difference:
    project_id, pk, words = found
    return Difference("label", project_id, stored=f"{words} under row number {pk}", expected="as its trace's row says")


def _of_index(store: Store, missed: IndexDifference) -> Difference:
    with store.reading() as connection:
        rows = Sql(connection).rows("SELECT project_id, trace_id FROM trace WHERE id = ?", [missed.trace_pk])
    project_id, trace_id = (rows[0].project_id, rows[0].trace_id.hex()) if rows else (None, None)
    return Difference("search index", project_id, trace_id, stored=missed.words, expected="what the steps say")


def _of_trace(row: Any, what: str, span_id: bytes | None, stored: object, expected: object) -> Difference:
    return Difference(
        what,
        row.project_id,
        row.trace_id.hex(),
        None if span_id is None else span_id.hex(),
        _shown(stored),
        _shown(expected),
    )


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _orphans(sql: Sql, after: int, upto: int) -> list[Difference]:
    """Rows of traces in a range of row numbers that are not there, and whose rest is not being deleted either."""
    nobody = (
        "NOT EXISTS (SELECT 1 FROM trace WHERE trace.id = {pk}) "
        "AND NOT EXISTS (SELECT 1 FROM remains WHERE remains.trace_pk = {pk})"
    )
    found: list[Difference] = []
    for table in ("span", "partial_output"):
        rows = sql.rows(
            f"SELECT trace_pk AS pk, count(*) AS number FROM {table} WHERE trace_pk > ? AND trace_pk <= ? "
            f"AND {nobody.format(pk='trace_pk')} GROUP BY trace_pk ORDER BY trace_pk",
            [after, upto],
        )
        found += [_orphan(table, row) for row in rows]
    packs_after = (after + 1) * PACKS_PER_TRACE - 1
    packs_upto = min(LAST, (upto + 1) * PACKS_PER_TRACE - 1)
    rows = sql.rows(
        f"SELECT id / {PACKS_PER_TRACE} AS pk, count(*) AS number FROM pack WHERE id > ? AND id <= ? "
        f"AND {nobody.format(pk=f'pack.id / {PACKS_PER_TRACE}')} "
        f"GROUP BY id / {PACKS_PER_TRACE} ORDER BY 1",
        [packs_after, packs_upto],
    )
    found += [_orphan("pack", row) for row in rows]
    rows = sql.rows(
        "SELECT trace_pk, span_id FROM partial_output AS partial WHERE trace_pk > ? AND trace_pk <= ? AND NOT EXISTS "
        "(SELECT 1 FROM span WHERE span.trace_pk = partial.trace_pk AND span.span_id = partial.span_id "
        "AND span.status = 3) AND EXISTS (SELECT 1 FROM trace WHERE trace.id = partial.trace_pk)",
        [after, upto],
    )
    found += [
        Difference(
            "orphan", span_id=row.span_id.hex(), stored="an output so far of a step that does not run", expected="gone"
        )
        for row in rows
    ]
    return found


def _orphan(table: str, row: Any) -> Difference:
    stored = f"{row.number} rows of {table} under row number {row.pk}, which is no trace's"
    return Difference("orphan", stored=stored, expected="gone")


def _counters(sql: Sql) -> Iterator[Difference]:
    """The projects' counters against their traces; both are read in one state."""
    rows = sql.rows(
        "SELECT project.id, "
        "coalesce(counted.traces, 0) AS counted_traces, coalesce(counted.spans, 0) AS counted_spans, "
        "coalesce(counted.bytes, 0) AS counted_bytes, "
        "coalesce(there.traces, 0) AS traces, coalesce(there.spans, 0) AS spans FROM project "
        "LEFT JOIN (SELECT project_id, sum(trace_count) AS traces, sum(span_count) AS spans, "
        "sum(body_bytes) AS bytes FROM project_counter GROUP BY project_id) counted ON counted.project_id = project.id "
        "LEFT JOIN (SELECT project_id, count(*) AS traces, sum(span_count) AS spans FROM trace "
        "GROUP BY project_id) there ON there.project_id = project.id ORDER BY project.id"
    )
    bodies = _body_bytes(sql)
    for row in rows:
        for what, stored, expected in (
            ("trace_count", row.counted_traces, row.traces),
            ("span_count", row.counted_spans, row.spans),
            ("body_bytes", row.counted_bytes, bodies.get(row.id, 0)),
        ):
            if stored != expected:
                yield Difference(f"counter {what}", row.id, stored=str(stored), expected=str(expected))


def _body_bytes(sql: Sql) -> dict[int, int]:
    """Bytes of each project's packs, those included that are still to go with a deleted trace."""
    found: dict[int, int] = {}
    for table, pk in (("trace", "id"), ("remains", "trace_pk")):
        for row in sql.rows(
            f"SELECT owner.project_id, CAST(sum({PACK_BYTES}) AS BIGINT) AS bytes FROM pack "
            f"JOIN {table} AS owner ON owner.{pk} = pack.id / {PACKS_PER_TRACE} GROUP BY owner.project_id"
        ):
            found[row.project_id] = found.get(row.project_id, 0) + row.bytes
    return found


def _deleted(sql: Sql) -> Iterator[Difference]:
    """Deleted traces: nothing of them is left."""
    for table, words in (
        ("trace", "a trace"),
        ("log_record", "a log record"),
        ("score", "a score"),
        ("annotation", "an annotation"),
        ("share", "a link to it"),
    ):
        rows = sql.rows(
            f"SELECT DISTINCT gone.project_id, gone.trace_id FROM tombstone AS gone "
            f"JOIN {table} AS left_over ON left_over.trace_id = gone.trace_id "
            "AND left_over.project_id = gone.project_id ORDER BY gone.project_id, gone.trace_id"
        )
        for row in rows:
            yield Difference("deleted", row.project_id, row.trace_id.hex(), stored=f"{words} is there", expected="gone")
    for row in sql.rows("SELECT trace_pk FROM remains WHERE trace_pk IN (SELECT id FROM trace)"):
        stored = f"row number {row.trace_pk} is being deleted and there"
        yield Difference("deleted", stored=stored, expected="one of both")
