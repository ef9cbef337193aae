"""People, their roles and invitations over REST: what the page `/settings/people` does, for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from tracer.access.audit import tell
from tracer.access.invitations import (
    Invitation,
    What,
    invitations,
    invite,
    make_invitation,
    open_invitation,
    take_back,
)
from tracer.access.people import (
    EMAIL_LIMIT,
    Person,
    Place,
    Role,
    people,
    person_in,
    read_email,
    remove_person,
    set_role,
)
from tracer.api import schemas
from tracer.api.answers import JsonAnswer
from tracer.api.traces import REFUSALS, ProjectName, Reader
from tracer.auth import Caller, Right
from tracer.errors import BadRequest, Forbidden
from tracer.queries.projects import project_by_name, project_id_by_name, projects
from tracer.units import rfc3339

router = APIRouter(prefix="/api/v1", tags=["people"], responses=REFUSALS)

LAST_ID = 2**63 - 1
PersonId = Annotated[int, Path(ge=1, le=LAST_ID)]
NEVER_STORED = {"cache-control": "no-store"}


class RoleIn(BaseModel):
    """A role, and where it holds."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["viewer", "editor", "admin"] | None = Field(
        description="null takes the role away that is held there."
    )
    project: str | None = Field(
        None, min_length=1, max_length=400, description="The project; null: every project, those to come included."
    )
    server: bool = Field(False, description="true: the role is that of the server's administrator, and takes `admin`.")


class InvitationIn(RoleIn):
    """Who is to have a role."""

    email: str = Field(min_length=3, max_length=EMAIL_LIMIT)


@router.get("/people", response_model=schemas.People)
def list_people(request: Request, project: ProjectName = None) -> Response:
    """Everybody with a role in the projects that you manage, by address."""
    reader = Reader(request)
    with reader.store.reading() as conn:
        scope = reader.scope
        names = {one.id: one.name for one in projects(conn, scope=scope)}
        found = people(conn, scope=scope)
        if project:
            at = project_id_by_name(conn, scope=scope, name=project)
            found = [one for one in found if one.is_admin or one.everywhere is not None or at in one.roles]
    return JsonAnswer({"items": [_person(one, names) for one in found], "next_cursor": None})


@router.put("/people/{person_id}/role", response_model=schemas.Person)
def put_role(request: Request, person_id: PersonId, given: RoleIn) -> Response:
    """Give somebody a role in one place, another one, or (null) none there. It holds with their next request.

    The server's last administrator keeps that role (409).
    """
    reader = Reader(request)
    with reader.store.writing() as connection:
        found = person_in(connection, person_id, scope=reader.scope)
        place = _place(connection, request, given)
        set_role(connection, found.id, place)
        names = {one.id: one.name for one in projects(connection, scope=reader.scope)}
        after = next((one for one in people(connection, scope=reader.scope) if one.id == found.id), None)
    tell(request, target=found.email, **_told(place))
    # Who has no role left in what the caller manages is nobody that the caller sees.
    return JsonAnswer(_person(found, {}) | {"roles": []} if after is None else _person(after, names))


@router.delete("/people/{person_id}", status_code=204, response_class=Response)
def delete_person(request: Request, person_id: PersonId) -> Response:
    """Take an account away, with its roles and sessions; 409 for the server's last administrator."""
    reader = Reader(request)
    with reader.store.writing() as connection:
        found = person_in(connection, person_id, scope=reader.scope)
        remove_person(connection, found.id)
    tell(request, target=found.email)
    return Response(status_code=204)


@router.post("/people/{person_id}/reset", response_model=schemas.OneTimeLink, status_code=201)
def post_reset(request: Request, person_id: PersonId) -> Response:
    """Make a link by which somebody chooses a new password: it works once, for a day, and is told this one time."""
    reader = Reader(request)
    with reader.store.writing() as connection:
        found = person_in(connection, person_id, scope=reader.scope)
        secret = make_invitation(
            connection, What.reset, email=found.email, person_id=found.id, author=_caller(request).name
        )
        made = open_invitation(connection, secret)
    tell(request, target=found.email)
    link = {"url": _url(request, secret), "expires_at": rfc3339(made.expires_at)}
    return JsonAnswer(link, 201, headers=NEVER_STORED)


@router.get("/invitations", response_model=schemas.Invitations)
def list_invitations(request: Request) -> Response:
    """One-time links to join the projects that you manage, which nobody has used yet."""
    reader = Reader(request)
    with reader.store.reading() as conn:
        names = {one.id: one.name for one in projects(conn, scope=reader.scope)}
        found = invitations(conn, scope=reader.scope)
    return JsonAnswer({"items": [_invitation(one, names) for one in found], "next_cursor": None})


@router.post("/invitations", response_model=schemas.NewInvitation, status_code=201)
def post_invitation(request: Request, given: InvitationIn) -> Response:
    """Give somebody a role: at once (200) where the address has an account, else by a one-time link for a week (201).

    No mail is sent: pass `url` on, which nobody can read again. Another invitation to the same place ends this one.
    """
    reader = Reader(request)
    email = read_email(given.email)
    if given.role is None:
        raise BadRequest("An invitation gives a role.", field="role")
    with reader.store.writing() as connection:
        place = _place(connection, request, given)
        names = {one.id: one.name for one in projects(connection, scope=reader.scope)}
        secret = invite(connection, email, place, author=_caller(request).name)
        made = None if secret is None else open_invitation(connection, secret)
    tell(request, target=email, **_told(place))
    if secret is None or made is None:
        return JsonAnswer({"invitation": None, "url": None}, headers=NEVER_STORED)
    return JsonAnswer({"invitation": _invitation(made, names), "url": _url(request, secret)}, 201, headers=NEVER_STORED)


@router.delete("/invitations/{invitation_id}", status_code=204, response_class=Response)
def delete_invitation(request: Request, invitation_id: Annotated[int, Path(ge=1, le=LAST_ID)]) -> Response:
    """Take a link back: it holds no more."""
    reader = Reader(request)
    with reader.store.writing() as connection:
        take_back(connection, invitation_id, scope=reader.scope)
    return Response(status_code=204)


def _place(connection: Connection, request: Request, given: RoleIn) -> Place:
    """Where a role is to hold; raises Forbidden and NotFound where the caller may give none."""
    role = None if given.role is None else Role(given.role)
    caller = _caller(request)
    if given.server and (given.project is not None or role not in (None, Role.admin)):
        raise BadRequest("The server has administrators and no other roles, and is no project.", field="server")
    if given.project is not None:
        found = project_by_name(connection, scope=caller.within(Right.manage), name=given.project)
        return Place(project_id=found.id, role=role)
    if Right.admin not in caller.rights:
        raise Forbidden("Only an administrator of the server may give this.")
    return Place(server=given.server, role=role)


def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


def _told(place: Place) -> dict[str, Any]:
    """A role and where it holds, for the audit log."""
    words = place.role or "no role"
    if place.project_id is not None:
        return {"project_id": place.project_id, "detail": words}
    return {"detail": f"{words}, {'on the server' if place.server else 'in every project'}"}


def _url(request: Request, secret: str) -> str:
    return f"{str(request.base_url).rstrip('/')}/join/{secret}"


def _person(person: Person, names: Mapping[int, str]) -> dict[str, Any]:
    roles: list[dict[str, Any]] = []
    if person.is_admin:
        roles.append({"project": None, "server": True, "role": Role.admin})
    if person.everywhere is not None:
        roles.append({"project": None, "server": False, "role": person.everywhere})
    roles += [
        {"project": names[project_id], "server": False, "role": role}
        for project_id, role in person.roles.items()
        if project_id in names
    ]
    return {
        "id": person.id,
        "email": person.email,
        "name": person.name or None,
        "roles": roles,
        "created_at": rfc3339(person.created_at),
        "seen_at": None if person.seen_at is None else rfc3339(person.seen_at),
    }


def _invitation(one: Invitation, names: Mapping[int, str]) -> dict[str, Any]:
    return {
        "id": one.id,
        "email": one.email,
        "project": None if one.place.project_id is None else names.get(one.place.project_id),
        "server": one.place.server,
        "role": one.place.role,
        "created_by": one.created_by or None,
        "expires_at": rfc3339(one.expires_at),
    }
