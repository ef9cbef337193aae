"""The stream that tells programs which traces changed: ids only, the rest is asked for as usual."""

from __future__ import annotations

from typing import Annotated

import msgspec
from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse

from tracer.api.traces import REFUSALS, ProjectName, Reader
from tracer.auth import still_holds
from tracer.live import STREAM_HEADERS, Change, Hub, events
from tracer.queries.projects import project_id_by_name, projects

router = APIRouter(prefix="/api/v1", tags=["live"], responses=REFUSALS)

EXAMPLE = (
    "event: ready\ndata: {}\n\n"
    'event: traces\ndata: {"project": "support-bot", "trace_ids": ["4bf92f3577b34da6a3ce929d0e0e4736"]}\n\n'
)


class EventStream(StreamingResponse):
    """Server-sent events."""

    media_type = "text/event-stream"


def project_meant(request: Request, project: ProjectName = None) -> int | None:
    """The project that is named, looked up in the thread pool, since the route itself is asynchronous."""
    if not project:
        return None
    reader = Reader(request)
    with reader.store.reading() as conn:
        return project_id_by_name(conn, scope=reader.scope, name=project)


@router.get(
    "/live",
    response_class=EventStream,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}, "example": EXAMPLE}}}},
)
async def tell_changes(
    request: Request,
    trace_id: Annotated[
        str | None, Query(pattern=r"^[0-9a-fA-F]{32}$", description="Only changes of this trace.")
    ] = None,
    project_id: int | None = Depends(project_meant),
) -> EventStream:
    """Server-sent events: `ready` once, then `traces` with the project and the ids of its traces that changed.

    A change is told within a second of its commit, whichever process made it; those that come close together are told
    together. Without `project` it tells of all projects in sight. A comment every 15 s shows that the stream lives.
    """
    reader = Reader(request)
    hub: Hub = request.app.state.live
    names: dict[int, str] = {}

    def look() -> None:
        with reader.store.reading() as conn:
            names.update((one.id, one.name) for one in projects(conn, scope=reader.scope))

    async def write(change: Change) -> bytes:
        if change.project_id not in names:
            await to_thread.run_sync(look)
        return msgspec.json.encode({"project": names.get(change.project_id), "trace_ids": sorted(change.trace_ids)})

    only = None if trace_id is None else trace_id.lower()
    holds = still_holds(request, request.state.caller)
    stream = events(hub, write, scope=reader.scope, holds=holds, project_id=project_id, trace_id=only)
    return EventStream(stream, headers=STREAM_HEADERS)
