"""Keeps alerts, what they found, and what is still to be told."""

from __future__ import annotations

from dataclasses import dataclass

from tracer.alerts.rows import Rule
from tracer.errors import Conflict
from tracer.store.sql import Sql
from tracer.units import SECOND

MOST_ALERTS = 100
"""Of one project."""

KEPT_EVENTS = 500
"""Of one alert."""

LEASE = 120 * SECOND


@dataclass(frozen=True, slots=True)
class Wanted:
    """An alert as a person wants it; a `url` of None leaves the one that is there."""

    project_id: int
    view_id: int
    name: str
    rule: Rule
    url: str | None
    origin: str
    author: str


def add_alert(sql: Sql, wanted: Wanted, now: int) -> int:
    """Keep a new alert and return its row number; raises Conflict for a name that is taken, and for too many."""
    names = [row.name for row in sql.rows("SELECT name FROM alert WHERE project_id = ?", [wanted.project_id])]
    if len(names) >= MOST_ALERTS:
        raise Conflict(f"A project has at most {MOST_ALERTS} alerts: delete one first.", field="name")
    if wanted.name in names:
        raise Conflict("There is an alert of this name already.", field="name")
    found = sql.rows(
        "INSERT INTO alert (project_id, view_id, name, measure, score, side, threshold, time_window, url, origin, "
        "author, created_at, updated_at, state, since, told, whole, next_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'ok', ?, 'ok', 1, 0) RETURNING id",
        [wanted.project_id, *_of(wanted), wanted.url or "", wanted.origin, wanted.author, now, now, now],
    )
    return int(found[0].id)


def change_alert(sql: Sql, alert_id: int, wanted: Wanted, now: int) -> None:
    """Replace what an alert watches; it is measured at once. Raises Conflict for a name that is taken."""
    taken = "SELECT 1 FROM alert WHERE project_id = ? AND name = ? AND id <> ?"
    if sql.rows(taken, [wanted.project_id, wanted.name, alert_id]):
        raise Conflict("There is an alert of this name already.", field="name")
    sql.run(
        "UPDATE alert SET view_id = ?, name = ?, measure = ?, score = ?, side = ?, threshold = ?, time_window = ?, "
        "url = coalesce(?, url), origin = ?, author = ?, updated_at = ?, next_at = 0 WHERE id = ?",
        [*_of(wanted), wanted.url, wanted.origin, wanted.author, now, alert_id],
    )
    if wanted.url is not None:
        # A new webhook knows of nothing yet.
        sql.run("UPDATE alert SET told = 'ok' WHERE id = ?", [alert_id])


def _of(wanted: Wanted) -> list[object]:
    rule = wanted.rule
    return [wanted.view_id, wanted.name, rule.measure, rule.score, rule.side, rule.threshold, rule.window]


def drop_alert(sql: Sql, alert_id: int) -> None:
    """Delete an alert with its history."""
    sql.run("DELETE FROM alert WHERE id = ?", [alert_id])


def mute_alert(sql: Sql, alert_id: int, until: int | None) -> None:
    """Send nothing until a moment; None sends again. What is then still firing is told."""
    sql.run("UPDATE alert SET muted_until = ?, next_at = 0 WHERE id = ?", [until, alert_id])


@dataclass(frozen=True, slots=True)
class Finding:
    """What measuring an alert came to; `state` is what it is in from now on."""

    state: str
    value: float | None
    traces: int | None
    whole: bool
    problem: str | None
    next_at: int


def put_finding(sql: Sql, alert_id: int, found: Finding, *, updated_at: int, now: int) -> None:
    """Keep what was found, and note a change of state as something to tell, or as muted.

    Nothing is kept when the alert was changed (`updated_at`) or deleted while it was measured.
    """
    rows = sql.rows(
        "UPDATE alert SET value = ?, traces = ?, whole = ?, problem = ?, checked_at = ?, next_at = ? "
        "WHERE id = ? AND updated_at = ? RETURNING state, told, muted_until",
        [found.value, found.traces, int(found.whole), found.problem, now, found.next_at, alert_id, updated_at],
    )
    if not rows:
        return
    before = rows[0]
    muted = before.muted_until is not None and before.muted_until > now
    if found.state != before.state:
        sql.run("UPDATE alert SET state = ?, since = ? WHERE id = ?", [found.state, now, alert_id])
        if muted:
            add_event(
                sql, alert_id, kind=found.state, value=found.value, traces=found.traces, now=now, delivery="muted"
            )
    if not muted and found.state != before.told:
        sql.run("UPDATE alert SET told = ? WHERE id = ?", [found.state, alert_id])
        add_event(sql, alert_id, kind=found.state, value=found.value, traces=found.traces, now=now)


def add_event(
    sql: Sql,
    alert_id: int,
    *,
    kind: str,
    value: float | None,
    traces: int | None,
    now: int,
    delivery: str = "waiting",
    answer: str | None = None,
) -> int:
    """Add a line to the history, and take the oldest away; one that is waiting will be sent. Returns its number."""
    tries, due = (0, now) if delivery == "waiting" else (int(answer is not None), None)
    made = sql.rows(
        "INSERT INTO alert_event (alert_id, at, kind, value, traces, delivery, tries, next_try_at, answer) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        [alert_id, now, kind, value, traces, delivery, tries, due, answer],
    )
    sql.run(
        "DELETE FROM alert_event WHERE alert_id = ? AND id <= "
        "(SELECT id FROM alert_event WHERE alert_id = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
        [alert_id, alert_id, KEPT_EVENTS],
    )
    return int(made[0].id)


def put_answer(sql: Sql, event_id: int, *, delivery: str, answer: str, next_try_at: int | None) -> None:
    """Keep how a delivery went."""
    sql.run(
        "UPDATE alert_event SET delivery = ?, answer = ?, tries = tries + 1, next_try_at = ? WHERE id = ?",
        [delivery, answer, next_try_at, event_id],
    )


def take_alert_lease(sql: Sql, owner: str, now: int) -> bool:
    """Become the process that watches, or stay it; False while another one is."""
    return (
        sql.run(
            "UPDATE alert_state SET owner = ?, until = ? WHERE id = 1 AND (owner = ? OR until < ? OR until > ?)",
            [owner, now + LEASE, owner, now, now + 2 * LEASE],
        )
        == 1
    )


def give_alert_lease(sql: Sql, owner: str) -> None:
    """Let another process watch at once."""
    sql.run("UPDATE alert_state SET until = 0 WHERE id = 1 AND owner = ?", [owner])
