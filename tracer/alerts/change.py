"""What people do with alerts: make, change, try out; the same for the page and for REST."""

from __future__ import annotations

import math
import time
from typing import cast, get_args

from tracer.alerts import webhook
from tracer.alerts.keep import Wanted, add_alert, add_event, change_alert
from tracer.alerts.rows import MEASURES, Alert, Measure, Rule, Side, alert_by_id
from tracer.alerts.watch import Watcher, message_of
from tracer.errors import BadRequest, NotFound
from tracer.otlp.text import clean
from tracer.queries.scope import Scope
from tracer.queries.views import view_by_id
from tracer.store.engine import Store
from tracer.store.sql import Sql
from tracer.units import MINUTE

NAME_LIMIT = 200
LONGEST_WINDOW = 7 * 24 * 60
"""In minutes."""


def read_rule(*, measure: str, score: str | None, side: str, threshold: float, window_minutes: int) -> Rule:
    """What is measured, checked; raises BadRequest naming the field."""
    if measure not in MEASURES:
        raise BadRequest(f"This takes one of {', '.join(MEASURES)}.", field="measure")
    if side not in get_args(Side):
        raise BadRequest("This takes above or below.", field="side")
    named = clean(score or "").strip()
    if measure == "score" and not 0 < len(named) <= NAME_LIMIT:
        raise BadRequest("Say which score: its name, such as helpful.", field="score")
    if not math.isfinite(threshold) or abs(threshold) > 1e15 or (measure != "score" and threshold < 0):
        raise BadRequest("This takes a number that is not negative; of a score any number.", field="threshold")
    if measure == "error_rate" and threshold > 100:
        raise BadRequest("An error rate is a percentage: 0 to 100.", field="threshold")
    if not 1 <= window_minutes <= LONGEST_WINDOW:
        raise BadRequest(f"A window is 1 to {LONGEST_WINDOW:,} minutes (7 days).", field="window_minutes")
    kept = named if measure == "score" else None
    return Rule(cast(Measure, measure), kept, cast(Side, side), threshold, window_minutes * MINUTE)


def save_alert(
    store: Store,
    watcher: Watcher,
    *,
    scope: Scope,
    project_id: int,
    alert_id: int | None,
    view_id: int,
    name: str,
    rule: Rule,
    url: str | None,
    origin: str,
    author: str,
) -> Alert:
    """Make an alert, or change one; it is measured at once.

    Without a `url` a changed one keeps its webhook. Raises BadRequest for what cannot be used, NotFound for a view or
    an alert that is not in the project, Conflict for a name that is taken.
    """
    name = clean(name).strip()
    if not 0 < len(name) <= NAME_LIMIT:
        raise BadRequest(f"An alert has a name of up to {NAME_LIMIT} characters.", field="name")
    if url or alert_id is None:
        url = webhook.check_webhook(url or "", private=watcher.private)
    now = time.time_ns()
    with store.writing() as connection:
        if view_by_id(connection, view_id, scope=scope).project_id != project_id:
            raise NotFound(f"There is no saved view {view_id} in this project.", field="view_id")
        wanted = Wanted(project_id, view_id, name, rule, url or None, origin, author)
        if alert_id is None:
            made = add_alert(Sql(connection), wanted, now)
        else:
            made = alert_by_id(connection, alert_id, scope=scope, project_id=project_id).id
            change_alert(Sql(connection), made, wanted, now)
        kept = alert_by_id(connection, made, scope=scope)
    watcher.wake()
    return kept


def try_webhook(store: Store, watcher: Watcher, one: Alert) -> webhook.Answer:
    """Send a message that says that it is a test, also while the alert is muted, and note how that went."""
    now = time.time_ns()
    value = one.value
    message = message_of(one, event_id=0, kind="test", at=now, value=value, traces=one.traces or 0)
    answer = webhook.send(one.url, message, private=watcher.private)
    with store.writing() as connection:
        alert_by_id(connection, one.id, scope=Scope(frozenset({one.project_id})))
        add_event(
            Sql(connection),
            one.id,
            kind="test",
            value=value,
            traces=one.traces,
            now=now,
            delivery="sent" if answer.ok else "failed",
            answer=answer.words,
        )
    return answer
