"""Read-only links to one trace each: made, listed, revoked."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from tracer.access.audit import tell
from tracer.access.links import Link, links, make_link, revoke_link
from tracer.api import schemas
from tracer.api.answers import JsonAnswer
from tracer.api.numbers import A_NUMBER
from tracer.api.scores import TraceHex
from tracer.api.traces import REFUSALS, Reader
from tracer.errors import NotFound
from tracer.queries.projects import project_id_by_name
from tracer.queries.traces import trace_by_id
from tracer.units import DAY, rfc3339

router = APIRouter(prefix="/api/v1", tags=["sharing"], responses=REFUSALS)

LAST_ID = 2**63 - 1


class ShareIn(BaseModel):
    """Which trace is to be seen by whoever has the link, and for how long."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "days": 7}},
    )

    trace_id: TraceHex
    project: str | None = Field(None, max_length=400)
    days: Annotated[int, Field(ge=1, le=365), A_NUMBER] = Field(
        7, description="After so many days the link ends by itself."
    )


@router.post("/shares", response_model=schemas.NewShare)
def post_share(request: Request, given: ShareIn) -> Response:
    """Make a link by which anyone can read one trace, nothing else. Its address is told this one time."""
    reader = Reader(request)
    with reader.store.reading() as conn:
        project_id = project_id_by_name(conn, scope=reader.scope, name=given.project) if given.project else None
        row = trace_by_id(conn, scope=reader.scope, trace_id=given.trace_id, project_id=project_id)
    tell(request, project=row.project, target=f"trace {row.trace_id}", detail=f"for {given.days} days")
    token, link = make_link(
        reader.store,
        project_id=row.project_id,
        trace_id=row.trace_id,
        author=request.state.caller.name,
        lasts=given.days * DAY,
    )
    base = f"{request.url.scheme}://{request.url.netloc}{request.scope.get('root_path') or ''}"
    return JsonAnswer(_shape(link) | {"url": f"{base}/shared/{token}"})


@router.get("/shares", response_model=schemas.Shares)
def list_shares(
    request: Request,
    trace_id: Annotated[
        str | None, Query(pattern=r"^[0-9a-fA-F]{32}$", description="Only those to this trace.")
    ] = None,
) -> Response:
    """The links that still hold, the newest first, without their secrets."""
    reader = Reader(request)
    found = links(reader.store, scope=reader.scope, trace_id=trace_id.lower() if trace_id else None)
    return JsonAnswer({"items": [_shape(link) for link in found], "next_cursor": None})


@router.delete("/shares/{share_id}", status_code=204, response_class=Response)
def delete_share(request: Request, share_id: Annotated[int, Path(ge=1, le=LAST_ID)]) -> Response:
    """Revoke a link: whoever has it open reads nothing more."""
    reader = Reader(request)
    if not revoke_link(reader.store, share_id, scope=reader.scope):
        raise NotFound(f"There is no link {share_id}.", field="share_id")
    return Response(status_code=204)


def _shape(link: Link) -> dict[str, object]:
    return {
        "id": link.id,
        "trace_id": link.trace_id,
        "author": link.author or None,
        "created_at": rfc3339(link.created_at),
        "expires_at": rfc3339(link.expires_at),
    }
