"""Watches in the background: a thread measures what is due and tells webhooks of changes.

Of several processes on one database one does it at a time.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import quote, urlencode

from sqlalchemy import Connection

from tracer.alerts import webhook
from tracer.alerts.keep import Finding, give_alert_lease, put_answer, put_finding, take_alert_lease
from tracer.alerts.measure import Measured, measure
from tracer.alerts.rows import Alert, alert_by_id, amount, due_alerts
from tracer.errors import NotFound, TracerError
from tracer.queries.found import read_q
from tracer.queries.scope import EVERYTHING
from tracer.store.engine import Store
from tracer.store.sql import Sql
from tracer.units import MINUTE, SECOND, rfc3339

logger = logging.getLogger(__name__)

CHECK_EVERY = 30 * SECOND
POLL_S = 2.0
"""How often work is looked for that another process left or that has become due."""

AFTER_TROUBLE_S = 5.0
AT_ONCE = 20
"""Alerts that are measured between two rounds of deliveries."""

SENT_AT_ONCE = 8
TRIES = 5
BACK_OFF = tuple(seconds * SECOND for seconds in (5, 30, 120, 600))
"""Before the second, third ... try."""

REST = 1.0
"""After each alert that is measured, rest so many times as long as it took."""


class Watcher:
    """The background thread. `private` tells whether webhooks in private networks are called."""

    def __init__(self, store: Store, *, searching: bool, private: bool, abandoned_after: int) -> None:
        self._store = store
        self._searching = searching
        self.private = private
        self._abandoned_after = abandoned_after
        self._owner = f"{os.getpid()}-{secrets.token_hex(6)}"
        self._leading = False
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)

    def start(self) -> None:
        """Begin to watch, where the database can be written."""
        if not self._store.read_only:
            self._thread.start()

    def stop(self, *, within: float | None = None) -> None:
        """End, or be left behind after `within` seconds; what is not told yet is told after the next start."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(within)

    def wake(self) -> None:
        """An alert is new or was changed. Callable from any thread."""
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                more = self._step()
            except TracerError as problem:
                logger.info("alerts wait: %s", problem)
                self._stopping.wait(AFTER_TROUBLE_S)
            except Exception:
                if not self._stopping.is_set():
                    logger.exception("alerts were not measured; they are again")
                self._stopping.wait(AFTER_TROUBLE_S)
            else:
                if not more:
                    self._wake.wait(POLL_S)
                    self._wake.clear()
        if self._leading:
            # Where that cannot be written now, the lease ends by itself.
            with suppress(TracerError), self._store.writing(patient=False) as connection:
                give_alert_lease(Sql(connection), self._owner)

    def _step(self) -> bool:
        """Measure some alerts and send some messages; False when nothing is due, or another process watches."""
        now = time.time_ns()
        with self._store.reading() as connection:
            due = due_alerts(connection, now=now, limit=AT_ONCE)
            waiting = _waiting(Sql(connection), now)
        if not due and not waiting:
            return False
        if not self._lead():
            return False
        for one in due:
            if self._stopping.is_set():
                return False
            start = time.perf_counter()
            self._look(one)
            self._stopping.wait((time.perf_counter() - start) * REST)
        with self._store.reading() as connection:
            waiting = _waiting(Sql(connection), time.time_ns())
        if waiting and self._lead():
            self._send(waiting)
        return True

    def _lead(self) -> bool:
        with self._store.writing(patient=False) as connection:
            self._leading = take_alert_lease(Sql(connection), self._owner, time.time_ns())
        return self._leading

    def _look(self, one: Alert) -> None:
        now = time.time_ns()
        problem, state = None, one.state
        try:
            with self._store.reading() as connection:
                search = read_q(one.q, searching=self._searching)
                found = measure(
                    Sql(connection),
                    search,
                    one.rule,
                    project_id=one.project_id,
                    now=now,
                    abandoned_after=self._abandoned_after,
                )
        except TracerError as refused:
            if refused.status >= 500:
                raise
            problem, found = refused.message, Measured(None, 0, whole=True)
        else:
            state = state_of(one, found)
        kept = Finding(state, found.value, found.traces, found.whole, problem, now + CHECK_EVERY)
        with self._store.writing(patient=False) as connection:
            put_finding(Sql(connection), one.id, kept, updated_at=one.updated_at, now=now)

    def _send(self, waiting: list[int]) -> None:
        """Send messages beside each other. Each ends in bounded time; a service that stops does not wait for them."""
        threads = [threading.Thread(target=self._try, args=(one,), name="webhook", daemon=True) for one in waiting]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive() and not self._stopping.is_set():
                thread.join(0.2)

    def _try(self, event_id: int) -> None:
        try:
            self._tell(event_id)
        except Exception:
            if not self._stopping.is_set():
                logger.exception("how a webhook answered was not noted; it is told again")

    def _tell(self, event_id: int) -> None:
        """Send one message, and note how that went or when it is tried again."""
        try:
            with self._store.reading() as connection:
                one, message, tries = _message(connection, event_id)
        except NotFound:
            return
        try:
            answer = webhook.send(one.url, message, private=self.private)
        except TracerError as refused:
            answer = webhook.Answer(False, refused.message)
        left = not answer.ok and tries + 1 < TRIES
        delivery = "sent" if answer.ok else "waiting" if left else "failed"
        again = time.time_ns() + BACK_OFF[tries] if left else None
        with self._store.writing() as connection:
            put_answer(Sql(connection), event_id, delivery=delivery, answer=answer.words, next_try_at=again)


def state_of(one: Alert, found: Measured) -> str:
    """The state after a measurement. What the part that was looked at cannot tell leaves the state as it is."""
    rule = one.rule
    passed = rule.passed(found.value)
    if not found.whole and rule.measure in ("count", "cost_usd"):
        # The whole is at least this much.
        beyond = found.value is not None and found.value > rule.threshold
        if not beyond:
            return one.state
        passed = rule.side == "above"
    return "firing" if passed else "ok"


def _waiting(sql: Sql, now: int) -> list[int]:
    """The messages to send now: of each alert its oldest, so that they come in order."""
    rows = sql.rows(
        "SELECT min(id) AS id, min(next_try_at) AS due FROM alert_event WHERE delivery = 'waiting' GROUP BY alert_id"
    )
    due = [row.id for row in rows]
    ready = sql.rows_in("SELECT id FROM alert_event WHERE id IN ({keys}) AND next_try_at <= ?", due, after=[now])
    return sorted(row.id for row in ready)[:SENT_AT_ONCE]


def _message(connection: Connection, event_id: int) -> tuple[Alert, Mapping[str, object], int]:
    rows = Sql(connection).rows(
        "SELECT alert_id, at, kind, value, traces, tries FROM alert_event WHERE id = ? AND delivery = 'waiting'",
        [event_id],
    )
    if not rows:
        raise NotFound("This is told already.")
    event = rows[0]
    one = alert_by_id(connection, event.alert_id, scope=EVERYTHING)
    message = message_of(
        one, event_id=event_id, kind=event.kind, at=event.at, value=event.value, traces=event.traces or 0
    )
    return one, message, event.tries


def message_of(
    one: Alert, *, event_id: int, kind: str, at: int, value: float | None, traces: int
) -> Mapping[str, object]:
    """What a webhook is sent; `text` is what chat programs show."""
    rule = one.rule
    shown = "nothing to measure" if value is None else amount(rule.measure, value)
    starts = {"firing": "Firing", "ok": "Well again", "test": "A test of the alert"}
    since = at - rule.window
    query = urlencode({"q": one.q, "from": rfc3339(since), "to": rfc3339(at)})
    link = f"{one.origin}/p/{quote(one.slug, safe='')}/traces?{query}"
    return {
        "id": event_id,
        "event": kind,
        "text": f"{starts[kind]}: {one.name} ({one.project}): {shown} now; {rule.words}. {link}",
        "project": one.project,
        "alert": {"id": one.id, "name": one.name, "view": one.view, "q": one.q},
        "measure": rule.measure,
        "score": rule.score,
        "side": rule.side,
        "threshold": rule.threshold,
        "window_minutes": rule.window // MINUTE,
        "value": value,
        "trace_count": traces,
        "from": rfc3339(since),
        "to": rfc3339(at),
        "url": link,
    }
