"""Whether two steps were given, gave back or failed with the same: one answer for pages and programs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from tracer.queries.rows import Step, TraceRow
from tracer.queries.steps import steps_of

WITHIN_S = 0.4
"""After so long no further pair is read."""


def texts_differ(
    conn: Connection, one: TraceRow, other: TraceRow, pairs: Sequence[tuple[bytes, bytes]], *, within: float = WITHIN_S
) -> list[bool]:
    """Of pairs of steps (span ids) whether their texts differ: the first ones, as many as are read in so many seconds.

    It ends before a pair of which a step is not there.
    """
    until = time.monotonic() + within
    found: list[bool] = []
    before = steps_of(conn, trace=one, span_ids=[pair[0] for pair in pairs])
    after = steps_of(conn, trace=other, span_ids=[pair[1] for pair in pairs])
    for pair, first, second in zip(pairs, before, after, strict=False):
        if (first.row.span_id, second.row.span_id) != (pair[0].hex(), pair[1].hex()):
            break
        found.append(_said(first) != _said(second))
        if time.monotonic() > until:
            break
    return found


def _said(step: Step) -> tuple[object, ...]:
    """What a step was given, gave back and failed with, without the ids that every call has anew."""
    content = step.content
    messages = (_without_ids(content.input_messages), _without_ids(content.output_messages))
    documents = [(one.get("id"), one.get("content")) for one in content.documents or ()]
    values = (content.input if messages[0] is None else None, content.output if messages[1] is None else None)
    return (step.row.status_message, messages, values, _without_ids(content.tool), documents, step.partial_output)


def _without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_ids(item) for key, item in value.items() if key not in ("id", "call_id")}
    return [_without_ids(item) for item in value] if isinstance(value, list) else value
