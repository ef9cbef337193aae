"""Who is calling and what they may do: one table of all routes with the right that each needs.

On loopback the server is open: whoever reaches it is its user. Bound to anything else it asks for a key in a header, or
for signing in. A right is held in projects: a route sees those in which its caller holds the right that it needs.
"""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from anyio import to_thread
from starlette.requests import HTTPConnection

from tracer.access.keys import Key, KeyRight
from tracer.access.links import open_link
from tracer.access.people import Person, Role
from tracer.access.rate import Rates
from tracer.access.ring import OURS, KeyRing
from tracer.access.sessions import Sessions, SignedIn
from tracer.access.tokens import token_id
from tracer.errors import Forbidden, NotSignedIn, TracerError
from tracer.otlp.addresses import ADDRESSES
from tracer.queries.scope import EVERYTHING, NOTHING, Scope
from tracer.store.engine import Store

ASKED_AGAIN_S = 1.0
COOKIE = "stepscope_session"
SHARED_COOKIE = "stepscope_shared"
KEY_HEADERS = ("x-api-key", "api-key", "api_key")


class Right(StrEnum):
    """What a route needs."""

    public = "public"
    account = "account"
    """Their own password and sessions."""
    ingest = "ingest"
    score = "score"
    read = "read"
    write = "write"
    manage = "manage"
    """A project's keys and other settings of it."""
    admin = "admin"
    """What belongs to the whole server."""


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
    ("GET", "/api/v1/projects/{slug}"): Right.read,
    ("PATCH", "/api/v1/projects/{slug}"): Right.manage,
    ("POST", "/api/v1/projects/{slug}/merge"): Right.manage,
    ("DELETE", "/api/v1/projects/{slug}"): Right.manage,
    ("GET", "/api/v1/merges/{merge_id}"): Right.manage,
    ("GET", "/api/v1/traces"): Right.read,
    ("GET", "/api/v1/traces/{trace_id}"): Right.read,
    ("GET", "/api/v1/traces/{trace_id}/export"): Right.read,
    ("GET", "/api/v1/traces/{trace_id}/markdown"): Right.read,
    ("GET", "/api/v1/export"): Right.read,
    ("POST", "/mcp"): Right.read,
    ("POST", "/api/v1/import"): Right.write,
    ("DELETE", "/api/v1/traces"): Right.write,
    ("DELETE", "/api/v1/traces/{trace_id}"): Right.write,
    ("GET", "/api/v1/deletions"): Right.read,
    ("GET", "/api/v1/deletions/{deletion_id}"): Right.read,
    ("GET", "/api/v1/traces/{trace_id}/spans"): Right.read,
    ("GET", "/api/v1/traces/{trace_id}/spans/{span_id}"): Right.read,
    ("GET", "/api/v1/fields"): Right.read,
    ("GET", "/api/v1/spans"): Right.read,
    ("GET", "/api/v1/facets"): Right.read,
    ("GET", "/api/v1/completions"): Right.read,
    ("GET", "/api/v1/views"): Right.read,
    ("POST", "/api/v1/views"): Right.write,
    ("DELETE", "/api/v1/views/{view_id}"): Right.write,
    ("GET", "/api/v1/alerts"): Right.read,
    ("POST", "/api/v1/alerts"): Right.write,
    ("PUT", "/api/v1/alerts/{alert_id}"): Right.write,
    ("DELETE", "/api/v1/alerts/{alert_id}"): Right.write,
    ("PUT", "/api/v1/alerts/{alert_id}/mute"): Right.write,
    ("POST", "/api/v1/alerts/{alert_id}/test"): Right.write,
    ("GET", "/api/v1/alerts/{alert_id}/history"): Right.read,
    ("GET", "/api/v1/metrics"): Right.read,
    ("GET", "/api/v1/compare"): Right.read,
    ("GET", "/api/v1/live"): Right.read,
    ("POST", "/api/v1/scores"): Right.score,
    ("GET", "/api/v1/sessions"): Right.read,
    ("GET", "/api/v1/sessions/{session_id:path}"): Right.read,
    ("GET", "/api/v1/users"): Right.read,
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
    ("GET", "/metrics"): Right.read,
    ("GET", "/openapi.json"): Right.public,
    ("GET", "/"): Right.read,
    ("GET", "/traces/{trace_id}"): Right.read,
    ("GET", "/sessions/{session_id:path}"): Right.read,
    ("GET", "/p/{slug}"): Right.read,
    ("GET", "/p/{slug}/sessions"): Right.read,
    ("GET", "/p/{slug}/sessions/{session_id:path}"): Right.read,
    ("GET", "/p/{slug}/users"): Right.read,
    ("GET", "/p/{slug}/steps"): Right.read,
    ("GET", "/p/{slug}/scores"): Right.read,
    ("GET", "/p/{slug}/alerts"): Right.read,
    ("POST", "/p/{slug}/alerts"): Right.write,
    ("POST", "/p/{slug}/alerts/mute"): Right.write,
    ("POST", "/p/{slug}/alerts/test"): Right.write,
    ("POST", "/p/{slug}/alerts/remove"): Right.write,
    ("GET", "/p/{slug}/metrics"): Right.read,
    ("GET", "/p/{slug}/metrics/figures"): Right.read,
    ("GET", "/p/{slug}/metrics/csv"): Right.read,
    ("GET", "/p/{slug}/users/{user_id:path}"): Right.read,
    ("GET", "/p/{slug}/traces"): Right.read,
    ("GET", "/p/{slug}/facets"): Right.read,
    ("GET", "/p/{slug}/traces/{trace_id}"): Right.read,
    ("GET", "/p/{slug}/traces/{trace_id}/peek"): Right.read,
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
    ("GET", "/start"): Right.read,
    ("POST", "/start/key"): Right.manage,
    ("POST", "/start/samples"): Right.admin,
    ("POST", "/start/samples/remove"): Right.admin,
    ("GET", "/projects"): Right.read,
    ("GET", "/projects/{slug}"): Right.manage,
    ("POST", "/projects/{slug}/rename"): Right.manage,
    ("POST", "/projects/{slug}/merge"): Right.manage,
    ("POST", "/projects/{slug}/delete"): Right.manage,
    ("GET", "/settings/prices"): Right.admin,
    ("POST", "/settings/prices"): Right.admin,
    ("POST", "/settings/prices/remove"): Right.admin,
    ("POST", "/settings/prices/recompute"): Right.admin,
    ("GET", "/api/v1/keys"): Right.manage,
    ("POST", "/api/v1/keys"): Right.manage,
    ("POST", "/api/v1/keys/{key_id}/rotate"): Right.manage,
    ("DELETE", "/api/v1/keys/{key_id}"): Right.manage,
    ("GET", "/settings"): Right.read,
    ("GET", "/settings/keys"): Right.manage,
    ("POST", "/settings/keys"): Right.manage,
    ("POST", "/settings/keys/rotate"): Right.manage,
    ("POST", "/settings/keys/revoke"): Right.manage,
    ("GET", "/api/v1/people"): Right.manage,
    ("PUT", "/api/v1/people/{person_id}/role"): Right.manage,
    ("DELETE", "/api/v1/people/{person_id}"): Right.admin,
    ("POST", "/api/v1/people/{person_id}/reset"): Right.admin,
    ("GET", "/api/v1/invitations"): Right.manage,
    ("POST", "/api/v1/invitations"): Right.manage,
    ("DELETE", "/api/v1/invitations/{invitation_id}"): Right.manage,
    ("GET", "/api/v1/rules"): Right.manage,
    ("PUT", "/api/v1/rules"): Right.manage,
    ("POST", "/api/v1/rules/trial"): Right.manage,
    ("GET", "/settings/privacy"): Right.manage,
    ("POST", "/settings/privacy"): Right.manage,
    ("POST", "/settings/privacy/erase"): Right.manage,
    ("GET", "/api/v1/audit"): Right.manage,
    ("GET", "/settings/audit"): Right.manage,
    ("GET", "/settings/people"): Right.manage,
    ("POST", "/settings/people"): Right.manage,
    ("POST", "/settings/people/role"): Right.manage,
    ("POST", "/settings/people/uninvite"): Right.manage,
    ("POST", "/settings/people/remove"): Right.admin,
    ("POST", "/settings/people/reset"): Right.admin,
    ("GET", "/settings/account"): Right.account,
    ("POST", "/settings/account/password"): Right.account,
    ("POST", "/settings/account/sessions"): Right.account,
    ("GET", "/join/{token}"): Right.public,
    ("POST", "/join/{token}"): Right.public,
    ("GET", "/sign-in"): Right.public,
    ("GET", "/sign-in/oidc"): Right.public,
    ("GET", "/sign-in/oidc/callback"): Right.public,
    ("POST", "/sign-in"): Right.public,
    ("POST", "/sign-out"): Right.public,
    ("GET", "/live"): Right.read,
    ("GET", "/static/{digest}/{name:path}"): Right.public,
}
"""Every route of the service. A route that is not here is refused, and a test fails for it."""


_PATTERNS = [
    (method, re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.sub(r"\\{\w+:path\\}", ".+", re.escape(path)))))
    for method, path in ROUTES
]


def methods_of(path: str) -> list[str]:
    """The methods that an address takes, whatever stands in its places."""
    return sorted({method for method, pattern in _PATTERNS if pattern.fullmatch(path)})


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
    """Who makes a request, and in which projects each right is held."""

    grants: Mapping[Right, Scope]
    kind: str
    """`nobody`, `owner` (of an open server), `token`, `key`, `person` or `link`."""
    name: str = ""
    """Who it is, for what people add: a key's name, a person's address; empty where nobody signs in."""
    project: str | None = None
    """The one project that a key belongs to, by name: what comes with the key lands there."""
    other_names: frozenset[str] = frozenset()
    """Names that reach that project too."""
    only_trace: str | None = None
    """The one trace that the reader of a link may see."""
    person: Person | None = None
    session_id: int | None = None
    """The session of a browser that is signed in."""
    scope: Scope = field(default=NOTHING)
    """The projects in which the caller holds the right that the route needs."""

    @property
    def rights(self) -> frozenset[Right]:
        """The rights held in any project."""
        return frozenset(self.grants)

    @property
    def signed_in(self) -> bool:
        """True for who has to show who they are: false on an open server, and for the reader of a link."""
        return self.kind not in ("nobody", "owner", "link")

    @property
    def may_sign_out(self) -> bool:
        """True in a browser that is signed in."""
        return self.session_id is not None

    def within(self, right: Right) -> Scope:
        """The projects in which the caller holds a right."""
        return self.grants.get(right, NOTHING)

    def may(self, right: str, project_id: int) -> bool:
        """True when the caller holds the right in the project."""
        return self.within(Right(right)).allows(project_id)

    def asking(self, right: Right) -> Caller:
        """The caller as a route that needs the right sees it."""
        return replace(self, scope=self.within(right))


def _grants(rights: frozenset[Right] | set[Right], scope: Scope) -> Mapping[Right, Scope]:
    return MappingProxyType(dict.fromkeys(rights, scope))


ANYONE = Caller(_grants({Right.public}, NOTHING), "nobody")
OWNER = Caller(_grants(frozenset(Right), EVERYTHING), "owner")
ADMINISTRATOR = Caller(_grants(frozenset(Right), EVERYTHING), "token", name="administrator")

KEY_RIGHTS: Mapping[KeyRight, frozenset[Right]] = {
    KeyRight.ingest: frozenset({Right.public, Right.ingest, Right.score}),
    KeyRight.read: frozenset({Right.public, Right.read}),
    KeyRight.full: frozenset({Right.public, Right.ingest, Right.score, Right.read, Right.write}),
}
"""What each kind of key may do in its project."""


def holder_of(key: Key) -> Caller:
    """The caller who holds a key."""
    scope = Scope(frozenset({key.project_id}))
    return Caller(
        _grants(KEY_RIGHTS[key.right], scope), "key", name=key.name, project=key.project, other_names=key.other_names
    )


ROLE_RIGHTS: Mapping[Role, frozenset[Right]] = {
    Role.viewer: frozenset({Right.read}),
    Role.editor: frozenset({Right.read, Right.score, Right.write}),
    Role.admin: frozenset({Right.read, Right.score, Right.write, Right.manage}),
}
"""What each role may do in its project."""


def somebody(signed_in: SignedIn) -> Caller:
    """The caller behind a session."""
    person = signed_in.person
    if person is None:
        return replace(ADMINISTRATOR, session_id=signed_in.session_id)
    grants: dict[Right, Scope] = dict.fromkeys((Right.public, Right.account), NOTHING)
    for right in Right:
        everywhere = person.is_admin or (person.everywhere is not None and right in ROLE_RIGHTS[person.everywhere])
        projects = frozenset(project for project, role in person.roles.items() if right in ROLE_RIGHTS[role])
        if everywhere or projects:
            grants[right] = EVERYTHING if everywhere else Scope(projects)
    held = MappingProxyType(grants)
    return Caller(held, "person", name=person.email, person=person, session_id=signed_in.session_id)


@dataclass(frozen=True, slots=True)
class Doors:
    """What is asked who somebody is. An open server is its OWNER's, whoever comes."""

    store: Store
    keys: KeyRing
    sessions: Sessions
    open_server: bool
    rates: Rates = field(default_factory=Rates)


def identify(connection: HTTPConnection, doors: Doors) -> Caller:
    """Find out who makes a request, from a key in its headers or the session's cookie.

    Raises NotSignedIn for a key that is not known, TooFast for one that has no request left for the moment; without
    any key or cookie the caller is ANYONE. On an open server
    that is its OWNER, but for who comes with a key of a project.
    """
    caller = identify_key(connection.headers, doors)
    if caller is not None:
        return caller
    signed_in = doors.sessions.find(connection.cookies.get(COOKIE, ""))
    if signed_in is not None:
        return somebody(signed_in)
    return _reader_of_link(connection, doors.store) or ANYONE


def identify_at_once(connection: HTTPConnection, doors: Doors) -> Caller | None:
    """Who makes a request, where that takes no look into the database; None where it does."""
    if doors.open_server and not any(name in connection.headers for name in ("authorization", *KEY_HEADERS)):
        return OWNER
    key = _key_given(connection.headers, open_server=doors.open_server)
    held = None if key is None else doors.keys.remembered(key)
    if held is None:
        return None
    doors.rates.take(held)
    return holder_of(held)


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
    scope = Scope(frozenset({shared.project_id}))
    return Caller(_grants({Right.public, Right.read}, scope), "link", only_trace=trace_id)


def identify_key(headers: Mapping[str, str], doors: Doors) -> Caller | None:
    """Find out who makes a request or a call from the key in its headers; None when there is no key.

    Raises NotSignedIn for a key that is not known. An open server asks for none: who comes with one that is not ours is
    its OWNER, as who comes without.
    """
    key = _key_given(headers, open_server=doors.open_server)
    if key is None:
        return OWNER if doors.open_server else None
    found = doors.keys.find(key)
    if found is not None:
        doors.rates.take(found)
        return holder_of(found)
    if doors.open_server and not key.startswith(OURS):
        return OWNER
    with doors.store.reading() as session:
        if token_id(session, key) is not None:
            return ADMINISTRATOR
    raise NotSignedIn("The key is not known here.")


def _key_given(headers: Mapping[str, str], *, open_server: bool) -> str | None:
    try:
        return key_of(headers)
    except NotSignedIn:
        if open_server:
            return None  # another service's credentials, which nobody asked for
        raise


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


def still_holds(connection: HTTPConnection, caller: Caller) -> Callable[[], Awaitable[bool]]:
    """Asks whether who opened a stream may still read it, as then: a session, a key or a link may have ended since.

    It is looked up once a second at the most, and takes no request off a key's rate. A database that is away ends
    nothing.
    """
    doors: Doors = replace(connection.app.state.doors, rates=Rates())
    asked = time.monotonic()

    async def ask() -> bool:
        nonlocal asked
        if time.monotonic() - asked < ASKED_AGAIN_S:
            return True
        asked = time.monotonic()
        try:
            now = identify_at_once(connection, doors) or await to_thread.run_sync(identify, connection, doors)
        except NotSignedIn:
            return False
        except TracerError:
            return True
        return now.within(Right.read) == caller.within(Right.read) and now.only_trace == caller.only_trace

    return ask


def check_right(caller: Caller, needed: Right) -> None:
    """Raise NotSignedIn or Forbidden unless the caller holds the right."""
    if needed in caller.rights or needed is Right.public:
        return
    if caller is ANYONE:
        raise NotSignedIn("This server asks for a key or for signing in.")
    raise Forbidden(f"This {'key' if caller.kind == 'key' else 'account'} does not have the right to {needed.value}.")
