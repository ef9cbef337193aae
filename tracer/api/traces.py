"""Traces and spans over REST."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from tracer.api import schemas, shape
from tracer.api.answers import JsonAnswer
from tracer.auth import Caller
from tracer.errors import BadRequest
from tracer.prices import PriceBook
from tracer.queries.cursor import Cursor, read_cursor, write_cursor
from tracer.queries.found import SPAN_ORDERS, found_spans, found_traces, read_q
from tracer.queries.projects import project_id_by_name
from tracer.queries.steps import listed_steps, span_ids_of, step, steps, steps_of, tree
from tracer.queries.traces import ORDERS, newest_traces, trace_by_id
from tracer.search.tree import Node
from tracer.settings import Settings
from tracer.store.engine import Store
from tracer.units import UnixNanos, parse_rfc3339, rfc3339

REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {"model": schemas.Error, "description": words}
    for code, words in (
        (400, "A parameter that cannot be read"),
        (401, "No key, or one that is not known"),
        (403, "Not allowed"),
        (404, "Not there"),
        (422, "A parameter out of its range"),
        (503, "The database is away"),
    )
}
router = APIRouter(prefix="/api/v1", tags=["traces"], responses=REFUSALS)

ProjectName = Annotated[str | None, Query(max_length=400, description="A project's name; every one in sight without.")]
TraceId = Annotated[str, Path(description="32 hex digits", examples=["4bf92f3577b34da6a3ce929d0e0e4736"])]
SpanId = Annotated[str, Path(description="16 hex digits", examples=["00f067aa0ba902b7"])]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many items at the most.")]
CursorText = Annotated[str | None, Query(max_length=400, description="`next_cursor` of the page before.")]
Moment = Annotated[
    str | None, Query(max_length=60, examples=["2026-11-22T14:00:00Z"], json_schema_extra={"format": "date-time"})
]
SearchText = Annotated[
    str,
    Query(
        max_length=4000,
        description="A search: words, fields, comparisons; `docs/search.md` has the language, "
        "`/api/v1/fields` its fields.",
        examples=['status:error latency>2s "connection refused"'],
    ),
]
Bodies = Annotated[bool, Query(description="false leaves input, output, attributes and events out.")]


Order = Annotated[str, Query(max_length=40, json_schema_extra={"enum": list(ORDERS)})]
SpanOrder = Annotated[str, Query(max_length=40, json_schema_extra={"enum": list(SPAN_ORDERS)})]


class Reader:
    """What a route needs to answer: the store, the caller's scope, settings."""

    def __init__(self, request: Request) -> None:
        self.store: Store = request.app.state.store
        self.settings: Settings = request.app.state.settings
        self.prices: PriceBook = request.app.state.prices
        caller: Caller = request.state.caller
        self.scope = caller.scope
        self.abandoned_after = self.settings.abandoned_after


@router.get("/traces", response_model=schemas.Traces)
def list_traces(
    request: Request,
    project: ProjectName = None,
    q: SearchText = "",
    since: Annotated[Moment, Query(alias="from")] = None,
    until: Annotated[Moment, Query(alias="to")] = None,
    order: Order = "-start_time",
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Response:
    """Trace summaries, newest first.

    A page of a search may hold fewer than `limit` and still have a `next_cursor`: the time for one answer was over, and
    `searched_to` says how far it looked.
    """
    reader = Reader(request)
    search = asked(q, reader)
    with reader.store.reading() as conn:
        project_id = project_id_by_name(conn, scope=reader.scope, name=project) if project else None
        within = {
            "scope": reader.scope,
            "project_id": project_id,
            "after": cursor,
            "limit": limit,
            "order": order,
            "since": read_moment(since, "from"),
            "until": read_moment(until, "to"),
            "abandoned_after": reader.abandoned_after,
        }
        page = newest_traces(conn, **within) if search is None else found_traces(conn, search, **within)
    answer = {"items": [shape.listed_trace(row) for row in page.items], "next_cursor": page.next_cursor}
    if page.searched_to is not None:
        answer["searched_to"] = rfc3339(page.searched_to)
    return JsonAnswer(answer)


@router.get("/spans", response_model=schemas.Spans)
def search_spans(
    request: Request,
    project: ProjectName = None,
    q: SearchText = "",
    since: Annotated[Moment, Query(alias="from", description="Spans that began then or later.")] = None,
    until: Annotated[Moment, Query(alias="to", description="Spans that began before.")] = None,
    order: SpanOrder = "-start_time",
    limit: Limit = 50,
    cursor: CursorText = None,
    bodies: Bodies = False,
) -> Response:
    """Spans across traces, newest first: everything that `q` asks is asked of the span itself.

    As with traces, a page may hold fewer than `limit` and still have a `next_cursor`.
    """
    reader = Reader(request)
    search = asked(q, reader, spans=True)
    with reader.store.reading() as conn:
        page = found_spans(
            conn,
            search,
            scope=reader.scope,
            project_id=project_id_by_name(conn, scope=reader.scope, name=project) if project else None,
            after=cursor,
            limit=limit,
            order=order,
            since=read_moment(since, "from"),
            until=read_moment(until, "to"),
            abandoned_after=reader.abandoned_after,
        )
        if bodies:
            items = [
                shape.step(step(conn, trace=trace, span_id=row.span_id, alone=True), reader.prices)
                for trace, row in page.items
            ]
        else:
            items = [shape.listed_span(row, reader.prices) for _, row in page.items]
    answer: dict[str, Any] = {"items": items, "next_cursor": page.next_cursor}
    if page.searched_to is not None:
        answer["searched_to"] = rfc3339(page.searched_to)
    return JsonAnswer(answer)


@router.get("/traces/{trace_id}", response_model=schemas.Trace)
def get_trace(request: Request, trace_id: TraceId, project: ProjectName = None, bodies: Bodies = True) -> Response:
    """One trace with every span of it, in tree order."""
    reader = Reader(request)
    with reader.store.reading() as conn:
        row = _trace(conn, reader, trace_id, project)
        spans = (
            [shape.step(found, reader.prices) for found in steps(conn, trace=row)]
            if bodies
            else [shape.listed_span(found, reader.prices) for found in tree(conn, trace=row)]
        )
    return JsonAnswer(shape.trace(row) | {"spans": spans})


@router.get("/traces/{trace_id}/spans", response_model=schemas.Spans)
def list_spans(
    request: Request,
    trace_id: TraceId,
    project: ProjectName = None,
    limit: Limit = 50,
    cursor: CursorText = None,
    bodies: Bodies = True,
) -> Response:
    """A trace's spans in tree order, page by page."""
    reader = Reader(request)
    start = read_cursor(cursor, order="tree").value if cursor else 0
    with reader.store.reading() as conn:
        row = _trace(conn, reader, trace_id, project)
        ids = span_ids_of(conn, trace=row)
        end = max(0, start) + limit
        some = ids[max(0, start) : end]
        if bodies:
            items = [shape.step(one, reader.prices) for one in steps_of(conn, trace=row, span_ids=some)]
        else:
            items = [shape.listed_span(one, reader.prices) for one in listed_steps(conn, trace=row, span_ids=some)]
    after = write_cursor(Cursor("tree", end, row.received)) if end < len(ids) else None
    return JsonAnswer({"items": items, "next_cursor": after})


@router.get("/traces/{trace_id}/spans/{span_id}", response_model=schemas.Span)
def get_span(request: Request, trace_id: TraceId, span_id: SpanId, project: ProjectName = None) -> Response:
    """One span, whole."""
    reader = Reader(request)
    with reader.store.reading() as conn:
        row = _trace(conn, reader, trace_id, project)
        return JsonAnswer(shape.step(step(conn, trace=row, span_id=span_id.lower(), alone=True), reader.prices))


def asked(q: str, reader: Reader, *, spans: bool = False) -> Node | None:
    """What `q` asks for; None when it asks for nothing. Raises BadSearch."""
    return read_q(q, searching=reader.settings.search == "on", spans=spans)


def _trace(conn: Any, reader: Reader, trace_id: str, project: str | None) -> Any:
    project_id = project_id_by_name(conn, scope=reader.scope, name=project) if project else None
    return trace_by_id(
        conn,
        scope=reader.scope,
        trace_id=trace_id.lower(),
        project_id=project_id,
        abandoned_after=reader.abandoned_after,
    )


def read_moment(text: str | None, field: str) -> UnixNanos | None:
    """Read a time in a parameter; raises BadRequest for anything else."""
    if text is None:
        return None
    try:
        return parse_rfc3339(text)
    except (ValueError, OverflowError):
        raise BadRequest(f"{text[:60]!r} is no time: write it as 2026-11-22T14:00:00Z.", field=field) from None
