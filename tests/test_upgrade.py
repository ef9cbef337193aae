"""A database with data in it goes to a later schema: copied first, whole or not at all, by one process."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, create_engine, inspect
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from tests import make
from tests.client import ROOT, Client, clean_environment, in_process
from tests.counts import counted
from tracer.cli import cli
from tracer.errors import DatabaseAway, DatabaseTooNew
from tracer.resources import resource_dir
from tracer.settings import parse_database_url
from tracer.store.migrate import migrate, plan

NEXT = '''
"""Marks each trace, and lets spans have a colour."""

import time
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "next", {head!r}, None, None


def downgrade():
    pass


def upgrade():
    rebuild = "always" if op.get_bind().dialect.name == "sqlite" else "auto"
    with op.batch_alter_table("trace", recreate=rebuild) as trace:
        trace.add_column(sa.Column("mark", sa.Text(), nullable=False, server_default="none"))
    print("half", flush=True)
    time.sleep({pause})
    op.execute("UPDATE trace SET mark = name")
    op.add_column("span", sa.Column("colour", sa.Text()))
'''
TRACES = 30

MIGRATE = """
import sys
from pathlib import Path
from tracer.settings import parse_database_url
from tracer.store.migrate import migrate
print(len(migrate(parse_database_url(sys.argv[1]), scripts=Path(sys.argv[2])).pending))
"""


def scripts_with_a_next_step(folder: Path, *, pause: float = 0) -> Path:
    """Our migrations and one more, which takes `pause` seconds in its middle."""
    made = folder / f"migrations-{pause}"
    shutil.copytree(resource_dir("migrations"), made, ignore=shutil.ignore_patterns("__pycache__"))
    head = plan(parse_database_url(f"sqlite:///{folder}/none.db")).head
    (made / "versions" / "next.py").write_text(NEXT.format(head=head, pause=pause))
    return made


@contextmanager
def connected(url: URL) -> Iterator[Connection]:
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def answers(database: str) -> list[dict[str, Any]]:
    """Every trace with its spans, as a service of this version tells it."""
    with in_process(database) as running, Client(running.url, project="kept") as client:
        return [client.trace(one["trace_id"]) for one in client.traces(limit=1_000, order="received")]


@pytest.fixture
def filled(database_url: str) -> str:
    """A database with traces in it."""
    with in_process(database_url) as running, Client(running.url, project="kept") as client:
        for number in range(TRACES):
            root = make.span(f"trace {number}", having={"input.value": f"question {number} " * 100})
            call = make.model_call() | {"traceId": root["traceId"], "parentSpanId": root["spanId"]}
            client.store(root, call)
    return database_url


def assert_upgraded(url: URL) -> None:
    with connected(url) as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all() == ["next"]
        marks = connection.exec_driver_sql("SELECT mark FROM trace ORDER BY id").scalars().all()
        assert marks == [f"trace {number}" for number in range(TRACES)]
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM span WHERE colour IS NULL").scalar_one() == 2 * TRACES


def test_data_survive_an_upgrade_and_are_read_as_before(filled: str, tmp_path: Path) -> None:
    url = parse_database_url(filled)
    before = answers(filled)
    assert len(before) == TRACES
    done = migrate(url, scripts=scripts_with_a_next_step(tmp_path))
    assert (done.pending, done.head) == (("next",), "next")
    assert_upgraded(url)
    with connected(url) as connection:  # this version's code reads it, once it is told that it may
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{done.current}'")
        connection.commit()
    assert answers(filled) == before


def test_the_upgrade_of_a_file_leaves_a_whole_copy_of_what_it_was(filled: str, tmp_path: Path) -> None:
    url = parse_database_url(filled)
    before = answers(filled)
    done = migrate(url, scripts=scripts_with_a_next_step(tmp_path))
    if url.get_backend_name() != "sqlite":
        assert done.backup is None
        return
    assert done.backup is not None
    assert done.backup == Path(f"{url.database}.{done.current}.backup")
    assert done.backup.stat().st_mode & 0o777 == 0o600
    assert list(done.backup.parent.glob("*.partial")) == []
    with closing(sqlite3.connect(done.backup)) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert answers(f"sqlite:///{done.backup}") == before


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(filled: str, tmp_path: Path) -> None:
    url = parse_database_url(filled)
    scripts = scripts_with_a_next_step(tmp_path)
    files = {path: path.read_bytes() for path in tmp_path.glob("*.db*")}
    found = plan(url, scripts=scripts)
    assert (found.pending, found.steps) == (("next",), ("Marks each trace, and lets spans have a colour.",))
    assert (found.backup is not None) == (url.get_backend_name() == "sqlite")
    assert {path: path.read_bytes() for path in tmp_path.glob("*.db*")} == files
    assert plan(url).pending == ()
    done = migrate(url, scripts=scripts)
    assert done == found
    with pytest.raises(DatabaseTooNew, match="a newer Stepscope wrote it"):
        plan(url)


def test_killed_in_the_middle_nothing_is_changed_and_the_next_run_does_it(filled: str, tmp_path: Path) -> None:
    url = parse_database_url(filled)
    slow = scripts_with_a_next_step(tmp_path, pause=30)
    for _ in range(counted(1, 10)):
        process = migrating(filled, slow)
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        assert len(plan(url, scripts=slow).pending) == 1
        with connected(url) as connection:
            assert not connection.exec_driver_sql("SELECT 1 FROM alembic_version WHERE version_num = 'next'").all()
            assert "mark" not in {column["name"] for column in inspect(connection).get_columns("trace")}
    migrate(url, scripts=scripts_with_a_next_step(tmp_path))
    assert_upgraded(url)


def test_processes_that_upgrade_at_once_do_it_once(filled: str, tmp_path: Path) -> None:
    scripts = scripts_with_a_next_step(tmp_path, pause=0.3)
    processes = [migrating(filled, scripts) for _ in range(counted(2, 6))]
    told = sorted(process.communicate(timeout=60)[0].splitlines()[-1] for process in processes)
    assert told == ["0"] * (len(processes) - 1) + ["1"]
    assert_upgraded(parse_database_url(filled))


def migrating(database: str, scripts: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MIGRATE, database, str(scripts)],
        cwd=ROOT,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_server_whose_database_was_upgraded_under_it_refuses_and_loses_nothing(filled: str, tmp_path: Path) -> None:
    """The old one of two versions, in the moments of a change-over: its senders keep what it cannot write."""
    scripts = scripts_with_a_next_step(tmp_path)
    with (scripts / "versions" / "next.py").open("a") as more:
        more.write("\n    op.drop_column('span', 'reader_version')\n")
    with in_process(filled) as old, Client(old.url, project="kept") as client:
        client.store(make.span("in time"))
        migrate(parse_database_url(filled), scripts=scripts)
        refused = client.ingest(make.request(make.span("late")))
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert "a newer Stepscope wrote it" in refused.json()["message"]


def test_without_room_for_the_copy_nothing_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = parse_database_url(f"sqlite:///{tmp_path}/s.db")
    migrate(url)
    scripts = scripts_with_a_next_step(tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000))
    with pytest.raises(DatabaseAway, match=r"no room for the backup .* 1.0 kB are free\. .* --no-backup"):
        migrate(url, scripts=scripts)
    assert plan(url, scripts=scripts).pending == ("next",)
    assert migrate(url, scripts=scripts, backup=False).backup is None
    assert list(tmp_path.glob("*.backup*")) == []


def test_what_a_killed_copy_left_is_in_nobodys_way(tmp_path: Path) -> None:
    url = parse_database_url(f"sqlite:///{tmp_path}/s.db")
    head = migrate(url).head
    (tmp_path / f"s.db.{head}.backup.partial").write_bytes(b"half a copy")
    done = migrate(url, scripts=scripts_with_a_next_step(tmp_path))
    assert done.backup is not None
    assert done.backup.read_bytes().startswith(b"SQLite format 3")
    assert list(tmp_path.glob("*.partial")) == []


class TestCommand:
    def test_a_dry_run_makes_no_file(self, tmp_path: Path) -> None:
        done = CliRunner().invoke(cli, ["migrate", "--dry-run", "--data", str(tmp_path / "none")])
        assert done.exit_code == 0, done.output
        assert done.output.startswith("The schema would go from nothing to ")
        assert "The first schema." in done.output
        assert not (tmp_path / "none").exists()

    def test_it_names_the_copy(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = tmp_path / "stepscope.db"
        head = migrate(parse_database_url(f"sqlite:///{file}")).head
        scripts = scripts_with_a_next_step(tmp_path)
        monkeypatch.setattr("tracer.store.migrate.resource_dir", lambda _: scripts)
        copy = f"{file}.{head}.backup"
        run = CliRunner().invoke
        assert run(cli, ["migrate", "--dry-run", "--data", str(tmp_path)]).output == (
            f"The schema would go from {head} to next.\n"
            "  next  Marks each trace, and lets spans have a colour.\n"
            f"A copy of the file as it was would be {copy}\n"
        )
        assert run(cli, ["migrate", "--data", str(tmp_path)]).output == (
            f"half\nThe schema went from {head} to next.\nA copy of the file as it was is {copy}\n"
        )
        assert run(cli, ["migrate", "--data", str(tmp_path)]).output == "The schema is up to date (next).\n"
