"""The administrator's token: a credential for programs that may do everything, made once, printed once."""

from __future__ import annotations

import time

from sqlalchemy import Connection, delete, insert, select

from tracer.access.secrets import SECRET_LIMIT, digest_of, new_secret
from tracer.errors import Forbidden, NotSignedIn
from tracer.store.engine import Store
from tracer.store.models import access_token, sign_in
from tracer.units import DAY

TOKEN_PREFIX = "ssa_"  # noqa: S105 - the part that tells what the secret behind it is
SESSION_LENGTH = 30 * DAY


def ensure_admin_token(store: Store) -> str | None:
    """Make the administrator's token when there is none, and return it, the only time that it can be read."""
    with store.writing() as connection:
        if connection.execute(select(access_token.c.id).where(access_token.c.role == "admin")).first():
            return None
        token = new_secret(TOKEN_PREFIX)
        connection.execute(
            insert(access_token).values(digest=digest_of(token), role="admin", created_at=time.time_ns())
        )
        return token


def replace_admin_token(store: Store) -> str:
    """Make a new administrator's token; the old one and its sessions end at once."""
    with store.writing() as connection:
        connection.execute(delete(access_token).where(access_token.c.role == "admin"))
    token = ensure_admin_token(store)
    if token is None:
        raise Forbidden("Another process made a token at the same moment; run this again.")
    return token


def is_admin_token(connection: Connection, secret: str) -> bool:
    """True for the administrator's token."""
    return _token_id(connection, secret) is not None


def open_session(store: Store, token: str) -> str:
    """Exchange the administrator's token for a session, and return the cookie's value.

    Raises NotSignedIn when the token is not the right one.
    """
    now = time.time_ns()
    with store.writing() as connection:
        found = _token_id(connection, token)
        if found is None:
            raise NotSignedIn("That is not the administrator's token.", field="token")
        value = new_secret()
        connection.execute(delete(sign_in).where(sign_in.c.expires_at < now))
        connection.execute(
            insert(sign_in).values(
                digest=digest_of(value), token_id=found, created_at=now, expires_at=now + SESSION_LENGTH
            )
        )
        return value


def close_session(store: Store, value: str) -> None:
    """End a session at once; nothing happens when there is none."""
    with store.writing() as connection:
        connection.execute(delete(sign_in).where(sign_in.c.digest == digest_of(value[:SECRET_LIMIT])))


def holds_session(connection: Connection, value: str) -> bool:
    """True for the cookie of a session that has not ended."""
    return (
        len(value) <= SECRET_LIMIT
        and connection.execute(
            select(sign_in.c.digest).where(sign_in.c.digest == digest_of(value), sign_in.c.expires_at > time.time_ns())
        ).first()
        is not None
    )


def _token_id(connection: Connection, secret: str) -> int | None:
    if len(secret) > SECRET_LIMIT:
        return None
    return connection.execute(
        select(access_token.c.id).where(access_token.c.digest == digest_of(secret))
    ).scalar_one_or_none()
