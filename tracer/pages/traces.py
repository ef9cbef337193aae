"""The list of a project's traces, newest first; until there are any, how to send the first one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import Connection

from tracer.errors import BadRequest
from tracer.pages.addresses import origin, url
from tracer.pages.page import abandoned_after, caller_of, reading, render
from tracer.pages.ranges import read_moment
from tracer.pages.snippets import HowTo, how_to
from tracer.queries.projects import project_by_slug, projects
from tracer.queries.rows import ProjectRow, TraceRow
from tracer.queries.traces import newest_traces, trace_by_id
from tracer.units import UnixNanos, rfc3339

router = APIRouter(include_in_schema=False)

PER_PAGE = 50
MOST_NEW = 99
"""Traces counted behind the note "12 new traces"; beyond that it says "99+"."""

_DIGITS = 19
"""Digits of the largest instant in nanoseconds that is stored."""


@dataclass(frozen=True, slots=True)
class TraceListPage:
    """One page of a project's traces."""

    project: ProjectRow | None
    """None while there is no project at all."""
    projects: Sequence[ProjectRow]
    traces: Sequence[TraceRow]
    after: str | None
    """Where this page starts in the list; None for the newest page."""
    next_cursor: str | None
    upto: UnixNanos | None
    """Set for a reader who has scrolled: newer traces than this are counted, not shown."""
    newer: int
    how_to: Sequence[HowTo]
    """Ways to send a first trace, while there is none."""
    since: UnixNanos | None = None
    """Set where only traces from then on are asked for."""
    until: UnixNanos | None = None

    @property
    def query(self) -> dict[str, str | None]:
        """What the address says of which traces are listed."""
        return {
            "from": None if self.since is None else rfc3339(self.since),
            "to": None if self.until is None else rfc3339(self.until),
        }

    @property
    def newest(self) -> UnixNanos | None:
        """The start of the newest trace shown."""
        return self.traces[0].start_time if self.traces else self.upto

    @property
    def elsewhere(self) -> list[ProjectRow]:
        """Other projects that have traces."""
        return [
            other
            for other in self.projects
            if other.trace_count and (self.project is None or other.id != self.project.id)
        ]


@router.get("/")
def home(request: Request) -> Response:
    """Lead to the project with the latest activity; before there is one, say how to begin."""
    with reading(request) as conn:
        known = projects(conn, scope=caller_of(request).scope)
    if known:
        return RedirectResponse(url(request, "/p/{slug}/traces", slug=known[0].slug), status_code=302)
    page = TraceListPage(
        project=None,
        projects=(),
        traces=(),
        after=None,
        next_cursor=None,
        upto=None,
        newer=0,
        how_to=_how_to(request, "default"),
    )
    return render(request, "traces/list.html", page, block="rows")


@router.get("/traces/{trace_id}")
def trace_anywhere(request: Request, trace_id: str, span: str | None = None) -> Response:
    """Lead to a trace in whichever project it lies."""
    with reading(request) as conn:
        scope = caller_of(request).scope
        trace = trace_by_id(conn, scope=scope, trace_id=trace_id, abandoned_after=abandoned_after(request))
    there = url(request, "/p/{slug}/traces/{trace_id}", {"span": span}, slug=trace.slug, trace_id=trace.trace_id)
    return RedirectResponse(there, status_code=302)


@router.get("/p/{slug}")
def project_home(request: Request, slug: str) -> Response:
    """Lead from a project's own address to its traces."""
    return RedirectResponse(url(request, "/p/{slug}/traces", slug=slug), status_code=302)


@router.get("/p/{slug}/traces")
def list_traces(request: Request, slug: str, after: str | None = None, upto: str | None = None) -> Response:
    """The list, or for htmx its rows alone.

    `upto` is an instant in Unix nanoseconds: the rows up to it are shown, newer ones counted. `from` and `to` keep the
    traces that began in that time.
    """
    scope = caller_of(request).scope
    at_most = _instant(upto)
    since = read_moment(request.query_params.get("from"), "from")
    until = read_moment(request.query_params.get("to"), "to")
    with reading(request) as conn:
        project = project_by_slug(conn, scope=scope, slug=slug)
        found = newest_traces(
            conn,
            scope=scope,
            project_id=project.id,
            after=after,
            limit=PER_PAGE,
            since=since,
            until=_earlier(until, _past(at_most)),
            abandoned_after=abandoned_after(request),
        )
        page = TraceListPage(
            project=project,
            projects=projects(conn, scope=scope),
            traces=found.items,
            after=after,
            next_cursor=found.next_cursor,
            upto=at_most,
            newer=0 if at_most is None else _newer(conn, request, project.id, at_most, until),
            how_to=() if found.items or after or since or until else _how_to(request, project.name),
            since=since,
            until=until,
        )
    return render(request, "traces/list.html", page, block="rows")


def _how_to(request: Request, project: str) -> list[HowTo]:
    return how_to(origin(request), project, key_needed=caller_of(request).signed_in)


def _newer(conn: Connection, request: Request, project_id: int, since: UnixNanos, until: UnixNanos | None) -> int:
    newer = newest_traces(
        conn, scope=caller_of(request).scope, project_id=project_id, since=_past(since), until=until, limit=MOST_NEW + 1
    )
    return len(newer.items)


def _earlier(one: UnixNanos | None, other: UnixNanos | None) -> UnixNanos | None:
    return other if one is None else one if other is None else min(one, other)


def _past(instant: UnixNanos | None) -> UnixNanos | None:
    return None if instant is None else UnixNanos(instant + 1)


def _instant(text: str | None) -> UnixNanos | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise BadRequest("upto takes an instant in Unix nanoseconds.", field="upto")
    return UnixNanos(int(text))
