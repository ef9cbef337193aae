"""A trace in short, for the panel beside the list: what it was asked, what it answered, what went wrong."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from tracer.pages.page import reading, render, trace_at
from tracer.pages.turns import Turn, turns_of
from tracer.queries.rows import ProjectRow, TraceRow

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class PeekPage:
    """One trace and what it says."""

    project: ProjectRow
    trace: TraceRow
    turn: Turn


@router.get("/p/{slug}/traces/{trace_id}/peek")
def show_peek(request: Request, slug: str, trace_id: str) -> Response:
    """The panel's content."""
    with reading(request) as conn:
        project, trace = trace_at(conn, request, slug, trace_id)
        [turn] = turns_of(conn, [trace], first=1)
    return render(request, "traces/_peek.html", PeekPage(project, trace, turn))
