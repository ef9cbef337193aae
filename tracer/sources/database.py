"""Opens the database that a command works on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from tracer.errors import DatabaseAway, TracerError
from tracer.resources import resource_dir
from tracer.settings import Settings
from tracer.store.engine import Store

_REVISION = re.compile(r'^(down_)?revision\b[^=]*= "([^"]+)"', re.MULTILINE)


@contextmanager
def opened(settings: Settings) -> Iterator[Store]:
    """The database as it is: it is neither made nor migrated.

    Raises DatabaseAway when it is not there, or has not this version's schema.
    """
    url = settings.database_url
    store = Store(url, durability=settings.durability)
    try:
        if store.file is not None and not store.file.exists():
            raise DatabaseAway(f"There is no database at {store.file}.")
        try:
            with store.reading() as connection:
                pending = _pending(connection)
        except TracerError as problem:
            raise DatabaseAway(f"{store.description}: {problem.message}") from problem
        if pending:
            words = ", ".join(pending)
            raise DatabaseAway(f"The database lacks the migrations {words}: run `stepscope migrate` first.")
        yield store
    finally:
        store.close()


def _pending(connection: Connection) -> tuple[str, ...]:
    """The migrations that the database lacks; raises DatabaseTooNew.

    Alembic takes longer to load than most commands take: it is asked only where the database is not plainly of this
    version.
    """
    try:
        found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all()
    except DBAPIError:
        connection.rollback()
        found = ()
    if list(found) == [_head()]:
        return ()
    from tracer.store.migrate import revisions

    return revisions(connection).pending


def _head() -> str | None:
    """The newest of our migrations, from the files' own words: the one that no other follows."""
    followed: set[str] = set()
    known: list[str] = []
    for file in sorted((resource_dir("migrations") / "versions").glob("*.py")):
        for down, revision in _REVISION.findall(file.read_text("utf-8")):
            if down:
                followed.add(revision)
            else:
                known.append(revision)
    newest = [revision for revision in known if revision not in followed]
    return newest[0] if len(newest) == 1 else None
