"""How many traces have to go until there is room again."""

from __future__ import annotations

from collections.abc import Sequence

from tracer.ingest.choose import Candidate
from tracer.ingest.delete import body_sizes
from tracer.ingest.reclaim import share_of, spans_beyond
from tracer.store.engine import Store
from tracer.store.sql import Sql


class Gauge:
    """How much is still to go until a project, or all of the database, holds no more than so many bytes."""

    def __init__(self, store: Store, project_id: int | None, max_size: int) -> None:
        self._store = store
        self._project_id = project_id
        self._max_size = max_size
        self._each = None if project_id is None else share_of(store, project_id).each

    def first_of(self, rows: Sequence[Candidate]) -> Sequence[Candidate]:
        """The first of some traces, as many as are still too many; none when there is room."""
        if self._project_id is None:
            excess = spans_beyond(self._store, self._max_size)
            return first_of(rows, excess) if excess else ()
        share = share_of(self._store, self._project_id, each=self._each)
        left = share.size - self._max_size
        with self._store.reading() as connection:
            sizes = body_sizes(Sql(connection), [row.pk for row in rows])
        for number, row in enumerate(rows):
            if left <= 0:
                return rows[:number]
            left -= sizes.get(row.pk, 0) + int(row.spans * share.each)
        return rows


def first_of(rows: Sequence[Candidate], spans: int) -> Sequence[Candidate]:
    """As many of the first traces as have so many spans together, at least one."""
    total = 0
    for number, row in enumerate(rows):
        total += row.spans
        if total > spans:
            return rows[: max(1, number)]
    return rows
