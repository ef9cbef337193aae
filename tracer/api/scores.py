"""Scores over REST, and what people add to a trace."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as OutOfTime
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from tracer.access.audit import tell
from tracer.api import schemas, shape
from tracer.api.answers import JsonAnswer
from tracer.api.traces import REFUSALS, CursorText, Limit, ProjectName, Reader, TraceId
from tracer.auth import Caller
from tracer.errors import BadRequest, NotFound, Unavailable
from tracer.ingest.apply import Changes
from tracer.ingest.people import NewScore, Patch, annotate, drop_score, put_score
from tracer.ingest.prepare import DEFAULT_PROJECT, project_name
from tracer.ingest.writer import Writer
from tracer.otlp.addresses import asked_project
from tracer.otlp.text import clean
from tracer.queries.added import score_by_id, scores
from tracer.queries.projects import project_by_name, project_id_by_name
from tracer.queries.traces import trace_by_id
from tracer.store.projects import ProjectIds
from tracer.store.sql import Sql

router = APIRouter(prefix="/api/v1", tags=["scores"], responses=REFUSALS)

WRITTEN_WITHIN_S = 20
SCORE_ID = r"^[A-Za-z0-9._:@-]{1,200}$"
T = TypeVar("T")


def _value(value: object) -> float | bool | str:
    if isinstance(value, str):
        if not 0 < len(value) <= 1_000:
            raise ValueError("must be a text of 1 to 1,000 characters")
        return clean(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)) and abs(value) < 1e300 and math.isfinite(value):
        return float(value)
    raise ValueError("must be a finite number, true, false or a text")


def hex_schema(digits: int) -> WithJsonSchema:
    """How the description tells of an id."""
    return WithJsonSchema({"type": "string", "pattern": f"^[0-9a-fA-F]{{{digits}}}$"})


def _hex(digits: int) -> AfterValidator:
    def check(text: str) -> str:
        if re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", text) is None or not text.strip("0"):
            raise ValueError(f"must be {digits} hex digits, not all of them 0")
        return text.lower()

    return AfterValidator(check)


def _tags(tags: list[str] | None) -> list[str] | None:
    if tags is None:
        return None
    if not all(tag.strip() and len(tag) <= 200 for tag in tags):
        raise ValueError("must be texts of 1 to 200 characters")
    return [clean(tag).strip() for tag in tags]


TraceHex = Annotated[str, _hex(32), hex_schema(32)]
SpanHex = Annotated[str, _hex(16), hex_schema(16)]


class ScoreIn(BaseModel):
    """A score as it is given."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
                "name": "helpful",
                "value": True,
                "source": "user",
                "comment": "Spot on.",
            }
        },
    )

    trace_id: TraceHex
    span_id: SpanHex | None = Field(None, description="Without it the whole trace is scored.")
    name: str = Field(min_length=1, max_length=200, pattern=r"\S")
    value: Annotated[
        Any,
        AfterValidator(_value),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "number", "exclusiveMinimum": -1e300, "exclusiveMaximum": 1e300},
                    {"type": "boolean"},
                    {"type": "string", "minLength": 1, "maxLength": 1000},
                ]
            }
        ),
    ]
    comment: str | None = Field(None, max_length=20_000)
    source: Literal["user", "reviewer", "code", "model"] = "code"
    id: str | None = Field(
        None,
        pattern=SCORE_ID,
        description="A score with the same id is replaced; without one, the score of the same trace, step, name, "
        "source and author.",
    )
    project: str | None = Field(None, max_length=400, description="As for spans; else the trace's own.")


Tag = Annotated[str, Field(json_schema_extra={"minLength": 1, "maxLength": 200, "pattern": r"\S"})]


class PatchIn(BaseModel):
    """What people say of a trace; what is left out stays, an empty text or list takes it away."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"tags": ["golden"], "note": "Good example of a refund."}}
    )

    tags: Annotated[list[Tag] | None, AfterValidator(_tags)] = Field(None, max_length=100)
    name: str | None = Field(None, max_length=200)
    note: str | None = Field(None, max_length=20_000)


@router.post("/scores", response_model=schemas.Score)
def post_score(request: Request, given: ScoreIn) -> Response:
    """Score a trace or a step. It may come before its trace; a deleted trace takes none (404)."""
    found = add_score(request, given)
    return JsonAnswer(shape.score(found))


@router.get("/scores", response_model=schemas.Scores)
def list_scores(
    request: Request,
    trace_id: Annotated[str | None, Query(max_length=40, description="Only those of this trace.")] = None,
    project: ProjectName = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Response:
    """Scores, the newest first."""
    reader = Reader(request)
    with reader.store.reading() as conn:
        project_id = project_id_by_name(conn, scope=reader.scope, name=project) if project else None
        page = scores(
            conn,
            scope=reader.scope,
            trace_id=None if trace_id is None else _bytes(trace_id),
            project_id=project_id,
            after=cursor,
            limit=limit,
        )
    return JsonAnswer({"items": [shape.score(row) for row in page.items], "next_cursor": page.next_cursor})


@router.delete("/scores/{score_id}", status_code=204, response_class=Response)
def delete_score(
    request: Request, score_id: Annotated[str, Path(pattern=SCORE_ID)], project: ProjectName = None
) -> Response:
    """Take a score away."""
    reader = Reader(request)
    with reader.store.reading() as conn:
        project_id = project_id_by_name(conn, scope=reader.scope, name=project) if project else None
        found = score_by_id(conn, scope=reader.scope, score_id=score_id, project_id=project_id)
    tell(request, project=found.project, target=f"trace {found.trace_id}", detail=found.name)
    written(request, lambda sql: (drop_score(sql, found.row_id, now=time.time_ns()), None))
    return Response(status_code=204)


@router.patch("/traces/{trace_id}", response_model=schemas.TraceSummary)
def patch_trace(request: Request, trace_id: TraceId, given: PatchIn, project: ProjectName = None) -> Response:
    """Add tags, another name or a note to a trace; `tags` are all that people added, beside those it came with."""
    reader = Reader(request)
    with reader.store.reading() as conn:
        project_id = project_id_by_name(conn, scope=reader.scope, name=project) if project else None
        row = trace_by_id(conn, scope=reader.scope, trace_id=trace_id.lower(), project_id=project_id)
    tell(request, project_id=row.project_id)
    patch = Patch(
        name=None if given.name is None else clean(given.name).strip(),
        tags=None if given.tags is None else tuple(given.tags),
        note=None if given.note is None else clean(given.note).strip(),
    )
    key = bytes.fromhex(row.trace_id)
    written(request, lambda sql: (annotate(sql, key, patch, project_id=row.project_id, now=time.time_ns()), None))
    with reader.store.reading() as conn:
        row = trace_by_id(
            conn,
            scope=reader.scope,
            trace_id=row.trace_id,
            project_id=row.project_id,
            abandoned_after=reader.abandoned_after,
        )
    return JsonAnswer(shape.trace(row))


def add_score(request: Request, given: ScoreIn) -> Any:
    """Keep a score and return it as it is stored. Raises NotFound when its trace was deleted."""
    reader = Reader(request)
    caller: Caller = request.state.caller
    asked = given.project or asked_project(request.headers)
    name = caller.project or (project_name(clean(asked)) if asked and asked.strip() else None)
    if name is not None and caller.scope.project_ids is not None:
        with reader.store.reading() as conn:
            name = project_by_name(conn, scope=caller.scope, name=name).name
    if name is None:
        try:
            with reader.store.reading() as conn:
                name = trace_by_id(conn, scope=reader.scope, trace_id=given.trace_id).project
        except NotFound:
            name = DEFAULT_PROJECT
    if name in request.app.state.ingest.newcomers.too_many([name]):
        name = DEFAULT_PROJECT
    new = NewScore(
        trace_id=bytes.fromhex(given.trace_id),
        span_id=None if given.span_id is None else bytes.fromhex(given.span_id),
        name=clean(given.name).strip(),
        value=given.value,
        comment=clean(given.comment).strip() or None if given.comment else None,
        source=given.source,
        author=caller.name,
        id=given.id,
    )

    def work(sql: Sql) -> tuple[Changes, int]:
        now = time.time_ns()
        project_id = ProjectIds().resolve(sql, [name], now)[name]
        return put_score(sql, new, project_id=project_id, now=now), project_id

    project_id = written(request, work)
    tell(request, project_id=project_id, target=f"trace {given.trace_id}", detail=new.name)
    with reader.store.reading() as conn:
        return score_by_id(conn, scope=reader.scope, score_id=new.identity, project_id=project_id)


def written(request: Request, work: Callable[[Sql], tuple[Changes, T]]) -> T:
    """Do a small change on the writer's thread and tell open pages of it.

    Raises what `work` raises, and Unavailable when the database does not take it in time.
    """
    writer: Writer = request.app.state.writer
    if request.app.state.store.read_only:
        raise Unavailable("The database cannot be written here; nothing was changed.")
    waiting = writer.run(lambda connection: work(Sql(connection)))
    try:
        changes, result = waiting.result(WRITTEN_WITHIN_S)
    except OutOfTime:
        waiting.cancel()
        raise Unavailable("The database did not take this in time; send it again.") from None
    request.app.state.live.committed(changes)
    return result


def _bytes(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != 16:
        raise BadRequest("trace_id takes 32 hex digits.", field="trace_id")
    return found
