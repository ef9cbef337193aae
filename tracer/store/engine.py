"""Opens the database: SQLite's pragmas or Postgres's pool, sessions for reading and the one for writing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DataError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool, QueuePool

from tracer.errors import DatabaseAway, Unavailable

SQLITE_FLOOR = (3, 40, 0)
"""The oldest SQLite that the schema is tried on."""

BUSY_TIMEOUT_MS = 4_000
"""How long SQLite waits for another process's lock before the request is asked to come again."""

CHECKPOINT_PAGES = 4_000
"""Pages of 4 KiB in SQLite's log after which they go back to the file. Its own 1,000 are two commits under load: every
second one waited for the disk twice more.
"""

IMPATIENT_MS = 250
"""How long work in the background waits for it."""

# sqlite3 looks for an adapter of every None and every bytes, and then asks the value itself, which takes five times as
# long as to bind it. These find one that gives the value back.
sqlite3.register_adapter(type(None), {}.get)
sqlite3.register_adapter(bytes, bytes)


class Store:
    """The database of one service process.

    Reading goes through a bounded pool; writing through one connection at a time, which on SQLite is the only writer.
    """

    def __init__(self, url: URL, *, read_connections: int = 16, durability: Literal["full", "normal"] = "full") -> None:
        self.url = url
        self.sqlite = url.get_backend_name() == "sqlite"
        self.durability = durability
        self.read_only = read_only(url)
        """True when new spans have to be refused, because the file or its folder may not be written."""
        if self.sqlite:
            _check_sqlite()
            self._reader = _sqlite_engine(url, durability, pool_size=read_connections, query_only=True)
            self._writer = _sqlite_engine(url, durability, pool_size=1, query_only=False)
        else:
            self._reader = _postgres_engine(url, durability, pool_size=read_connections, read_only=True)
            self._writer = _postgres_engine(url, durability, pool_size=2, read_only=False)

    @property
    def file(self) -> Path | None:
        """The SQLite file; None on Postgres."""
        return Path(self.url.database) if self.sqlite and self.url.database else None

    @property
    def description(self) -> str:
        """The database in words, without its password."""
        return str(self.file) if self.sqlite else self.url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection inside one read transaction, so that all queries of a page see the same state.

        Raises Unavailable when the database is away or every connection stays taken.
        """
        with _named(self), self._reader.connect() as connection:
            if self.sqlite:
                connection.exec_driver_sql("BEGIN")
            yield connection

    @contextmanager
    def writing(self, *, patient: bool = True) -> Iterator[Connection]:
        """A connection inside one write transaction, committed at the end and rolled back on an exception.

        Without `patient` it soon gives up while another process holds SQLite's lock: for work in the background, which
        must not keep the writer from the connection.
        """
        with _named(self), self._writer.connect() as connection:
            if self.sqlite and patient:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            elif self.sqlite:
                connection.exec_driver_sql(f"PRAGMA busy_timeout={IMPATIENT_MS}").close()
                try:
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                finally:
                    connection.exec_driver_sql(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}").close()
            else:
                connection.begin()
            yield connection
            connection.commit()

    @contextmanager
    def maintaining(self) -> Iterator[Connection]:
        """The writing connection outside a transaction, for VACUUM, checkpoints and the like."""
        with _named(self), self._writer.connect() as connection:
            yield connection if self.sqlite else connection.execution_options(isolation_level="AUTOCOMMIT")

    def close(self) -> None:
        """Close every connection."""
        self._reader.dispose()
        self._writer.dispose()


@contextmanager
def _named(store: Store) -> Iterator[None]:
    try:
        yield
    except PoolTimeout:
        raise Unavailable("Every database connection is in use; try again in a moment.") from None
    except (OperationalError, DBAPIError) as problem:
        if away(problem):
            raise Unavailable(f"The database does not take this now: {reason(problem)}.") from problem
        raise


def away(problem: DBAPIError) -> bool:
    """True for faults of the database's state (locked, full, read-only, gone), not of our statement."""
    original = problem.orig
    if isinstance(original, sqlite3.OperationalError):
        words = str(original)
        return any(
            word in words
            for word in ("locked", "busy", "full", "readonly", "read-only", "disk I/O", "unable to open", "interrupted")
        )
    if isinstance(original, sqlite3.DatabaseError) and (
        "malformed" in str(original) or "not a database" in str(original)
    ):
        return True
    if isinstance(original, sqlite3.Error):
        return problem.connection_invalidated
    import psycopg  # 8 MB that SQLite has no use for

    if isinstance(original, psycopg.errors.ProgramLimitExceeded):
        return False  # what was to be written is too large, and will be tomorrow
    if isinstance(original, psycopg.OperationalError | psycopg.InterfaceError):
        return True
    if isinstance(original, psycopg.errors.ReadOnlySqlTransaction | psycopg.errors.InsufficientResources):
        return True
    return problem.connection_invalidated


def too_large(problem: Exception) -> bool:
    """True where a value is larger than the database can hold, or none that it knows: sent again, it is so again."""
    if isinstance(problem, DataError):
        return True
    if not isinstance(problem, DBAPIError) or isinstance(problem.orig, sqlite3.Error):
        return False
    import psycopg

    return isinstance(problem.orig, psycopg.errors.ProgramLimitExceeded)


def reason(problem: DBAPIError) -> str:
    """The database's own words, on one line, without addresses or statements."""
    original = problem.orig
    if isinstance(original, sqlite3.Error):
        return str(original).splitlines()[0]
    import psycopg

    if isinstance(original, psycopg.Error) and original.sqlstate:
        return str(original).splitlines()[0]
    return "it cannot be reached"


def read_only(url: URL) -> bool:
    """True for a SQLite file that is there and may not be written by this process, or whose folder may not."""
    file = Path(url.database or "")
    if url.get_backend_name() != "sqlite" or not file.exists():
        return False
    return not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK))


def as_it_is(url: URL) -> URL:
    """The URL under which SQLite opens a file that it cannot write, nor any file beside it.

    A write-ahead log that was left behind is read too, as long as its index is there; without one the file is whole.
    """
    file = Path(url.database or "")
    log = Path(f"{file}-wal")
    query = {"uri": "true", "mode": "ro"}
    if not log.exists() or not log.stat().st_size:
        query["immutable"] = "1"
    return URL.create("sqlite", database=f"file:{quote(str(file))}", query=query)


def _check_sqlite() -> None:
    if sqlite3.sqlite_version_info < SQLITE_FLOOR:
        floor = ".".join(map(str, SQLITE_FLOOR))
        raise DatabaseAway(f"This Python comes with SQLite {sqlite3.sqlite_version}; {floor} or newer is needed.")


def _sqlite_engine(url: URL, durability: str, *, pool_size: int, query_only: bool) -> Engine:
    engine = create_engine(
        as_it_is(url) if read_only(url) else url,
        poolclass=QueuePool,
        pool_size=pool_size,
        pool_use_lifo=True,  # a connection that is used often has what it needs in its own memory; the others need none
        max_overflow=0,
        pool_timeout=10,
        connect_args={"check_same_thread": False, "isolation_level": None, "cached_statements": 256, "timeout": 0},
    )

    @event.listens_for(engine, "connect")
    def set_pragmas(connection: sqlite3.Connection, _: Any) -> None:
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            f"synchronous={durability.upper()}",
            "foreign_keys=ON",
            # What is deleted is overwritten in the pages that stay; `ingest/reclaim.py` gives free pages back.
            "secure_delete=FAST",
            "temp_store=MEMORY",
            f"cache_size={-8192 if query_only else -16384}",
            "journal_size_limit=67108864",
            f"wal_autocheckpoint={CHECKPOINT_PAGES}",
            f"query_only={'ON' if query_only else 'OFF'}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine


def _postgres_engine(url: URL, durability: str, *, pool_size: int, read_only: bool) -> Engine:
    options = f"-c synchronous_commit={'on' if durability == 'full' else 'off'} -c lock_timeout=10000"
    if read_only:
        # A page's queries, and a search's look-ups in segments that may be joined meanwhile, see one state.
        options += " -c default_transaction_read_only=on -c default_transaction_isolation=repeatable\\ read"
    return create_engine(
        url,
        pool_size=pool_size,
        pool_use_lifo=True,  # a connection that is used often has what it needs in its own memory; the others need none
        max_overflow=0,
        pool_timeout=5,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": 4,
            # A host that has vanished is noticed in seconds, not after the system's quarter of an hour.
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 2,
            "tcp_user_timeout": 5_000,
            "options": options,
            "application_name": "stepscope",
        },
    )


def prepare_sqlite_file(url: URL) -> None:
    """Make the file's folder and a new file that only its owner can read, in WAL mode and able to give space back.

    Raises DatabaseAway, with the reason, when the folder or the file cannot be made or is not a database.
    """
    file = Path(url.database or "")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = not file.exists() or file.stat().st_size == 0
        if fresh:
            os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as problem:
        raise DatabaseAway(f"The database file {file} cannot be made: {problem.strerror}.") from None
    engine = create_engine(url, poolclass=NullPool, connect_args={"isolation_level": None, "timeout": 10})
    try:
        with engine.connect() as connection:
            if fresh:
                connection.exec_driver_sql("PRAGMA auto_vacuum=INCREMENTAL")
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    except DBAPIError as problem:
        raise DatabaseAway(f"The database file {file} cannot be used: {reason(problem)}.") from None
    finally:
        engine.dispose()
