"""Gives back the space of what was deleted, in slices, and tells how large the database is."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from tracer.errors import TracerError, Unavailable
from tracer.ingest.writer import Writer
from tracer.store.engine import BUSY_TIMEOUT_MS, Store
from tracer.store.sql import Sql

logger = logging.getLogger(__name__)

PAGES_AT_ONCE = 500
"""Pages of an SQLite file that one slice gives back: some 20 ms."""

CHECKPOINT_WAIT_MS = 50
CHECKPOINT_TRIES = 20
CHECKPOINT_PAUSE_S = 0.1
WORTH_A_VACUUM = 20_000
"""Deleted spans from which Postgres's tables are vacuumed at once; what is less, its own daemon takes up."""

SAMPLE = 100
"""Traces, of the oldest and of the newest each, from which Postgres's bytes per span are told."""

NOBODYS = 10**6
"""Bytes that a database without any trace has in use, about."""

VACUUMED = ("span", "pack", "trace", "partial_output", "log_record", "tombstone", "change", "project_counter")
VACUUMED += ("search_block", "search_segment", "search_seen", "search_work")


def reclaim(store: Store, writer: Writer, *, spans: int, stop: Callable[[], bool] = lambda: False) -> bool:
    """Give free space back, after so many spans were deleted. False when `stop` said so before the end.

    On SQLite the file shrinks: free pages leave it in slices between commits, and a checkpoint cuts it and its log. On
    Postgres the space is given back to the tables, and to the system where a table's end is free.
    """
    if not store.sqlite:
        if spans >= WORTH_A_VACUUM:
            _vacuum(store)
        return True
    while writer.run(_give_pages_back, transaction=False).result():
        if stop():
            return False
    for _ in range(CHECKPOINT_TRIES):
        if writer.run(_checkpoint, transaction=False).result():
            return True
        if stop():
            return False
        time.sleep(CHECKPOINT_PAUSE_S)
    logger.info("someone reads an older state: the file will shrink when they are done")
    return True


def _give_pages_back(connection: Connection) -> bool:
    # Each step of this pragma frees one page, as a row without columns, which no cursor of the driver goes on from:
    # a script runs it to its end.
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    try:
        driver.executescript(f"BEGIN IMMEDIATE; PRAGMA incremental_vacuum({PAGES_AT_ONCE}); COMMIT")
    except sqlite3.OperationalError as problem:
        if driver.in_transaction:
            driver.rollback()
        raise Unavailable(f"The database does not take this now: {problem}.") from problem
    return _number(connection, "PRAGMA freelist_count") > 0


def _checkpoint(connection: Connection) -> bool:
    """Move the log into the file and cut both; False while a reader is in the way, whom nobody waits for."""
    connection.exec_driver_sql(f"PRAGMA busy_timeout={CHECKPOINT_WAIT_MS}").close()
    try:
        busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}").close()
    return not busy


def _vacuum(store: Store) -> None:
    # Not on the writer's thread: Postgres vacuums beside what is written.
    try:
        with store.maintaining() as connection:
            for table in VACUUMED:
                connection.exec_driver_sql(f"VACUUM (ANALYZE) {table}")
    except (DBAPIError, TracerError) as problem:
        logger.warning("the tables were not vacuumed; the database's own daemon will do it: %s", problem)


def database_size(store: Store) -> int:
    """Bytes that the database takes on the disk: SQLite's file with its log, Postgres's database."""
    file = store.file
    if file is not None:
        parts = (file, file.with_name(file.name + "-wal"))
        return sum(part.stat().st_size for part in parts if part.exists())
    with store.reading() as connection:
        return _number(connection, "SELECT pg_database_size(current_database())")


def size_in_use(store: Store) -> int:
    """Bytes that are in use: what a size cap is held against, since it falls with every deleted trace.

    SQLite's is the file without its free pages. Postgres keeps freed space for new rows, so there it is told from the
    rows of some traces, the number of spans, and how large all tables are beside those of spans.
    """
    with store.reading() as connection:
        if store.sqlite:
            pages = _number(connection, "PRAGMA page_count") - _number(connection, "PRAGMA freelist_count")
            return pages * _number(connection, "PRAGMA page_size")
        return _postgres_size(Sql(connection))


def spans_beyond(store: Store, max_size: int) -> int:
    """About how many spans have to go until no more than so many bytes are in use; 0 when that is so already."""
    used = size_in_use(store)
    if used <= max_size:
        return 0
    with store.reading() as connection:
        spans = _number(connection, "SELECT coalesce(sum(span_count), 0) FROM project_counter")
    return max(1, spans * (used - max_size) // used)


@dataclass(frozen=True, slots=True)
class Share:
    """What of the database is a project's: its bodies, and of all the rest what its share of the spans is."""

    bodies: int
    spans: int
    each: float
    """Bytes that a span takes beside the bodies: rows, indexes, words in the search."""

    @property
    def rest(self) -> int:
        """Bytes beside the bodies."""
        return int(self.spans * self.each)

    @property
    def size(self) -> int:
        """Bytes; those of all projects add up to what the database has in use, but for what an empty one has."""
        return self.bodies + self.rest


def share_of(store: Store, project_id: int, *, each: float | None = None) -> Share:
    """A project's share. With `each`, that of an earlier call, it counts what went since, and nothing else."""
    used = size_in_use(store) if each is None else 0
    with store.reading() as connection:
        rows = Sql(connection).rows(
            "SELECT coalesce(sum(span_count), 0) AS spans, coalesce(sum(body_bytes), 0) AS bodies, "
            "coalesce(sum(CASE WHEN project_id = ? THEN span_count END), 0) AS own_spans, "
            "coalesce(sum(CASE WHEN project_id = ? THEN body_bytes END), 0) AS own_bodies FROM project_counter",
            [project_id, project_id],
        )[0]
    if each is None:
        each = max(0, used - NOBODYS - int(rows.bodies)) / max(1, int(rows.spans))
    return Share(int(rows.own_bodies), int(rows.own_spans), each)


def shares(store: Store) -> dict[int, Share]:
    """Every project's share, by row number; a project that nothing came to has none."""
    used = size_in_use(store)
    with store.reading() as connection:
        rows = Sql(connection).rows(
            "SELECT project_id, sum(span_count) AS spans, sum(body_bytes) AS bodies FROM project_counter "
            "GROUP BY project_id"
        )
    bodies, spans = sum(int(row.bodies) for row in rows), sum(int(row.spans) for row in rows)
    each = max(0, used - NOBODYS - bodies) / max(1, spans)
    return {row.project_id: Share(int(row.bodies), int(row.spans), each) for row in rows}


def _postgres_size(sql: Sql) -> int:
    spans = int(sql.rows("SELECT coalesce(sum(span_count), 0) FROM project_counter")[0][0])
    rows = sql.rows(
        "WITH sample AS "
        "((SELECT * FROM trace ORDER BY id LIMIT ?) UNION (SELECT * FROM trace ORDER BY id DESC LIMIT ?)) "
        "SELECT (SELECT coalesce(sum(pg_column_size(sample.*)), 0) FROM sample) + "
        "(SELECT coalesce(sum(pg_column_size(span.*)), 0) FROM span WHERE trace_pk IN (SELECT id FROM sample)) + "
        "(SELECT coalesce(sum(pg_column_size(pack.data) + pg_column_size(pack.pieces) + 32), 0) FROM sample "
        "JOIN pack ON pack.id >= sample.id * (1 << 20) AND pack.id < (sample.id + 1) * (1 << 20)) AS bytes, "
        "(SELECT coalesce(sum(span_count), 0) FROM sample) AS spans",
        [SAMPLE, SAMPLE],
    )[0]
    if not spans or not rows.spans:
        return 0
    sizes = sql.rows(
        "SELECT sum(pg_total_relation_size(oid)) AS whole, "
        "sum(pg_table_size(oid)) FILTER (WHERE relname IN ('trace', 'span', 'pack')) AS core "
        "FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
    )[0]
    return int(spans * float(rows.bytes) / float(rows.spans) * float(sizes.whole) / float(sizes.core))


def _number(connection: Connection, statement: str) -> int:
    return int(connection.exec_driver_sql(statement).scalar_one())
