"""One-time links: to set the server up, to join it, to choose a new password."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from tracer.access.people import (
    Place,
    Role,
    add_person,
    has_admin,
    person_by_email,
    person_by_id,
    set_password,
    set_role,
)
from tracer.access.secrets import SECRET_LIMIT, digest_of, new_secret
from tracer.access.sessions import close_sessions
from tracer.errors import NotFound
from tracer.queries.scope import Scope
from tracer.store.models import invitation
from tracer.units import DAY

LASTS = {"setup": DAY, "invite": 7 * DAY, "reset": DAY}
GONE = "This link was used, taken back, or is too old. Ask for a new one."


class What(StrEnum):
    """What a link is for."""

    setup = "setup"
    """Makes the first administrator's account."""
    invite = "invite"
    reset = "reset"
    """Gives an account a new password."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """A one-time link without its secret; times in Unix nanoseconds."""

    id: int
    what: What
    email: str | None
    """Whom it is for; whoever sets the server up says so themselves."""
    place: Place
    person_id: int | None
    created_by: str
    expires_at: int


def make_invitation(
    connection: Connection,
    what: What,
    *,
    email: str | None = None,
    place: Place | None = None,
    person_id: int | None = None,
    author: str = "",
) -> str:
    """Make a link and return its secret; an older one for the same purpose ends."""
    now = time.time_ns()
    place = place or Place()
    secret = new_secret()
    older = invitation.c.expires_at < now
    if what is not What.setup:  # processes that start at the same time each print theirs
        older |= (invitation.c.what == what) & _same(email, place, person_id)
    connection.execute(delete(invitation).where(older))
    connection.execute(
        insert(invitation).values(
            digest=digest_of(secret),
            what=what,
            email=email,
            server=int(place.server),
            project_id=place.project_id,
            role=place.role,
            person_id=person_id,
            created_by=author,
            created_at=now,
            expires_at=now + LASTS[what],
        )
    )
    return secret


def make_setup(connection: Connection) -> str | None:
    """A link that makes the first administrator's account; None where somebody administers the server already."""
    if has_admin(connection):
        return None
    return make_invitation(connection, What.setup, place=Place(server=True, role=Role.admin))


def open_invitation(connection: Connection, secret: str) -> Invitation:
    """What a link is for; raises NotFound for one that does not hold."""
    row = None
    if len(secret) <= SECRET_LIMIT:
        row = connection.execute(
            select(invitation).where(invitation.c.digest == digest_of(secret), invitation.c.expires_at > time.time_ns())
        ).first()
    if row is None or (row.what == What.setup and has_admin(connection)):
        raise NotFound(GONE)
    return _invitation(row)


def use_invitation(
    connection: Connection,
    secret: str,
    *,
    email: str,
    name: str,
    password: str | None,
    identity: tuple[str, str] | None = None,
) -> int:
    """Do what a link is for, once, and return the account's row number; `password` is a hash.

    Raises NotFound for a link that does not hold, Conflict where the account is there already.
    """
    found = open_invitation(connection, secret)
    if not connection.execute(delete(invitation).where(invitation.c.id == found.id)).rowcount:
        raise NotFound(GONE)  # somebody else used it at the same moment
    if found.person_id is not None and password is not None:
        set_password(connection, found.person_id, password)
        close_sessions(connection, found.person_id)
        person_id = person_by_id(connection, found.person_id).id
    else:
        person_id = add_person(connection, found.email or email, name=name, password=password, identity=identity)
    if found.place.role is not None:
        set_role(connection, person_id, found.place)
    return person_id


def invite(connection: Connection, email: str, place: Place, *, author: str) -> str | None:
    """Give somebody a role; returns the secret of a link for who has no account yet, None for who has one."""
    known = person_by_email(connection, email)
    if known is not None:
        set_role(connection, known.id, place)
        return None
    return make_invitation(connection, What.invite, email=email, place=place, author=author)


def invitations(connection: Connection, *, scope: Scope) -> list[Invitation]:
    """Links to join that still hold, into the projects in scope; in a scope of all projects all of them."""
    where = [invitation.c.what == What.invite, invitation.c.expires_at > time.time_ns()]
    if scope.project_ids is not None:
        where.append(scope.condition(invitation.c.project_id))
    rows = connection.execute(select(invitation).where(*where).order_by(invitation.c.id.desc()))
    return [_invitation(row) for row in rows]


def take_back(connection: Connection, invitation_id: int, *, scope: Scope) -> None:
    """End a link; raises NotFound."""
    where = [invitation.c.id == invitation_id]
    if scope.project_ids is not None:
        where.append(scope.condition(invitation.c.project_id))
    if not connection.execute(delete(invitation).where(*where)).rowcount:
        raise NotFound("This invitation is not there any more.", field="invitation")


def _same(email: str | None, place: Place, person_id: int | None) -> Any:
    same = [invitation.c.server == int(place.server)]
    for column, value in (
        (invitation.c.email, email),
        (invitation.c.project_id, place.project_id),
        (invitation.c.person_id, person_id),
    ):
        same.append(column.is_(None) if value is None else column == value)
    return same[0] & same[1] & same[2] & same[3]


def _invitation(row: Row[Any]) -> Invitation:
    place = Place(bool(row.server), row.project_id, None if row.role is None else Role(row.role))
    return Invitation(row.id, What(row.what), row.email, place, row.person_id, row.created_by, row.expires_at)
