"""The stream that tells open pages what changed. It carries ids only: a page asks again for what it shows."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import StreamingResponse

from tracer.auth import still_holds
from tracer.live import STREAM_HEADERS, Change, Hub, events
from tracer.pages.page import caller_of, reading
from tracer.queries.projects import project_by_slug

router = APIRouter(include_in_schema=False)


def project_id_of(request: Request, slug: str) -> int:
    """The project behind a slug, looked up in the thread pool, since the route itself is asynchronous."""
    with reading(request) as conn:
        return project_by_slug(conn, scope=caller_of(request).scope, slug=slug).id


@router.get("/p/{slug}/live")
async def project_live(
    request: Request, trace: str | None = None, project_id: int = Depends(project_id_of)
) -> StreamingResponse:
    """Changes in one project, or in one of its traces: `ready` once, then `traces` with a list of ids."""
    return _stream(request, project_id, trace)


@router.get("/live")
async def any_live(request: Request) -> StreamingResponse:
    """Changes in any project that the caller may see: what a page waits on before there is a project."""
    return _stream(request, None, None)


def _stream(request: Request, project_id: int | None, trace_id: str | None) -> StreamingResponse:
    caller = caller_of(request)
    holds = still_holds(request, caller)
    hub: Hub = request.app.state.live
    stream = events(hub, _ids, scope=caller.scope, holds=holds, project_id=project_id, trace_id=trace_id)
    return StreamingResponse(stream, media_type="text/event-stream", headers=STREAM_HEADERS)


async def _ids(change: Change) -> bytes:
    return msgspec.json.encode(sorted(change.trace_ids))
