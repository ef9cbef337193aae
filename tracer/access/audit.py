"""The audit log: who saw, changed, exported and deleted what, who signed in, and who gave keys and roles.

What a request does is noted when it has been answered, and written a moment later, between the writer's commits.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, cast

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select
from starlette.requests import Request

from tracer.access.ring import Later
from tracer.errors import Unavailable
from tracer.otlp.text import clean
from tracer.queries.scope import Scope
from tracer.store.engine import Store
from tracer.store.models import audit, project, project_alias, trace
from tracer.units import DAY

logger = logging.getLogger(__name__)

TEXT_LIMIT = 300
TEXTS = ("who", "kind", "action", "target", "detail", "address", "request_id")
MOST_ROWS = 1_000_000
MOST_WAITING = 20_000
PRUNE_EVERY_S = 600.0
SEEN_AGAIN_S = 3_600.0
"""That somebody saw a trace is noted once in this time."""

MOST_SEEN = 10_000

ACTIONS: Mapping[tuple[str, str], str] = {
    ("GET", "/api/v1/traces/{trace_id}/export"): "exported",
    ("GET", "/api/v1/export"): "exported",
    ("POST", "/api/v1/import"): "imported",
    ("GET", "/api/v1/audit"): "read the audit log",
    ("DELETE", "/api/v1/traces"): "deleted",
    ("DELETE", "/api/v1/traces/{trace_id}"): "deleted",
    ("PATCH", "/api/v1/projects/{slug}"): "renamed a project",
    ("POST", "/api/v1/projects/{slug}/merge"): "merged a project",
    ("DELETE", "/api/v1/projects/{slug}"): "deleted a project",
    ("POST", "/projects/{slug}/rename"): "renamed a project",
    ("POST", "/projects/{slug}/merge"): "merged a project",
    ("POST", "/projects/{slug}/delete"): "deleted a project",
    ("POST", "/api/v1/shares"): "shared",
    ("DELETE", "/api/v1/shares/{share_id}"): "took back a link",
    ("GET", "/shared/{token}"): "opened a link",
    ("POST", "/api/v1/scores"): "scored",
    ("DELETE", "/api/v1/scores/{score_id}"): "took away a score",
    ("POST", "/api/v1/keys"): "made a key",
    ("POST", "/api/v1/keys/{key_id}/rotate"): "rotated a key",
    ("DELETE", "/api/v1/keys/{key_id}"): "revoked a key",
    ("POST", "/settings/keys"): "made a key",
    ("POST", "/start/key"): "made a key",
    ("POST", "/start/samples"): "added the sample traces",
    ("POST", "/start/samples/remove"): "deleted a project",
    ("POST", "/settings/keys/rotate"): "rotated a key",
    ("POST", "/settings/keys/revoke"): "revoked a key",
    ("POST", "/api/v1/alerts"): "made an alert",
    ("PUT", "/api/v1/alerts/{alert_id}"): "changed an alert",
    ("DELETE", "/api/v1/alerts/{alert_id}"): "deleted an alert",
    ("PUT", "/api/v1/alerts/{alert_id}/mute"): "muted an alert",
    ("POST", "/api/v1/alerts/{alert_id}/test"): "tested an alert",
    ("POST", "/p/{slug}/alerts"): "made an alert",
    ("POST", "/p/{slug}/alerts/mute"): "muted an alert",
    ("POST", "/p/{slug}/alerts/test"): "tested an alert",
    ("POST", "/p/{slug}/alerts/remove"): "deleted an alert",
    ("PUT", "/api/v1/people/{person_id}/role"): "gave a role",
    ("DELETE", "/api/v1/people/{person_id}"): "removed an account",
    ("POST", "/api/v1/people/{person_id}/reset"): "made a link for a new password",
    ("POST", "/api/v1/invitations"): "invited",
    ("DELETE", "/api/v1/invitations/{invitation_id}"): "took back an invitation",
    ("POST", "/settings/people"): "invited",
    ("POST", "/settings/people/role"): "gave a role",
    ("POST", "/settings/people/remove"): "removed an account",
    ("POST", "/settings/people/reset"): "made a link for a new password",
    ("POST", "/settings/people/uninvite"): "took back an invitation",
    ("POST", "/settings/account/password"): "changed their password",
    ("POST", "/settings/account/sessions"): "ended a session",
    ("POST", "/api/v1/rules/trial"): "tried rules",
    ("PUT", "/api/v1/rules"): "changed rules",
    ("POST", "/settings/privacy"): "changed rules",
    ("POST", "/settings/privacy/erase"): "erased",
    ("POST", "/join/{token}"): "joined",
    ("POST", "/sign-in"): "signed in",
    ("GET", "/sign-in/oidc/callback"): "signed in",
    ("POST", "/sign-out"): "signed out",
}
"""How a route's deed is called, where "changed" or "saw" would say too little."""

REFUSED = "was refused"
"""The one action that is noted although it failed: signing in with what is wrong."""

BY_RULE = "deleted by a rule"
"""What the server does by itself: traces that are too old or too many."""

UNNOTED = frozenset({("POST", "/api/v1/scores")})
"""What programs do all the time: noted when a person does it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log; `at` in Unix nanoseconds."""

    action: str
    who: str = ""
    kind: str = ""
    """What they came with: `person`, `token`, `key`, `link`, or `owner` on an open server; or it was the `server`."""
    project: str | None = None
    target: str = ""
    detail: str = ""
    address: str = ""
    request_id: str = ""
    at: int = 0
    project_id: int | None = None
    id: int = 0


@dataclass(slots=True)
class Deed:
    """What a request is about to do; routes say more while they do it."""

    entry: Entry
    once: tuple[str, str] | None = None
    """Set for what is noted once an hour: who, and what of."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are asked for; times in Unix nanoseconds, `until` exclusive."""

    who: str = ""
    action: str = ""
    project_id: int | None = None
    since: int | None = None
    until: int | None = None


def deed_of(request: Request, path: str, *, who: str, kind: str, reads: bool) -> Deed | None:
    """What a request does, for the log; None for what is not noted. `reads` tells that the route reads a project."""
    method = request.method
    key = (method, path)
    trace_id = request.path_params.get("trace_id", "").lower()
    action = ACTIONS.get(key)
    if action is None:
        if not reads:
            action = None if method in ("GET", "HEAD") else "changed"
        elif trace_id or path == "/mcp":
            action = "saw"
    if action is None or (kind == "owner" and action == "saw") or (key in UNNOTED and kind == "key"):
        return None
    query = request.query_params
    asked = " ".join(f"{name}={query[name]}" for name in ("q", "from", "to", "format", "bodies") if query.get(name))
    others = [
        f"{name} {value}" for name, value in request.path_params.items() if name not in ("trace_id", "token", "slug")
    ]
    entry = Entry(
        action,
        who=who,
        kind=kind,
        project=request.path_params.get("slug") or query.get("project"),
        target=f"trace {trace_id}" if trace_id else path.lstrip("/") if action == "saw" else ", ".join(others),
        detail=asked if action != "saw" else "",
        address=request.client.host if request.client is not None else "",
        request_id=str(getattr(request.state, "request_id", "")),
    )
    if action == "changed":
        entry = replace(entry, detail=f"{method} {path} {asked}".strip())
    return Deed(entry, (who, trace_id or path) if action == "saw" else None)


def tell(request: Request, **said: Any) -> None:
    """Say more of what a request does: any of Entry's fields."""
    deed: Deed | None = getattr(request.state, "deed", None)
    if deed is not None:
        deed.entry = replace(deed.entry, **said)


class AuditLog:
    """Takes lines from any thread; `later` writes them, some time soon. `days` is how long they are kept."""

    def __init__(self, store: Store, *, later: Later, days: int) -> None:
        self._store = store
        self._later = later
        self._days = days
        self._lock = threading.Lock()
        self._waiting: deque[Entry] = deque(maxlen=MOST_WAITING)
        self._asked = False
        self._seen: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._pruned_at = float("-inf")

    def note(self, entry: Entry, *, once: tuple[str, str] | None = None) -> None:
        """Note a line; one that is noted `once` only when it was not within the hour."""
        if self._store.read_only or (once is not None and self._was_seen(once)):
            return
        texts: dict[str, Any] = {name: clean(getattr(entry, name))[:TEXT_LIMIT] for name in TEXTS}
        named = None if entry.project is None else clean(entry.project)[:TEXT_LIMIT]
        with self._lock:
            self._waiting.append(replace(entry, **texts, project=named, at=entry.at or time.time_ns()))
            if self._asked:
                return
            self._asked = True
        try:
            self._later(self._write).add_done_callback(self._written)
        except Unavailable:  # the server is stopping
            self._asked = False

    def _was_seen(self, once: tuple[str, str]) -> bool:
        now = time.monotonic()
        with self._lock:
            last = self._seen.pop(once, float("-inf"))
            again = now - last < SEEN_AGAIN_S
            self._seen[once] = last if again else now
            while len(self._seen) > MOST_SEEN:
                self._seen.popitem(last=False)
        return again

    def _write(self, connection: Connection) -> None:
        with self._lock:
            self._asked = False
            entries = list(self._waiting)
            self._waiting.clear()
        try:
            write_entries(connection, entries)
        except BaseException:
            with self._lock:
                self._waiting.extendleft(reversed(entries))
            raise
        now = time.monotonic()
        if now - self._pruned_at > PRUNE_EVERY_S:
            self._pruned_at = now
            prune_entries(connection, before=time.time_ns() - self._days * DAY)

    def _written(self, done: Future[None]) -> None:
        with suppress(Exception):
            if not done.cancelled() and (problem := done.exception()) is not None:
                logger.warning("the audit log was not written; it is with its next line: %s", problem)


def write_entries(connection: Connection, entries: list[Entry]) -> None:
    """Write lines in their order; a project that is named by its slug or name is found."""
    entries = [_placed(connection, entry) for entry in entries]
    known: dict[Any, Any] = {}
    if any(entry.project is not None or entry.project_id is not None for entry in entries):
        for row in connection.execute(select(project.c.id, project.c.name, project.c.slug)):
            known.setdefault(row.slug, row)
            known[row.name] = known[row.id] = row
        for alias in connection.execute(select(project_alias)):
            known.setdefault(alias.word, known.get(alias.project_id))
    known.pop(None, None)
    rows: list[dict[str, Any]] = []
    for entry in entries:
        found = known.get(entry.project_id if entry.project is None else entry.project)
        rows.append(
            {
                "at": entry.at,
                "who": entry.who,
                "kind": entry.kind,
                "action": entry.action,
                "project_id": entry.project_id if found is None else found.id,
                "project": entry.project if found is None else found.name,
                "target": entry.target,
                "detail": entry.detail,
                "address": entry.address,
                "request_id": entry.request_id,
            }
        )
    if rows:
        connection.execute(insert(audit), rows)


def _placed(connection: Connection, entry: Entry) -> Entry:
    """The entry with its trace's project, where nobody named one."""
    kind, _, trace_id = entry.target.partition(" ")
    if kind != "trace" or entry.project is not None or entry.project_id is not None or len(trace_id) != 32:
        return entry
    try:
        key = bytes.fromhex(trace_id)
    except ValueError:
        return entry
    found = connection.execute(select(trace.c.project_id).where(trace.c.trace_id == key).limit(1)).scalar()
    return replace(entry, project_id=found)


def prune_entries(connection: Connection, *, before: int) -> None:
    """Take away what is older, and the oldest beyond a million lines."""
    newest = connection.execute(select(func.max(audit.c.id))).scalar_one()
    old = audit.c.at < before
    if newest is not None:
        old |= audit.c.id <= newest - MOST_ROWS
    connection.execute(delete(audit).where(old))


def entries_of(
    connection: Connection, *, scope: Scope, wanted: Wanted, before: int | None = None, limit: int = 50
) -> list[Entry]:
    """Lines of the projects in scope, the newest first; in a scope of all projects also those of none."""
    where: list[ColumnElement[bool]] = []
    if scope.project_ids is not None:
        where.append(scope.condition(cast(ColumnElement[int], audit.c.project_id)))
    if wanted.project_id is not None:
        where.append(audit.c.project_id == wanted.project_id)
    for column, text in ((audit.c.who, wanted.who), (audit.c.action, wanted.action)):
        if text:
            where.append(column.contains(clean(text), autoescape=True))
    if wanted.since is not None:
        where.append(audit.c.at >= wanted.since)
    if wanted.until is not None:
        where.append(audit.c.at < wanted.until)
    if before is not None:
        where.append(audit.c.id < before)
    rows = connection.execute(select(audit).where(*where).order_by(audit.c.id.desc()).limit(limit))
    return [Entry(**row._asdict()) for row in rows]
