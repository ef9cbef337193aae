"""A trace's tree without bodies, and one step whole."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter, itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, or_, select, text

from tracer.errors import NotFound
from tracer.otlp.dialects import read_content
from tracer.otlp.dialects.reading import Kind
from tracer.otlp.records import Flag, LogRecord, SpanRecord
from tracer.queries.jsonable import jsonable
from tracer.queries.rows import Event, SpanRow, Step, TraceRow
from tracer.queries.tree import Placed, order_of, tree_order
from tracer.search.fields import ABANDONED
from tracer.store.bodies import Body, BodyReader
from tracer.store.logs import decode_log
from tracer.store.models import Status, log_record, pack, partial_output, span
from tracer.store.spans import USAGE_COLUMNS, body_reader, place_of, record_of, usage_of
from tracer.store.sql import Sql
from tracer.units import Nanos, UnixNanos

_LISTED = (
    "span_id", "parent_id", "name", "kind", "status", "status_message", "start_time", "end_time", "model", "provider",
    "cost", "input_cost", "output_cost", "cost_source", "time_to_first_token", "service", "dialect", *USAGE_COLUMNS,
)  # fmt: skip
_listed = attrgetter(*_LISTED)
_placing = itemgetter(*map(_LISTED.index, ("start_time", "span_id", "parent_id")))
_KINDS = {int(kind): kind.name for kind in Kind}
_STATUSES = {int(status): status.name for status in Status}
_COUNTS_AT = len(_LISTED) - len(USAGE_COLUMNS)
_RUNNING = int(Status.running)


def tree(conn: Connection, *, trace: TraceRow) -> list[SpanRow]:
    """Every span of a trace in tree order, without bodies; cost grows with the trace alone."""
    rows = list(Sql(conn).rows_at("span", ("trace_pk",), [(trace.received,)], what=", ".join(_LISTED)))
    return [_span_row_of(rows[place.index], trace, place) for place in order_of(list(map(_placing, rows)))]


def step(conn: Connection, *, trace: TraceRow, span_id: str, alone: bool = False) -> Step:
    """One span, whole; raises NotFound when the trace has none of that id.

    With `alone` its children are not asked for, which in a large trace takes longer than all else: `child_count` is
    then 0.
    """
    try:
        raw = bytes.fromhex(span_id) if len(span_id) == 16 else b""
    except ValueError:
        raw = b""
    row = conn.execute(select(span).where(span.c.trace_pk == trace.received, span.c.span_id == raw)).first()
    if row is None:
        raise NotFound(f"There is no step {span_id[:40]!r} in this trace.", field="span_id")
    parent = None
    if row.parent_id is not None:
        parent = conn.execute(
            select(span.c.span_id).where(span.c.trace_pk == trace.received, span.c.span_id == row.parent_id)
        ).first()
    below = select(span.c.span_id).where(span.c.trace_pk == trace.received, span.c.parent_id == raw)
    children = () if alone else conn.execute(below).all()
    place = Placed(0, 0, len(children), row.parent_id is not None and parent is None)
    logs = _logs(conn, trace, raw)
    return _step(trace, row, place, _bodies(conn, trace), logs.get(raw, []), _partial(conn, row))


def is_missing(conn: Connection, *, trace: TraceRow, span_id: str) -> bool:
    """Whether an id is that of a parent which steps of the trace name and which has not arrived."""
    try:
        raw = bytes.fromhex(span_id) if len(span_id) == 16 else b""
    except ValueError:
        return False
    there = select(span.c.span_id).where(_of(trace), span.c.span_id == raw)
    if conn.execute(there).first() is not None:
        return False
    return conn.execute(select(span.c.span_id).where(_of(trace), span.c.parent_id == raw).limit(1)).first() is not None


def listed(row: Row[Any], trace: TraceRow) -> SpanRow:
    """A span's columns for a list across traces, where nothing is known of the steps around it."""
    return _span_row(row, trace, Placed(0, 0, 0, False))


def listed_steps(conn: Connection, *, trace: TraceRow, span_ids: Sequence[bytes]) -> list[SpanRow]:
    """The columns of these spans of a trace, in the order given, as `listed`; those not there are passed over."""
    wanted = [(trace.received, span_id) for span_id in span_ids]
    rows = {row.span_id: row for row in Sql(conn).rows_at("span", ("trace_pk", "span_id"), wanted)}
    return [listed(rows[span_id], trace) for span_id in span_ids if span_id in rows]


STEPS_AT_ONCE = 200
FEW = 60
"""Up to so many steps their logs are asked for one by one, and not those of the whole trace."""
EARLIER_CALLS = 3
"""Model calls before one, in the whole trace and beside it, of which one may have begun the same conversation."""


def calls_before(conn: Connection, *, trace: TraceRow, row: SpanRow) -> list[Step]:
    """The model calls that began shortly before this step in its trace, those beside it first; the latest first."""
    raw = bytes.fromhex(row.span_id)
    earlier = [
        span.c.trace_pk == trace.received,
        text("kind IN (3, 6)"),  # as the index of calls has it
        span.c.kind == Kind.llm,
        span.c.start_time <= row.start_time,
        span.c.span_id != raw,
    ]
    beside = [*earlier, span.c.parent_id == bytes.fromhex(row.parent_id)] if row.parent_id else None
    found: dict[bytes, Row[Any]] = {}
    for where in (beside, earlier):
        if where is not None:
            newest = select(span).where(*where).order_by(span.c.start_time.desc(), span.c.span_id).limit(EARLIER_CALLS)
            found |= {one.span_id: one for one in conn.execute(newest) if one.span_id not in found}
    bodies = _bodies(conn, trace)
    place = Placed(0, 0, 0, False)
    return [
        _step(trace, one, place, bodies, _logs(conn, trace, one.span_id).get(one.span_id, []), None)
        for one in found.values()
    ]


def call_number(conn: Connection, *, trace: TraceRow, row: SpanRow) -> tuple[int, int]:
    """Which model call of its trace a step is, by when they began, from 1; and how many there are."""
    earlier = or_(
        span.c.start_time < row.start_time,
        and_(span.c.start_time == row.start_time, span.c.span_id <= bytes.fromhex(row.span_id)),
    )
    # As the index of calls has it.
    calls = select(func.count(), func.count().filter(earlier)).where(
        span.c.trace_pk == trace.received, text("kind IN (3, 6)"), span.c.kind == Kind.llm
    )
    many, number = conn.execute(calls).one()
    return int(number), int(many)


def steps_of(conn: Connection, *, trace: TraceRow, span_ids: Sequence[bytes]) -> Iterator[Step]:
    """These spans of a trace, whole, in the order given; those that are not there are passed over."""
    bodies = _bodies(conn, trace)
    if len(span_ids) > FEW:
        logs = _logs(conn, trace)
    else:
        logs = {span_id: _logs(conn, trace, span_id).get(span_id, []) for span_id in span_ids}
    place = Placed(0, 0, 0, False)
    for begin in range(0, len(span_ids), STEPS_AT_ONCE):
        some = span_ids[begin : begin + STEPS_AT_ONCE]
        found = conn.execute(select(span).where(span.c.trace_pk == trace.received, span.c.span_id.in_(some)))
        rows = {row.span_id: row for row in found}
        for span_id in some:
            row = rows.get(span_id)
            if row is not None:
                yield _step(trace, row, place, bodies, logs.get(span_id, []), _partial(conn, row))


@dataclass(frozen=True, slots=True)
class WholeSpan:
    """A span as it came, the log records that were joined to it, and, read when it is asked for, what they say."""

    record: SpanRecord
    logs: list[LogRecord]
    read: Callable[[], Step]
    """The span as someone opens it; needs the database no more, and takes longer than all else."""


def span_ids_of(conn: Connection, *, trace: TraceRow) -> list[bytes]:
    """The ids of a trace's spans in tree order."""
    asked = "SELECT start_time, span_id, parent_id FROM span WHERE trace_pk = ?"
    keys = [(row.start_time, row.span_id, row.parent_id) for row in Sql(conn).rows(asked, [trace.received])]
    return [keys[place.index][1] for place in order_of(keys)]


def whole_spans(conn: Connection, *, trace: TraceRow, span_ids: Sequence[bytes] | None = None) -> Iterator[WholeSpan]:
    """These spans of a trace in the order given, each read once; all of them in tree order without a list.

    A running step's text so far stands among the attributes of its record, as its client sent it.
    """
    wanted = select(span).where(_of(trace))
    if span_ids is not None:
        wanted = wanted.where(span.c.span_id.in_(span_ids))
    rows = conn.execute(wanted).all()
    if span_ids is None:
        in_order = [rows[place.index] for place in tree_order(rows)]
        logs = _logs(conn, trace)
    else:
        by_id = {row.span_id: row for row in rows}
        in_order = [by_id[span_id] for span_id in span_ids if span_id in by_id]
        logs = _logs(conn, trace, span_ids)
    bodies, place = _bodies(conn, trace), Placed(0, 0, 0, False)
    for row in in_order:
        so_far, joined = _partial(conn, row), logs.get(row.span_id, [])
        body = bodies.read(place_of(row))
        record = record_of(bytes.fromhex(trace.trace_id), row, body)
        if so_far is not None:
            record.attributes = {**record.attributes, "stepscope.output.partial": so_far}
        yield WholeSpan(record, joined, partial(_read, trace, row, place, body, joined, so_far))


def steps(conn: Connection, *, trace: TraceRow) -> Iterator[Step]:
    """Every span of a trace in tree order, whole, one after the other."""
    rows = conn.execute(select(span).where(span.c.trace_pk == trace.received)).all()
    logs = _logs(conn, trace)
    partials = {
        row.span_id: row.text
        for row in conn.execute(select(partial_output).where(partial_output.c.trace_pk == trace.received))
    }
    bodies = _bodies(conn, trace)
    for place in tree_order(rows):
        row = rows[place.index]
        yield _step(trace, row, place, bodies, logs.get(row.span_id, []), partials.get(row.span_id))


def _step(
    trace: TraceRow,
    row: Row[Any],
    place: Placed,
    bodies: BodyReader,
    logs: list[LogRecord],
    so_far: str | None,
) -> Step:
    return _read(trace, row, place, bodies.read(place_of(row)), logs, so_far)


def _read(
    trace: TraceRow,
    row: Row[Any],
    place: Placed,
    body: Body,
    logs: list[LogRecord],
    so_far: str | None,
) -> Step:
    record = record_of(bytes.fromhex(trace.trace_id), row, body)
    events = [Event(event.name, UnixNanos(event.time), jsonable(event.attributes)) for event in body.events]
    events += [
        Event(
            log.event_name or "log",
            UnixNanos(log.time),
            jsonable({**log.attributes, "body": log.body, "severity": log.severity}),
        )
        for log in logs
    ]
    return Step(
        row=_span_row(row, trace, place),
        content=read_content(record, logs),
        session_id=row.session_id,
        user_id=row.user_id,
        environment=row.environment,
        release=row.release,
        tags=tuple(json.loads(row.tags)) if row.tags else (),
        metadata=json.loads(row.metadata) if row.metadata else {},
        events=tuple(sorted(events, key=lambda event: event.time)),
        links=tuple({"trace_id": link.trace_id.hex(), "span_id": link.span_id.hex()} for link in body.links),
        resource=jsonable(body.resource),
        scope={
            "name": body.scope.name,
            "version": body.scope.version,
            "attributes": jsonable(body.scope.attributes),
        },
        attributes=jsonable(record.attributes),
        partial_output=so_far,
        otlp_kind=row.otlp_kind,
        flags=tuple((flag.name or "").lower() for flag in Flag(row.flags)),
    )


def _span_row(row: Row[Any], trace: TraceRow, place: Placed) -> SpanRow:
    return _span_row_of(_listed(row), trace, place)


def _span_row_of(values: Sequence[Any], trace: TraceRow, place: Placed) -> SpanRow:
    """A span's columns out of the values of _LISTED."""
    (
        span_id, parent_id, name, kind, code, status_message, start, end, model, provider, cost, input_cost,
        output_cost, cost_source, first_token, service, dialect,
    ) = values[:_COUNTS_AT]  # fmt: skip
    status = _STATUSES[code]
    duration = None if end is None else Nanos(end - start if end > start else 0)
    if code == _RUNNING:
        status = Status.running.name if trace.status == Status.running.name else ABANDONED
        duration = Nanos(max(0, time.time_ns() - start)) if status == Status.running.name else None
    # By place: ten thousand times by name takes ten milliseconds more.
    return SpanRow(
        trace.trace_id,
        span_id.hex(),
        parent_id.hex() if parent_id is not None else None,
        place.depth,
        place.orphan,
        place.child_count,
        name,
        _KINDS[kind],
        status,
        status_message,
        start,
        end,
        duration,
        model,
        provider,
        usage_of(tuple(values[_COUNTS_AT:])),
        cost,
        input_cost,
        output_cost,
        cost_source,
        first_token,
        service,
        dialect,
    )


def _bodies(conn: Connection, trace: TraceRow) -> BodyReader:
    def load(number: int) -> bytes:
        return conn.execute(select(pack.c.data).where(pack.c.id == number)).scalar_one()

    return body_reader(trace.received, load)


def _of(trace: TraceRow) -> ColumnElement[bool]:
    return span.c.trace_pk == trace.received


def _logs(
    conn: Connection, trace: TraceRow, span_ids: bytes | Sequence[bytes] | None = None
) -> dict[bytes, list[LogRecord]]:
    where = [log_record.c.trace_id == bytes.fromhex(trace.trace_id), log_record.c.project_id == trace.project_id]
    if isinstance(span_ids, bytes):
        where.append(log_record.c.span_id == span_ids)
    elif span_ids is not None:
        where.append(log_record.c.span_id.in_(span_ids))
    found: dict[bytes, list[LogRecord]] = {}
    for row in conn.execute(select(log_record).where(*where).order_by(log_record.c.time, log_record.c.digest)):
        found.setdefault(row.span_id, []).append(decode_log(row))
    return found


def _partial(conn: Connection, row: Row[Any]) -> str | None:
    if row.status != Status.running:
        return None
    return conn.execute(
        select(partial_output.c.text).where(
            partial_output.c.trace_pk == row.trace_pk, partial_output.c.span_id == row.span_id
        )
    ).scalar_one_or_none()


def speaking_steps(conn: Connection, *, trace: TraceRow) -> list[bytes]:
    """The spans that may tell what a trace was asked and answered: its main root, then its last model call."""
    of_it = span.c.trace_pk == trace.received
    root = select(span.c.span_id).where(of_it, span.c.parent_id.is_(None)).order_by(span.c.start_time, span.c.span_id)
    calls = select(span.c.span_id).where(of_it, text("kind IN (3, 6)"), span.c.kind == Kind.llm)
    last = calls.order_by(span.c.start_time.desc(), span.c.span_id)
    return [row.span_id for query in (root, last) for row in conn.execute(query.limit(1))]
