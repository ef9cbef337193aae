"""Keys of projects over REST: made, listed, rotated, revoked. A key's secret is told once, when it is made."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from tracer.access.audit import tell
from tracer.access.keys import (
    LONGEST_DAYS,
    LONGEST_OVERLAP_HOURS,
    MOST_REQUESTS,
    NAME_LIMIT,
    Key,
    KeyRight,
    Wanted,
    keys_of,
    make_key,
    revoke_key,
    rotate_key,
)
from tracer.access.ring import KeyRing
from tracer.api import schemas
from tracer.api.answers import JsonAnswer
from tracer.api.numbers import A_NUMBER
from tracer.api.traces import REFUSALS, ProjectName, Reader
from tracer.auth import Caller
from tracer.queries.projects import project_id_by_name
from tracer.units import DAY, HOUR, rfc3339

router = APIRouter(prefix="/api/v1", tags=["keys"], responses=REFUSALS)

LAST_ID = 2**63 - 1
KeyId = Annotated[int, Path(ge=1, le=LAST_ID)]


class KeyIn(BaseModel):
    """A key as it is asked for."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"project": "support-bot", "name": "web app", "right": "ingest"}},
    )

    project: str = Field(min_length=1, max_length=200, pattern=r"\S", description="Made when it is not there yet.")
    name: str = Field(min_length=1, max_length=NAME_LIMIT, pattern=r"\S", description="What it is for.")
    right: KeyRight = Field(description="ingest: send spans and scores; read: see all; full: both, change and delete.")
    days: Annotated[int, Field(ge=1, le=LONGEST_DAYS), A_NUMBER] | None = Field(
        None, description="Days until it ends by itself."
    )
    rate_limit: Annotated[int, Field(ge=1, le=MOST_REQUESTS), A_NUMBER] | None = Field(
        None, description="Requests a minute."
    )


class RotateIn(BaseModel):
    """How a key gets a new secret."""

    model_config = ConfigDict(extra="forbid")

    keep_old_hours: Annotated[int, Field(ge=0, le=LONGEST_OVERLAP_HOURS), A_NUMBER] = Field(
        0, description="How long the secret before holds as well; 0 ends it at once."
    )


@router.get("/keys", response_model=schemas.Keys)
def list_keys(request: Request, project: ProjectName = None) -> Response:
    """The keys of the projects that you manage, without their secrets."""
    reader = Reader(request)
    with reader.store.reading() as conn:
        project_id = project_id_by_name(conn, scope=reader.scope, name=project) if project else None
        found = keys_of(conn, scope=reader.scope, project_id=project_id)
    return JsonAnswer({"items": [_shape(key) for key in found], "next_cursor": None})


@router.post("/keys", response_model=schemas.NewKey, status_code=201)
def post_key(request: Request, given: KeyIn) -> Response:
    """Make a key. `key` is its secret, which nobody can read again."""
    wanted = Wanted(
        name=given.name,
        right=given.right,
        lasts=None if given.days is None else given.days * DAY,
        rate_limit=given.rate_limit,
    )
    reader = Reader(request)
    caller: Caller = request.state.caller
    secret, key = make_key(reader.store, wanted, project=given.project, scope=caller.scope, author=caller.name)
    tell(request, project=key.project, target=f"key {key.name}", detail=f"{key.right} {key.prefix}")
    return _told(secret, key, status=201)


@router.post("/keys/{key_id}/rotate", response_model=schemas.NewKey)
def post_rotation(request: Request, key_id: KeyId, given: RotateIn | None = None) -> Response:
    """Give a key a new secret. The one before ends at once, or after the hours that are asked for."""
    reader = Reader(request)
    hours = 0 if given is None else given.keep_old_hours
    secret, key = rotate_key(reader.store, key_id, scope=reader.scope, old_holds=hours * HOUR)
    _ring(request).forget()
    tell(request, project=key.project, target=f"key {key.name}", detail=key.prefix)
    return _told(secret, key)


@router.delete("/keys/{key_id}", status_code=204, response_class=Response)
def delete_key(request: Request, key_id: KeyId) -> Response:
    """Revoke a key: whoever has it is refused from now on."""
    reader = Reader(request)
    gone = revoke_key(reader.store, key_id, scope=reader.scope)
    tell(request, project=gone.project, target=f"key {gone.name}", detail=gone.prefix)
    _ring(request).forget()
    return Response(status_code=204)


def _ring(request: Request) -> KeyRing:
    """The keys in use, which have to hear of a change."""
    ring: KeyRing = request.app.state.keys
    return ring


def _told(secret: str, key: Key, *, status: int = 200) -> Response:
    return JsonAnswer(_shape(key) | {"key": secret}, status, headers={"cache-control": "no-store"})


def _shape(key: Key) -> dict[str, object]:
    return {
        "id": key.id,
        "project": key.project,
        "name": key.name,
        "right": key.right,
        "prefix": key.prefix,
        "created_at": rfc3339(key.created_at),
        "created_by": key.created_by or None,
        "expires_at": None if key.expires_at is None else rfc3339(key.expires_at),
        "last_used_at": None if key.last_used_at is None else rfc3339(key.last_used_at),
        "rate_limit": key.rate_limit,
    }
