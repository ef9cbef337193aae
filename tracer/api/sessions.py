"""Conversations and users over REST."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from tracer.api import schemas, shape
from tracer.api.answers import JsonAnswer
from tracer.api.metrics import project_meant
from tracer.api.traces import (
    REFUSALS,
    CursorText,
    Limit,
    Moment,
    ProjectName,
    Reader,
    SearchText,
    asked,
    read_moment,
)
from tracer.queries.projects import project_id_by_name, projects
from tracer.queries.sessions import By, shared, shared_by_key, traces_of
from tracer.units import rfc3339

router = APIRouter(prefix="/api/v1", tags=["sessions"], responses=REFUSALS)

Begin = Annotated[Moment, Query(alias="from", description="Those with a trace that started then or later.")]
End = Annotated[Moment, Query(alias="to", description="Those with a trace that started before.")]


@router.get("/sessions", response_model=schemas.Sessions)
def list_sessions(
    request: Request,
    project: ProjectName = None,
    q: SearchText = "",
    user: Annotated[str | None, Query(max_length=1000, description="Those with traces of this user.")] = None,
    since: Begin = None,
    until: End = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Response:
    """A project's conversations, those with a trace that `q` finds; that with the newest such trace first."""
    return _list(request, "session", project, q, user, since, until, limit, cursor)


@router.get("/users", response_model=schemas.Users)
def list_users(
    request: Request,
    project: ProjectName = None,
    q: SearchText = "",
    since: Begin = None,
    until: End = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Response:
    """A project's users, those with a trace that `q` finds; who was there last first."""
    return _list(request, "user", project, q, None, since, until, limit, cursor)


@router.get("/sessions/{session_id:path}", response_model=schemas.Session)
def get_session(
    request: Request,
    session_id: Annotated[str, Path(description="As the app sent it", examples=["conversation-17"])],
    project: ProjectName = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Response:
    """One conversation: totals, and its turns in order."""
    reader = Reader(request)
    with reader.store.reading() as conn:
        project_id = project_id_by_name(conn, scope=reader.scope, name=project) if project else None
        found = shared_by_key(conn, scope=reader.scope, key=session_id, project_id=project_id)
        name = next(one.name for one in projects(conn, scope=reader.scope) if one.id == found.project_id)
        page = traces_of(
            conn,
            scope=reader.scope,
            project_id=found.project_id,
            key=session_id,
            after=cursor,
            limit=limit,
            abandoned_after=reader.abandoned_after,
        )
    turns = {"items": [shape.listed_trace(row) for row in page.items], "next_cursor": page.next_cursor}
    return JsonAnswer(shape.shared(found, name) | turns)


def _list(
    request: Request,
    by: By,
    name: str | None,
    q: str,
    user: str | None,
    since: str | None,
    until: str | None,
    limit: int,
    cursor: str | None,
) -> Response:
    reader = Reader(request)
    begin, end = read_moment(since, "from"), read_moment(until, "to")
    search = asked(q, reader)
    with reader.store.reading() as conn:
        project = project_meant(conn, reader.scope, name)
        page = shared(
            conn,
            scope=reader.scope,
            project_id=project.id,
            by=by,
            user=user,
            since=begin,
            until=end,
            search=search,
            after=cursor,
            limit=limit,
            abandoned_after=reader.abandoned_after,
        )
    answer: dict[str, Any] = {
        "items": [shape.shared(row, project.name) for row in page.items],
        "next_cursor": page.next_cursor,
    }
    if page.searched_to is not None:
        answer["searched_to"] = rfc3339(page.searched_to)
    return JsonAnswer(answer)
