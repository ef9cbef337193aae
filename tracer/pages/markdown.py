"""Traces for models and terminals over REST: Markdown within a budget of tokens."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from tracer.access.audit import tell
from tracer.pages.contrast import contrast
from tracer.pages.digest import LEAST_BUDGET, digest
from tracer.pages.page import caller_of, reading
from tracer.queries.projects import project_id_by_name
from tracer.queries.traces import trace_by_id

router = APIRouter(prefix="/api/v1", tags=["traces"])


@router.get(
    "/traces/{trace_id}/markdown",
    response_class=Response,
    responses={
        200: {
            "content": {"text/markdown": {"schema": {"type": "string"}}},
            "description": "The trace as a model can read it",
        },
    },
)
def get_markdown(
    request: Request,
    trace_id: str,
    project: Annotated[str | None, Query(max_length=400)] = None,
    budget: Annotated[
        int | None,
        Query(ge=LEAST_BUDGET, le=10_000_000, description="Tokens that it may have at most; whole without."),
    ] = None,
    step: Annotated[str | None, Query(max_length=40, description="A span's id: only this step and all below.")] = None,
    against: Annotated[
        str | None, Query(max_length=40, description="Another trace's id: only what that one does differently.")
    ] = None,
) -> Response:
    """A trace as Markdown: what failed first, then the tree, then what its steps said.

    With a budget what matters least is cut, and the end says what was.
    """
    abandoned_after = request.app.state.settings.abandoned_after
    scope = caller_of(request).scope
    with reading(request) as conn:
        project_id = project_id_by_name(conn, scope=scope, name=project) if project else None
        found = [
            trace_by_id(conn, scope=scope, trace_id=id.lower(), project_id=project_id, abandoned_after=abandoned_after)
            for id in (trace_id, *([against] if against is not None else []))
        ]
        if len(found) > 1:
            tell(request, target=f"trace {found[0].trace_id}, trace {found[1].trace_id}")
            text = contrast(conn, *found, budget=budget)
        else:
            text = digest(conn, found[0], budget=budget, span_id=step)
    return Response(text.encode("utf-8", "replace"), media_type="text/markdown; charset=utf-8")
