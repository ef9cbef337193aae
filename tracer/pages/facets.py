"""What the listed traces have in common, beside their list: counts by value that edit its search, and a histogram."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from tracer.errors import BadSearch
from tracer.pages.addresses import changed, url
from tracer.pages.page import abandoned_after, caller_of, reading, render
from tracer.pages.search_text import asks_for, term, toggled
from tracer.pages.traces import Asked, read_asked_range
from tracer.pages.words import KINDS
from tracer.queries.facets import facets
from tracer.queries.projects import project_by_slug
from tracer.queries.rows import Facet, Facets
from tracer.queries.traces import NEWEST_FIRST
from tracer.search.parse import read_search
from tracer.search.tree import negated
from tracer.units import DAY, UnixNanos
from tracer.zone import local_text

router = APIRouter(include_in_schema=False)

HEIGHT = 44
"""Of the histogram, in its own units."""
WORDS = {
    "status": "Status",
    "name": "Name",
    "kind": "Kind of step",
    "model": "Model",
    "service": "Service",
    "tag": "Tag",
    "user": "User",
    "session": "Session",
    "environment": "Environment",
    "release": "Release",
}


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a field: how many traces have it, and the addresses that ask for it or for all others."""

    words: str
    count: int
    chosen: bool
    barred: bool
    only: str
    without: str


@dataclass(frozen=True, slots=True)
class Field:
    """A field's most frequent values."""

    words: str
    values: Sequence[Value]
    more: int
    of_newest: int | None
    """Over how many of the newest traces they were counted, where the others were counted over more."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the histogram; lengths in its own units, times in words."""

    x: float
    width: float
    tall: float
    failed: float
    said: str


@dataclass(frozen=True, slots=True)
class FacetsPage:
    """The panel and the histogram above the list."""

    found: Facets
    fields: Sequence[Field]
    bars: Sequence[Bar]
    since: UnixNanos
    until: UnixNanos
    here: str
    """The list's address without a time."""


@router.get("/p/{slug}/facets")
def show_facets(
    request: Request, slug: str, q: str = "", order: str = NEWEST_FIRST, range: str | None = None
) -> Response:
    """The panel for a list's address; nothing new for a search that cannot be read, which the list tells."""
    asked = Asked(q.strip(), order, read_asked_range(request, range))
    try:
        search = read_search(asked.q)
    except BadSearch:
        return Response(status_code=204)
    since, until = (asked.range.since, asked.range.until) if asked.range is not None else (None, None)
    with reading(request) as conn:
        scope = caller_of(request).scope
        project = project_by_slug(conn, scope=scope, slug=slug)
        found = facets(
            conn,
            search,
            scope=scope,
            project_id=project.id,
            since=since,
            until=until,
            values=8,
            abandoned_after=abandoned_after(request),
        )
    list_ = url(request, "/p/{slug}/traces", slug=slug)
    first = since if since is not None else found.bars[0].time if found.bars else UnixNanos(0)
    last = until if until is not None else UnixNanos(found.bars[-1].time + found.interval) if found.bars else first
    page = FacetsPage(
        found=found,
        fields=[_field(list_, asked, one, found.traces) for one in found.facets if one.values],
        bars=_bars(found, first, last),
        since=first,
        until=last,
        here=changed(list_, asked.query, {"range": None, "from": None, "to": None}),
    )
    return render(request, "traces/_facets.html", page)


def _field(address: str, asked: Asked, found: Facet, traces: int) -> Field:
    values: list[Value] = []
    for one in found.values:
        wanted = term(found.field, one.value)
        values.append(
            Value(
                words=KINDS[one.value][1] if found.field == "kind" and one.value in KINDS else one.value,
                count=one.count,
                chosen=asks_for(asked.q, wanted),
                barred=asks_for(asked.q, negated(wanted)),
                only=changed(address, asked.query, {"q": toggled(asked.q, wanted) or None}),
                without=changed(address, asked.query, {"q": toggled(asked.q, negated(wanted)) or None}),
            )
        )
    return Field(WORDS[found.field], values, found.more, found.traces if found.traces < traces else None)


def _bars(found: Facets, first: UnixNanos, last: UnixNanos) -> list[Bar]:
    most = max((bar.count for bar in found.bars), default=0)
    length = max(1, last - first)
    bars: list[Bar] = []
    for bar in found.bars:
        begin = max(first, bar.time)
        end = min(last, bar.time + found.interval)
        moment = local_text(bar.time)
        words = moment[:10] if found.interval >= DAY else moment[:16].replace("T", " ")
        failed = f", {bar.errors:,} failed" if bar.errors else ""
        bars.append(
            Bar(
                x=round(1000 * (begin - first) / length, 2),
                width=round(max(1.0, 1000 * (end - begin) / length - 1), 2),
                tall=round(max(1.0, HEIGHT * bar.count / most), 1),
                failed=round(HEIGHT * bar.errors / most, 1),
                said=f"{bar.count:,}{failed} from {words}",
            )
        )
    return bars
