"""Brings the schema up to date by Alembic, one process at a time, and all of it or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from tracer.errors import DatabaseAway, DatabaseTooNew
from tracer.resources import resource_dir
from tracer.store.backup import back_up, backup_file
from tracer.store.engine import as_it_is, prepare_sqlite_file, read_only, reason

LOCK = 4747_0001
"""The advisory lock that the migrating process holds on Postgres."""


@dataclass(frozen=True)
class Revisions:
    """The schema's state: what the database has, what this code wants, and the steps between."""

    current: str | None
    head: str
    pending: tuple[str, ...]
    steps: tuple[str, ...] = ()
    """What each pending one does, in its own words."""
    backup: Path | None = None
    """The copy of the SQLite file that was, or would be, taken first."""


def _config(scripts: Path | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(scripts or resource_dir("migrations")).replace("%", "%%"))
    return config


def revisions(connection: Connection, *, scripts: Path | None = None) -> Revisions:
    """What the database has and what this code wants, or the folder `scripts` does; raises DatabaseTooNew."""
    directory = ScriptDirectory.from_config(_config(scripts))
    head = directory.get_current_head() or ""
    current = MigrationContext.configure(connection).get_current_revision()
    known = list(directory.walk_revisions())
    names = [script.revision for script in known]
    if current is not None and current not in names:
        raise DatabaseTooNew(
            f"The database has schema {current}, which this version does not know: a newer Stepscope wrote it. "
            f"Start that version, or use another database."
        )
    newer = known[: names.index(current)] if current else known
    newer.reverse()
    return Revisions(
        current,
        head,
        tuple(script.revision for script in newer),
        tuple(" ".join((script.doc or "").split()) for script in newer),
    )


@contextmanager
def _migrating(url: URL) -> Iterator[Connection]:
    """A connection that holds the one lock under which the schema changes."""
    sqlite = url.get_backend_name() == "sqlite"
    if sqlite:
        prepare_sqlite_file(url)
        arguments: dict[str, object] = {"isolation_level": None, "timeout": 60}
    else:
        arguments = {"connect_timeout": 4, "application_name": "stepscope-migrate"}
    engine = create_engine(url, poolclass=NullPool, connect_args=arguments)
    try:
        with engine.connect() as connection:
            if sqlite:
                # A table rebuild would cascade through foreign keys; they are off on this connection.
                connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
            yield connection
            connection.commit()
    except DBAPIError as problem:
        raise _away(url, problem) from problem
    finally:
        engine.dispose()


def migrate(url: URL, *, backup: bool = True, scripts: Path | None = None) -> Revisions:
    """Bring the schema to this code's version in one transaction and return what was done.

    A SQLite file that has a schema already is copied first, unless `backup` is False. One that cannot be written is
    taken as it is. `scripts` is a folder of migrations other than ours. Raises DatabaseTooNew when the database is
    newer than the code, DatabaseAway when it cannot be used, also when it cannot be written and is not of this version.
    """
    if read_only(url):
        found = _look(url, scripts)
        if found.pending:
            raise DatabaseAway(f"The database file {url.database} has to be brought up to date and cannot be written.")
        return found
    with _migrating(url) as connection:
        found = revisions(connection, scripts=scripts)
        if found.pending:
            if backup and (file := _old_file(url, found)) is not None:
                # The lock is held: the file does not change while it is copied.
                found = replace(found, backup=back_up(file, str(found.current)))
            config = _config(scripts)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        return found


def plan(url: URL, *, scripts: Path | None = None) -> Revisions:
    """What `migrate` would do; nothing is changed, nor made. Raises as `migrate` does."""
    file = Path(url.database or "")
    if url.get_backend_name() == "sqlite" and (not file.exists() or not file.stat().st_size):
        engine = create_engine("sqlite://")
        try:
            with engine.connect() as connection:
                return revisions(connection, scripts=scripts)
        finally:
            engine.dispose()
    found = _look(url, scripts)
    old = _old_file(url, found) if found.pending else None
    return replace(found, backup=backup_file(old, str(found.current))) if old is not None else found


def _old_file(url: URL, found: Revisions) -> Path | None:
    """The SQLite file, if a schema of ours is in it already."""
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database and found.current else None


def _look(url: URL, scripts: Path | None) -> Revisions:
    """The revisions of a database that is only read."""
    sqlite = url.get_backend_name() == "sqlite"
    engine = create_engine(
        as_it_is(url) if sqlite else url,
        poolclass=NullPool,
        connect_args={} if sqlite else {"connect_timeout": 4, "application_name": "stepscope-migrate"},
    )
    try:
        with engine.connect() as connection:
            return revisions(connection, scripts=scripts)
    except DBAPIError as problem:
        raise _away(url, problem) from problem
    finally:
        engine.dispose()


def _away(url: URL, problem: DBAPIError) -> DatabaseAway:
    return DatabaseAway(f"The database {url.render_as_string(hide_password=True)} cannot be used: {reason(problem)}.")
