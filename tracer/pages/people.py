"""People and their roles: invited by one-time links, changed, taken away. Plain forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import Connection

from tracer.access.audit import tell
from tracer.access.invitations import Invitation, What, invitations, invite, make_invitation, take_back
from tracer.access.people import Person, Place, Role, people, person_in, read_email, remove_person, set_role
from tracer.auth import Right
from tracer.errors import BadRequest, Forbidden, NotFound, TracerError
from tracer.pages.addresses import origin, url
from tracer.pages.page import caller_of, reading, render
from tracer.queries.projects import projects
from tracer.queries.rows import ProjectRow
from tracer.store.engine import Store

router = APIRouter(include_in_schema=False)

HERE = "/settings/people"
SERVER, EVERYWHERE = "server", "all"
TYPED_LIMIT = 300
ROLES = {
    "viewer": "Viewer: reads",
    "editor": "Editor: also changes, scores, shares and deletes traces",
    "admin": "Administrator: also keys, people and rules",
}
FIELDS = {"email", "where", "role"}
"""Those of the form: a problem with one of them is told there."""

NOTES = {
    "role": "Saved. It holds from now on.",
    "added": "There is an account with this address already; it has the role from now on.",
    "removed": "The account is gone, and its sessions with it.",
    "uninvited": "The link holds no more.",
}


@dataclass(frozen=True, slots=True)
class RoleLine:
    """One role of somebody, as the table shows it."""

    person: Person
    place: str
    """`server`, `all`, or a project's row number."""
    where: str
    role: Role | None
    may_change: bool


@dataclass(frozen=True, slots=True)
class InvitationLine:
    """A link that was not used yet."""

    invitation: Invitation
    where: str


@dataclass(frozen=True, slots=True)
class PeoplePage:
    """The tables, the form, and a link that was just made."""

    lines: Sequence[RoleLine]
    invited: Sequence[InvitationLine]
    projects: Sequence[ProjectRow]
    everything: bool
    """True for who administers the server."""
    me: int | None
    link: str | None
    link_for: str
    typed: Mapping[str, str]
    problem: str | None
    wrong_field: str | None
    note: str | None

    @property
    def roles(self) -> Mapping[str, str]:
        """The roles, in words."""
        return ROLES

    @property
    def places(self) -> list[tuple[str, str]]:
        """Where a role may be given."""
        wide = [(EVERYWHERE, "Every project"), (SERVER, "The server (its administrator)")] if self.everything else []
        return [*((str(one.id), one.name) for one in self.projects), *wide]


@router.get(HERE)
def show_people(request: Request, note: str = "") -> Response:
    """The page."""
    return _page(request, note=NOTES.get(note))


@router.post(HERE)
def invite_somebody(
    request: Request,
    email: Annotated[str, Form()] = "",
    where: Annotated[str, Form()] = "",
    role: Annotated[str, Form()] = "",
) -> Response:
    """Give a role: at once to who has an account, else by a link that is shown this once."""
    typed = {"email": email, "where": where, "role": role}
    try:
        address = read_email(email)
        place = _place(request, where, role)
        if place.role is None:
            raise BadRequest("Choose a role.", field="role")
        with _store(request).writing() as connection:
            secret = invite(connection, address, place, author=caller_of(request).name)
    except TracerError as problem:
        return _page(request, typed=typed, refused=problem)
    tell(request, target=address, **_told(place, role))
    if secret is None:
        return _back(request, "added")
    return _page(request, secret=secret, link_for=address)


@router.post(f"{HERE}/role")
def change_role(
    request: Request,
    person: Annotated[str, Form()] = "",
    where: Annotated[str, Form()] = "",
    role: Annotated[str, Form()] = "",
) -> Response:
    """Change somebody's role in one place, or (empty) take it away."""
    try:
        place = _place(request, where, role)
        with _store(request).writing() as connection:
            found = _seen(connection, request, person)
            set_role(connection, found.id, place)
    except TracerError as problem:
        return _page(request, refused=problem)
    tell(request, target=found.email, **_told(place, role))
    return _back(request, "role")


@router.post(f"{HERE}/remove")
def remove(request: Request, person: Annotated[str, Form()] = "") -> Response:
    """Take an account away."""
    try:
        with _store(request).writing() as connection:
            found = _seen(connection, request, person)
            remove_person(connection, found.id)
    except TracerError as problem:
        return _page(request, refused=problem)
    tell(request, target=found.email)
    return _back(request, "removed")


@router.post(f"{HERE}/reset")
def reset(request: Request, person: Annotated[str, Form()] = "") -> Response:
    """Make a link to choose a new password."""
    try:
        with _store(request).writing() as connection:
            found = _seen(connection, request, person)
            secret = make_invitation(
                connection, What.reset, email=found.email, person_id=found.id, author=caller_of(request).name
            )
    except TracerError as problem:
        return _page(request, refused=problem)
    tell(request, target=found.email)
    return _page(request, secret=secret, link_for=found.email)


@router.post(f"{HERE}/uninvite")
def uninvite(request: Request, invitation: Annotated[str, Form()] = "") -> Response:
    """Take a link back."""
    try:
        with _store(request).writing() as connection:
            take_back(connection, _number(invitation, "invitation"), scope=caller_of(request).scope)
    except TracerError as problem:
        return _page(request, refused=problem)
    return _back(request, "uninvited")


def _told(place: Place, role: str) -> dict[str, Any]:
    """A role and where it holds, for the audit log."""
    words = role or "no role"
    if place.project_id is not None:
        return {"project_id": place.project_id, "detail": words}
    return {"detail": f"{words}, {'on the server' if place.server else 'in every project'}"}


def _seen(connection: Connection, request: Request, person: str) -> Person:
    """Somebody whom the caller sees in the table; raises NotFound."""
    return person_in(connection, _number(person, "person"), scope=caller_of(request).scope)


def _place(request: Request, where: str, role: str) -> Place:
    """Where a role is to hold; raises Forbidden where the caller may give none."""
    if role not in ("", *Role):
        raise BadRequest("Choose a role.", field="role")
    given = Role(role) if role else None
    caller = caller_of(request)
    if where in (SERVER, EVERYWHERE):
        if not _is_admin(request):
            raise Forbidden("Only an administrator of the server may give this.")
        return Place(server=where == SERVER, role=given)
    project_id = _number(where, "where")
    if not caller.may(Right.manage, project_id):
        raise NotFound("There is no such project.", field="where")
    with reading(request) as conn:
        if not any(one.id == project_id for one in projects(conn, scope=caller.scope)):
            raise NotFound("There is no such project.", field="where")
    return Place(project_id=project_id, role=given)


def _page(
    request: Request,
    *,
    typed: Mapping[str, str] | None = None,
    note: str | None = None,
    secret: str | None = None,
    link_for: str = "",
    refused: TracerError | None = None,
) -> Response:
    caller = caller_of(request)
    scope = caller.within(Right.manage)
    everything = _is_admin(request)
    with reading(request) as conn:
        known = projects(conn, scope=scope)
        names = {one.id: one.name for one in known}
        lines = [line for one in people(conn, scope=scope) for line in _lines(one, names, everything=everything)]
        invited = [InvitationLine(one, _where(one.place, names)) for one in invitations(conn, scope=scope)]
    page = PeoplePage(
        lines=lines,
        invited=invited,
        projects=known,
        everything=everything,
        me=None if caller.person is None else caller.person.id,
        link=None if secret is None else f"{origin(request)}/join/{secret}",
        link_for=link_for,
        typed={field: text[:TYPED_LIMIT] for field, text in (typed or {}).items()},
        problem=None if refused is None else refused.message,
        wrong_field=None if refused is None or refused.field not in FIELDS else refused.field,
        note=note,
    )
    status = 200 if refused is None else refused.status
    return render(request, "settings/people.html", page, status=status, headers={"Cache-Control": "no-store"})


def _lines(person: Person, names: Mapping[int, str], *, everything: bool) -> list[RoleLine]:
    found: list[RoleLine] = []
    if person.is_admin:
        found.append(RoleLine(person, SERVER, "The server", Role.admin, everything))
    if person.everywhere is not None:
        found.append(RoleLine(person, EVERYWHERE, "Every project", person.everywhere, everything))
    for project_id, role in person.roles.items():
        if project_id in names:
            found.append(RoleLine(person, str(project_id), names[project_id], role, True))
    if not found and everything:
        found.append(RoleLine(person, "", "", None, False))
    return found


def _where(place: Place, names: Mapping[int, str]) -> str:
    if place.server:
        return "The server"
    return "Every project" if place.project_id is None else names.get(place.project_id, "")


def _is_admin(request: Request) -> bool:
    return Right.admin in caller_of(request).rights


def _number(text: str, field: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadRequest("Choose one of the list.", field=field)
    return int(text)


def _back(request: Request, note: str) -> Response:
    return RedirectResponse(url(request, HERE, {"note": note}), status_code=303)


def _store(request: Request) -> Store:
    return cast(Store, request.app.state.store)
