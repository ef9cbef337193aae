"""A chain's wiring as its last runs show it, for the trace page to draw beside the run."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Request, Response

from tracer.pages.page import PAGE_HEADERS, abandoned_after, caller_of, reading, trace_at
from tracer.pages.words import name_of
from tracer.queries.outline import KIND_WORDS
from tracer.queries.wiring import wiring

router = APIRouter(include_in_schema=False, prefix="/p/{slug}/traces/{trace_id}")


@router.get("/wiring")
def show_wiring(request: Request, slug: str, trace_id: str) -> Response:
    """What the other last runs of this trace's chain consisted of; `first` in microseconds from a run's beginning."""
    with reading(request) as conn:
        _, trace = trace_at(conn, request, slug, trace_id)
        found = wiring(conn, scope=caller_of(request).scope, like=trace, abandoned_after=abandoned_after(request))
    body = {
        "runs": found.runs,
        "cut": found.cut,
        "left": found.left,
        "nodes": [
            {
                "name": name_of(node.name),
                "kind": KIND_WORDS[node.kind] if node.kind < len(KIND_WORDS) else "other",
                "depth": node.depth,
                "first": node.first // 1_000,
                "runs": node.runs,
                "steps": node.steps,
            }
            for node in found.nodes
        ],
        "edges": found.edges,
    }
    return Response(msgspec.json.encode(body), media_type="application/json", headers=PAGE_HEADERS)
