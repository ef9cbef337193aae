"""What is going on over time: latency, throughput, errors, tokens and cost, drawn by plotly."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from tracer.charts import Chart, charts_of, figures
from tracer.errors import BadRequest
from tracer.pages.addresses import url
from tracer.pages.page import PAGE_HEADERS, caller_of, reading, render, unix_now
from tracer.pages.ranges import Range, read_range
from tracer.pages.search_text import behind
from tracer.pages.words import KINDS, name_of
from tracer.queries.measured import measured
from tracer.queries.metrics import BY, Only
from tracer.queries.projects import project_by_slug, projects
from tracer.queries.rows import Figures, Metrics, ProjectRow, Series
from tracer.queries.trace_metrics import TRACE_BY
from tracer.units import rfc3339

router = APIRouter(include_in_schema=False, prefix="/p/{slug}/metrics")

SERIES = 8
"""Series with a line of their own: as many as colours can be told apart."""

BY_WORDS = {"name": "step", "model": "model", "kind": "kind", "status": "status"}
TRACE_BY_WORDS = {**{word: word for word in TRACE_BY}, "name": "chain"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What an address asks for."""

    range: Range
    of: str
    by: str | None
    only: Only

    @property
    def query(self) -> dict[str, str | None]:
        """The same as an address says it."""
        return {
            **self.range.query,
            "of": None if self.of == "steps" else self.of,
            "by": self.by,
            "name": self.only.name,
            "model": self.only.model,
            "kind": self.only.kind,
        }

    def search(self, one: Series) -> str | None:
        """The search for the traces behind a series; None where there is none for them."""
        return None if one.other else behind(self.of, self.by, one.value, self.only)


@dataclass(frozen=True, slots=True)
class MetricsPage:
    """Totals of the time and of the time before, the series, and places for the charts."""

    project: ProjectRow
    projects: Sequence[ProjectRow]
    asked: Asked
    here: str
    found: Metrics
    before: Figures | None
    """Totals of the time before; None where they are not known whole."""
    charts: Sequence[Chart]

    @property
    def choices(self) -> dict[str, str]:
        """What the series can be by, in words."""
        return BY_WORDS if self.asked.of == "steps" else TRACE_BY_WORDS

    def series_name(self, one: Series) -> str:
        """What a series is called."""
        return series_name(one, self.asked.by)

    def search(self, one: Series) -> str | None:
        """The search for the traces behind a series."""
        return self.asked.search(one)


def asked_for(
    request: Request,
    range: str | None = None,
    of: str = "steps",
    by: str | None = None,
    name: str | None = None,
    model: str | None = None,
    kind: str | None = None,
) -> Asked:
    """Read an address; raises BadRequest for what has no metrics."""
    only = Only(name or None, model or None, kind or None)
    if of == "traces" and only != Only():
        raise BadRequest("Metrics of traces have no name, model or kind of a step.", field="of")
    if by is not None and by not in (BY if of == "steps" else TRACE_BY):
        raise BadRequest(f"There are no metrics by {by[:40]!r} here.", field="by")
    given = request.query_params
    return Asked(read_range(range, given.get("from"), given.get("to"), now=unix_now()), of, by, only)


AskedFor = Annotated[Asked, Depends(asked_for)]


@router.get("")
def show_metrics(request: Request, slug: str, asked: AskedFor) -> Response:
    """The page: totals and the table of series; its script asks for the figures."""
    scope = caller_of(request).scope
    with reading(request) as conn:
        project = project_by_slug(conn, scope=scope, slug=slug)
        about = {"scope": scope, "project_id": project.id, "of": asked.of, "only": asked.only, "limit": SERIES}
        found = measured(conn, since=asked.range.since, until=asked.range.until, by=asked.by, **about)
        before = None
        if found.searched_to is None:
            earlier = measured(conn, since=asked.range.before.since, until=asked.range.before.until, **about)
            before = earlier.totals if earlier.searched_to is None else None
        page = MetricsPage(
            project=project,
            projects=projects(conn, scope=scope),
            asked=asked,
            here=url(request, "/p/{slug}/metrics", slug=slug),
            found=found,
            before=before,
            charts=_charts(found, asked),
        )
    return render(request, "metrics/metrics.html", page)


@router.get("/figures")
def show_figures(request: Request, slug: str, asked: AskedFor) -> Response:
    """The charts as plotly figures."""
    found = _found(request, slug, asked)
    return Response(
        figures(_charts(found, asked), found, search=asked.search), media_type="application/json", headers=PAGE_HEADERS
    )


@router.get("/csv")
def download_csv(request: Request, slug: str, asked: AskedFor) -> Response:
    """The points of all charts as a table: one line an interval and series, times in UTC."""
    found, by = _found(request, slug, asked), asked.by
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["time", by or "all", *_CSV])
    for series in found.series:
        label = "(others)" if series.other else "" if by is None else series_name(series, by)
        # A spreadsheet would take what begins like this for a formula.
        label = f"'{label}" if label[:1] in ("=", "+", "-", "@", "\t") else label
        for point in series.points:
            writer.writerow([rfc3339(point.time), label, *_numbers(point.figures)])
    headers = {**PAGE_HEADERS, "Content-Disposition": 'attachment; filename="metrics.csv"'}
    return Response(table.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


_CSV = (
    "count", "errors", "mean_ms", "p50_ms", "p95_ms", "p99_ms", "first_token_p95_ms", "input_tokens", "output_tokens",
    "cached_input_tokens", "cost_usd",
)  # fmt: skip


def _numbers(at: Figures) -> list[int | float | None]:
    lengths = (
        [getattr(at.duration, name) / 1e6 for name in ("mean", "p50", "p95", "p99")] if at.duration else [None] * 4
    )
    usage = at.usage
    return [
        at.span_count,
        at.error_count,
        *lengths,
        at.time_to_first_token.p95 / 1e6 if at.time_to_first_token else None,
        *((usage.input, usage.output, usage.cached_input) if usage else (None, None, None)),
        at.cost / 1e9 if at.cost is not None else None,
    ]


def series_name(one: Series, by: str | None) -> str:
    """What a series is called where people see it."""
    if one.other:
        return "all others"
    if one.value is None:
        return "all" if by is None else f"without {TRACE_BY_WORDS.get(by, by)}"
    return KINDS[one.value][1] if by == "kind" and one.value in KINDS else name_of(one.value)


def _found(request: Request, slug: str, asked: Asked) -> Metrics:
    scope = caller_of(request).scope
    with reading(request) as conn:
        return measured(
            conn,
            scope=scope,
            project_id=project_by_slug(conn, scope=scope, slug=slug).id,
            since=asked.range.since,
            until=asked.range.until,
            of=asked.of,
            by=asked.by,
            only=asked.only,
            limit=SERIES,
        )


def _charts(found: Metrics, asked: Asked) -> list[Chart]:
    named = partial(series_name, by=asked.by)
    return charts_of(found, of=asked.of, divided=asked.by is not None, name=named)
