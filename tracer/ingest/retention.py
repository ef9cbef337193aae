"""How long and how much is kept: what is refused on arrival, and what is due to be deleted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from tracer.ingest.reclaim import size_in_use
from tracer.otlp.decode import Rejections
from tracer.otlp.records import LogRecord, SpanRecord
from tracer.store.engine import Store
from tracer.store.sql import Sql
from tracer.units import DAY

AGE_EVERY_S, SIZE_EVERY_S, PROJECTS_EVERY_S = 3_600.0, 60.0, 600.0


Record = TypeVar("Record", SpanRecord, LogRecord)


@dataclass(frozen=True, slots=True)
class Due:
    """What the retention wants deleted: traces that started before `until`, or the oldest beyond `max_size` bytes."""

    until: int | None = None
    max_size: int | None = None
    project_id: int | None = None
    """None: of every project."""


@dataclass(slots=True)
class Retention:
    """`days` and `max_size` (bytes) are None where nothing limits."""

    days: int | None = None
    max_size: int | None = None
    _looked: dict[str, float] = field(default_factory=dict)

    def cutoff(self, now: int) -> int | None:
        """The start (Unix nanoseconds) before which nothing is kept."""
        return None if self.days is None else now - self.days * DAY

    def refuse_old(self, records: list[Record], time_of: Callable[[Record], int], rejected: Rejections) -> list[Record]:
        """Keep the records that are young enough; the others are counted as refused, with the reason."""
        oldest = self.cutoff(time.time_ns())
        if oldest is None:
            return records
        kept = [record for record in records if time_of(record) >= oldest]
        if len(kept) < len(records):
            reason = f"older than the {self.days} days that this server keeps (its setting retention_days)"
            rejected.reasons[reason] += len(records) - len(kept)
        return kept

    def due(self, store: Store) -> Due | None:
        """What has to be deleted now; looks at ages every hour and at the size every minute."""
        oldest = self.cutoff(time.time_ns())
        if oldest is not None and self._is_time("age", AGE_EVERY_S) and _has_older(store, oldest):
            return Due(until=oldest)
        if (found := self._due_in_a_project(store)) is not None:
            return found
        if self.max_size is not None and self._is_time("size", SIZE_EVERY_S) and size_in_use(store) > self.max_size:
            return Due(max_size=self.max_size)
        return None

    def _due_in_a_project(self, store: Store) -> Due | None:
        """What a project's own rule wants deleted; each time one project's, as long as there is any."""
        if not self._is_time("projects", PROJECTS_EVERY_S):
            return None
        now = time.time_ns()
        with store.reading() as connection:
            rows = Sql(connection).rows("SELECT project_id, retention_days FROM project_rules WHERE retention_days > 0")
            for row in rows:
                until = now - row.retention_days * DAY
                if Sql(connection).rows(
                    "SELECT 1 FROM trace WHERE project_id = ? AND start_time < ? LIMIT 1", [row.project_id, until]
                ):
                    del self._looked["projects"]
                    return Due(until=until, project_id=row.project_id)
        return None

    def _is_time(self, what: str, every: float) -> bool:
        now = time.monotonic()
        if now - self._looked.get(what, float("-inf")) < every:
            return False
        self._looked[what] = now
        return True


def _has_older(store: Store, oldest: int) -> bool:
    with store.reading() as connection:
        return bool(
            Sql(connection).rows(
                "SELECT 1 FROM project WHERE EXISTS (SELECT 1 FROM trace WHERE project_id = project.id "
                "AND start_time < ?) LIMIT 1",
                [oldest],
            )
        )
