"""Read-only links to one trace each: made, opened, listed, revoked."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, delete, insert, select

from tracer.access.secrets import SECRET_LIMIT, digest_of, new_secret
from tracer.queries.scope import Scope
from tracer.store.engine import Store
from tracer.store.models import share


@dataclass(frozen=True, slots=True)
class Link:
    """A read-only link to one trace; times in Unix nanoseconds."""

    id: int
    project_id: int
    trace_id: str
    author: str
    created_at: int
    expires_at: int


def make_link(store: Store, *, project_id: int, trace_id: str, author: str, lasts: int) -> tuple[str, Link]:
    """Make a link that lasts so many nanoseconds; returns its secret, the only time that it can be read."""
    token, now = new_secret(), time.time_ns()
    given = {
        "project_id": project_id, "trace_id": bytes.fromhex(trace_id), "author": author, "created_at": now,
        "expires_at": now + lasts,
    }  # fmt: skip
    with store.writing() as connection:
        connection.execute(delete(share).where(share.c.expires_at < now))
        made = connection.execute(
            insert(share).values(digest=digest_of(token), **given).returning(share.c.id)
        ).scalar_one()
    return token, Link(made, project_id, trace_id, author, now, now + lasts)


def open_link(store: Store, token: str) -> Link | None:
    """The link with this secret; None when there is none, or not any more."""
    if len(token) > SECRET_LIMIT:
        return None
    with store.reading() as session:
        row = session.execute(
            select(share).where(share.c.digest == digest_of(token), share.c.expires_at > time.time_ns())
        ).first()
    return None if row is None else _link(row)


def links(store: Store, *, scope: Scope, trace_id: str | None = None, limit: int = 1_000) -> list[Link]:
    """The links that still hold, the newest first."""
    where = [scope.condition(share.c.project_id), share.c.expires_at > time.time_ns()]
    if trace_id is not None:
        where.append(share.c.trace_id == bytes.fromhex(trace_id))
    with store.reading() as session:
        return [
            _link(row) for row in session.execute(select(share).where(*where).order_by(share.c.id.desc()).limit(limit))
        ]


def revoke_link(store: Store, link_id: int, *, scope: Scope) -> bool:
    """End a link at once; False when there is none."""
    with store.writing() as connection:
        where = (share.c.id == link_id, scope.condition(share.c.project_id))
        return connection.execute(delete(share).where(*where)).rowcount > 0


def _link(row: Row[Any]) -> Link:
    return Link(row.id, row.project_id, row.trace_id.hex(), row.author, row.created_at, row.expires_at)
