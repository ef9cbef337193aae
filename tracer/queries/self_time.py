"""Where the time of a chain's newest runs went: of each step what none below it took, and its share of the chain's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from tracer.errors import NotFound
from tracer.otlp.dialects.reading import Kind
from tracer.queries.scope import Scope
from tracer.store.models import Status, span, trace
from tracer.units import Nanos, UnixNanos

MOST_TRACES, MOST_SPANS = 300, 6_000
"""The newest that are looked at: some tens of milliseconds."""

StepKey = tuple[str, str | None, str]
"""Name, model and kind."""


@dataclass(slots=True)
class SelfTime:
    """Of one step in the runs that were looked at; the chains are those in which it ran."""

    count: int = 0
    took: int = 0
    """Nanoseconds in which none below it was at work."""
    chain_took: int = 0
    """The same of every step of its chains."""
    cost: int = 0
    chain_cost: int = 0

    @property
    def each(self) -> Nanos:
        """The mean of one."""
        return Nanos(self.took // max(1, self.count))

    @property
    def share(self) -> float | None:
        """Its part of its chains' time."""
        return self.took / self.chain_took if self.chain_took else None

    @property
    def cost_share(self) -> float | None:
        """Its part of its chains' cost; None where nothing of them has a price."""
        return self.cost / self.chain_cost if self.chain_cost else None


@dataclass(slots=True)
class SelfTimes:
    """What was found, and in how many runs."""

    traces: int
    steps: dict[StepKey, SelfTime] = field(default_factory=dict)


def self_times(conn: Connection, *, scope: Scope, project_id: int, since: UnixNanos, until: UnixNanos) -> SelfTimes:
    """Look at the newest runs of a project that began in [since, until). Raises NotFound for a project out of sight."""
    if not scope.allows(project_id):
        raise NotFound("There is no such project.", field="project")
    where = (trace.c.project_id == project_id, trace.c.start_time >= since, trace.c.start_time < until)
    newest = (
        select(trace.c.id, trace.c.name, trace.c.span_count)
        .where(*where)
        .order_by(trace.c.start_time.desc(), trace.c.id.desc())
        .limit(MOST_TRACES)
    )
    chains: dict[int, str] = {}
    total = 0
    for row in conn.execute(newest):
        total += row.span_count
        if total > MOST_SPANS:
            break
        chains[row.id] = row.name
    columns = (
        span.c.trace_pk, span.c.span_id, span.c.parent_id, span.c.name, span.c.model, span.c.kind, span.c.start_time,
        span.c.end_time, span.c.cost,
    )  # fmt: skip
    finished = (span.c.trace_pk.in_(list(chains)), span.c.status != int(Status.running))
    of_trace: dict[int, list[Any]] = {}
    for row in conn.execute(select(*columns).where(*finished)):
        of_trace.setdefault(row.trace_pk, []).append(row)
    found = SelfTimes(len(chains))
    of_chain: dict[str, list[int]] = {}
    ran_in: dict[StepKey, set[str]] = {}
    for pk, rows in of_trace.items():
        sums = of_chain.setdefault(chains[pk], [0, 0])
        for row, own in zip(rows, own_times(rows), strict=True):
            key = (row.name, row.model, Kind(row.kind).name)
            step = found.steps.setdefault(key, SelfTime())
            step.count += 1
            step.took += own
            step.cost += row.cost or 0
            sums[0] += own
            sums[1] += row.cost or 0
            ran_in.setdefault(key, set()).add(chains[pk])
    for key, names in ran_in.items():
        step = found.steps[key]
        step.chain_took = sum(of_chain[name][0] for name in names)
        step.chain_cost = sum(of_chain[name][1] for name in names)
    return found


def own_times(rows: Sequence[Any]) -> list[int]:
    """Of each span of a trace, in nanoseconds, the time in which none of its children was at work."""
    below: dict[bytes, list[tuple[int, int]]] = {}
    for row in rows:
        if row.parent_id is not None and row.end_time is not None:
            below.setdefault(row.parent_id, []).append((row.start_time, row.end_time))
    return [
        0
        if row.end_time is None
        else max(0, row.end_time - row.start_time - _covered(below.get(row.span_id, ()), row.start_time, row.end_time))
        for row in rows
    ]


def _covered(stretches: Iterable[tuple[int, int]], begin: int, end: int) -> int:
    """How much of [begin, end) some stretches cover together."""
    covered, upto = 0, begin
    for first, last in sorted(stretches):
        first, last = max(first, upto), min(last, end)
        if last > first:
            covered += last - first
            upto = last
    return covered
