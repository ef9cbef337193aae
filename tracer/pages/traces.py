"""The list of a project's traces, found by a search or all of them; until there are any, how to send the first one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy import Connection

from tracer.auth import Right
from tracer.errors import BadRequest, BadSearch
from tracer.ingest.prepare import DEFAULT_PROJECT
from tracer.ingest.samples import SAMPLES
from tracer.pages.addresses import url
from tracer.pages.page import PAGE_HEADERS, abandoned_after, caller_of, reading, render, unix_now, wants_block
from tracer.pages.ranges import Range, read_range
from tracer.pages.search_text import said_in
from tracer.pages.start import Start, start_of
from tracer.queries.cursor import Page
from tracer.queries.found import found_traces
from tracer.queries.projects import project_by_slug, projects
from tracer.queries.rows import ProjectRow, SavedView, TraceRow
from tracer.queries.traces import NEWEST_FIRST, newest_traces, trace_by_id
from tracer.queries.views import views
from tracer.search.parse import read_search
from tracer.units import LAST_INSTANT, UnixNanos

router = APIRouter(include_in_schema=False)

PER_PAGE = 50
MOST_NEW = 99
"""Traces counted behind the note "12 new traces"; beyond that it says "99+"."""

_DIGITS = 19
"""Digits of the largest instant in nanoseconds that is stored."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which traces a list is of, as its address says it."""

    q: str = ""
    order: str = NEWEST_FIRST
    range: Range | None = None
    """None for all times."""

    @property
    def query(self) -> dict[str, str | None]:
        """The address's query, without a place in the list."""
        return {
            "q": self.q or None,
            "order": None if self.order == NEWEST_FIRST else self.order,
            **(self.range.query if self.range is not None else {}),
        }

    @property
    def filtered(self) -> bool:
        """Whether some of the traces may be left out."""
        return bool(self.q) or self.range is not None


@dataclass(frozen=True, slots=True)
class TraceListPage:
    """One page of a project's traces."""

    project: ProjectRow | None
    """None while there is no project at all."""
    projects: Sequence[ProjectRow]
    traces: Sequence[TraceRow]
    after: str | None
    """Where this page starts in the list; None for its first page."""
    next_cursor: str | None
    upto: UnixNanos | None
    """Set for a reader who has scrolled: newer traces than this are counted, not shown."""
    newer: int
    start: Start | None
    """How to send a first trace, while there is none."""
    asked: Asked = Asked()
    searched_to: UnixNanos | None = None
    """Set where the time for one page was over: how far back it looked."""
    problem: str | None = None
    """What is wrong with the search."""
    may_write: bool = False
    views: Sequence[SavedView] = ()
    """Searches that people saved."""

    @property
    def said(self) -> list[dict[str, str | bool]]:
        """The words that were searched for, the longest first: marked in the list, and looked for in its traces."""
        return said_in(self.asked.q)

    @property
    def newest(self) -> UnixNanos | None:
        """The start of the newest trace shown."""
        return self.traces[0].start_time if self.traces else self.upto

    @property
    def samples(self) -> bool:
        """Whether these are the samples that come with the service."""
        return self.project is not None and self.project.name == SAMPLES

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
        start=start_of(request, DEFAULT_PROJECT, None, ()),
    )
    return render(request, "traces/list.html", page, block="rows")


@router.get("/traces/{trace_id}")
def trace_anywhere(request: Request, trace_id: str) -> Response:
    """Lead to a trace in whichever project it lies, to the same screen of it."""
    with reading(request) as conn:
        scope = caller_of(request).scope
        trace = trace_by_id(conn, scope=scope, trace_id=trace_id, abandoned_after=abandoned_after(request))
    screen: dict[str, str | None] = dict(request.query_params)
    there = url(request, "/p/{slug}/traces/{trace_id}", screen, slug=trace.slug, trace_id=trace.trace_id)
    return RedirectResponse(there, status_code=302)


@router.get("/p/{slug}")
def project_home(request: Request, slug: str) -> Response:
    """Lead from a project's own address to its traces."""
    return RedirectResponse(url(request, "/p/{slug}/traces", slug=slug), status_code=302)


@router.get("/p/{slug}/traces")
def list_traces(
    request: Request,
    slug: str,
    q: str = "",
    order: str = NEWEST_FIRST,
    range: str | None = None,
    after: str | None = None,
    upto: str | None = None,
) -> Response:
    """The list, or for htmx its rows alone.

    `upto` is an instant in Unix nanoseconds: the rows up to it are shown, newer ones counted. `from` and `to`, or
    `range`, keep the traces that began in a time. What is wrong with `q` is said under its field.
    """
    at_most = _instant(upto)
    asked = Asked(q.strip(), order, read_asked_range(request, range))
    try:
        page = _page(request, slug, asked, after, at_most)
    except BadSearch as problem:
        if wants_block(request):
            # The rows stay as they were; the sentence goes under the field.
            headers = {**PAGE_HEADERS, "HX-Retarget": "#q-problem", "HX-Reswap": "innerHTML"}
            return HTMLResponse(escape(problem.message), problem.status, headers=headers)
        page = _page(request, slug, Asked("", order, None), None, None, nothing=True)
        page = replace(page, asked=replace(asked, q=q), problem=problem.message)
        return render(request, "traces/list.html", page, status=problem.status)
    return render(request, "traces/list.html", page, block="rows")


def read_asked_range(request: Request, word: str | None) -> Range | None:
    """The time that an address asks for; None for all times."""
    since, until = request.query_params.get("from"), request.query_params.get("to")
    if not (word or since or until):
        return None
    return read_range(word, since, until, now=unix_now())


def _page(
    request: Request,
    slug: str,
    asked: Asked,
    after: str | None,
    at_most: UnixNanos | None,
    *,
    nothing: bool = False,
) -> TraceListPage:
    """A page of the list; `nothing` leaves its rows out. Raises BadSearch."""
    scope = caller_of(request).scope
    with reading(request) as conn:
        project = project_by_slug(conn, scope=scope, slug=slug)
        known = projects(conn, scope=scope)
        found: Page[TraceRow] = Page([], None)
        newer = 0
        if not nothing:
            found = _found(conn, request, project.id, asked, after=after, upto=at_most)
            newer = 0 if at_most is None else _newer(conn, request, project.id, asked, at_most)
        empty = not (found.items or found.next_cursor or after or asked.filtered or nothing)
        return TraceListPage(
            project=project,
            projects=known,
            traces=found.items,
            after=after,
            next_cursor=found.next_cursor,
            upto=at_most,
            newer=newer,
            start=start_of(request, project.name, project, known) if empty else None,
            asked=asked,
            searched_to=found.searched_to,
            views=() if wants_block(request) else views(conn, scope=scope, project_id=project.id),
            may_write=caller_of(request).may(Right.write, project.id),
        )


def _found(
    conn: Connection,
    request: Request,
    project_id: int,
    asked: Asked,
    *,
    after: str | None = None,
    upto: UnixNanos | None = None,
    later_than: UnixNanos | None = None,
    limit: int = PER_PAGE,
) -> Page[TraceRow]:
    since, until = (asked.range.since, asked.range.until) if asked.range is not None else (None, None)
    within = {
        "scope": caller_of(request).scope,
        "project_id": project_id,
        "after": after,
        "limit": limit,
        "order": asked.order,
        "since": since if later_than is None else max(since or later_than, _past(later_than)),
        "until": until if upto is None else min(until or UnixNanos(LAST_INSTANT), _past(upto)),
        "abandoned_after": abandoned_after(request),
    }
    if not asked.q:
        return newest_traces(conn, **within)
    return found_traces(conn, read_search(asked.q), **within)


def _newer(conn: Connection, request: Request, project_id: int, asked: Asked, since: UnixNanos) -> int:
    newest = replace(asked, order=NEWEST_FIRST)
    return len(_found(conn, request, project_id, newest, later_than=since, limit=MOST_NEW + 1).items)


def _past(instant: UnixNanos) -> UnixNanos:
    return UnixNanos(instant + 1)


def _instant(text: str | None) -> UnixNanos | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise BadRequest("upto takes an instant in Unix nanoseconds.", field="upto")
    return UnixNanos(int(text))
