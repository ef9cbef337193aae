"""Deleting over REST: one trace, or what a project has of a time; and how far a deletion is."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from sqlalchemy import Connection

from tracer.access.audit import tell
from tracer.api import schemas
from tracer.api.answers import JsonAnswer
from tracer.api.traces import (
    REFUSALS,
    CursorText,
    Limit,
    Moment,
    ProjectName,
    Reader,
    SearchText,
    TraceId,
    asked,
    read_moment,
)
from tracer.auth import Caller
from tracer.errors import BadRequest, NotFound
from tracer.ingest.deleter import Deleter
from tracer.ingest.receipts import Receipt, receipts_of
from tracer.queries.cursor import Cursor, read_cursor, write_cursor
from tracer.queries.projects import project_id_by_name, projects
from tracer.queries.scope import Scope
from tracer.queries.traces import traces_of_id
from tracer.search.tree import show
from tracer.store.sql import Sql
from tracer.units import rfc3339

router = APIRouter(prefix="/api/v1", tags=["deleting"], responses=REFUSALS)

SHORT_WAIT_S = 1.0
"""A deletion by time that is done within this is answered with its finished receipt."""

ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {"model": schemas.Deletion, "description": "Under way: ask for the receipt again"}
}
LAST_ID = 2**63 - 1


@router.delete("/traces/{trace_id}", response_model=schemas.Deletion, responses=ACCEPTED)
def delete_trace(request: Request, trace_id: TraceId, project: ProjectName = None) -> Response:
    """Delete one trace for good: its spans, bodies, log records; what comes late for it is refused for 30 days."""
    reader = Reader(request)
    deleter: Deleter = request.app.state.deleter
    with reader.store.reading() as conn:
        project_id = project_id_by_name(conn, scope=reader.scope, name=project) if project else None
        found = traces_of_id(conn, scope=reader.scope, trace_id=trace_id.lower(), project_id=project_id)
    if len(found) > 1:
        raise BadRequest("This id is in more than one project: name the one that is meant.", field="project")
    tell(request, project_id=found[0].project_id)
    receipt = deleter.delete_trace(found[0].id, project_id=found[0].project_id)
    return answer_deletion(request, reader, receipt)


@router.delete("/traces", response_model=schemas.Deletion, responses=ACCEPTED)
def delete_traces(
    request: Request,
    project: Annotated[str, Query(max_length=400, description="The project whose traces are to be deleted.")],
    q: SearchText = "",
    since: Annotated[Moment, Query(alias="from", description="Traces that started then or later.")] = None,
    until: Annotated[Moment, Query(alias="to", description="Traces that started before.")] = None,
    user_id: Annotated[
        str | None, Query(min_length=1, max_length=1000, description="Only traces of which any step names this user.")
    ] = None,
    session_id: Annotated[
        str | None,
        Query(min_length=1, max_length=1000, description="Only those of which any step is in it."),
    ] = None,
) -> Response:
    """Delete a project's traces for good: all that are there now, those that started in a time, those that `q` finds.

    A text that the index of words does not have yet is not found; `/api/v1/status` says how far it is.
    """
    reader = Reader(request)
    search = asked(q, reader)
    deleter: Deleter = request.app.state.deleter
    start, end = read_moment(since, "from"), read_moment(until, "to")
    with reader.store.reading() as conn:
        project_id = project_id_by_name(conn, scope=reader.scope, name=project)
    tell(request, project_id=project_id, **_whose(user_id, session_id))
    receipt = deleter.ask(
        project_id=project_id,
        since=start,
        until=end,
        q=None if search is None else show(search),
        user_id=user_id,
        session_id=session_id,
    )
    return answer_deletion(request, reader, deleter.wait(receipt.id, seconds=SHORT_WAIT_S))


@router.get("/deletions", response_model=schemas.Deletions)
def list_deletions(
    request: Request, project: ProjectName = None, limit: Limit = 50, cursor: CursorText = None
) -> Response:
    """What was deleted in the last 30 days, by somebody or by a rule, the newest first."""
    reader = Reader(request)
    before = read_cursor(cursor, order="deletions").id if cursor else None
    with reader.store.reading() as conn:
        ids = None if reader.scope.project_ids is None else sorted(reader.scope.project_ids)
        if project:
            ids = [project_id_by_name(conn, scope=reader.scope, name=project)]
        found = receipts_of(Sql(conn), ids, limit=limit + 1, before=before)
        items = [_shape(conn, reader.scope, one) for one in found[:limit]]
    after = write_cursor(Cursor("deletions", 0, found[limit - 1].id)) if len(found) > limit else None
    return JsonAnswer({"items": items, "next_cursor": after})


@router.get("/deletions/{deletion_id}", response_model=schemas.Deletion)
def get_deletion(request: Request, deletion_id: Annotated[int, Path(ge=1, le=LAST_ID)]) -> Response:
    """How far a deletion is."""
    reader = Reader(request)
    deleter: Deleter = request.app.state.deleter
    receipt = deleter.receipt(deletion_id)
    if not _visible(receipt, request.state.caller):
        raise NotFound(f"There is no deletion {deletion_id}.", field="deletion_id")
    with reader.store.reading() as conn:
        return JsonAnswer(_shape(conn, reader.scope, receipt))


def _whose(user_id: str | None, session_id: str | None) -> dict[str, str]:
    """Whose traces go, for the audit log."""
    named = [f"{what} {text}" for what, text in (("user", user_id), ("session", session_id)) if text is not None]
    return {"target": ", ".join(named)} if named else {}


def _visible(receipt: Receipt, caller: Caller) -> bool:
    if receipt.job == "merge":
        return False
    if receipt.job == "project":
        # The project is gone, and with it the rights in it.
        return caller.scope.project_ids is None or (receipt.author is not None and receipt.author == caller.name)
    return caller.scope.project_ids is None if receipt.project_id is None else caller.scope.allows(receipt.project_id)


def answer_deletion(request: Request, reader: Reader, receipt: Receipt) -> Response:
    """A receipt: finished, or 202 with where to ask again."""
    with reader.store.reading() as conn:
        shaped = _shape(conn, reader.scope, receipt)
    if receipt.state == "done":
        return JsonAnswer(shaped)
    where = f"{request.scope.get('root_path', '')}/api/v1/deletions/{receipt.id}"
    return JsonAnswer(shaped, 202, headers={"location": where, "retry-after": "1"})


def _shape(conn: Connection, scope: Scope, receipt: Receipt) -> dict[str, object]:
    names = {one.id: one.name for one in projects(conn, scope=scope)}
    return {
        "id": receipt.id,
        "project": receipt.project or (names.get(receipt.project_id) if receipt.project_id is not None else None),
        "q": receipt.q,
        "by_rule": bool(receipt.by_rule),
        "tag": receipt.tag,
        "to": None if receipt.until is None else rfc3339(receipt.until),
        "max_size": receipt.max_size,
        "state": receipt.state,
        "traces": receipt.traces,
        "spans": receipt.spans,
        "total_traces": receipt.total_traces,
        "started_at": rfc3339(receipt.started_at),
        "finished_at": None if receipt.finished_at is None else rfc3339(receipt.finished_at),
    }
