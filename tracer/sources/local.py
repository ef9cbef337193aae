"""Traces in a database that this process has opened, within what a caller may see."""

from __future__ import annotations

import time
from collections.abc import Iterator

from sqlalchemy import Connection

from tracer.api import shape
from tracer.errors import BadRequest
from tracer.prices import PriceBook
from tracer.queries.cursor import Page
from tracer.queries.found import found_traces, read_q
from tracer.queries.metrics import BY, By, metrics, read_interval
from tracer.queries.projects import described, project_by_name, project_id_by_name, projects
from tracer.queries.rows import ProjectRow, TraceRow
from tracer.queries.scope import EVERYTHING, Scope
from tracer.queries.steps import step, steps, tree
from tracer.queries.traces import NEWEST_FIRST, newest_traces, trace_by_id
from tracer.queries.walk import Wanted
from tracer.search.tree import Node
from tracer.settings import Settings
from tracer.sources.source import Answer, Ask, Format, Of
from tracer.store.engine import Store
from tracer.units import DAY, UnixNanos, parse_rfc3339, rfc3339


class LocalReader:
    """Reads a store within a scope: for commands everything, inside the server what the caller may see."""

    def __init__(self, store: Store, settings: Settings, prices: PriceBook, scope: Scope = EVERYTHING) -> None:
        self.name = store.description
        self._store = store
        self._settings = settings
        self._prices = prices
        self._scope = scope

    def projects(self) -> Answer:
        """Every project in sight."""
        with self._store.reading() as conn:
            found = described(conn, scope=self._scope)
        return {"items": [shape.project(one) for one in found], "next_cursor": None}

    def traces(self, ask: Ask, *, order: str = NEWEST_FIRST, limit: int = 50, cursor: str | None = None) -> Answer:
        """One page of trace summaries."""
        with self._store.reading() as conn:
            page = self._page(conn, ask, order, limit, cursor)
        answer: Answer = {"items": [shape.trace(row) for row in page.items], "next_cursor": page.next_cursor}
        if page.searched_to is not None:
            answer["searched_to"] = rfc3339(page.searched_to)
        return answer

    def trace(self, trace_id: str, *, project: str | None = None, bodies: bool = False) -> Answer:
        """One trace with its spans."""
        with self._store.reading() as conn:
            row = self._trace(conn, trace_id, project)
            if bodies:
                spans = [shape.step(found, self._prices) for found in steps(conn, trace=row)]
            else:
                spans = [shape.span(found, self._prices) for found in tree(conn, trace=row)]
        return shape.trace(row) | {"spans": spans}

    def step(self, trace_id: str, span_id: str, *, project: str | None = None) -> Answer:
        """One span, whole."""
        with self._store.reading() as conn:
            row = self._trace(conn, trace_id, project)
            return shape.step(step(conn, trace=row, span_id=span_id.lower()), self._prices)

    def markdown(
        self,
        trace_id: str,
        *,
        project: str | None = None,
        budget: int | None = None,
        step: str | None = None,
        against: str | None = None,
    ) -> str:
        """A trace or a step as Markdown within so many tokens, or what two traces differ by."""
        from tracer.pages.contrast import contrast  # both read Markdown and colour code, which few commands need
        from tracer.pages.digest import digest

        with self._store.reading() as conn:
            row = self._trace(conn, trace_id, project)
            if against is not None:
                return contrast(conn, row, self._trace(conn, against, project), budget=budget)
            return digest(conn, row, budget=budget, span_id=step)

    def metrics(
        self, *, project: str | None, since: str | None, until: str | None, by: str | None, interval: str | None
    ) -> Answer:
        """Counts, errors, percentiles, tokens and cost of a project's steps."""
        end = _moment(until, "to") or UnixNanos(time.time_ns())
        begin = _moment(since, "from")
        with self._store.reading() as conn:
            found = self._only_project(conn, project)
            answer = metrics(
                conn,
                scope=self._scope,
                project_id=found.id,
                since=UnixNanos(end - DAY) if begin is None else begin,
                until=end,
                by=_by(by),
                interval=read_interval(interval) if interval is not None else None,
            )
        return {"project": found.name, "of": "steps", "by": by, **shape.metrics(answer)}

    def export(self, ask: Ask, *, format: Format, of: Of) -> Iterator[bytes]:
        """Everything that is meant, in parts."""
        from tracer.api.takeout.forms import form_of, stream

        return stream(self._store, self._wanted(ask), form_of(format, of, self._prices))

    def _wanted(self, ask: Ask) -> Wanted:
        search = self._search(ask)
        with self._store.reading() as conn:
            project_id = self._project_id(conn, ask.project)
        since, until = _moment(ask.since, "from"), _moment(ask.until, "to")
        return Wanted(self._scope, project_id, search, since, until, self._settings.abandoned_after)

    def _page(self, conn: Connection, ask: Ask, order: str, limit: int, cursor: str | None) -> Page[TraceRow]:
        search = self._search(ask)
        within = {
            "scope": self._scope,
            "project_id": self._project_id(conn, ask.project),
            "after": cursor,
            "limit": limit,
            "order": order,
            "since": _moment(ask.since, "from"),
            "until": _moment(ask.until, "to"),
            "abandoned_after": self._settings.abandoned_after,
        }
        return newest_traces(conn, **within) if search is None else found_traces(conn, search, **within)

    def _search(self, ask: Ask) -> Node | None:
        return read_q(ask.q, searching=self._settings.search == "on")

    def _trace(self, conn: Connection, trace_id: str, project: str | None) -> TraceRow:
        return trace_by_id(
            conn,
            scope=self._scope,
            trace_id=trace_id.lower(),
            project_id=self._project_id(conn, project),
            abandoned_after=self._settings.abandoned_after,
        )

    def _project_id(self, conn: Connection, name: str | None) -> int | None:
        return project_id_by_name(conn, scope=self._scope, name=name) if name else None

    def _only_project(self, conn: Connection, name: str | None) -> ProjectRow:
        if name:
            return project_by_name(conn, scope=self._scope, name=name)
        found = projects(conn, scope=self._scope)
        if len(found) != 1:
            raise BadRequest("Say of which project: metrics are kept for each.", field="project")
        return found[0]


def _moment(text: str | None, field: str) -> UnixNanos | None:
    if text is None:
        return None
    try:
        return parse_rfc3339(text)
    except (ValueError, OverflowError):
        raise BadRequest(f"{text[:60]!r} is no time: write it as 2026-11-22T14:00:00Z.", field=field) from None


def _by(text: str | None) -> By | None:
    if text is None:
        return None
    for one in BY:
        if one == text:
            return one
    raise BadRequest(f"Metrics by {text[:40]!r} are not kept: use one of {', '.join(BY)}.", field="by")
