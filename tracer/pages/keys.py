"""Keys of projects: made, shown once, listed, rotated, revoked. Plain forms: all of it works without script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

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
from tracer.errors import BadRequest, TracerError
from tracer.pages.addresses import origin, url
from tracer.pages.page import caller_of, reading, render
from tracer.queries.projects import projects
from tracer.queries.rows import ProjectRow
from tracer.store.engine import Store
from tracer.units import DAY, HOUR

router = APIRouter(include_in_schema=False)

HERE = "/settings/keys"
TYPED_LIMIT = 400
LAST_ID = 2**63 - 1
FIELDS = {"name", "project", "right", "days", "rate_limit"}
"""Those of the form: a problem with one of them is told there."""

NOTES = {"revoked": "Revoked. Whoever has that key is refused from now on."}
RIGHTS = {
    "ingest": "Send spans and scores",
    "read": "Read everything",
    "full": "Send, read, change and delete",
}
ENDS = {"": "Never", "7": "In a week", "30": "In 30 days", "90": "In 90 days", "365": "In a year"}
OVERLAPS = {"0": "at once", "1": "in an hour", "24": "in a day", "168": "in a week"}


@dataclass(frozen=True, slots=True)
class KeysPage:
    """The table, the form, and a key that was just made."""

    keys: Sequence[Key]
    projects: Sequence[ProjectRow]
    may_name_new: bool
    """Whoever manages every project may name a new one."""
    made: Key | None
    secret: str | None
    origin: str
    typed: Mapping[str, str]
    problem: str | None
    wrong_field: str | None
    note: str | None

    @property
    def rights(self) -> Mapping[str, str]:
        """What keys may do, in words."""
        return RIGHTS

    @property
    def ends(self) -> Mapping[str, str]:
        """When a new key may end."""
        return ENDS

    @property
    def overlaps(self) -> Mapping[str, str]:
        """When the secret before a rotation may end."""
        return OVERLAPS


@router.get(HERE)
def show_keys(request: Request, project: str = "", note: str = "") -> Response:
    """The page."""
    return _page(request, typed={"project": project}, note=NOTES.get(note))


@router.post(HERE)
def create_key(
    request: Request,
    project: Annotated[str, Form()] = "",
    name: Annotated[str, Form()] = "",
    right: Annotated[str, Form()] = "",
    days: Annotated[str, Form()] = "",
    rate_limit: Annotated[str, Form()] = "",
) -> Response:
    """Make a key, and show its secret this once."""
    typed = {"project": project, "name": name, "right": right, "days": days, "rate_limit": rate_limit}
    caller = caller_of(request)
    try:
        wanted = _wanted(typed)
        if not project.strip():
            raise BadRequest("Name the project that the key is for.", field="project")
        secret, key = make_key(_store(request), wanted, project=project, scope=caller.scope, author=caller.name)
    except TracerError as problem:
        return _page(request, typed=typed, refused=problem)
    tell(request, project=key.project, target=f"key {key.name}", detail=f"{key.right} {key.prefix}")
    return _page(request, made=key, secret=secret)


@router.post(f"{HERE}/rotate")
def rotate(request: Request, key: Annotated[str, Form()] = "", old: Annotated[str, Form()] = "0") -> Response:
    """Give a key a new secret, and show it this once."""
    try:
        hours = _number(old, "old", LONGEST_OVERLAP_HOURS) or 0
        secret, made = rotate_key(
            _store(request), _number(key, "key", LAST_ID) or 0, scope=caller_of(request).scope, old_holds=hours * HOUR
        )
    except TracerError as problem:
        return _page(request, refused=problem)
    _ring(request).forget()
    tell(request, project=made.project, target=f"key {made.name}", detail=made.prefix)
    return _page(request, made=made, secret=secret)


@router.post(f"{HERE}/revoke")
def revoke(request: Request, key: Annotated[str, Form()] = "") -> Response:
    """End a key at once."""
    try:
        gone = revoke_key(_store(request), _number(key, "key", LAST_ID) or 0, scope=caller_of(request).scope)
    except TracerError as problem:
        return _page(request, refused=problem)
    _ring(request).forget()
    tell(request, project=gone.project, target=f"key {gone.name}", detail=gone.prefix)
    return RedirectResponse(url(request, HERE, {"note": "revoked"}), status_code=303)


def _wanted(typed: Mapping[str, str]) -> Wanted:
    name = typed["name"].strip()
    if not 0 < len(name) <= NAME_LIMIT:
        raise BadRequest(f"Say in 1 to {NAME_LIMIT} characters what the key is for.", field="name")
    if typed["right"] not in RIGHTS:
        raise BadRequest("Choose what the key may do.", field="right")
    days = _number(typed["days"], "days", LONGEST_DAYS)
    rate_limit = _number(typed["rate_limit"], "rate_limit", MOST_REQUESTS)
    return Wanted(name, KeyRight(typed["right"]), None if days is None else days * DAY, rate_limit)


def _number(text: str, field: str, largest: int) -> int | None:
    """A whole number up to `largest`; None for an empty field."""
    text = text.strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= largest):
        raise BadRequest(f"This takes a whole number up to {largest}.", field=field)
    return int(text)


def _page(
    request: Request,
    *,
    typed: Mapping[str, str] | None = None,
    note: str | None = None,
    made: Key | None = None,
    secret: str | None = None,
    refused: TracerError | None = None,
) -> Response:
    scope = caller_of(request).scope
    with reading(request) as conn:
        page = KeysPage(
            keys=keys_of(conn, scope=scope),
            projects=projects(conn, scope=scope),
            may_name_new=scope.project_ids is None,
            made=made,
            secret=secret,
            origin=origin(request),
            typed={field: text[:TYPED_LIMIT] for field, text in (typed or {}).items()},
            problem=None if refused is None else refused.message,
            wrong_field=None if refused is None or refused.field not in FIELDS else refused.field,
            note=note,
        )
    status = 200 if refused is None else refused.status
    return render(request, "settings/keys.html", page, status=status, headers={"Cache-Control": "no-store"})


def _store(request: Request) -> Store:
    return cast(Store, request.app.state.store)


def _ring(request: Request) -> KeyRing:
    return cast(KeyRing, request.app.state.keys)
