"""R02: an acknowledgement goes out after a commit that has reached the disk."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from tests import make
from tests.client import Client
from tests.counts import counted
from tests.durability.conftest import NewService
from tests.durability.dirty import dirty_bytes
from tests.needs import missing
from tracer.settings import parse_database_url
from tracer.store.engine import Store
from tracer.store.migrate import migrate

pytestmark = pytest.mark.servers

NOTHING_ELSE = ("--search", "off")
"""So that nobody but ingest writes to the log."""

DURABILITIES: tuple[Literal["full", "normal"], ...] = ("full", "normal")


@pytest.mark.parametrize("durability", DURABILITIES)
def test_r02_the_writing_connection_asks_for_what_the_setting_promises(
    database_url: str, durability: Literal["full", "normal"]
) -> None:
    url = parse_database_url(database_url)
    migrate(url)
    store = Store(url, durability=durability)
    with store.writing() as connection:
        if store.sqlite:
            told = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
            assert told == {"full": 2, "normal": 1}[durability]
        else:
            # Whatever the server's own default is: that of the tests' Postgres is off.
            told = connection.exec_driver_sql("SHOW synchronous_commit").scalar_one()
            assert told == {"full": "on", "normal": "off"}[durability]
    store.close()


def test_r02_a_weaker_mode_is_named_at_the_start(new_service: NewService, tmp_path: Path) -> None:
    service = new_service(f"sqlite:///{tmp_path}/s.db", "--durability", "normal")
    service.ready()
    service.kill()
    assert any("a power cut may lose acknowledged spans" in line for line in service.process.err)


def test_r02_an_acknowledged_span_lies_on_the_disk_and_not_in_memory_alone(
    new_service: NewService, tmp_path: Path
) -> None:
    """The kernel tells how much of the write-ahead log still waits for the disk: nothing, each time it is asked."""
    waiting = {
        durability: list(_waiting(new_service, tmp_path / durability, durability)) for durability in DURABILITIES
    }
    if not any(waiting["normal"]):
        missing("that acknowledged spans are on disk (cachestat: Linux 6.5 and a file system with a cache)")
    assert not any(waiting["full"])


def _waiting(new_service: NewService, folder: Path, durability: str) -> Iterator[int]:
    """Post spans one after another; after each, the bytes of the log that are not on disk yet."""
    folder.mkdir()
    service = new_service(f"sqlite:///{folder}/s.db", "--durability", durability, *NOTHING_ELSE)
    service.ready()
    with Client(service.url) as client:
        for number in range(counted(10, 200)):
            client.store(make.span(f"step {number}", having={"input.value": "a prompt " * 500}))
            yield dirty_bytes(folder / "s.db-wal")
    service.kill()


def _strace() -> str | None:
    """The program, where it is installed and may trace."""
    found = shutil.which("strace")
    works = found and not subprocess.run([found, "-e", "trace=none", "true"], capture_output=True).returncode
    return found if works else None


def test_r02_every_acknowledgement_follows_a_sync_of_its_own(new_service: NewService, tmp_path: Path) -> None:
    """The same seen from the system calls, where strace may look: request, sync of the log, answer."""
    strace = _strace()
    if strace is None:
        pytest.skip("no strace here; the test before this one looks at the disk itself")
    service = new_service(f"sqlite:///{tmp_path}/s.db", *NOTHING_ELSE)
    service.ready()
    out = tmp_path / "calls"
    watch = ["-f", "-tt", "-y", "-s", "40", "-e", "trace=fsync,fdatasync,write,writev,sendto,sendmsg,recvfrom,read"]
    tracer = subprocess.Popen(
        [strace, *watch, "-o", str(out), "-p", str(service.process.popen.pid)], stderr=subprocess.PIPE, text=True
    )
    assert tracer.stderr is not None
    assert "attached" in tracer.stderr.readline()
    with Client(service.url) as client:
        for number in range(5):
            client.store(make.span(f"step {number}"))
            time.sleep(0.05)
    tracer.terminate()
    tracer.wait(10)
    tracer.stderr.close()
    seen = [
        "request" if "POST /v1/traces" in line else "answer" if "HTTP/1.1 200" in line else "sync"
        for line in out.read_text().splitlines()
        if re.search(r'"POST /v1/traces|"HTTP/1.1 200|fdatasync\(\d+<[^>]*s\.db-wal>|fsync\(\d+<[^>]*s\.db-wal>', line)
    ]
    assert re.fullmatch("(request (sync )+answer ){5}", " ".join(seen) + " "), seen
