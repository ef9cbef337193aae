"""People with accounts, and their roles: in single projects, in every project, or over the whole server."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update

from tracer.errors import BadRequest, Conflict, NotFound
from tracer.otlp.text import clean
from tracer.queries.scope import Scope
from tracer.store.models import membership, person, project
from tracer.store.sql import Sql

EMAIL_LIMIT, NAME_LIMIT = 254, 100
_EMAIL = re.compile(r"[^@\s\x00-\x20<>\"',;\\]{1,64}@[^@\s\x00-\x20<>\"',;\\]{1,189}")
LAST_ADMIN = "This is the server's last administrator: make somebody else one first."


class Role(StrEnum):
    """What somebody may do in a project, each more than the one before."""

    viewer = "viewer"
    editor = "editor"
    admin = "admin"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account. `everywhere` is the role in every project, those to come included."""

    id: int
    email: str
    name: str
    is_admin: bool
    everywhere: Role | None
    roles: Mapping[int, Role]
    """Roles by project's row number."""
    created_at: int
    seen_at: int | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a role holds: on the whole server (always as its administrator), in every project, or in one."""

    server: bool = False
    project_id: int | None = None
    role: Role | None = None


def read_email(text: str) -> str:
    """An address as it is stored, in lower case; raises BadRequest for what is none."""
    email = clean(text).strip().lower()
    if len(email) > EMAIL_LIMIT or _EMAIL.fullmatch(email) is None:
        raise BadRequest("This is no e-mail address.", field="email")
    return email


def person_by_id(connection: Connection, person_id: int) -> Person:
    """Somebody by row number; raises NotFound."""
    row = connection.execute(select(person).where(person.c.id == person_id)).first()
    if row is None:
        raise NotFound("This account is not there any more.", field="person")
    return _person(row, _roles(connection, [row.id]).get(row.id, {}))


def person_in(connection: Connection, person_id: int, *, scope: Scope) -> Person:
    """Somebody with a role in the projects in scope; in a scope of all projects anybody. Raises NotFound."""
    found = person_by_id(connection, person_id)
    if scope.project_ids is not None and not any(scope.allows(project) for project in found.roles):
        raise NotFound("This account is not there any more.", field="person")
    return found


def person_by_email(connection: Connection, email: str) -> Person | None:
    """Somebody by address; None when nobody has it."""
    row = connection.execute(select(person).where(person.c.email == email)).first()
    return None if row is None else _person(row, _roles(connection, [row.id]).get(row.id, {}))


def password_of(connection: Connection, email: str) -> tuple[int, str | None] | None:
    """Row number and password's hash of the account with this address."""
    row = connection.execute(select(person.c.id, person.c.password).where(person.c.email == email)).first()
    return None if row is None else (row.id, row.password)


def people(connection: Connection, *, scope: Scope) -> list[Person]:
    """Everybody with a role in the projects in scope; in a scope of all projects everybody. By address."""
    query = select(person).order_by(person.c.email)
    if scope.project_ids is not None:
        member = select(membership.c.person_id).where(scope.condition(membership.c.project_id))
        query = query.where(or_(person.c.id.in_(member), person.c.everywhere.is_not(None), person.c.is_admin == 1))
    rows = connection.execute(query).all()
    roles = _roles(connection, [row.id for row in rows], scope)
    return [_person(row, roles.get(row.id, {})) for row in rows]


def has_admin(connection: Connection) -> bool:
    """True when somebody administers the server."""
    return connection.execute(select(person.c.id).where(person.c.is_admin == 1).limit(1)).first() is not None


def add_person(
    connection: Connection,
    email: str,
    *,
    name: str = "",
    password: str | None = None,
    identity: tuple[str, str] | None = None,
) -> int:
    """Make an account and return its row number.

    `password` is its hash; `identity` the issuer and subject of who is signed in elsewhere. Raises Conflict.
    """
    if connection.execute(select(person.c.id).where(person.c.email == email)).first() is not None:
        raise Conflict("There is an account with this address already.", field="email")
    issuer, subject = identity or (None, None)
    return int(
        connection.execute(
            insert(person)
            .values(
                email=email,
                name=clean(name).strip()[:NAME_LIMIT],
                password=password,
                is_admin=0,
                issuer=issuer,
                subject=subject,
                created_at=time.time_ns(),
            )
            .returning(person.c.id)
        ).scalar_one()
    )


def set_password(connection: Connection, person_id: int, password: str) -> None:
    """Store another hash."""
    connection.execute(update(person).where(person.c.id == person_id).values(password=password))


def set_role(connection: Connection, person_id: int, place: Place) -> None:
    """Give somebody a role, another one, or (None) take it away. Raises Conflict for the last administrator."""
    if place.server:
        if place.role is None:
            _spare_last_admin(connection, person_id)
        values = {"is_admin": int(place.role is not None)}
        connection.execute(update(person).where(person.c.id == person_id).values(**values))
    elif place.project_id is None:
        connection.execute(update(person).where(person.c.id == person_id).values(everywhere=place.role))
    elif place.role is None:
        connection.execute(
            delete(membership).where(membership.c.person_id == person_id, membership.c.project_id == place.project_id)
        )
    else:
        Sql(connection).insert(
            "membership",
            ("person_id", "project_id", "role"),
            [(person_id, place.project_id, place.role.value)],
            then="ON CONFLICT (person_id, project_id) DO UPDATE SET role = excluded.role",
        )


def remove_person(connection: Connection, person_id: int) -> None:
    """Take an account away, with its roles and sessions. Raises Conflict for the last administrator."""
    _spare_last_admin(connection, person_id)
    connection.execute(delete(person).where(person.c.id == person_id))


def _spare_last_admin(connection: Connection, person_id: int) -> None:
    # Locked on Postgres, so that two administrators do not take each other's role at the same moment.
    admins = connection.execute(select(person.c.id).where(person.c.is_admin == 1).with_for_update()).scalars().all()
    if list(admins) == [person_id]:
        raise Conflict(LAST_ADMIN, field="person")


def count_people(connection: Connection) -> int:
    """How many accounts there are."""
    return int(connection.execute(select(func.count()).select_from(person)).scalar_one())


def _roles(connection: Connection, person_ids: list[int], scope: Scope | None = None) -> dict[int, dict[int, Role]]:
    found: dict[int, dict[int, Role]] = {}
    query = select(membership).join(project, project.c.id == membership.c.project_id).order_by(project.c.name)
    if scope is not None:
        query = query.where(scope.condition(membership.c.project_id))
    if len(person_ids) == 1:
        query = query.where(membership.c.person_id == person_ids[0])
    for row in connection.execute(query):
        found.setdefault(row.person_id, {})[row.project_id] = Role(row.role)
    return found


def _person(row: Row[Any], roles: Mapping[int, Role]) -> Person:
    return Person(
        id=row.id,
        email=row.email,
        name=row.name,
        is_admin=bool(row.is_admin),
        everywhere=None if row.everywhere is None else Role(row.everywhere),
        roles=roles,
        created_at=row.created_at,
        seen_at=row.seen_at,
    )
