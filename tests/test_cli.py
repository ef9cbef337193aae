"""The command `stepscope`: its help, its commands, and one sentence for what goes wrong."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from tests.client import ROOT, clean_environment
from tracer import __version__
from tracer.access.invitations import use_invitation
from tracer.access.people import add_person
from tracer.cli import main
from tracer.settings import Settings, parse_database_url
from tracer.store.engine import Store


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


class Command(Protocol):
    """Runs the command in this process, with arguments and variables."""

    def __call__(self, *arguments: str, **variables: str) -> Done: ...


@pytest.fixture
def stepscope(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command, run in this process."""

    def run(*arguments: str, **variables: str) -> Done:
        with monkeypatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("STEPSCOPE_")]:
                patch.delenv(name)
            patch.setenv("COLUMNS", "110")
            for name, value in variables.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["stepscope", *arguments])
            try:
                main()
                code: object = 0
            except SystemExit as end:
                code = end.code or 0
        said = capsys.readouterr()
        assert isinstance(code, int)
        return Done(code, said.out, said.err)

    return run


def complaint(done: Done, code: int) -> str:
    """The one sentence of a command that failed."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("stepscope: ")
    assert lines[0].endswith(".")
    return lines[0]


def test_help_names_every_command_and_reads_well(stepscope: Command) -> None:
    done = stepscope("--help")
    assert done.returncode == 0
    for word in (
        "serve",
        "migrate",
        "new-token",
        "create-key",
        "make-admin",
        "STEPSCOPE_<NAME>",
        "what an LLM chain really did",
    ):
        assert word in done.stdout
    assert "Traceback" not in done.stderr
    for line in done.stdout.splitlines():
        assert len(line) <= 110


def test_help_of_serve_names_every_setting_with_its_sentence(stepscope: Command) -> None:
    text = " ".join(stepscope("serve", "-h").stdout.split())
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in text
        assert field.description is not None
        assert field.description.split("(")[0].strip().rstrip(".")[:40] in text
    assert "http://127.0.0.1:4747" in text


def test_the_version_is_told(stepscope: Command) -> None:
    assert __version__ in stepscope("--version").stdout


@pytest.mark.parametrize("arguments", [["sreve"], ["serve", "--prot", "1"], ["serve", "extra"]])
def test_a_command_or_flag_that_does_not_exist_is_2(stepscope: Command, arguments: list[str]) -> None:
    done = stepscope(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "variables", "words"),
    [
        (["--port", "http"], {}, ["--port", "'http'"]),
        ([], {"STEPSCOPE_PORT": "-1"}, ["STEPSCOPE_PORT"]),
        (["--db", "mysql://u:secret@h/d"], {}, ["--db", "mysql"]),
        (["--config", "/none/such.toml"], {}, ["/none/such.toml", "does not exist"]),
        (["--host", "nowhere.invalid"], {}, ["nowhere.invalid"]),
        (["--host", "a" * 100], {}, ["--host"]),
        (["--host", "192.0.2.1"], {}, ["192.0.2.1"]),
    ],
)
def test_a_wrong_setting_is_named_in_one_sentence_with_2(
    stepscope: Command, tmp_path: Path, arguments: list[str], variables: dict[str, str], words: list[str]
) -> None:
    said = complaint(stepscope("serve", "--data", str(tmp_path), *arguments, **variables), 2)
    assert all(word in said for word in words)
    assert "secret" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_named_and_nothing_is_made(stepscope: Command, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = complaint(stepscope("serve", "--data", str(tmp_path / "d"), "--port", str(port)), 2)
    assert f"port {port} is in use" in said
    assert "--port" in said
    assert not (tmp_path / "d").exists()


def test_a_database_that_is_away_is_named_with_1(stepscope: Command, tmp_path: Path) -> None:
    url = "postgresql://someone:secret@127.0.0.1:1/none"
    for command in (["serve", "--port", "0"], ["migrate"], ["new-token"]):
        said = complaint(stepscope(*command, "--data", str(tmp_path), "--db", url), 1)
        assert "127.0.0.1:1" in said
        assert "secret" not in said


def test_a_file_that_is_no_database_is_named_with_1(stepscope: Command, tmp_path: Path) -> None:
    (tmp_path / "stepscope.db").write_bytes(b"my diary " * 1000)
    said = complaint(stepscope("serve", "--port", "0", "--data", str(tmp_path)), 1)
    assert "stepscope.db" in said
    assert (tmp_path / "stepscope.db").read_bytes() == b"my diary " * 1000


def test_migrate_says_what_was_done(stepscope: Command, tmp_path: Path) -> None:
    first = stepscope("migrate", "--data", str(tmp_path))
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.startswith("The schema went from nothing to ")
    assert stepscope("migrate", "--data", str(tmp_path)).stdout.startswith("The schema is up to date")


def test_a_database_newer_than_the_code_is_named_and_not_changed(stepscope: Command, tmp_path: Path) -> None:
    stepscope("migrate", "--data", str(tmp_path))
    connection = sqlite3.connect(tmp_path / "stepscope.db")
    connection.execute("UPDATE alembic_version SET version_num = 'future'")
    connection.commit()
    connection.close()
    for command in (["serve", "--port", "0"], ["migrate"], ["new-token"]):
        said = complaint(stepscope(*command, "--data", str(tmp_path)), 1)
        assert "'future'" in said or "schema future" in said
    connection = sqlite3.connect(tmp_path / "stepscope.db")
    assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("future",)]
    connection.close()


def test_R68_new_token_prints_a_token_once_and_alone(stepscope: Command, tmp_path: Path) -> None:
    first, second = (stepscope("new-token", "--data", str(tmp_path)) for _ in range(2))
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.startswith("ssa_")
    assert len(first.stdout.splitlines()) == 1
    assert first.stdout != second.stdout
    stored = (tmp_path / "stepscope.db").read_bytes()
    for token in (first.stdout.strip(), second.stdout.strip()):
        assert token.encode() not in stored


def test_R68_create_key_prints_a_key_once_and_alone(stepscope: Command, tmp_path: Path) -> None:
    made = [stepscope("create-key", "--data", str(tmp_path), "--project", "shop", "--right", "ingest") for _ in "ab"]
    for done in made:
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("ssi_")
        assert len(done.stdout.splitlines()) == 1
        assert done.stdout.strip().encode() not in (tmp_path / "stepscope.db").read_bytes()
    assert made[0].stdout != made[1].stdout
    connection = sqlite3.connect(tmp_path / "stepscope.db")
    assert connection.execute("SELECT name FROM project").fetchall() == [("shop",)]
    connection.close()


def test_who_is_locked_out_gets_a_link_on_the_server(stepscope: Command, tmp_path: Path) -> None:
    data = ("--data", str(tmp_path))
    made = stepscope("make-admin", *data, "ada@example.com")
    assert made.stdout.startswith("http://127.0.0.1:4747/join/")
    assert "Nobody has the address" in complaint(stepscope("reset-password", *data, "ada@example.com"), 1)
    assert "no e-mail address" in complaint(stepscope("make-admin", *data, "ada"), 1)
    url = parse_database_url(f"sqlite:///{tmp_path}/stepscope.db")
    store = Store(url)
    with store.writing() as connection:
        use_invitation(connection, made.stdout.strip().rpartition("/")[2], email="", name="", password="hash")
        add_person(connection, "bob@example.com")
    store.close()
    assert stepscope("reset-password", *data, "Ada@example.com").stdout.startswith("http://127.0.0.1:4747/join/")
    assert stepscope("make-admin", *data, "bob@example.com").stdout == "bob@example.com administers the server now.\n"


def test_as_a_process_it_fails_in_the_same_words(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tracer", "serve", "--data", str(tmp_path), "--port", "http"],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "'http'" in complaint(Done(done.returncode, done.stdout, done.stderr), 2)
