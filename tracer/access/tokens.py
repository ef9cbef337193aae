"""The administrator's token: a credential for programs that may do everything, made by a command, printed once."""

from __future__ import annotations

import time

from sqlalchemy import Connection, delete, insert, select

from tracer.access.secrets import SECRET_LIMIT, digest_of, new_secret
from tracer.errors import Forbidden
from tracer.store.engine import Store
from tracer.store.models import access_token

TOKEN_PREFIX = "ssa_"  # noqa: S105 - the part that tells what the secret behind it is


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


def token_id(connection: Connection, secret: str) -> int | None:
    """The row number of the administrator's token; None for any other text."""
    if len(secret) > SECRET_LIMIT or not secret.startswith(TOKEN_PREFIX):
        return None
    return connection.execute(
        select(access_token.c.id).where(access_token.c.digest == digest_of(secret))
    ).scalar_one_or_none()
