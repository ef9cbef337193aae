"""A chain's wiring as it declares it and as its last runs show it, for the trace page to draw beside the run."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Request, Response

from tracer.pages.page import PAGE_HEADERS, abandoned_after, caller_of, reading, trace_at
from tracer.pages.words import name_of
from tracer.queries.declared import declared
from tracer.queries.outline import KIND_WORDS
from tracer.queries.wiring import wiring

router = APIRouter(include_in_schema=False, prefix="/p/{slug}/traces/{trace_id}")


@router.get("/wiring")
def show_wiring(request: Request, slug: str, trace_id: str) -> Response:
    """What this run declares, and what the other last runs of its chain consisted of.

    `first` is in microseconds from a run's beginning; `callers` are the names and kinds of who may call a step.
    """
    with reading(request) as conn:
        _, trace = trace_at(conn, request, slug, trace_id)
        found = wiring(conn, scope=caller_of(request).scope, like=trace, abandoned_after=abandoned_after(request))
        told = declared(conn, trace=trace)
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
        "declared": [
            {
                "name": name_of(step.name),
                "kind": step.kind,
                "parameters": [f"{key}: {value}" for key, value in step.parameters.items()],
                "callers": [[name_of(name), kind] for name, kind in sorted(step.callers)],
            }
            for step in told
        ],
    }
    return Response(msgspec.json.encode(body), media_type="application/json", headers=PAGE_HEADERS)
