"""What was asked to be deleted, kept in the database: how far it is, and what a restarted process goes on with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracer.store.sql import Sql
from tracer.units import SECOND, format_bytes, format_count, rfc3339

STALE = 30 * SECOND
"""A deletion whose process has not been heard of for so long is another's to go on with."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """One deletion. Times are Unix nanoseconds; `since` (inclusive) and `until` (exclusive) are starts of traces."""

    id: int
    job: str
    """`traces`; `project`: with all that the project has; `merge`: its traces are moved into another."""
    project_id: int | None
    """None: every project."""
    project: str | None
    """The name of a project that goes."""
    into_id: int | None
    """The project that a merged one becomes part of."""
    author: str | None
    """Who asked for it, of a job on a project."""
    since: int | None
    until: int | None
    max_size: int | None
    """Set: the oldest traces go until the project, or without one the database, holds no more bytes than this."""
    q: str | None
    """Set: only traces that this search finds."""
    user_id: str | None
    session_id: str | None
    """Set: only traces of which a step says so."""
    tag: str | None
    """Set: only traces that have it."""
    by_rule: int
    """1 where nobody asked: the retention of the server, or of the project, whose rules hold as they are by then."""
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
        """Whether all of the projects and the time is meant, not only what a search, a user or the like names."""
        return self.q is None and self.user_id is None and self.session_id is None and self.tag is None

    @property
    def by_project_rule(self) -> bool:
        """Whether it is a rule of its project that wants it."""
        return bool(self.by_rule) and self.project_id is not None


COLUMNS = (
    "id, job, project_id, project, into_id, author, since, until, max_size, q, user_id, session_id, tag, by_rule, "
    "newest_pk, state, traces, spans, total_traces, started_at, finished_at"
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
    tag: str | None = None,
    by_rule: bool = False,
    newest_pk: int | None = None,
    state: str = "waiting",
    job: str = "traces",
    project: str | None = None,
    into_id: int | None = None,
    author: str | None = None,
) -> int:
    """Note a deletion and return its number; `newest_pk` None means every trace that is there now."""
    if newest_pk is None:
        newest_pk = int(sql.rows("SELECT coalesce(max(id), 0) FROM trace")[0][0])
    rows = sql.rows(
        "INSERT INTO deletion "
        "(job, project_id, project, into_id, author, since, until, max_size, q, user_id, session_id, tag, by_rule, "
        "newest_pk, state, started_at, beat_at, traces, spans) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0) RETURNING id",
        [
            job, project_id, project, into_id, author, since, until, max_size, q, user_id, session_id, tag,
            int(by_rule), newest_pk, state, now, now,
        ],
    )  # fmt: skip
    return int(rows[0].id)


def read_receipt(sql: Sql, deletion_id: int) -> Receipt | None:
    """The receipt of that number; None when there is none."""
    rows = sql.rows(f"SELECT {COLUMNS} FROM deletion WHERE id = ?", [deletion_id])
    return Receipt(**rows[0]._asdict()) if rows else None


def receipts_of(
    sql: Sql, project_ids: Sequence[int] | None, *, limit: int, before: int | None = None, by_rule: bool = False
) -> list[Receipt]:
    """The newest receipts of some projects, or (None) of all and of what goes through all; with numbers below `before`.

    `by_rule`: of rules alone. Those of rules by which nothing went are left out.
    """
    where = ["by_rule = 1 AND traces > 0"] if by_rule else ["(by_rule = 0 OR traces > 0)", "job <> 'merge'"]
    parameters: list[int] = []
    if before is not None:
        where.append("id < ?")
        parameters.append(before)
    if project_ids is not None:
        where.append(f"project_id IN ({', '.join('?' * len(project_ids))})" if project_ids else "1 = 0")
        parameters += project_ids
    rows = sql.rows(
        f"SELECT {COLUMNS} FROM deletion WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?", [*parameters, limit]
    )
    return [Receipt(**row._asdict()) for row in rows]


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


def in_words(receipt: Receipt) -> str:
    """What went, and why, for people."""
    traces, spans = (
        f"{format_count(number)} {word}{'' if number == 1 else 's'}"
        for number, word in ((receipt.traces, "trace"), (receipt.spans, "span"))
    )
    words = [f"{traces} with {spans}"]
    if receipt.tag is not None:
        words.append(f"tagged {receipt.tag}")
    if receipt.until is not None:
        words.append(f"from before {rfc3339(receipt.until)[:10]}")
    if receipt.max_size is not None:
        words.append(f"the oldest, down to {format_bytes(receipt.max_size)}")
    return ", ".join(words)
