"""Search in the texts of one trace: names, attributes, prompts, outputs, errors and logs, a bounded part at a time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, tuple_

from tracer.queries.rows import TraceRow
from tracer.store.bodies import Body
from tracer.store.logs import decode_log
from tracer.store.models import log_record, pack, partial_output, span
from tracer.store.spans import body_reader, place_of

SECONDS = 0.7
"""One answer takes no longer than this, whatever the trace's size: it says where the next one goes on."""

PACKS_KEPT = 24
"""Unpacked packs held at once, of about a megabyte each."""

Place = tuple[int, int]
"""(pack, offset): bodies are read in the order in which they lie."""


@dataclass(frozen=True, slots=True)
class Found:
    """The steps of one part of a trace in which a text occurs, and where to go on; None at the end."""

    span_ids: list[bytes]
    after: Place | None
    read: int
    """How many steps this part had."""


def find_within(
    conn: Connection, *, trace: TraceRow, text: str, after: Place | None = None, seconds: float = SECONDS
) -> Found:
    """Search from `after` on, without regard to upper and lower case, until the end or until the time is up."""
    wanted = text.lower()
    until = time.monotonic() + seconds
    unpacked = 0

    def load(number: int) -> bytes:
        nonlocal unpacked
        unpacked += 1
        return conn.execute(select(pack.c.data).where(pack.c.id == number)).scalar_one()

    reader = body_reader(trace.received, load)
    found = [] if after is not None else [*_in_logs(conn, trace, wanted), *_in_partials(conn, trace, wanted)]
    where = [span.c.trace_pk == trace.received]
    if after is not None:
        where.append(tuple_(span.c.pack, span.c.body_offset) > after)
    columns = (span.c.span_id, span.c.name, span.c.status_message, span.c.model, span.c.pack, span.c.body_offset)
    query = select(*columns, span.c.body_length).where(*where).order_by(span.c.pack, span.c.body_offset)
    read = 0
    rows = conn.execute(query, execution_options={"yield_per": 500})
    try:
        for row in rows:
            read += 1
            named = (row.name, row.status_message or "", row.model or "", row.span_id.hex())
            if any(wanted in part.lower() for part in named) or _in_body(reader.read(place_of(row)), wanted):
                found.append(row.span_id)
            if unpacked > PACKS_KEPT:
                reader.forget()
                unpacked = 0
            if time.monotonic() > until:
                return Found(found, (row.pack, row.body_offset), read)
    finally:
        rows.close()
    return Found(found, None, read)


def _in_logs(conn: Connection, trace: TraceRow, wanted: str) -> list[bytes]:
    where = (log_record.c.trace_id == bytes.fromhex(trace.trace_id), log_record.c.project_id == trace.project_id)
    found: dict[bytes, None] = {}
    for row in conn.execute(select(log_record).where(*where), execution_options={"yield_per": 200}):
        log = decode_log(row)
        if row.span_id not in found and _occurs(wanted, [log.event_name or "", log.body, log.attributes]):
            found[row.span_id] = None
    return list(found)


def _in_partials(conn: Connection, trace: TraceRow, wanted: str) -> list[bytes]:
    rows = conn.execute(select(partial_output).where(partial_output.c.trace_pk == trace.received))
    return [row.span_id for row in rows if wanted in row.text.lower()]


def _in_body(body: Body, wanted: str) -> bool:
    events = ([event.name, event.attributes] for event in body.events)
    return _occurs(wanted, [body.attributes, body.resource, body.scope.name, *events])


def _occurs(wanted: str, values: Iterable[Any]) -> bool:
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            if wanted in value.lower():
                return True
        elif isinstance(value, Mapping):
            waiting += value.keys()
            waiting += value.values()
        elif isinstance(value, (list, tuple)):
            waiting += value
        elif isinstance(value, (int, float)) and wanted in str(value).lower():
            return True
    return False
