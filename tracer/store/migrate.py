"""Brings the schema up to date by Alembic, one process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

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
from tracer.store.engine import as_it_is, prepare_sqlite_file, read_only, reason

LOCK = 4747_0001
"""The advisory lock that the migrating process holds on Postgres."""


@dataclass(frozen=True)
class Revisions:
    """The schema's state: what the database has, what this code wants, and the steps between."""

    current: str | None
    head: str
    pending: tuple[str, ...]


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(resource_dir("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _revisions(connection: Connection) -> Revisions:
    scripts = ScriptDirectory.from_config(_config(connection))
    head = scripts.get_current_head() or ""
    current = MigrationContext.configure(connection).get_current_revision()
    known = [script.revision for script in scripts.walk_revisions()]
    if current is not None and current not in known:
        raise DatabaseTooNew(
            f"The database has schema {current}, which this version does not know: a newer Stepscope wrote it. "
            f"Start that version, or use another database."
        )
    newer = known[: known.index(current)] if current else known
    return Revisions(current, head, tuple(reversed(newer)))


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
        raise DatabaseAway(
            f"The database {url.render_as_string(hide_password=True)} cannot be used: {reason(problem)}."
        ) from problem
    finally:
        engine.dispose()


def migrate(url: URL) -> Revisions:
    """Bring the schema to this code's version in one transaction and return what was done.

    A SQLite file that cannot be written is taken as it is. Raises DatabaseTooNew when the database is newer than the
    code, DatabaseAway when it cannot be used, also when it cannot be written and is not of this version.
    """
    if read_only(url):
        return _read_revisions(url)
    with _migrating(url) as connection:
        revisions = _revisions(connection)
        if revisions.pending:
            command.upgrade(_config(connection), "head")
        return revisions


def _read_revisions(url: URL) -> Revisions:
    """The revisions of a file that cannot be written."""
    engine = create_engine(as_it_is(url), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            found = _revisions(connection)
    except DBAPIError as problem:
        raise DatabaseAway(f"The database file {url.database} cannot be used: {reason(problem)}.") from problem
    finally:
        engine.dispose()
    if found.pending:
        raise DatabaseAway(f"The database file {url.database} has to be brought up to date and cannot be written.")
    return found


def revisions(connection: Connection) -> Revisions:
    """What the database has and what this code wants; raises DatabaseTooNew as `migrate` does."""
    return _revisions(connection)
