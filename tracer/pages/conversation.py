"""What a model call goes on with: the call before it in the same conversation."""

from __future__ import annotations

from sqlalchemy import Connection

from tracer.pages.reading import shared_start
from tracer.queries.rows import SpanRow, Step, TraceRow
from tracer.queries.steps import calls_before


def call_before(conn: Connection, trace: TraceRow, found: Step) -> tuple[SpanRow | None, int]:
    """The model call whose conversation this step goes on with, and how many messages of it."""
    messages = found.content.input_messages
    if found.row.kind != "llm" or not messages or len(messages) < 2:
        return None, 0
    best, most = None, 0
    for earlier in calls_before(conn, trace=trace, row=found.row):
        shared = shared_start(messages, earlier.content.input_messages or [])
        if shared > most:
            best, most = earlier.row, shared
    return best, most
