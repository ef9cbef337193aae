"""How long and how much is kept: what is refused on arrival, and what is due to be deleted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from tracer.ingest.choose import any_meant, count_some
from tracer.ingest.keeping import Keeping, keeping_everywhere, with_room
from tracer.ingest.reclaim import share_of, size_in_use
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
    tag: str | None = None
    """Set: those that have it alone."""


@dataclass(slots=True)
class Retention:
    """`days` and `max_size` (bytes) are None where nothing limits."""

    days: int | None = None
    max_size: int | None = None
    _looked: dict[str, float] = field(default_factory=dict)
    _round: Iterator[Due] = field(default_factory=lambda: iter(()))
    """What of this round over the projects was not asked for yet."""

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

    def look_again(self) -> None:
        """Look at the projects with the next `due`: rules were changed."""
        self._looked.pop("projects", None)

    def due(self, store: Store) -> Due | None:
        """What has to be deleted now; looks at ages now and then, and at sizes every minute."""
        oldest = self.cutoff(time.time_ns())
        if oldest is not None and self._is_time("age", AGE_EVERY_S) and _has_older(store, oldest):
            return Due(until=oldest)
        if (found := next(self._round, None)) is not None:
            return found
        if self._is_time("projects", PROJECTS_EVERY_S):
            self._round = due_in_projects(store)
        elif self._is_time("project sizes", SIZE_EVERY_S):
            self._round = due_in_projects(store, ages=False)
        if (found := next(self._round, None)) is not None:
            return found
        if self.max_size is not None and self._is_time("size", SIZE_EVERY_S) and size_in_use(store) > self.max_size:
            return Due(max_size=with_room(self.max_size))
        return None

    def _is_time(self, what: str, every: float) -> bool:
        now = time.monotonic()
        if now - self._looked.get(what, float("-inf")) < every:
            return False
        self._looked[what] = now
        return True


def due_in_projects(store: Store, *, project_id: int | None = None, ages: bool = True) -> Iterator[Due]:
    """What the rules of every project, or of one, want deleted; each is looked at when its turn comes."""
    with store.reading() as connection:
        every = keeping_everywhere(Sql(connection), project_id)
    for at, keeping in every.items():
        for tag in keeping.by_age() if ages else ():
            rule = keeping.rule(tag, time.time_ns())
            if rule is not None and any_meant(store, at, rule[0], tag=tag, spared=rule[1]):
                yield Due(until=rule[0], project_id=at, tag=tag)
        if keeping.max_size is not None and share_of(store, at).size > keeping.max_size:
            yield Due(max_size=with_room(keeping.max_size), project_id=at)


def count_due(store: Store, project_id: int, keeping: Keeping, *, most: int = 100_000) -> int:
    """How many traces of a project would go for their age or their tag by some rules, `most` at the most."""
    now, found = time.time_ns(), 0
    for tag in keeping.by_age():
        rule = keeping.rule(tag, now)
        if rule is not None:
            # Each trace is counted once: with a tag's own days, or with those of all others.
            spared = rule[1] if tag is not None else [one.tag for one in keeping.tags]
            found += count_some(store, project_id, rule[0], tag=tag, spared=spared, most=most)
    return min(found, most)


def _has_older(store: Store, oldest: int) -> bool:
    with store.reading() as connection:
        return bool(
            Sql(connection).rows(
                "SELECT 1 FROM project WHERE EXISTS (SELECT 1 FROM trace WHERE project_id = project.id "
                "AND start_time < ?) LIMIT 1",
                [oldest],
            )
        )
