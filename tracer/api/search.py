"""What a search box needs over REST: the language's fields, ways to go on, counts by value, saved searches."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from tracer.access.audit import tell
from tracer.api import schemas, shape
from tracer.api.answers import JsonAnswer
from tracer.api.scores import written
from tracer.api.traces import REFUSALS, Moment, ProjectName, Reader, SearchText, asked, read_moment
from tracer.errors import BadRequest
from tracer.ingest.apply import Changes
from tracer.ingest.views import drop_view, put_view
from tracer.otlp.text import clean
from tracer.queries.facets import facets
from tracer.queries.projects import project_by_name, project_id_by_name
from tracer.queries.suggest import suggested
from tracer.queries.traces import NEWEST_FIRST, ORDERS
from tracer.queries.views import view_by_id, views
from tracer.search.fields import FIELDS
from tracer.search.parse import read_search
from tracer.store.sql import Sql

router = APIRouter(prefix="/api/v1", tags=["searching"], responses=REFUSALS)

LAST_ID = 2**63 - 1


@router.get("/fields", response_model=schemas.SearchFields)
def list_fields(request: Request) -> Response:
    """Every field of the search language: what it takes and finds, with an example."""
    return JsonAnswer(
        {
            "items": [
                {
                    "name": one.name,
                    "keyed": one.keyed,
                    "takes": one.takes.name,
                    "values": list(one.choices),
                    "finds": one.finds,
                    "of_step": one.of_step,
                    "of_spans": one.of_spans is not None,
                    "example": one.example,
                }
                for one in FIELDS
            ]
        }
    )


@router.get("/completions", response_model=schemas.Completions)
def complete(
    request: Request,
    project: ProjectName = None,
    q: Annotated[str, Query(max_length=4000, examples=["status:er"])] = "",
    at: Annotated[int | None, Query(ge=0, le=4000, description="The cursor's character; the end without.")] = None,
) -> Response:
    """Ways to go on in a search that is being typed: fields, their choices, values of the newest traces."""
    reader = Reader(request)
    with reader.store.reading() as conn:
        project_id = project_id_by_name(conn, scope=reader.scope, name=project) if project else None
        found = suggested(conn, q, len(q) if at is None else at, scope=reader.scope, project_id=project_id)
    return JsonAnswer({"items": [asdict(one) for one in found]})


@router.get("/facets", response_model=schemas.Facets)
def count_by_value(
    request: Request,
    project: ProjectName = None,
    q: SearchText = "",
    since: Annotated[Moment, Query(alias="from")] = None,
    until: Annotated[Moment, Query(alias="to")] = None,
    values: Annotated[int, Query(ge=1, le=100, description="How many values of each field.")] = 10,
) -> Response:
    """What the traces that a search finds have in common, by field, and how they spread over time.

    However many there are, where the search asks for nothing, or for status, name, model, service, tag, environment or
    release; of other searches that find more than 10,000 the newest are counted, and `searched_to` says how far back
    that is. Each facet says over how many traces it was counted: users, sessions and kinds over the newest.
    """
    reader = Reader(request)
    search = asked(q, reader)
    with reader.store.reading() as conn:
        found = facets(
            conn,
            search,
            scope=reader.scope,
            project_id=project_id_by_name(conn, scope=reader.scope, name=project) if project else None,
            since=read_moment(since, "from"),
            until=read_moment(until, "to"),
            values=values,
            abandoned_after=reader.abandoned_after,
        )
    return JsonAnswer(shape.facets(found))


def _name(text: str) -> str:
    text = clean(text).strip()
    if not text:
        raise ValueError("must not be empty")
    return text


class ViewIn(BaseModel):
    """A search to be saved; one of the same name in the project is replaced."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"project": "support-bot", "name": "Slow and failed", "q": "status:error latency>10s"}
        },
    )

    project: str = Field(max_length=400)
    name: Annotated[str, AfterValidator(_name)] = Field(
        max_length=200, json_schema_extra={"minLength": 1, "pattern": r"\S"}
    )
    q: str = Field("", max_length=4000)
    order: str = Field(NEWEST_FIRST, max_length=40, json_schema_extra={"enum": list(ORDERS)})
    columns: list[Annotated[str, Field(max_length=200)]] = Field(default_factory=list, max_length=50)


@router.get("/views", response_model=schemas.SavedViews)
def list_views(request: Request, project: ProjectName = None) -> Response:
    """The saved searches, by name."""
    reader = Reader(request)
    with reader.store.reading() as conn:
        project_id = project_id_by_name(conn, scope=reader.scope, name=project) if project else None
        found = views(conn, scope=reader.scope, project_id=project_id)
    return JsonAnswer({"items": [shape.saved_view(one) for one in found], "next_cursor": None})


@router.post("/views", response_model=schemas.SavedView)
def post_view(request: Request, given: ViewIn) -> Response:
    """Save a search under a name, with the order and the columns of the list."""
    reader = Reader(request)
    read_search(given.q)
    if given.order not in ORDERS:
        raise BadRequest(f"There is no order {given.order!r}: use one of {', '.join(ORDERS)}.", field="order")
    with reader.store.reading() as conn:
        project = project_by_name(conn, scope=reader.scope, name=given.project)
    tell(request, project_id=project.id, target=f"view {given.name}")

    def work(sql: Sql) -> tuple[Changes, int]:
        now = time.time_ns()
        made = put_view(
            sql,
            project_id=project.id,
            name=given.name,
            q=clean(given.q),
            order=given.order,
            columns=[clean(one) for one in given.columns],
            author=request.state.caller.name,
            now=now,
        )
        return Changes(at=now), made

    view_id = written(request, work)
    with reader.store.reading() as conn:
        return JsonAnswer(shape.saved_view(view_by_id(conn, view_id, scope=reader.scope)))


@router.delete("/views/{view_id}", status_code=204, response_class=Response)
def delete_view(request: Request, view_id: Annotated[int, Path(ge=1, le=LAST_ID)]) -> Response:
    """Delete a saved search."""
    reader = Reader(request)
    with reader.store.reading() as conn:
        found = view_by_id(conn, view_id, scope=reader.scope)
    tell(request, project_id=found.project_id, target=f"view {found.name}")

    def work(sql: Sql) -> tuple[Changes, Any]:
        return Changes(at=time.time_ns()), drop_view(sql, found.id)

    written(request, work)
    return Response(status_code=204)
