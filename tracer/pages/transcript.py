"""A trace read as a conversation: what each step was given and gave back, a few steps at a time as they are seen."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from tracer.errors import BadRequest
from tracer.pages import reading as content
from tracer.pages.conversation import call_before
from tracer.pages.page import reading, render, trace_at
from tracer.queries.rows import ProjectRow, Step, TraceRow
from tracer.queries.steps import step as load_step

MOST_TURNS = 12
PATIENCE = 0.3
"""Seconds after which an answer stops, to be asked again for the rest."""

_TURN = re.compile(r"([0-9a-f]{16})([bio])")

router = APIRouter(include_in_schema=False, prefix="/p/{slug}/traces/{trace_id}")


@dataclass(frozen=True, slots=True)
class Turn:
    """What one step says: what was added for it, what it answered, what went wrong."""

    key: str
    step: Step
    input: content.Side | None
    output: content.Side | None
    failures: Sequence[content.Failure]
    documents: Sequence[content.DocumentView]
    more_documents: int


@dataclass(frozen=True, slots=True)
class TranscriptPage:
    """Some turns of a trace, in the order asked for."""

    project: ProjectRow
    trace: TraceRow
    turns: Sequence[Turn]


@router.get("/transcript")
def show_turns(request: Request, slug: str, trace_id: str, turns: str) -> Response:
    """Some steps' texts: `turns` are span ids, each followed by b (both sides), i (input) or o (output), by commas."""
    wanted = turns.split(",")
    named = [_TURN.fullmatch(turn) for turn in wanted]
    if len(wanted) > MOST_TURNS or not all(named):
        raise BadRequest(f"turns takes up to {MOST_TURNS} span ids, each with b, i or o.", field="turns")
    found: list[Turn] = []
    with reading(request) as conn:
        project, trace = trace_at(conn, request, slug, trace_id)
        until = time.monotonic() + PATIENCE
        for match in named:
            if match is None or (found and time.monotonic() > until):
                break
            step = load_step(conn, trace=trace, span_id=match[1], alone=True)
            seen = call_before(conn, trace, step)[1] if match[2] != "o" else 0
            found.append(turn_of(step, match[2], seen))
    return render(request, "traces/_turns.html", TranscriptPage(project, trace, found))


def turn_of(step: Step, part: str, seen: int) -> Turn:
    """What a step says in a transcript; of a model call's messages only those that no call before had."""
    documents, more = content.documents(step) if part != "i" else ([], 0)
    return Turn(
        key=step.row.span_id + part,
        step=step,
        input=content.input_side(step, seen=seen) if part != "o" else None,
        output=content.output_side(step) if part != "i" and not documents else None,
        failures=content.failures(step) if part != "i" else (),
        documents=documents[:5],
        more_documents=more + max(0, len(documents) - 5),
    )
