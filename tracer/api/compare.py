"""Two traces side by side over REST: which steps belong together, what came, went and changed."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import Connection

from tracer.api import schemas, shape
from tracer.api.answers import JsonAnswer
from tracer.api.traces import REFUSALS, CursorText, Limit, ProjectName, Reader
from tracer.errors import NotFound
from tracer.queries.align import SAME, STATES, align, state_of
from tracer.queries.cursor import Cursor, read_cursor, write_cursor
from tracer.queries.outline import KIND_WORDS, STATUSES, Outline, outline
from tracer.queries.projects import project_id_by_name
from tracer.queries.rows import TraceRow
from tracer.queries.runs import run_before
from tracer.queries.same_texts import texts_differ
from tracer.queries.traces import trace_by_id
from tracer.units import Nanos, NanoUsd, millis, usd

router = APIRouter(prefix="/api/v1", tags=["comparing"], responses=REFUSALS)

PREVIOUS = "previous"


@router.get("/compare", response_model=schemas.Comparison)
def compare_traces(
    request: Request,
    b: Annotated[
        str,
        Query(max_length=40, description="The trace that is compared.", examples=["4bf92f3577b34da6a3ce929d0e0e4736"]),
    ],
    a: Annotated[
        str,
        Query(
            max_length=40,
            description="What it is compared with; `previous` is the run of the same chain before it: the last one "
            "with the same input, where there is one.",
            examples=["0af7651916cd43dd8448eb211c80319c"],
        ),
    ] = PREVIOUS,
    project: ProjectName = None,
    same: Annotated[bool, Query(description="false leaves out the steps in which nothing differs.")] = True,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Response:
    """Two traces step by step, in the order of `b`; the steps that only `a` has stand where they were.

    Steps are aligned by structure: name, kind and place in the tree. Tokens and cost of a step with calls below it are
    their sum. `texts_differ` is null where nothing could be compared, or the time for one answer was over.
    """
    reader = Reader(request)
    start = max(0, read_cursor(cursor, order="compare").value) if cursor else 0
    with reader.store.reading() as conn:
        project_id = project_id_by_name(conn, scope=reader.scope, name=project) if project else None
        other = _trace(conn, reader, b, project_id, "b")
        one = _before(conn, reader, other) if a == PREVIOUS else _trace(conn, reader, a, project_id, "a")
        before, after = outline(conn, trace=one), outline(conn, trace=other)
        lines = align(before, after)
        states = [state_of(before, after, line) for line in lines]
        shown = [
            (line, state) for line, state in zip(lines, states, strict=True) if same or state != SAME or line.moved
        ]
        part = shown[start : start + limit]
        both = [line for line, _ in part if line.one >= 0 and line.other >= 0]
        pairs = [(before.ids[line.one], after.ids[line.other]) for line in both]
        told = zip(both, texts_differ(conn, one, other, pairs), strict=False)
        differ = {(line.one, line.other): differs for line, differs in told}
    counts = Counter(states)
    end = start + limit
    return JsonAnswer(
        {
            "a": shape.trace(one),
            "b": shape.trace(other),
            "counts": {word: counts[state] for state, word in enumerate(STATES)}
            | {"moved": sum(line.moved for line in lines)},
            "items": [
                {
                    "state": STATES[state],
                    "moved": line.moved,
                    "depth": line.depth,
                    "a": _step(before, line.one),
                    "b": _step(after, line.other),
                    "texts_differ": differ.get((line.one, line.other)),
                }
                for line, state in part
            ],
            "next_cursor": write_cursor(Cursor("compare", end, other.received)) if end < len(shown) else None,
        }
    )


def _trace(conn: Connection, reader: Reader, trace_id: str, project_id: int | None, field: str) -> TraceRow:
    try:
        return trace_by_id(
            conn,
            scope=reader.scope,
            trace_id=trace_id.lower(),
            project_id=project_id,
            abandoned_after=reader.abandoned_after,
        )
    except NotFound as problem:
        raise NotFound(problem.message, field=field) from None


def _before(conn: Connection, reader: Reader, other: TraceRow) -> TraceRow:
    found = run_before(conn, scope=reader.scope, like=other, abandoned_after=reader.abandoned_after)
    if found is None:
        raise NotFound("There is no run of this chain before it.", field="a")
    return found


def _step(rows: Outline, row: int) -> dict[str, Any] | None:
    if row < 0:
        return None
    took, tokens, cost = rows.duration[row], rows.tokens[row], rows.cost[row]
    return {
        "span_id": rows.ids[row].hex(),
        "name": rows.name[row],
        "kind": KIND_WORDS[rows.kind[row]],
        "status": STATUSES[rows.status[row]],
        "model": rows.model[row],
        "duration_ms": None if took < 0 else millis(Nanos(took)),
        "tokens": None if tokens < 0 else tokens,
        "cost_usd": None if cost < 0 else usd(NanoUsd(cost)),
    }
