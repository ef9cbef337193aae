"""Who is calling and what they may do: one table of all routes with the right that each needs.

On loopback the server is open: whoever reaches it is its user. Bound to anything else it asks for the administrator's
token, made at the first start and printed once: as a key in a header, or typed in at the sign-in page.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any

from sqlalchemy import Row, delete, insert, select
from starlette.requests import HTTPConnection

from tracer.errors import Forbidden, NotSignedIn
from tracer.otlp.addresses import ADDRESSES
from tracer.queries.scope import EVERYTHING, Scope
from tracer.store.engine import Store
from tracer.store.models import access_token, share, sign_in
from tracer.units import DAY

COOKIE = "stepscope_session"
SHARED_COOKIE = "stepscope_shared"
SESSION_LENGTH = 30 * DAY
TOKEN_PREFIX = "ssa_"  # noqa: S105 - the part that tells what the secret behind it is
TOKEN_LIMIT = 512
KEY_HEADERS = ("x-api-key", "api-key", "api_key")


class Right(StrEnum):
    """What a route needs."""

    public = "public"
    ingest = "ingest"
    read = "read"
    write = "write"
    admin = "admin"


ROUTES: dict[tuple[str, str], Right] = {
    **{("POST", path): Right.ingest for path in sorted(ADDRESSES)},
    ("GET", "/api/public/health"): Right.public,
    ("GET", "/api/public/projects"): Right.ingest,
    ("POST", "/api/public/ingestion"): Right.ingest,
    ("POST", "/api/public/scores"): Right.ingest,
    ("POST", "/api/public/media"): Right.ingest,
    ("PATCH", "/api/public/media/{media_id}"): Right.ingest,
    ("GET", "/info"): Right.public,
    ("GET", "/v1/info"): Right.ingest,
    ("GET", "/version"): Right.public,
    ("GET", "/api/2.0/mlflow/experiments/get-by-name"): Right.ingest,
    ("GET", "/api/2.0/mlflow/experiments/get"): Right.ingest,
    ("POST", "/api/3.0/mlflow/traces"): Right.ingest,
    ("GET", "/api/v1/projects"): Right.read,
    ("GET", "/api/v1/traces"): Right.read,
    ("GET", "/api/v1/traces/{trace_id}"): Right.read,
    ("GET", "/api/v1/traces/{trace_id}/export"): Right.read,
    ("DELETE", "/api/v1/traces"): Right.write,
    ("DELETE", "/api/v1/traces/{trace_id}"): Right.write,
    ("GET", "/api/v1/deletions/{deletion_id}"): Right.read,
    ("GET", "/api/v1/traces/{trace_id}/spans"): Right.read,
    ("GET", "/api/v1/traces/{trace_id}/spans/{span_id}"): Right.read,
    ("GET", "/api/v1/metrics"): Right.read,
    ("POST", "/api/v1/scores"): Right.ingest,
    ("GET", "/api/v1/scores"): Right.read,
    ("DELETE", "/api/v1/scores/{score_id}"): Right.write,
    ("PATCH", "/api/v1/traces/{trace_id}"): Right.write,
    ("POST", "/api/v1/shares"): Right.write,
    ("GET", "/api/v1/shares"): Right.write,
    ("DELETE", "/api/v1/shares/{share_id}"): Right.write,
    ("GET", "/shared/{token}"): Right.public,
    ("GET", "/api/v1/prices"): Right.read,
    ("PUT", "/api/v1/prices"): Right.admin,
    ("GET", "/api/v1/status"): Right.read,
    ("GET", "/healthz"): Right.public,
    ("GET", "/readyz"): Right.public,
    ("GET", "/openapi.json"): Right.public,
    ("GET", "/"): Right.read,
    ("GET", "/traces/{trace_id}"): Right.read,
    ("GET", "/p/{slug}"): Right.read,
    ("GET", "/p/{slug}/traces"): Right.read,
    ("GET", "/p/{slug}/traces/{trace_id}"): Right.read,
    ("GET", "/p/{slug}/traces/{trace_id}/skeleton"): Right.read,
    ("GET", "/p/{slug}/traces/{trace_id}/search"): Right.read,
    ("GET", "/p/{slug}/traces/{trace_id}/steps/{span_id}"): Right.read,
    ("GET", "/p/{slug}/traces/{trace_id}/steps/{span_id}/markdown"): Right.read,
    ("GET", "/p/{slug}/traces/{trace_id}/steps/{span_id}/{side}"): Right.read,
    ("GET", "/p/{slug}/traces/{trace_id}/transcript"): Right.read,
    ("GET", "/p/{slug}/traces/{trace_id}/wiring"): Right.read,
    ("GET", "/p/{slug}/compare"): Right.read,
    ("GET", "/p/{slug}/compare/rows"): Right.read,
    ("GET", "/p/{slug}/compare/texts"): Right.read,
    ("GET", "/p/{slug}/compare/pair"): Right.read,
    ("GET", "/p/{slug}/live"): Right.read,
    ("GET", "/settings/prices"): Right.admin,
    ("POST", "/settings/prices"): Right.admin,
    ("POST", "/settings/prices/remove"): Right.admin,
    ("POST", "/settings/prices/recompute"): Right.admin,
    ("GET", "/sign-in"): Right.public,
    ("POST", "/sign-in"): Right.public,
    ("POST", "/sign-out"): Right.public,
    ("GET", "/live"): Right.read,
    ("GET", "/static/{digest}/{name:path}"): Right.public,
}
"""Every route of the service. A route that is not here is refused, and a test fails for it."""


SHARED_ROUTES = frozenset(
    {
        "/p/{slug}/traces/{trace_id}",
        "/p/{slug}/traces/{trace_id}/skeleton",
        "/p/{slug}/traces/{trace_id}/search",
        "/p/{slug}/traces/{trace_id}/transcript",
        "/p/{slug}/traces/{trace_id}/steps/{span_id}",
        "/p/{slug}/traces/{trace_id}/steps/{span_id}/markdown",
        "/p/{slug}/traces/{trace_id}/steps/{span_id}/{side}",
        "/p/{slug}/live",
    }
)
"""Where a link to one trace lets its reader in: the pages of that trace, and the stream that tells of it."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request: the projects in sight and the rights held."""

    scope: Scope
    rights: frozenset[Right]
    signed_in: bool
    """False on an open (loopback) server, where nobody signs in."""
    only_trace: str | None = None
    """The one trace that the reader of a link may see."""

    @property
    def name(self) -> str:
        """Who it is, for what people add; empty where nobody signs in."""
        return "administrator" if self.signed_in else ""


ANYONE = Caller(Scope(frozenset()), frozenset({Right.public}), signed_in=False)
OWNER = Caller(EVERYTHING, frozenset(Right), signed_in=False)
ADMINISTRATOR = Caller(EVERYTHING, frozenset(Right), signed_in=True)


def _digest(secret: str) -> bytes:
    # A token has 256 bits of chance: a plain hash is enough, and comparing hashes tells nothing by its time.
    return sha256(secret.encode()).digest()


def ensure_admin_token(store: Store) -> str | None:
    """Make the administrator's token when there is none, and return it, the only time that it can be read."""
    with store.writing() as connection:
        if connection.execute(select(access_token.c.id).where(access_token.c.role == "admin")).first():
            return None
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        connection.execute(insert(access_token).values(digest=_digest(token), role="admin", created_at=time.time_ns()))
        return token


def replace_admin_token(store: Store) -> str:
    """Make a new administrator's token; the old one and its sessions end at once."""
    with store.writing() as connection:
        connection.execute(delete(access_token).where(access_token.c.role == "admin"))
    token = ensure_admin_token(store)
    if token is None:
        raise Forbidden("Another process made a token at the same moment; run this again.")
    return token


def open_session(store: Store, token: str) -> str:
    """Exchange the administrator's token for a session, and return the cookie's value.

    Raises NotSignedIn when the token is not the right one.
    """
    now = time.time_ns()
    with store.writing() as connection:
        found = None
        if len(token) <= TOKEN_LIMIT:
            found = connection.execute(select(access_token.c.id).where(access_token.c.digest == _digest(token))).first()
        if found is None:
            raise NotSignedIn("That is not the administrator's token.", field="token")
        value = secrets.token_urlsafe(32)
        connection.execute(delete(sign_in).where(sign_in.c.expires_at < now))
        connection.execute(
            insert(sign_in).values(
                digest=_digest(value), token_id=found.id, created_at=now, expires_at=now + SESSION_LENGTH
            )
        )
        return value


def close_session(store: Store, value: str) -> None:
    """End a session at once; nothing happens when there is none."""
    with store.writing() as connection:
        connection.execute(delete(sign_in).where(sign_in.c.digest == _digest(value[:TOKEN_LIMIT])))


def identify(connection: HTTPConnection, store: Store, *, open_server: bool) -> Caller:
    """Find out who makes a request, from a key in its headers or the session's cookie.

    Raises NotSignedIn for a key that is not known; without any key or cookie the caller is ANYONE.
    """
    if open_server:
        return OWNER
    caller = identify_key(connection.headers, store)
    if caller is not None:
        return caller
    cookie = connection.cookies.get(COOKIE)
    if cookie and len(cookie) <= TOKEN_LIMIT:
        with store.reading() as session:
            if session.execute(
                select(sign_in.c.digest).where(
                    sign_in.c.digest == _digest(cookie), sign_in.c.expires_at > time.time_ns()
                )
            ).first():
                return ADMINISTRATOR
    return _reader_of_link(connection, store) or ANYONE


def _reader_of_link(connection: HTTPConnection, store: Store) -> Caller | None:
    """Who came by a link to the trace that the request is about, when the link still holds."""
    route = connection.scope.get("route")
    trace_id = (connection.path_params.get("trace_id") or connection.query_params.get("trace") or "").lower()
    token = connection.cookies.get(f"{SHARED_COOKIE}_{trace_id}")
    if not trace_id or not token or getattr(route, "path", None) not in SHARED_ROUTES:
        return None
    shared = open_link(store, token)
    if shared is None or shared.trace_id != trace_id:
        return None
    rights = frozenset({Right.public, Right.read})
    return Caller(Scope(frozenset({shared.project_id})), rights, signed_in=False, only_trace=trace_id)


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
    token, now = secrets.token_urlsafe(32), time.time_ns()
    given = {
        "project_id": project_id, "trace_id": bytes.fromhex(trace_id), "author": author, "created_at": now,
        "expires_at": now + lasts,
    }  # fmt: skip
    with store.writing() as connection:
        connection.execute(delete(share).where(share.c.expires_at < now))
        made = connection.execute(
            insert(share).values(digest=_digest(token), **given).returning(share.c.id)
        ).scalar_one()
    return token, Link(made, project_id, trace_id, author, now, now + lasts)


def open_link(store: Store, token: str) -> Link | None:
    """The link with this secret; None when there is none, or not any more."""
    if len(token) > TOKEN_LIMIT:
        return None
    with store.reading() as session:
        row = session.execute(
            select(share).where(share.c.digest == _digest(token), share.c.expires_at > time.time_ns())
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


def identify_key(headers: Mapping[str, str], store: Store) -> Caller | None:
    """Find out who makes a request or a call from the key in its headers; None when there is no key.

    Raises NotSignedIn for a key that is not known.
    """
    key = key_of(headers)
    if key is None:
        return None
    with store.reading() as session:
        if (
            len(key) <= TOKEN_LIMIT
            and session.execute(select(access_token.c.id).where(access_token.c.digest == _digest(key))).first()
        ):
            return ADMINISTRATOR
    raise NotSignedIn("The key is not known here.")


def key_of(headers: Mapping[str, str]) -> str | None:
    """The key in a request's headers (or a call's metadata, names in lower case), in any form that a client sends.

    `Authorization: Bearer KEY`, Basic (password, else user name) or the key alone; `x-api-key`, `api-key`, `api_key`.
    Raises NotSignedIn for Basic credentials that cannot be read.
    """
    kind, space, rest = headers.get("authorization", "").strip().partition(" ")
    rest = rest.strip()
    if kind.lower() == "bearer" and rest:
        return rest
    if kind.lower() == "basic" and rest:
        try:
            user, _, password = base64.b64decode(rest, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            raise NotSignedIn("The Basic credentials cannot be read.") from None
        return password or user or None
    if kind and not space:
        return kind
    return next((headers[name] for name in KEY_HEADERS if headers.get(name)), None)


def check_right(caller: Caller, needed: Right) -> None:
    """Raise NotSignedIn or Forbidden unless the caller holds the right."""
    if needed in caller.rights or needed is Right.public:
        return
    if caller is ANYONE:
        raise NotSignedIn("This server asks for a key or for signing in.")
    raise Forbidden(f"This key does not have the right to {needed.value}.")
