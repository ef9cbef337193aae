"""Keys of projects: for programs that send, read, or both. Each belongs to one project and sees no other."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from enum import StrEnum
from hmac import compare_digest
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from tracer.access.secrets import digest_of, new_secret, shown_part
from tracer.errors import NotFound
from tracer.ingest.prepare import project_name
from tracer.otlp.text import clean
from tracer.queries.projects import other_names, project_id_by_name
from tracer.queries.scope import Scope
from tracer.store.engine import Store
from tracer.store.models import access_key
from tracer.store.models import project as project_table
from tracer.store.projects import ProjectIds
from tracer.store.sql import Sql
from tracer.units import DAY

NAME_LIMIT = 100
LONGEST_DAYS = 3_660
LONGEST_OVERLAP_HOURS = 168
MOST_REQUESTS = 1_000_000
PREFIX_OF = {"ingest": "ssi_", "read": "ssr_", "full": "ssf_"}
CLOCK_SLACK = DAY
"""A key with an end is refused while the clock stands further than this before the key's beginning."""


class KeyRight(StrEnum):
    """What a key may do in its project."""

    ingest = "ingest"
    read = "read"
    full = "full"


@dataclass(frozen=True, slots=True)
class Key:
    """A key without its secret; times in Unix nanoseconds."""

    id: int
    project_id: int
    project: str
    """The project's name."""
    slug: str
    name: str
    right: KeyRight
    prefix: str
    """How the secret begins."""
    created_at: int
    created_by: str
    expires_at: int | None
    last_used_at: int | None
    """Within some ten minutes; None for never."""
    rate_limit: int | None
    """Requests a minute; None for the server's own limits alone."""
    old_until: int | None
    """Until when the secret before the last rotation holds as well."""
    other_names: frozenset[str] = frozenset()
    """Names that reach the project beside its own; told of a key that is found by its secret."""

    def holds(self, now: int) -> bool:
        """True while the key has not ended."""
        return self.expires_at is None or self.created_at - CLOCK_SLACK <= now < self.expires_at


@dataclass(frozen=True, slots=True)
class Wanted:
    """A key as it is asked for; `lasts` is in nanoseconds, None for no end."""

    name: str
    right: KeyRight
    lasts: int | None = None
    rate_limit: int | None = None


def make_key(store: Store, wanted: Wanted, *, project: str, scope: Scope, author: str) -> tuple[str, Key]:
    """Make a key for a project in scope; a scope of all projects makes the project when it is not there yet.

    Returns its secret, the only time that it can be read. Raises NotFound.
    """
    now = time.time_ns()
    name = project_name(clean(project))
    prefix = PREFIX_OF[wanted.right]
    secret = new_secret(prefix)
    with store.writing() as connection:
        try:
            project_id = project_id_by_name(connection, scope=scope, name=name)
        except NotFound:
            if scope.project_ids is not None:
                raise
            project_id = ProjectIds().resolve(Sql(connection), [name], now)[name]
        made = connection.execute(
            insert(access_key)
            .values(
                project_id=project_id,
                name=clean(wanted.name).strip(),
                allows=wanted.right,
                prefix=shown_part(secret, prefix),
                digest=digest_of(secret),
                created_at=now,
                created_by=author,
                expires_at=None if wanted.lasts is None else now + wanted.lasts,
                rate_limit=wanted.rate_limit,
            )
            .returning(access_key.c.id)
        ).scalar_one()
        return secret, _one(connection, made)


def keys_of(connection: Connection, *, scope: Scope, project_id: int | None = None) -> list[Key]:
    """The keys of the projects in scope, those of one project together, the newest first."""
    where = [scope.condition(access_key.c.project_id)]
    if project_id is not None:
        where.append(access_key.c.project_id == project_id)
    rows = connection.execute(_keys().where(*where).order_by(project_table.c.name, access_key.c.id.desc()))
    return [_key(row) for row in rows]


def key_by_id(connection: Connection, key_id: int, *, scope: Scope) -> Key:
    """One key; raises NotFound when there is none in the projects in scope."""
    row = connection.execute(_keys().where(access_key.c.id == key_id, scope.condition(access_key.c.project_id))).first()
    if row is None:
        raise NotFound(f"There is no key {key_id}.", field="key_id")
    return _key(row)


def rotate_key(store: Store, key_id: int, *, scope: Scope, old_holds: int = 0) -> tuple[str, Key]:
    """Give a key a new secret; the one before holds for so many nanoseconds more.

    Returns the new secret, the only time that it can be read. Raises NotFound.
    """
    now = time.time_ns()
    with store.writing() as connection:
        key = key_by_id(connection, key_id, scope=scope)
        prefix = PREFIX_OF[key.right]
        secret = new_secret(prefix)
        old: dict[str, Any] = {"old_digest": None, "old_until": None}
        if old_holds > 0:
            old = {"old_digest": access_key.c.digest, "old_until": now + old_holds}
        connection.execute(
            update(access_key)
            .where(access_key.c.id == key_id)
            .values(digest=digest_of(secret), prefix=shown_part(secret, prefix), **old)
        )
        return secret, _one(connection, key_id)


def revoke_key(store: Store, key_id: int, *, scope: Scope) -> Key:
    """End a key for good, and return what it was. Raises NotFound."""
    with store.writing() as connection:
        key = key_by_id(connection, key_id, scope=scope)
        connection.execute(delete(access_key).where(access_key.c.id == key_id))
        return key


def key_of_digest(connection: Connection, digest: bytes) -> Key | None:
    """The key whose secret has this hash, or had it before a rotation that leaves it time."""
    now = time.time_ns()
    row = connection.execute(
        _keys().where(or_(access_key.c.digest == digest, access_key.c.old_digest == digest))
    ).first()
    if row is None:
        return None
    current = compare_digest(row.digest, digest)
    if not current and (row.old_until is None or row.old_until <= now):
        return None
    others = other_names(connection, scope=Scope(frozenset({row.project_id})))
    return replace(_key(row), other_names=frozenset(others.get(row.project_id, ())))


def note_use(connection: Connection, key_id: int, at: int) -> None:
    """Note when a key was used last."""
    connection.execute(update(access_key).where(access_key.c.id == key_id).values(last_used_at=at))


def _keys() -> Any:
    return select(access_key, project_table.c.name.label("project"), project_table.c.slug).join(
        project_table, project_table.c.id == access_key.c.project_id
    )


def _one(connection: Connection, key_id: int) -> Key:
    return _key(connection.execute(_keys().where(access_key.c.id == key_id)).one())


def _key(row: Row[Any]) -> Key:
    return Key(
        id=row.id,
        project_id=row.project_id,
        project=row.project,
        slug=row.slug,
        name=row.name,
        right=KeyRight(row.allows),
        prefix=row.prefix,
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        rate_limit=row.rate_limit,
        old_until=row.old_until,
    )
