"""The chain seen across runs: every step name with its counts, failures, times, tokens, cost, and what changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from tracer.errors import BadRequest
from tracer.pages.addresses import url
from tracer.pages.page import caller_of, reading, render, unix_now
from tracer.pages.ranges import Range, read_range
from tracer.pages.search_text import of_one_step, term
from tracer.pages.words import KINDS, token_total
from tracer.queries.projects import project_by_slug, projects
from tracer.queries.rows import Figures, ProjectRow, StepLine, StepTable
from tracer.queries.self_time import SelfTime, SelfTimes, self_times
from tracer.queries.step_table import newest_runs, step_table
from tracer.search.tree import show
from tracer.units import NanoUsd, format_duration

router = APIRouter(include_in_schema=False)

SHOWN = 300
"""Lines that a page shows; the rest is counted."""
ENOUGH = 10
"""Steps in each of two times, below which nothing is said about how their latency differs."""
FAR = 0.2
"""A change from this share on is told."""

SORTS: dict[str, Callable[[StepLine], float]] = {
    "time": lambda line: line.total_time,
    "count": lambda line: line.now.span_count,
    "failed": lambda line: line.now.error_count / line.now.span_count if line.now.span_count else 0,
    "p50": lambda line: line.now.duration.p50 if line.now.duration else 0,
    "p95": lambda line: line.now.duration.p95 if line.now.duration else 0,
    "p99": lambda line: line.now.duration.p99 if line.now.duration else 0,
    "tokens": lambda line: token_total(line.now.usage) or 0,
    "cost": lambda line: line.now.cost or 0,
}

BY_SELF = "self"
"""The order by what the newest runs tell, not the table."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs from the time before; `tone` is `bad`, `good` or `quiet`."""

    words: str
    tone: str


@dataclass(frozen=True, slots=True)
class StepsPage:
    """The lines of the table, sorted."""

    project: ProjectRow
    projects: Sequence[ProjectRow]
    range: Range
    here: str
    sort: str
    kind: str | None
    table: StepTable
    lines: Sequence[StepLine]
    left: int
    """Lines that are not shown."""
    kinds: Sequence[str]
    """Kinds that there are."""
    runs: dict[str, str]
    """The newest trace of each chain, by its name."""
    own: SelfTimes
    """Where the time of the newest runs went."""

    @property
    def query(self) -> dict[str, str | None]:
        """The address's query."""
        return {**self.range.query, "kind": self.kind, "sort": None if self.sort == "time" else self.sort}

    def self_time(self, line: StepLine) -> SelfTime | None:
        """What a step took itself in the newest runs; None when none of them has it."""
        return _own(self.own, line)

    def search(self, line: StepLine, *, failed: bool = False) -> str:
        """The search for the traces with such a step."""
        asked = {"name": line.name, "model": line.model, "kind": line.kind, "status": "error" if failed else None}
        return show(of_one_step([term(field, value) for field, value in asked.items() if value is not None]))

    def changes(self, line: StepLine) -> list[Change]:
        """What differs from the time before."""
        return changes(line) if self.table.compared else []


@router.get("/p/{slug}/steps")
def show_steps(
    request: Request, slug: str, range: str | None = None, kind: str | None = None, sort: str = "time"
) -> Response:
    """The table of steps; `sort` is a column, the largest first."""
    if sort not in (*SORTS, BY_SELF):
        raise BadRequest(f"{sort[:20]!r} is no column: use one of {', '.join((*SORTS, BY_SELF))}.", field="sort")
    if kind is not None and kind not in KINDS:
        raise BadRequest(f"{kind[:20]!r} is no kind: use one of {', '.join(KINDS)}.", field="kind")
    given = request.query_params
    shown = read_range(range, given.get("from"), given.get("to"), now=unix_now())
    scope = caller_of(request).scope
    with reading(request) as conn:
        project = project_by_slug(conn, scope=scope, slug=slug)
        table = step_table(conn, scope=scope, project_id=project.id, since=shown.since, until=shown.until)
        wanted = [line for line in table.lines if kind is None or line.kind == kind]
        own = self_times(conn, scope=scope, project_id=project.id, since=shown.since, until=shown.until)

        def took_itself(line: StepLine) -> float:
            found = _own(own, line)
            return found.took if found else 0

        weight = SORTS.get(sort, took_itself)
        wanted.sort(key=lambda line: (line.other, -weight(line), line.name or "", line.model or ""))
        names = [line.name for line in wanted[:SHOWN] if line.name is not None]
        page = StepsPage(
            project=project,
            projects=projects(conn, scope=scope),
            range=shown,
            here=url(request, "/p/{slug}/steps", slug=slug),
            sort=sort,
            kind=kind,
            table=table,
            lines=wanted[:SHOWN],
            left=max(0, len(wanted) - SHOWN),
            kinds=[word for word in KINDS if any(line.kind == word for line in table.lines)],
            own=own,
            runs=newest_runs(conn, scope=scope, project_id=project.id, names=names),
        )
    return render(request, "steps/steps.html", page)


def _own(own: SelfTimes, line: StepLine) -> SelfTime | None:
    return None if line.other or line.name is None else own.steps.get((line.name, line.model, line.kind))


def changes(line: StepLine) -> list[Change]:
    """What differs from the time before, the worst first: new and gone steps, failures, latency, cost of one."""
    now, before = line.now, line.before
    if before is None:
        return [Change("new", "quiet")]
    if not now.span_count:
        return [Change("gone", "quiet")]
    found = [_failures(now, before), _latency(now, before), _price(now, before), _traffic(now, before)]
    told = [change for change in found if change is not None]
    return sorted(told, key=lambda change: ("bad", "good", "quiet").index(change.tone))


def _failures(now: Figures, before: Figures) -> Change | None:
    one, other = now.error_count / now.span_count, before.error_count / before.span_count
    # Two steps more or less are chance.
    if abs(now.error_count - other * now.span_count) < 2 or abs(one - other) < 0.005:
        return None
    return Change(f"fails {100 * other:.1f} → {100 * one:.1f} %", "bad" if one > other else "good")


def _latency(now: Figures, before: Figures) -> Change | None:
    if now.duration is None or before.duration is None or min(now.span_count, before.span_count) < ENOUGH:
        return None
    one, other = now.duration.p95, before.duration.p95
    if abs(one - other) < FAR * other:
        return None
    words = f"p95 {format_duration(other)} → {format_duration(one)}"
    return Change(words, "bad" if one > other else "good")


def _price(now: Figures, before: Figures) -> Change | None:
    if not now.cost or not before.cost or min(now.span_count, before.span_count) < ENOUGH:
        return None
    one, other = NanoUsd(now.cost // now.span_count), NanoUsd(before.cost // before.span_count)
    if not other or abs(one - other) < FAR * other:
        return None
    return Change(f"cost of one {_percent(one / other)}", "bad" if one > other else "good")


def _traffic(now: Figures, before: Figures) -> Change | None:
    if abs(now.span_count - before.span_count) < max(ENOUGH, before.span_count / 2):
        return None
    return Change(f"count {_percent(now.span_count / before.span_count)}", "quiet")


def _percent(ratio: float) -> str:
    return f"×{ratio:.1f}" if ratio >= 2 else f"{'+' if ratio > 1 else '−'}{abs(ratio - 1) * 100:.0f} %"
