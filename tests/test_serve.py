"""The command as a process: it starts, says where it is, bears what happens to its database, and stops in order."""

from __future__ import annotations

import gzip
import os
import re
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
from sqlalchemy.engine import make_url

from tests import make
from tests.client import Client, Process, Start, wait_until
from tests.counts import counted
from tests.databases import NewDatabase, libpq

pytestmark = pytest.mark.servers


def test_it_needs_nothing_and_says_where_it_is(start: Start, tmp_path: Path) -> None:
    process = start(data=tmp_path / "new folder")
    with Client(process.url) as client:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", process.url)
        one = make.model_call()
        client.store(one)
        assert client.trace(one["traceId"])["span_count"] == 1
    assert process.stop() == 0
    assert process.out == [f"Stepscope is at {process.url}", f"It keeps its data in {tmp_path}/new folder/stepscope.db"]
    assert process.err == []


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_R05_it_stops_with_requests_under_way_and_pages_open(
    start: Start, tmp_path: Path, sign: signal.Signals
) -> None:
    process = start()
    sent: list[str] = []
    stopping = threading.Event()
    opened = threading.Event()

    def keep_a_page_open() -> None:
        with (
            httpx.Client(base_url=process.url, timeout=30, trust_env=False, verify=False) as page,
            page.stream("GET", "/live") as answer,
        ):
            for _ in answer.iter_lines():
                opened.set()

    def send() -> None:
        with Client(process.url, project="stopping") as client:
            while not stopping.is_set():
                one = make.span()
                try:
                    answer = client.ingest(make.request(one))
                except httpx.TransportError:
                    return
                if answer.status_code != 200:
                    assert answer.status_code == 503
                    return
                sent.append(one["traceId"])

    threads = [threading.Thread(target=keep_a_page_open), *(threading.Thread(target=send) for _ in range(4))]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(sent) > 30 and opened.is_set(), "spans are sent and a page is open")

    begin = time.monotonic()
    process.popen.send_signal(sign)
    assert process.wait() == 0
    assert time.monotonic() - begin <= 10
    stopping.set()
    for thread in threads:
        thread.join()

    assert process.err == []
    again = start()
    with Client(again.url, project="stopping") as client:
        stored = {trace["trace_id"] for trace in client.traces(limit=1000)}
        assert set(sent) <= stored


def test_R64_beyond_loopback_a_link_makes_the_first_administrator_once(start: Start, tmp_path: Path) -> None:
    def links(process: Process) -> list[str]:
        assert process.url.startswith("http://127.0.0.1:")
        return [line.strip() for line in process.out if "/join/" in line]

    first = start("--host", "0.0.0.0")
    link = links(first)[0]
    assert link.startswith(f"{first.url}/join/")
    with Client(first.url) as client:
        assert client.ingest(make.request(make.span())).status_code == 401
        assert client.get("/api/v1/projects").status_code == 401
        assert client.get("/healthz").status_code == 200
    assert first.stop() == 0
    second = start("--host", "0.0.0.0")
    assert len(links(second)) == 1
    account = {"email": "ada@example.com", "password": "a long enough one"}
    with Client(second.url) as client:
        path = link.removeprefix(first.url)
        assert client.get(path).status_code == 200
        assert client.post(path, data=account).status_code == 303
        assert client.get("/api/v1/projects").status_code == 200
    with Client(second.url) as client:
        for used in (path, links(second)[0].removeprefix(second.url)):
            assert client.post(used, data=account | {"email": "eve@example.com"}).status_code == 404
        assert client.get("/api/v1/projects").status_code == 401
    assert second.stop() == 0
    assert links(start("--host", "0.0.0.0")) == []
    secret = link.rpartition("/")[2].encode()
    for file in (tmp_path / "data").iterdir():
        assert secret not in file.read_bytes()


def test_R17_R08_two_processes_on_one_database_lose_and_double_nothing(start: Start, database_url: str) -> None:
    both = [start("--db", database_url) for _ in range(2)]
    trace = make.new_trace_id()
    spans = [make.span(f"n{number}", trace=trace) for number in range(counted(60, 2000))]

    def send(process: Process, mine: list[make.Message]) -> None:
        with Client(process.url, project="both") as client:
            for one in mine:
                for _ in range(50):
                    answer = client.ingest(make.request(one))
                    if answer.status_code == 200:
                        break
                    assert answer.status_code in (429, 503)
                else:
                    raise AssertionError("never taken")

    threads = [
        threading.Thread(target=send, args=(both[0], spans[:40])),
        threading.Thread(target=send, args=(both[1], spans[20:])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for process in both:
        with Client(process.url, project="both") as client:
            found = client.trace(trace)
            assert (found["span_count"], len(found["spans"])) == (len(spans), len(spans))


class TestPostgresAway:
    @pytest.fixture
    def postgres(self, new_database: NewDatabase) -> str:
        return new_database("postgresql")

    def test_R12_answers_503_in_time_and_recovers_by_itself(self, start: Start, postgres: str) -> None:
        url = make_url(postgres)
        process = start("--db", postgres)
        with Client(process.url) as client:
            first = make.span("before")
            client.store(first)
            with refusing(url.database or "", libpq(url.set(database="postgres"))):
                begin = time.monotonic()
                answer = client.ingest(make.request(make.span("lost")))
                assert time.monotonic() - begin <= 5
                assert answer.status_code == 503
                assert int(answer.headers["retry-after"]) > 0
                assert set(answer.json()) == {"code", "message"}
                read = client.get("/api/v1/traces")
                assert (read.status_code, read.json()["error"]["code"]) == (503, "unavailable")
                assert int(read.headers["retry-after"]) > 0
                wait_until(lambda: client.get("/readyz").status_code == 503, "health says so")
                assert client.get("/readyz").json()["status"] == "degraded"
                assert client.get("/healthz").status_code == 200
                page = client.get("/", follow_redirects=True)
                assert page.status_code == 503
                assert page.headers["content-type"].startswith("text/html")
            client.store(make.span("after"))
            wait_until(lambda: client.get("/readyz").status_code == 200, "health says so")
            assert [trace["name"] for trace in client.traces(order="received")] == ["before", "after"]
            for told in (answer.text, read.text, page.text):
                assert url.host is None or url.host not in told or url.host in ("localhost",)
                assert "Traceback" not in told


@contextmanager
def refusing(database: str, server: str) -> Iterator[None]:
    """A Postgres that lets nobody into a database, and throws everybody out who is in."""
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS false'.encode())
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database])
        try:
            yield
        finally:
            admin.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS true'.encode())


def test_R11_a_file_that_another_process_locks_is_waited_for_or_refused_and_then_taken(
    start: Start, tmp_path: Path
) -> None:
    process = start()
    with Client(process.url) as client:
        client.store(make.span("before"))
        other = sqlite3.connect(tmp_path / "data" / "stepscope.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        answer = client.ingest(make.request(make.span("refused")))
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert [trace["name"] for trace in client.traces()] == ["before"]
        other.execute("ROLLBACK")
        other.close()
        client.store(make.span("after"))
        assert {trace["name"] for trace in client.traces()} == {"before", "after"}


@contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """A folder whose files cannot be written."""
    kept = [*folder.iterdir(), folder]
    modes = [path.stat().st_mode for path in kept]
    for path in kept:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        yield
    finally:
        for path, mode in zip(reversed(kept), reversed(modes), strict=True):
            path.chmod(mode)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="file modes are Unix's")
class TestReadOnly:
    def test_R14_a_folder_that_cannot_be_written_is_read_and_spans_are_refused(
        self, start: Start, tmp_path: Path
    ) -> None:
        one = make.span("kept", having={"input.value": "hello"})
        first = start()
        with Client(first.url) as client:
            client.store(one)
        assert first.stop() == 0
        with unwritable(tmp_path / "data"):
            process = start(obedient=True)
            with Client(process.url) as client:
                found = client.read(f"/api/v1/traces/{one['traceId']}")
                assert (found["name"], found["spans"][0]["input"]["value"]) == ("kept", "hello")
                page = client.get("/", follow_redirects=True)
                assert (page.status_code, "The database cannot be written here" in page.text) == (200, True)
                answer = client.ingest(make.request(make.span()))
                assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (503, True)
                health = client.get("/readyz")
                assert (health.status_code, health.json()["status"]) == (503, "degraded")
                assert "cannot be written" in health.json()["reason"]
                assert client.get("/healthz").status_code == 200
            assert process.stop() == 0
            assert "new spans are refused" in "\n".join(process.err)
        with Client(start().url) as client:
            client.store(make.span("again"))

    def test_R14_without_a_database_it_refuses_to_start(self, start: Start, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        with unwritable(tmp_path / "data"):
            process = start(obedient=True)
            assert process.wait() == 1
            assert process.out == []
            assert len(process.err) == 1
            assert "cannot be made: Permission denied" in process.err[0]


def test_R24_R54_hostile_bodies_cost_bounded_memory(start: Start) -> None:
    process = start("--max-body", str(16 * 2**20))
    bomb = gzip.compress(bytes(counted(256, 1024) * 2**20), 9)
    with Client(process.url) as client:
        client.store(make.span())
        before = psutil.Process(process.popen.pid).memory_info().rss
        threads = [
            threading.Thread(target=client.ingest, args=(bomb,), kwargs={"content_encoding": "gzip"}) for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        most = 0
        while any(thread.is_alive() for thread in threads):
            most = max(most, psutil.Process(process.popen.pid).memory_info().rss)
            assert client.get("/healthz").status_code == 200
        for thread in threads:
            thread.join()
        assert client.ingest(bomb, content_encoding="gzip").status_code == 413
        assert most - before < 2.5 * 16 * 2**20 * 4 + 128 * 2**20
        client.store(make.span())
    assert process.stop() == 0
