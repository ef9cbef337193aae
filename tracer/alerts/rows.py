"""Alerts and what became of them, as they are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from sqlalchemy import Connection, Row, select

from tracer.errors import NotFound
from tracer.queries.scope import Scope
from tracer.store.models import alert, alert_event, project, saved_view
from tracer.units import LAST_INSTANT, MILLISECOND, MINUTE, NanoUsd, format_cost, format_count, format_duration

Measure = Literal["count", "error_rate", "p95_ms", "cost_usd", "score"]
MEASURES: dict[Measure, str] = {
    "count": "traces",
    "error_rate": "error rate",
    "p95_ms": "p95 duration",
    "cost_usd": "cost",
    "score": "mean score",
}
"""What can be held against a threshold, and how people call it."""

Side = Literal["above", "below"]
EVENTS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Rule:
    """What is measured and where the threshold lies.

    `threshold` is traces, percent, milliseconds, dollars or a score, by the measure; `window` is in nanoseconds.
    """

    measure: Measure
    score: str | None
    side: Side
    threshold: float
    window: int

    def passed(self, value: float | None) -> bool:
        """True when a value lies beyond the threshold; nothing measured never does."""
        if value is None:
            return False
        return value > self.threshold if self.side == "above" else value < self.threshold

    @property
    def words(self) -> str:
        """As people read it: `error rate above 5 % over 15 min`."""
        what = f"mean of {self.score}" if self.measure == "score" else MEASURES[self.measure]
        minutes = self.window // MINUTE
        length = f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"
        return f"{what} {self.side} {amount(self.measure, self.threshold)} over {length}"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert with its view and how it stands; times in Unix nanoseconds."""

    id: int
    project_id: int
    project: str
    slug: str
    view_id: int
    view: str
    q: str
    name: str
    rule: Rule
    url: str
    """Of the webhook, with what is secret in it: only `place` is shown."""
    origin: str
    """The server's address as the alert's author knows it, for links."""
    author: str
    updated_at: int
    muted_until: int | None
    state: Literal["ok", "firing"]
    since: int
    told: Literal["ok", "firing"]
    """The state that the webhook knows of."""
    value: float | None
    traces: int | None
    whole: bool
    """False when not every trace of the window was looked at."""
    checked_at: int | None
    problem: str | None
    """Why it could not be measured the last time."""

    @property
    def place(self) -> str:
        """Where the webhook is, without its path, which is often a secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def muted(self, now: int) -> bool:
        """True while nothing is sent."""
        return self.muted_until is not None and self.muted_until > now

    @property
    def muted_for_good(self) -> bool:
        """True when only a person ends it."""
        return self.muted_until == LAST_INSTANT


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """A line of the history: what was found, and what the webhook answered."""

    id: int
    alert_id: int
    alert: str
    measure: Measure
    at: int
    kind: Literal["firing", "ok", "test"]
    value: float | None
    traces: int | None
    delivery: Literal["waiting", "sent", "failed", "muted"]
    tries: int
    next_try_at: int | None
    answer: str | None


def amount(measure: Measure, value: float) -> str:
    """A value of a measure with its unit."""
    if measure == "count":
        return format_count(int(value)) if value == int(value) else f"{value:g}"
    if measure == "error_rate":
        return f"{value:.4g} %"
    if measure == "p95_ms":
        return format_duration(int(value * MILLISECOND))
    if measure == "cost_usd":
        return format_cost(NanoUsd(round(value * 10**9)))
    return f"{value:.4g}"


def alerts(conn: Connection, *, scope: Scope, project_id: int | None = None) -> list[Alert]:
    """The alerts in sight, or those of one project: first those that fire, then by name."""
    query = _selected().where(scope.condition(alert.c.project_id)).order_by(alert.c.state, alert.c.name, alert.c.id)
    if project_id is not None:
        query = query.where(alert.c.project_id == project_id)
    return [_alert(row) for row in conn.execute(query)]


def alert_by_id(conn: Connection, alert_id: int, *, scope: Scope, project_id: int | None = None) -> Alert:
    """One alert; raises NotFound when there is none that the caller may see."""
    query = _selected().where(alert.c.id == alert_id, scope.condition(alert.c.project_id))
    if project_id is not None:
        query = query.where(alert.c.project_id == project_id)
    row = conn.execute(query).first()
    if row is None:
        raise NotFound(f"There is no alert {alert_id}.", field="alert_id")
    return _alert(row)


def due_alerts(conn: Connection, *, now: int, limit: int) -> list[Alert]:
    """The alerts of all projects that have to be measured, the longest overdue first."""
    query = _selected().where(alert.c.next_at <= now).order_by(alert.c.next_at, alert.c.id).limit(limit)
    return [_alert(row) for row in conn.execute(query)]


def history(
    conn: Connection,
    *,
    scope: Scope,
    project_id: int | None = None,
    alert_id: int | None = None,
    before: int | None = None,
    limit: int = EVENTS_SHOWN,
) -> list[AlertEvent]:
    """What became of alerts, the newest first; `before` is the id of the last line that is known."""
    query = (
        select(alert_event, alert.c.name.label("alert"), alert.c.measure)
        .join(alert, alert.c.id == alert_event.c.alert_id)
        .where(scope.condition(alert.c.project_id))
        .order_by(alert_event.c.id.desc())
        .limit(limit)
    )
    if project_id is not None:
        query = query.where(alert.c.project_id == project_id)
    if alert_id is not None:
        query = query.where(alert_event.c.alert_id == alert_id)
    if before is not None:
        query = query.where(alert_event.c.id < before)
    return [AlertEvent(**row._asdict()) for row in conn.execute(query)]


def _selected() -> Any:
    return (
        select(alert, project.c.name.label("project"), project.c.slug, saved_view.c.name.label("view"), saved_view.c.q)
        .join(project, project.c.id == alert.c.project_id)
        .join(saved_view, saved_view.c.id == alert.c.view_id)
    )


def _alert(row: Row[Any]) -> Alert:
    return Alert(
        id=row.id,
        project_id=row.project_id,
        project=row.project,
        slug=row.slug,
        view_id=row.view_id,
        view=row.view,
        q=row.q,
        name=row.name,
        rule=Rule(cast(Measure, row.measure), row.score, cast(Side, row.side), row.threshold, row.time_window),
        url=row.url,
        origin=row.origin,
        author=row.author,
        updated_at=row.updated_at,
        muted_until=row.muted_until,
        state=row.state,
        since=row.since,
        told=row.told,
        value=row.value,
        traces=row.traces,
        whole=bool(row.whole),
        checked_at=row.checked_at,
        problem=row.problem,
    )
