"""Projects over REST: listed, measured, renamed, merged, deleted."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from tracer.access.projects import merge, remove, rename
from tracer.api import schemas, shape
from tracer.api.answers import JsonAnswer
from tracer.api.deletions import ACCEPTED, LAST_ID, SHORT_WAIT_S, answer_deletion
from tracer.api.traces import REFUSALS, Reader
from tracer.auth import Caller
from tracer.errors import NotFound
from tracer.ingest.deleter import Deleter
from tracer.ingest.receipts import Receipt
from tracer.ingest.reclaim import share_of
from tracer.queries.projects import described, project_by_name, project_by_slug, projects
from tracer.queries.rows import ProjectRow
from tracer.units import rfc3339

router = APIRouter(prefix="/api/v1", tags=["projects"], responses=REFUSALS)

Slug = Annotated[str, Path(max_length=400, description="A project's `slug`.", examples=["support-bot"])]
UNDER_WAY: dict[int | str, dict[str, Any]] = {
    202: {"model": schemas.Merge, "description": "Under way: ask for it again"}
}


class RenameIn(BaseModel):
    """Another name."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200, pattern=r"\S")


class MergeIn(BaseModel):
    """The project that this one becomes part of."""

    model_config = ConfigDict(extra="forbid")

    into: str = Field(min_length=1, max_length=400, description="Its name or slug.")


@router.get("/projects", response_model=schemas.Projects)
def list_projects(request: Request) -> Response:
    """Every project in sight, the one with the newest data first."""
    reader = Reader(request)
    with reader.store.reading() as conn:
        found = described(conn, scope=reader.scope)
    return JsonAnswer({"items": [shape.project(one) for one in found], "next_cursor": None})


@router.get("/projects/{slug}", response_model=schemas.ProjectWhole)
def get_project(request: Request, slug: Slug) -> Response:
    """One project, with what it takes on the disk."""
    reader = Reader(request)
    with reader.store.reading() as conn:
        row = project_by_slug(conn, scope=reader.scope, slug=slug)
        one = next(one for one in described(conn, scope=reader.scope) if one.row.id == row.id)
    share = share_of(reader.store, row.id)
    return JsonAnswer(shape.project(one) | {"disk": {"bodies": share.bodies, "rest": share.rest}})


@router.patch("/projects/{slug}", response_model=schemas.Project)
def patch_project(request: Request, slug: Slug, given: RenameIn) -> Response:
    """Give a project another name. What is sent under the one before goes on reaching it; its address stays."""
    reader = Reader(request)
    row = _project(reader, slug)
    rename(request, row, given.name)
    with reader.store.reading() as conn:
        one = next(one for one in described(conn, scope=reader.scope) if one.row.id == row.id)
    return JsonAnswer(shape.project(one))


@router.post("/projects/{slug}/merge", response_model=schemas.Merge, responses=UNDER_WAY)
def merge_project(request: Request, slug: Slug, given: MergeIn) -> Response:
    """Make a project part of another one, for good: its names, keys, people, views and alerts are the other's at once.

    Its traces follow, the newest first, while spans come. A trace that both have is put together as if all of its
    spans had come to the one project. The other's rules for what comes in hold from now on. You have to manage both.
    """
    reader = Reader(request)
    row = _project(reader, slug)
    with reader.store.reading() as conn:
        into = project_by_name(conn, scope=reader.scope, name=given.into)
    caller: Caller = request.state.caller
    receipt = merge(request, row, into, author=caller.name)
    deleter: Deleter = request.app.state.deleter
    receipt = deleter.wait(receipt.id, seconds=SHORT_WAIT_S)
    if receipt.state == "done":
        return JsonAnswer(_merge(reader, receipt))
    where = f"{request.scope.get('root_path', '')}/api/v1/merges/{receipt.id}"
    return JsonAnswer(_merge(reader, receipt), 202, headers={"location": where, "retry-after": "1"})


@router.get("/merges/{merge_id}", response_model=schemas.Merge)
def get_merge(request: Request, merge_id: Annotated[int, Path(ge=1, le=LAST_ID)]) -> Response:
    """How far a merge is."""
    reader = Reader(request)
    deleter: Deleter = request.app.state.deleter
    receipt = deleter.receipt(merge_id)
    if receipt.job != "merge" or receipt.into_id is None or not reader.scope.allows(receipt.into_id):
        raise NotFound(f"There is no merge {merge_id}.", field="merge_id")
    return JsonAnswer(_merge(reader, receipt))


@router.delete("/projects/{slug}", response_model=schemas.Deletion, responses=ACCEPTED)
def delete_project(
    request: Request,
    slug: Slug,
    confirm: Annotated[str, Query(max_length=400, description="The project's name, as a promise.")] = "",
) -> Response:
    """Delete a project for good, with its traces, scores, keys, views, alerts and roles.

    Its keys open nothing from now on; what is sent under its name makes a new project.
    """
    row = _project(Reader(request), slug)
    caller: Caller = request.state.caller
    receipt = remove(request, row, confirm, author=caller.name)
    deleter: Deleter = request.app.state.deleter
    return answer_deletion(request, Reader(request), deleter.wait(receipt.id, seconds=SHORT_WAIT_S))


def _project(reader: Reader, slug: str) -> ProjectRow:
    with reader.store.reading() as conn:
        return project_by_slug(conn, scope=reader.scope, slug=slug)


def _merge(reader: Reader, receipt: Receipt) -> dict[str, Any]:
    with reader.store.reading() as conn:
        names = {one.id: one.name for one in projects(conn, scope=reader.scope)}
    return {
        "id": receipt.id,
        "project": receipt.project,
        "into": names.get(receipt.into_id or 0),
        "state": receipt.state,
        "traces": receipt.traces,
        "spans": receipt.spans,
        "total_traces": receipt.total_traces,
        "started_at": rfc3339(receipt.started_at),
        "finished_at": None if receipt.finished_at is None else rfc3339(receipt.finished_at),
    }
