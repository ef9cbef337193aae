"""R15: first starts that are killed, and several at once, end with one whole schema."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import create_engine, inspect

from tests import make
from tests.client import Client, Process
from tests.counts import counted
from tests.databases import NewDatabase
from tests.durability.conftest import NewService
from tracer.settings import parse_database_url
from tracer.store.models import metadata

pytestmark = pytest.mark.servers


def assert_whole(database: str, url: str) -> None:
    """Every table is there, and a span goes in and comes out."""
    engine = create_engine(parse_database_url(database))
    assert {*metadata.tables, "alembic_version"} <= set(inspect(engine).get_table_names())
    with engine.connect() as connection:
        assert len(connection.exec_driver_sql("SELECT version_num FROM alembic_version").all()) == 1
        if engine.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
            assert connection.exec_driver_sql("PRAGMA auto_vacuum").scalar_one() == 2
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
    engine.dispose()
    with Client(url) as client:
        client.store(make.span("first"))
        assert [one["name"] for one in client.traces()] == ["first"]


def test_r15_a_first_start_that_is_killed_is_finished_by_the_next_one(
    empty_database_url: str, new_service: NewService
) -> None:
    chance = Random(15)
    service = new_service(empty_database_url)
    for _ in range(counted(1, 30)):
        # From before Python has read the code to after the schema is made.
        time.sleep(chance.uniform(0.2, 1.6))
        service.kill()
        service.start()
    service.ready()
    assert_whole(empty_database_url, service.url)


def test_r15_first_starts_at_the_same_moment_make_one_schema(
    new_database: NewDatabase, empty_database_url: str, tmp_path: Path
) -> None:
    kind = "sqlite" if empty_database_url.startswith("sqlite") else "postgresql"
    for round_number in range(counted(1, 10)):
        database = new_database(kind)
        together = [
            Process("--db", database, data=tmp_path / f"{round_number}-{number}") for number in range(counted(2, 4))
        ]
        try:
            for process in together:
                assert_whole(database, process.url) if process is together[0] else process.url
        finally:
            for process in together:
                process.kill()
