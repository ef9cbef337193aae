"""What was asked to be deleted, kept in the database: how far it is, and what a restarted process goes on with."""

from __future__ import annotations

from dataclasses import dataclass

from tracer.store.sql import Sql
from tracer.units import SECOND

STALE = 30 * SECOND
"""A deletion whose process has not been heard of for so long is another's to go on with."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """One deletion. Times are Unix nanoseconds; `since` (inclusive) and `until` (exclusive) are starts of traces."""

    id: int
    project_id: int | None
    """None: every project."""
    since: int | None
    until: int | None
    max_size: int | None
    """Set: the oldest traces go until the database holds no more bytes than this."""
    q: str | None
    """Set: only traces that this search finds."""
    user_id: str | None
    session_id: str | None
    """Set: only traces of which a step says so."""
    newest_pk: int
    """Traces that came later are not meant; 0 when the traces are gone and only their rest is to be done."""
    state: str
    """`waiting`, `running`, `done` or `failed`."""
    traces: int
    spans: int
    total_traces: int | None
    """How many traces it is about; None until that is known, for a size cap and for a search."""
    started_at: int
    finished_at: int | None

    @property
    def whole(self) -> bool:
        """Whether all of the projects and the time is meant, not only what a search, a user or a session names."""
        return self.q is None and self.user_id is None and self.session_id is None


COLUMNS = (
    "id, project_id, since, until, max_size, q, user_id, session_id, newest_pk, state, traces, spans, total_traces, "
    "started_at, finished_at"
)


def open_receipt(
    sql: Sql,
    *,
    now: int,
    project_id: int | None,
    since: int | None = None,
    until: int | None = None,
    max_size: int | None = None,
    q: str | None = None,
    user_id: str | None = None,
    session_id: str | None = None,
    newest_pk: int | None = None,
    state: str = "waiting",
) -> int:
    """Note a deletion and return its number; `newest_pk` None means every trace that is there now."""
    if newest_pk is None:
        newest_pk = int(sql.rows("SELECT coalesce(max(id), 0) FROM trace")[0][0])
    rows = sql.rows(
        "INSERT INTO deletion "
        "(project_id, since, until, max_size, q, user_id, session_id, newest_pk, state, started_at, beat_at, traces, "
        "spans) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0) RETURNING id",
        [project_id, since, until, max_size, q, user_id, session_id, newest_pk, state, now, now],
    )
    return int(rows[0].id)


def read_receipt(sql: Sql, deletion_id: int) -> Receipt | None:
    """The receipt of that number; None when there is none."""
    rows = sql.rows(f"SELECT {COLUMNS} FROM deletion WHERE id = ?", [deletion_id])
    return Receipt(**rows[0]._asdict()) if rows else None


def next_unfinished(sql: Sql, now: int) -> int | None:
    """The first deletion that waits, or whose process is gone."""
    rows = sql.rows(
        "SELECT id FROM deletion WHERE state = 'waiting' OR (state = 'running' AND beat_at < ?) ORDER BY id LIMIT 1",
        [now - STALE],
    )
    return int(rows[0].id) if rows else None


def claim(sql: Sql, deletion_id: int, now: int) -> bool:
    """Take a deletion that waits or whose process is gone; False when another process was faster."""
    return bool(
        sql.run(
            "UPDATE deletion SET state = 'running', beat_at = ? "
            "WHERE id = ? AND (state = 'waiting' OR (state = 'running' AND beat_at < ?))",
            [now, deletion_id, now - STALE],
        )
    )


def advance(sql: Sql, deletion_id: int, *, now: int, traces: int = 0, spans: int = 0) -> None:
    """Add what a slice deleted, and say that this process is alive."""
    sql.run(
        "UPDATE deletion SET traces = traces + ?, spans = spans + ?, beat_at = ? WHERE id = ?",
        [traces, spans, now, deletion_id],
    )


def set_total(sql: Sql, deletion_id: int, total: int) -> None:
    """Say how many traces it is about."""
    sql.run("UPDATE deletion SET total_traces = ? WHERE id = ?", [total, deletion_id])


def put_back(sql: Sql, deletion_id: int) -> None:
    """Let another thread or process go on with it."""
    sql.run("UPDATE deletion SET state = 'waiting' WHERE id = ? AND state = 'running'", [deletion_id])


def close_receipt(sql: Sql, deletion_id: int, *, now: int, state: str = "done") -> None:
    """It is done, or has failed."""
    sql.run("UPDATE deletion SET state = ?, finished_at = ? WHERE id = ?", [state, now, deletion_id])


def withdraw(sql: Sql, deletion_id: int) -> None:
    """Take back a receipt: there was nothing to delete."""
    sql.run("DELETE FROM deletion WHERE id = ?", [deletion_id])
