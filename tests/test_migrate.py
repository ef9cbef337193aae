"""The schema: brought up to date once, whoever starts at the same time, and never half."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from tests.client import ROOT, clean_environment
from tests.counts import counted
from tests.databases import NewDatabase
from tracer.errors import DatabaseAway, DatabaseTooNew
from tracer.resources import resource_dir
from tracer.settings import parse_database_url
from tracer.store.engine import prepare_sqlite_file
from tracer.store.migrate import migrate
from tracer.store.models import metadata

REVISIONS = len(list((resource_dir("migrations") / "versions").glob("[0-9]*.py")))
MIGRATE = (
    "import sys; from tracer.settings import parse_database_url as url; from tracer.store.migrate import migrate; "
)


def tables(url: URL) -> set[str]:
    engine = create_engine(url, poolclass=NullPool)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def run_sql(url: URL, statement: str) -> None:
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(statement)
    finally:
        engine.dispose()


def migrating(url: str) -> subprocess.Popen[str]:
    """A process that says when it begins to migrate a database, and then how much was pending."""
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            MIGRATE + "print('now', flush=True); print(len(migrate(url(sys.argv[1])).pending))",
            url,
        ],
        cwd=ROOT,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_an_empty_database_gets_every_table_and_a_second_time_changes_nothing(empty_database_url: str) -> None:
    url = parse_database_url(empty_database_url)
    first = migrate(url)
    assert first.current is None
    assert first.pending[-1] == first.head
    assert tables(url) == {*metadata.tables, "alembic_version"}
    second = migrate(url)
    assert (second.current, second.pending) == (first.head, ())


def test_the_migrations_make_what_the_code_says(empty_database_url: str) -> None:
    url = parse_database_url(empty_database_url)
    migrate(url)
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_the_migrations_go_down_and_up_again(empty_database_url: str) -> None:
    url = parse_database_url(empty_database_url)
    migrate(url)
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        config = Config()
        config.set_main_option("script_location", str(resource_dir("migrations")))
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        connection.commit()
    engine.dispose()
    assert tables(url) <= {"alembic_version", "sqlite_sequence"}
    assert migrate(url).pending
    assert set(metadata.tables) <= tables(url)


def test_a_newer_database_is_refused_in_one_sentence_and_not_changed(empty_database_url: str) -> None:
    url = parse_database_url(empty_database_url)
    migrate(url)
    run_sql(url, "UPDATE alembic_version SET version_num = '9999_future'")
    run_sql(url, "CREATE TABLE of_the_future (id INTEGER)")
    before = tables(url)
    with pytest.raises(DatabaseTooNew) as refused:
        migrate(url)
    assert "9999_future" in refused.value.message
    assert "newer Stepscope" in refused.value.message
    assert "\n" not in refused.value.message
    assert tables(url) == before


def test_R15_processes_that_start_at_once_migrate_once(empty_database_url: str) -> None:
    processes = [migrating(empty_database_url) for _ in range(counted(3, 8))]
    results = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), results
    assert sorted(int(out.split()[-1]) for out, _ in results) == [0] * (len(processes) - 1) + [REVISIONS]
    assert set(metadata.tables) <= tables(parse_database_url(empty_database_url))


def test_R15_killed_at_any_moment_the_next_start_finishes(new_database: NewDatabase) -> None:
    for dialect in ("sqlite", "postgresql"):
        for number in range(counted(2, 40)):
            database = new_database(dialect)
            process = migrating(database)
            assert process.stdout is not None
            assert process.stdout.readline() == "now\n"
            time.sleep(0.02 + 0.02 * (number % 20))
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=30)
            url = parse_database_url(database)
            migrate(url)
            assert set(metadata.tables) <= tables(url)
            assert migrate(url).pending == ()


def test_R15_a_migration_that_fails_leaves_nothing_behind(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = parse_database_url(empty_database_url)

    def half(config: Config, target: str) -> None:
        config.attributes["connection"].exec_driver_sql("CREATE TABLE half (id INTEGER)")
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "upgrade", half)
    with pytest.raises(KeyboardInterrupt):
        migrate(url)
    assert tables(url) == set()


class TestFiles:
    def test_a_new_file_is_its_owners_alone_and_in_wal_mode(self, tmp_path: Path) -> None:
        file = tmp_path / "a folder" / "b" / "stepscope.db"
        migrate(parse_database_url(f"sqlite:///{file}"))
        assert file.stat().st_mode & 0o777 == 0o600
        connection = sqlite3.connect(file)
        try:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        finally:
            connection.close()

    @pytest.mark.parametrize(
        "content", [b"not a database, only a text" * 100, b"SQLite format 3\0" + b"\xff" * 5000, b"hello"]
    )
    def test_a_file_that_is_no_database_is_named_and_not_touched(self, tmp_path: Path, content: bytes) -> None:
        file = tmp_path / "notes.db"
        file.write_bytes(content)
        with pytest.raises(DatabaseAway) as refused:
            migrate(parse_database_url(f"sqlite:///{file}"))
        assert str(file) in refused.value.message
        assert "\n" not in refused.value.message
        assert file.read_bytes() == content

    def test_a_damaged_database_is_named(self, tmp_path: Path) -> None:
        file = tmp_path / "s.db"
        url = parse_database_url(f"sqlite:///{file}")
        migrate(url)
        with file.open("r+b") as stream:
            stream.seek(100)
            stream.write(os.urandom(4000))
        with pytest.raises(DatabaseAway, match=r"cannot be used"):
            migrate(url)

    def test_a_folder_in_the_files_place_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DatabaseAway):
            prepare_sqlite_file(parse_database_url(f"sqlite:///{tmp_path}"))

    def test_a_folder_that_cannot_be_made_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(DatabaseAway, match="cannot be made"):
            migrate(parse_database_url(f"sqlite:///{tmp_path}/file/s.db"))


def test_a_postgres_that_is_away_is_named_without_its_password() -> None:
    with pytest.raises(DatabaseAway) as refused:
        migrate(parse_database_url("postgresql://someone:secret@127.0.0.1:1/none"))
    assert "secret" not in refused.value.message
    assert "127.0.0.1:1" in refused.value.message
    assert "\n" not in refused.value.message
