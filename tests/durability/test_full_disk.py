"""R13: a full disk refuses spans, keeps the file whole and readable, and is forgotten when there is room again."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests import make
from tests.client import ROOT, Client, clean_environment, wait_until
from tests.databases import NewDatabase
from tests.durability.conftest import NewService, free_port
from tests.durability.readback import hold_against
from tests.durability.traffic import PROJECT, Senders
from tracer.settings import parse_database_url

pytestmark = pytest.mark.servers


def assert_refuses_and_reads(client: Client) -> None:
    """Spans are refused with a word about it, and what was stored before can be read."""
    wait_until(lambda: client.ingest(make.request(filling())).status_code == 503, "refused")
    answer = client.ingest(make.request(filling()))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2"), answer.text
    assert "The database does not take this now" in answer.text
    wait_until(lambda: client.get("/readyz").status_code == 503, "told that spans are refused")
    client.project = PROJECT
    assert client.trace(client.traces()[0]["trace_id"])["span_count"]


def filling() -> make.Message:
    return make.span("filling", having={"input.value": os.urandom(100_000).hex()})


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="another process's limits can be set on Linux only")
def test_r13_a_file_that_may_not_grow_refuses_and_recovers(new_database: NewDatabase, new_service: NewService) -> None:
    database = new_database("sqlite")
    file = Path(parse_database_url(database).database or "")
    service = new_service(database)
    service.ready()
    process = psutil.Process(service.process.popen.pid)
    with Senders(lambda: service.url, seed=13, pause_s=0.01) as senders, Client(service.url, project="fill") as client:
        wait_until(lambda: senders.acknowledged > 200, "some spans are stored")
        largest = max(one.stat().st_size for one in file.parent.glob(f"{file.name}*"))
        process.rlimit(psutil.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
        assert_refuses_and_reads(client)
        time.sleep(0.5)
        process.rlimit(psutil.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        wait_until(lambda: client.get("/readyz").status_code == 200, "ready again")
    assert senders.refused
    hold_against(senders.traffic.facts, url=service.url, database=database)


@contextmanager
def on_a_small_disk(folder: Path, port: int, *, size: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A service over a file system of its own that no other process sees; its folder is reached through the service."""
    unshare = shutil.which("unshare")
    private = [unshare or "", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    mount = f"mount -t tmpfs -o size={size},mode=0777 none {folder}"
    if not unshare or subprocess.run([*private, "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("no file systems of our own here; the test before this one limits the file instead")
    serve = f"{sys.executable} -m tracer serve --port {port} --data {folder}"
    process = subprocess.Popen(
        [*private, "sh", "-c", f"{mount} && exec {serve}"],
        cwd=ROOT,
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process, Path(f"/proc/{process.pid}/root{folder}")
    finally:
        process.kill()
        process.wait(10)


def test_r13_a_full_disk_refuses_and_recovers_when_there_is_room(tmp_path: Path) -> None:
    small, outside = tmp_path / "small", tmp_path / "outside"
    small.mkdir()
    outside.mkdir()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with on_a_small_disk(small, port, size="24m") as (process, disk), Client(url, project="fill") as client:
        wait_until(lambda: answers(client), "the service has started", seconds=40)
        with Senders(lambda: url, seed=14, pause_s=0.01) as senders:
            wait_until(lambda: senders.acknowledged > 200, "some spans are stored")
            ballast = disk / "ballast"
            with suppress(OSError), ballast.open("wb", buffering=0) as filled:
                while True:
                    filled.write(bytes(4096))
            assert_refuses_and_reads(client)
            time.sleep(0.5)
            ballast.unlink()
            wait_until(lambda: client.get("/readyz").status_code == 200, "ready again")
        assert senders.refused
        # Nobody writes any more: the files can be copied to where SQLite finds them.
        for file in disk.glob("stepscope.db*"):
            shutil.copy(file, outside)
        hold_against(senders.traffic.facts, url=url, database=f"sqlite:///{outside}/stepscope.db")
        assert process.poll() is None


def answers(client: Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False
