"""Who is signed in: sessions behind a cookie, listed and ended one by one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from tracer.access.people import Person, person_by_id
from tracer.access.secrets import SECRET_LIMIT, digest_of, new_secret
from tracer.errors import Unavailable
from tracer.store.engine import Store
from tracer.store.models import person, sign_in
from tracer.units import DAY, HOUR, MINUTE

logger = logging.getLogger(__name__)

SESSION_LENGTH = 30 * DAY
CLOCK_SLACK = HOUR
"""A session is refused while the clock stands further than this before its beginning."""

AGENT_LIMIT = 200
SEEN_EVERY = 10 * MINUTE
Later = Callable[[Callable[[Connection], None]], Future[None]]


@dataclass(frozen=True, slots=True)
class Session:
    """One browser that is signed in; times in Unix nanoseconds, `seen_at` within some ten minutes."""

    id: int
    created_at: int
    expires_at: int
    seen_at: int
    address: str
    agent: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who a cookie belongs to: somebody, or (None) whoever held the administrator's token."""

    session_id: int
    person: Person | None


def open_session(
    connection: Connection,
    *,
    person_id: int | None = None,
    token_id: int | None = None,
    address: str = "",
    agent: str = "",
) -> str:
    """Begin a session and return the cookie's value, the only time that it can be read."""
    now = time.time_ns()
    value = new_secret()
    connection.execute(delete(sign_in).where(sign_in.c.expires_at < now))
    connection.execute(
        insert(sign_in).values(
            digest=digest_of(value),
            token_id=token_id,
            person_id=person_id,
            created_at=now,
            expires_at=now + SESSION_LENGTH,
            seen_at=now,
            address=address[:AGENT_LIMIT],
            agent=agent[:AGENT_LIMIT],
        )
    )
    if person_id is not None:
        connection.execute(update(person).where(person.c.id == person_id).values(seen_at=now))
    return value


def close_session(connection: Connection, value: str) -> None:
    """End the session of a cookie at once; nothing happens when there is none."""
    connection.execute(delete(sign_in).where(sign_in.c.digest == digest_of(value[:SECRET_LIMIT])))


def close_sessions(connection: Connection, person_id: int, *, only: int | None = None, but: int | None = None) -> int:
    """End somebody's sessions: one, all but one, or all; returns how many."""
    where = [sign_in.c.person_id == person_id]
    if only is not None:
        where.append(sign_in.c.id == only)
    if but is not None:
        where.append(sign_in.c.id != but)
    return connection.execute(delete(sign_in).where(*where)).rowcount


def sessions_of(connection: Connection, person_id: int) -> list[Session]:
    """Somebody's sessions, the one seen last first."""
    rows = connection.execute(
        select(sign_in)
        .where(sign_in.c.person_id == person_id, sign_in.c.expires_at > time.time_ns())
        .order_by(sign_in.c.seen_at.desc(), sign_in.c.id.desc())
    )
    return [_session(row) for row in rows]


class Sessions:
    """Finds sessions by their cookies; `later` notes, some time soon, when one was seen."""

    def __init__(self, store: Store, *, later: Later) -> None:
        self._store = store
        self._later = later

    def find(self, value: str) -> SignedIn | None:
        """Who is signed in with this cookie; None when nobody is, or not any more. Raises Unavailable."""
        if not value or len(value) > SECRET_LIMIT:
            return None
        now = time.time_ns()
        with self._store.reading() as connection:
            row = connection.execute(select(sign_in).where(sign_in.c.digest == digest_of(value))).first()
            # A clock that was set back does not make a session last longer.
            if row is None or not row.created_at - CLOCK_SLACK <= now < row.expires_at:
                return None
            found = SignedIn(row.id, None if row.person_id is None else person_by_id(connection, row.person_id))
        if now - row.seen_at > SEEN_EVERY and not self._store.read_only:
            self._note(row.id, row.person_id, now)
        return found

    def _note(self, session_id: int, person_id: int | None, now: int) -> None:
        def work(connection: Connection) -> None:
            connection.execute(update(sign_in).where(sign_in.c.id == session_id).values(seen_at=now))
            if person_id is not None:
                connection.execute(update(person).where(person.c.id == person_id).values(seen_at=now))

        with suppress(Unavailable):  # the server is stopping
            self._later(work).add_done_callback(_told)


def _told(done: Future[None]) -> None:
    if not done.cancelled() and done.exception() is not None:
        logger.debug("a session's use was not noted: %s", done.exception())


def _session(row: Row[Any]) -> Session:
    return Session(row.id, row.created_at, row.expires_at, row.seen_at, row.address, row.agent)
