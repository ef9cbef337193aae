"""Moves what a merged project has into the one that it became part of, in slices between the writer's commits.

Nothing comes to the merged project any more. A trace whose id is in both is put together as if all of its spans had
come to the one project; of a step that both have, the rules of a repeated delivery choose. What was deleted in one of
them and is in the other stays.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

from sqlalchemy import Connection

from tracer.errors import NotFound
from tracer.ingest import cube, relate
from tracer.ingest.alike import Recount, notes_of
from tracer.ingest.apply import Applier, Changes
from tracer.ingest.choose import Candidate
from tracer.ingest.delete import body_sizes, count_change, delete_traces
from tracer.ingest.labels import change_labels, stored_labels
from tracer.ingest.locks import lock_traces
from tracer.ingest.logs import logs_of_traces
from tracer.ingest.people import Patch, restore_note
from tracer.ingest.prepare import PreparedSpan, Price
from tracer.ingest.receipts import Receipt, advance
from tracer.ingest.tombstones import deleted_among
from tracer.ingest.words import words_of_json
from tracer.otlp.records import LogRecord
from tracer.prices import PriceBook
from tracer.store.engine import Store
from tracer.store.logs import decode_log
from tracer.store.sql import Sql

TRACES_AT_ONCE = 200
ROWS_AT_ONCE = 500
LINES_AT_ONCE = 5_000
"""Lines of the audit log in one transaction."""

Work: TypeAlias = Callable[[Applier, Connection], Changes]
"""One transaction of the writer."""


@dataclass(slots=True)
class Move:
    """Some traces that go, read outside the writer: what of the metrics goes with them, and the state they were in."""

    versions: dict[int, int]
    """By row number."""
    both: list[Any]
    """Rows of traces that are, or of which log records wait, in the other project too."""
    spans: int
    metrics: cube.Difference = field(default_factory=cube.Difference)


def merging(store: Store, receipt: Receipt, prices: PriceBook, *, spans: Callable[[], int]) -> Iterator[Work]:
    """The work of a merge, piece by piece, of about so many spans each: the newest traces first.

    Each piece follows from what the one before has written.
    """
    from_id, into_id = _ends(receipt)
    with store.reading() as connection:
        into = str(Sql(connection).rows("SELECT name FROM project WHERE id = ?", [into_id])[0].name)
    while part := newest_traces(store, from_id, spans=spans()):
        move = read_move(store, receipt, part)
        for row in move.both:
            for received, records in spans_of(store, row, into, prices):
                yield partial(receive, spans=received, records=records, into=into, receipt=receipt)
            yield partial(drop_copied, row=row, receipt=receipt)
        if move.versions:
            yield partial(write_move, move=move, receipt=receipt)
    yield from rest(store, receipt, into)


def newest_traces(store: Store, project_id: int, *, spans: int) -> list[Candidate]:
    """The newest traces of a project that have so many spans together, at least one."""
    with store.reading() as connection:
        rows = Sql(connection).rows(
            "SELECT id, span_count, start_time FROM trace WHERE project_id = ? "
            "ORDER BY start_time DESC, id DESC LIMIT ?",
            [project_id, TRACES_AT_ONCE],
        )
    taken, total = list[Candidate](), 0
    for row in rows:
        total += row.span_count
        if taken and total > spans:
            break
        taken.append(Candidate(row.id, row.span_count, row.start_time))
    return taken


def read_move(store: Store, receipt: Receipt, traces: Sequence[Candidate]) -> Move:
    """What moving these traces takes."""
    from_id, into_id = _ends(receipt)
    with store.reading() as connection:
        sql = Sql(connection)
        rows = list(
            sql.rows_in(
                "SELECT id, project_id, trace_id, version, span_count FROM trace "
                "WHERE id IN ({keys}) AND project_id = ?",
                [one.pk for one in traces],
                after=[from_id],
            )
        )
        there = _in_other(sql, into_id, [row.trace_id for row in rows])
        alone = [row for row in rows if row.trace_id not in there]
        move = Move(
            {row.id: row.version for row in alone},
            [row for row in rows if row.trace_id in there],
            sum(row.span_count for row in alone),
        )
        move.metrics = cube.moved(sql, list(move.versions), from_id=from_id, into_id=into_id)
    return move


def write_move(applier: Applier, connection: Connection, move: Move, receipt: Receipt) -> Changes:
    """Move the traces that only the merged project has, in one transaction; none when one of them changed meanwhile."""
    sql, now = Sql(connection), time.time_ns()
    changes = Changes(at=now)
    from_id, into_id = _ends(receipt)
    pks = sorted(move.versions)
    known = {row.id: row.trace_id for row in sql.rows_in("SELECT id, trace_id FROM trace WHERE id IN ({keys})", pks)}
    ids = sorted(known.values())
    lock_traces(sql, ids)
    rows = list(sql.rows_in("SELECT * FROM trace WHERE id IN ({keys})", pks))
    if {row.id: row.version for row in rows} != move.versions or _in_other(sql, into_id, ids):
        return changes
    change_labels(sql, _labels(sql, rows), ())
    recount = Recount()
    recount.add_rows(rows, notes_of(sql, ((from_id, one) for one in ids)), -1)
    theirs = notes_of(sql, ((into_id, one) for one in ids))
    for row in rows:
        recount.add(into_id, row._mapping, theirs.get((into_id, row.trace_id)))
    sizes = body_sizes(sql, pks)
    counted = [(row.span_count, sizes.get(row.id, 0)) for row in rows]
    gone = [(from_id, -1, -spans, -size) for spans, size in counted]
    count_change(sql, gone + [(into_id, 1, spans, size) for spans, size in counted], applier.shard)
    sql.many("UPDATE trace SET project_id = ?, version = version + 1 WHERE id = ?", [(into_id, pk) for pk in pks])
    applier.folding.watch(cube.move(sql, move.metrics))
    recount.write(sql, alone=True)
    # What was deleted there is here: it stays.
    sql.many("DELETE FROM tombstone WHERE trace_id = ? AND project_id = ?", [(one, into_id) for one in ids])
    sql.many(
        "UPDATE log_record SET project_id = ? WHERE trace_id = ? AND project_id = ?",
        [(into_id, one, from_id) for one in ids],
    )
    _move_added(sql, ids, from_id, into_id, now)
    moved = list(sql.rows_in("SELECT * FROM trace WHERE id IN ({keys})", pks))
    change_labels(sql, (), _labels(sql, moved))
    keys = [(project_id, one) for one in ids for project_id in (from_id, into_id)]
    sql.insert("change", ("project_id", "trace_id", "at"), [(*key, now) for key in keys])
    for key in keys:
        changes.add(key)
    advance(sql, receipt.id, now=now, traces=len(rows), spans=move.spans)
    return changes


def spans_of(
    store: Store, row: Any, into: str, prices: PriceBook
) -> Iterator[tuple[list[PreparedSpan], list[LogRecord]]]:
    """A trace's spans with their log records, some at a time, as if they came to the project `into` now."""
    after = b""
    while True:
        with store.reading() as connection:
            sql = Sql(connection)
            rows = sql.rows(
                "SELECT * FROM span WHERE trace_pk = ? AND span_id > ? ORDER BY span_id LIMIT ?",
                [row.id, after, ROWS_AT_ONCE],
            )
            if not rows:
                return
            logs = logs_of_traces(sql, [row.trace_id])
            spans: list[PreparedSpan] = []
            records: list[LogRecord] = []
            for one in rows:
                of_it = logs.get((row.project_id, row.trace_id, one.span_id), [])
                span = relate.stored_span(sql, row.trace_id, one, of_it, prices)
                span.project = into
                if not span.running:
                    span.price = Price(one.cost, one.input_cost, one.output_cost, one.cost_source)
                spans.append(span)
                records += of_it
        yield spans, records
        after = rows[-1].span_id


def receive(
    applier: Applier,
    connection: Connection,
    spans: Sequence[PreparedSpan],
    records: Sequence[LogRecord],
    *,
    into: str,
    receipt: Receipt,
) -> Changes:
    """Write spans and log records of a trace that both projects have to the one that stays."""
    sql = Sql(connection)
    _, into_id = _ends(receipt)
    ids = sorted({span.record.trace_id for span in spans})
    lock_traces(sql, ids)
    sql.many("DELETE FROM tombstone WHERE trace_id = ? AND project_id = ?", [(one, into_id) for one in ids])
    advance(sql, receipt.id, now=time.time_ns())
    return applier.apply(connection, spans, [(into, record) for record in records])


def drop_copied(applier: Applier, connection: Connection, row: Any, receipt: Receipt) -> Changes:
    """Take away a trace whose spans the other project has received, and move what people added to it."""
    sql, now = Sql(connection), time.time_ns()
    from_id, into_id = _ends(receipt)
    lock_traces(sql, [row.trace_id])
    labelled = list(sql.rows("SELECT * FROM trace WHERE id = ?", [row.id]))
    notes = notes_of(sql, [(from_id, row.trace_id)])
    change_labels(sql, _labels(sql, labelled), ())
    _move_added(sql, [row.trace_id], from_id, into_id, now)
    deleted = delete_traces(
        sql, [row.id], deletion_id=receipt.id, shard=applier.shard, now=now, tombstones=False, notes=notes
    )
    advance(sql, receipt.id, now=now, traces=deleted.traces, spans=deleted.spans)
    deleted.changes.add((into_id, row.trace_id))
    return deleted.changes


def rest(store: Store, receipt: Receipt, into: str) -> Iterator[Work]:
    """Work for the writer, piece by piece, until nothing of the merged project is left: what belongs to no trace."""
    from_id, into_id = _ends(receipt)
    at: tuple[Any, ...] = (b"", 0, b"", b"")
    while rows := _waiting(store, from_id, at):
        yield partial(_move_logs, [decode_log(row) for row in rows], [tuple(row[:4]) for row in rows], into)
        at = tuple(rows[-1][:4])
    while ids := _ids(store, "SELECT id FROM score WHERE project_id = ? ORDER BY created_at, id LIMIT ?", from_id):
        yield partial(_move_rest, "score", ids, into_id)
    while ids := _ids(store, "SELECT trace_id AS id FROM annotation WHERE project_id = ? LIMIT ?", from_id):
        yield partial(_move_notes, ids, from_id, into_id)
    while ids := _ids(store, "SELECT id FROM share WHERE project_id = ? LIMIT ?", from_id):
        yield partial(_move_rest, "share", ids, into_id)
    lines = "SELECT id FROM audit WHERE project_id = ? ORDER BY id LIMIT ?"
    while ids := _ids(store, lines, from_id, LINES_AT_ONCE):
        yield partial(_move_rest, "audit", ids, into_id)
    yield partial(_close, receipt)


def leave_nothing(store: Store, receipt: Receipt) -> Iterator[Work]:
    """The same for a project that is deleted."""
    project_id = receipt.project_id
    assert project_id is not None
    while ids := _ids(store, "SELECT id FROM score WHERE project_id = ? ORDER BY created_at, id LIMIT ?", project_id):
        yield partial(_drop, "score", "id", ids, project_id)
    while ids := _ids(store, "SELECT trace_id AS id FROM annotation WHERE project_id = ? LIMIT ?", project_id):
        yield partial(_drop, "annotation", "trace_id", ids, project_id)
    yield partial(_close, receipt)


def _ends(receipt: Receipt) -> tuple[int, int]:
    assert receipt.project_id is not None
    assert receipt.into_id is not None
    return receipt.project_id, receipt.into_id


def _in_other(sql: Sql, into_id: int, trace_ids: Sequence[bytes]) -> set[bytes]:
    """Which of the traces the other project has, or log records that wait for one."""
    found: set[bytes] = set()
    for table in ("trace", "log_record"):
        rows = sql.rows_in(
            f"SELECT DISTINCT trace_id FROM {table} WHERE trace_id IN ({{keys}}) AND project_id = ?",
            trace_ids,
            after=[into_id],
        )
        found |= {row.trace_id for row in rows}
    return found


def _labels(sql: Sql, rows: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    for _, labels in stored_labels(sql, rows):
        found += labels or ()
    return found


def _move_added(sql: Sql, trace_ids: Sequence[bytes], from_id: int, into_id: int, now: int) -> None:
    """Scores, notes and links of traces."""
    scores = "SELECT id FROM score WHERE trace_id IN ({keys}) AND project_id = ?"
    _move_scores(sql, [row.id for row in sql.rows_in(scores, trace_ids, after=[from_id])], into_id)
    _notes(sql, trace_ids, from_id, into_id, now)
    sql.many(
        "UPDATE share SET project_id = ? WHERE trace_id = ? AND project_id = ?",
        [(into_id, one, from_id) for one in trace_ids],
    )


def _move_scores(sql: Sql, ids: Sequence[int], into_id: int) -> None:
    """Where both projects have a score of one id, the one that was given last stays."""
    for row in list(
        sql.rows_in(
            "SELECT mine.id, mine.updated_at, theirs.id AS other, theirs.updated_at AS changed FROM score mine "
            "JOIN score theirs ON theirs.score_id = mine.score_id WHERE mine.id IN ({keys}) AND theirs.project_id = ?",
            ids,
            after=[into_id],
        )
    ):
        sql.run("DELETE FROM score WHERE id = ?", [row.id if row.updated_at <= row.changed else row.other])
    sql.many("UPDATE score SET project_id = ? WHERE id = ?", [(into_id, one) for one in ids])


def _notes(sql: Sql, trace_ids: Sequence[bytes], from_id: int, into_id: int, now: int) -> None:
    """What people said of traces joins what they said of the same ones there; where both name one, that stays."""
    for row in list(
        sql.rows_in(
            "SELECT trace_id, name, tags, note FROM annotation WHERE trace_id IN ({keys}) AND project_id = ?",
            trace_ids,
            after=[from_id],
        )
    ):
        sql.run("DELETE FROM annotation WHERE trace_id = ? AND project_id = ?", [row.trace_id, from_id])
        tags = words_of_json(row.tags) if row.tags else ()
        with suppress(NotFound):  # it was deleted there
            restore_note(sql, row.trace_id, Patch(row.name, tags, row.note), project_id=into_id, now=now)


def _waiting(store: Store, project_id: int, after: tuple[Any, ...]) -> Sequence[Any]:
    with store.reading() as connection:
        return Sql(connection).rows(
            "SELECT trace_id, project_id, span_id, digest, time, received_at, body FROM log_record "
            "WHERE (trace_id, project_id, span_id, digest) > (?, ?, ?, ?) AND project_id = ? "
            "ORDER BY trace_id, project_id, span_id, digest LIMIT ?",
            [*after, project_id, ROWS_AT_ONCE],
        )


def _move_logs(
    records: Sequence[LogRecord], keys: list[tuple[Any, ...]], into: str, applier: Applier, connection: Connection
) -> Changes:
    """Log records whose span never came wait for it in the other project; one of a trace that is deleted goes."""
    sql = Sql(connection)
    lock_traces(sql, [key[0] for key in keys])
    sql.many("DELETE FROM log_record WHERE trace_id = ? AND project_id = ? AND span_id = ? AND digest = ?", keys)
    return applier.apply(connection, (), [(into, record) for record in records])


def _move_rest(table: str, ids: list[Any], into_id: int, _: Applier, connection: Connection) -> Changes:
    sql = Sql(connection)
    if table != "audit":
        ids = _without_deleted(sql, table, ids, into_id)
    if table == "score":
        _move_scores(sql, ids, into_id)
    else:
        sql.many(f"UPDATE {table} SET project_id = ? WHERE id = ?", [(into_id, one) for one in ids])
    return Changes()


def _without_deleted(sql: Sql, table: str, ids: list[int], into_id: int) -> list[int]:
    """Take away the rows whose traces were deleted in the other project, and return the others."""
    traces = {
        row.id: row.trace_id for row in sql.rows_in(f"SELECT id, trace_id FROM {table} WHERE id IN ({{keys}})", ids)
    }
    lock_traces(sql, traces.values())
    deleted = deleted_among(sql, [(into_id, one) for one in traces.values()])
    gone = [one for one, trace_id in traces.items() if (into_id, trace_id) in deleted]
    sql.many(f"DELETE FROM {table} WHERE id = ?", [(one,) for one in gone])
    return sorted(traces.keys() - gone)


def _move_notes(ids: list[bytes], from_id: int, into_id: int, _: Applier, connection: Connection) -> Changes:
    _notes(Sql(connection), ids, from_id, into_id, time.time_ns())
    return Changes()


def _drop(table: str, column: str, ids: list[Any], project_id: int, _: Applier, connection: Connection) -> Changes:
    Sql(connection).many(
        f"DELETE FROM {table} WHERE {column} = ? AND project_id = ?", [(one, project_id) for one in ids]
    )
    return Changes()


def _close(receipt: Receipt, _: Applier, connection: Connection) -> Changes:
    """Nothing is counted of the project any more; receipts of what was deleted in it are the other's to read."""
    sql = Sql(connection)
    for table in ("project_counter", "metric_cell", "trace_alike"):
        sql.run(f"DELETE FROM {table} WHERE project_id = ?", [receipt.project_id])
    if receipt.into_id is not None:
        sql.run(
            "UPDATE deletion SET project_id = ? WHERE project_id = ? AND job = 'traces'",
            [receipt.into_id, receipt.project_id],
        )
    return Changes()


def _ids(store: Store, query: str, project_id: int, limit: int = ROWS_AT_ONCE) -> list[Any]:
    with store.reading() as connection:
        return [row.id for row in Sql(connection).rows(query, [project_id, limit])]
