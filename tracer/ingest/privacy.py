"""Holds what comes in to its project's rules, before anything else reads it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection, delete, insert, select

from tracer.ingest.prepare import DEFAULT_PROJECT, project_name, project_of
from tracer.ingest.rules import NO_RULES, Rules, rules_of_row
from tracer.otlp.decode import Rejections
from tracer.otlp.records import Attributes, LogRecord, SpanRecord
from tracer.store.engine import Store
from tracer.store.models import project_rules
from tracer.store.patience import Patience
from tracer.store.projects import every_name
from tracer.units import DAY

REMEMBERED_S = 1.0
"""How long another process may go on with rules that were changed; this one has them with the next request."""

Record = TypeVar("Record", SpanRecord, LogRecord)


@dataclass(frozen=True, slots=True)
class _Known:
    until: float
    rules: Mapping[str, Rules]


def rules_in(connection: Connection, project_id: int) -> Rules:
    """The rules of one project."""
    row = connection.execute(select(project_rules).where(project_rules.c.project_id == project_id)).first()
    return NO_RULES if row is None else rules_of_row(row)


def store_rules(connection: Connection, project_id: int, rules: Rules) -> None:
    """Replace the rules of one project."""
    connection.execute(delete(project_rules).where(project_rules.c.project_id == project_id))
    if rules != NO_RULES:
        connection.execute(insert(project_rules).values(project_id=project_id, **rules.as_row()))


class Privacy:
    """The rules of all projects, by each name that reaches one. Callable from any thread."""

    def __init__(self, store: Store) -> None:
        self._patience = Patience(store)
        self._lock = threading.Lock()
        self._known = _Known(float("-inf"), {})
        self._turn = 0

    def forget(self) -> None:
        """Ask the database again: rules were changed."""
        with self._lock:
            self._turn += 1
            self._known = _Known(float("-inf"), {})

    def all(self) -> Mapping[str, Rules]:
        """The rules of every project that has some. Raises Unavailable: what cannot be masked is not stored."""
        known = self._known
        if known.until > time.monotonic():
            return known.rules
        turn = self._turn
        names = every_name()
        asked = select(project_rules, names.c.name).join(names, names.c.id == project_rules.c.project_id)
        rows = self._patience.ask(lambda connection: connection.execute(asked).all())
        found = _Known(time.monotonic() + REMEMBERED_S, {row.name: rules_of_row(row) for row in rows})
        with self._lock:
            if turn == self._turn:
                self._known = found
        return found.rules

    def hold(
        self,
        records: Sequence[Record],
        asked: str | None,
        rejected: Rejections,
        *,
        moved: frozenset[str] = frozenset(),
        now: int | None = None,
    ) -> list[Record]:
        """The records that their projects' rules let in, with what is to be hidden hidden.

        `asked` is the project for all of them; None where each names its own; what is for one in `moved` goes to
        `default`. What is older than its project keeps is counted as refused, with the reason.
        """
        rules = self.all()
        if not rules:
            return list(records)
        name = project_name(asked) if asked is not None and asked.strip() else None
        now = time.time_ns() if now is None else now
        kept: list[Record] = []
        done: dict[str, dict[int, Attributes]] = {}
        held: list[Attributes] = []
        for record in records:
            mine = name or project_of(record, None)
            if mine in moved:
                mine = DEFAULT_PROJECT
            rule = rules.get(mine, NO_RULES)
            at = record.start_time if isinstance(record, SpanRecord) else record.time or now
            longest = rule.keeping.longest()
            if longest is not None and at < now - longest * DAY:
                rejected.reasons[f"older than the {longest} days that its project keeps"] += 1
                continue
            if rule.hides:
                held.append(record.resource)  # no other object may get its id meanwhile
                rule.apply(record, done.setdefault(mine, {}))
            kept.append(record)
        return kept
