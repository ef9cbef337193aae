"""What was stored while nothing was noted as work, because the index was switched off."""

from __future__ import annotations

import time

from tracer.search.work import note_whole
from tracer.store.engine import Store
from tracer.store.sql import Sql

TRACES = 1_000
"""Traces noted in one transaction."""


def note_off(sql: Sql, now: int) -> None:
    """Note that from now on no work is noted; `now` in Unix nanoseconds."""
    sql.run("UPDATE search_state SET off_since = ? WHERE id = 1 AND off_since IS NULL", [now])


def note_missed(store: Store) -> None:
    """Note as work every trace that changed since the index was switched off; nothing when it was not."""
    with store.reading() as connection:
        since = Sql(connection).rows("SELECT off_since FROM search_state WHERE id = 1")[0].off_since
    if since is None:
        return
    last = 0
    while True:
        with store.writing(patient=False) as connection:
            sql = Sql(connection)
            rows = sql.rows(
                "SELECT id, span_count FROM trace WHERE id > ? AND changed_at >= ? ORDER BY id LIMIT ?",
                [last, since, TRACES],
            )
            if not rows:
                sql.run("UPDATE search_state SET off_since = NULL WHERE id = 1")
                return
            note_whole(sql, [(row.id, row.span_count) for row in rows], time.time_ns())
            last = rows[-1].id
