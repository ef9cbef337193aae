"""How soon a step that has just begun in an application is on the screen of whoever watches."""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.bench.load import Chain, body
from tests.bench.report import heading, lacking, line
from tests.bench.server import Server, running
from tests.bench.variants import own_postgres

PROJECT = "bench"
STEPS = 60
RATE, BATCH = 1_000, 100
"""Spans a second that come in meanwhile, in batches of so many."""

APP = """
import random, sys, time
import stepscope

stepscope.init(project="bench", endpoint=sys.argv[1])
for number in range(int(sys.argv[2])):
    time.sleep(random.uniform(0.1, 0.3))
    began = time.time_ns()
    with stepscope.step("probe") as step:
        print(step.trace_id, began, flush=True)
        time.sleep(0.3)
stepscope.flush(5)
"""


def report() -> None:
    """Print the time from a step's start to the event on the stream, and to its row in the list."""
    heading(f"From a step's start in the app to whoever watches, ms, under {RATE:,} spans/s")
    with tempfile.TemporaryDirectory(prefix="stepscope-bench-") as folder, running(Path(folder)) as one:
        _print("one process, SQLite", _measure(one, one))
    with (
        tempfile.TemporaryDirectory(prefix="stepscope-bench-") as folder,
        own_postgres() as postgres,
        ExitStack() as stack,
    ):
        if postgres is None:
            lacking("two processes, Postgres", "not installed")
            return
        sending = stack.enter_context(running(Path(folder), "--db", postgres))
        watching = stack.enter_context(running(Path(folder), "--db", postgres))
        _print("two processes, Postgres", _measure(sending, watching))


def _print(name: str, found: tuple[list[float], list[float]]) -> None:
    for what, values in zip(("event", "row"), found, strict=True):
        ordered = sorted(values)
        line(f"{name}: {what}, p50", [statistics.median(ordered)])
        line(f"{name}: {what}, p95", [ordered[len(ordered) * 95 // 100]])


def _measure(sending: Server, watching: Server) -> tuple[list[float], list[float]]:
    """Milliseconds to the event and to the row, for each step that the app begins."""
    over = threading.Event()
    load = threading.Thread(target=_load, args=(sending, over))
    load.start()
    try:
        _wait_for_project(watching)
        watch = _Watch(watching)
        watch.start()
        if not watch.ready.wait(20):
            raise RuntimeError("the stream did not begin")
        app = subprocess.run(
            [sys.executable, "-c", APP, sending.url, str(STEPS)], check=True, capture_output=True, text=True
        )
        time.sleep(2)
    finally:
        over.set()
        load.join()
    began = {trace: int(at) for trace, at in (told.split() for told in app.stdout.splitlines())}
    watch.stop()
    lost = began.keys() - watch.rows.keys()
    if lost:
        raise RuntimeError(f"{len(lost)} of {len(began)} steps were never told of")
    events = [(watch.events[trace] - at) / 1e6 for trace, at in began.items()]
    return events, [(watch.rows[trace] - at) / 1e6 for trace, at in began.items()]


def _wait_for_project(server: Server) -> None:
    place = urlsplit(server.url)
    while True:
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
        connection.request("GET", "/api/v1/projects")
        projects = json.loads(connection.getresponse().read())["items"]
        connection.close()
        if any(one["name"] == PROJECT for one in projects):
            return
        time.sleep(0.1)


def _load(server: Server, over: threading.Event) -> None:
    place = urlsplit(server.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
    chain, due = Chain(7), time.monotonic()
    waiting: list[Span] = []
    while not over.is_set():
        while len(waiting) < BATCH:
            waiting += chain.trace(time.time_ns() - 10**10)
        headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
        connection.request("POST", "/v1/traces", body(waiting[:BATCH]).data, headers)
        connection.getresponse().read()
        del waiting[:BATCH]
        due += BATCH / RATE
        over.wait(max(0.0, due - time.monotonic()))
    connection.close()


class _Watch(threading.Thread):
    """A page that is open: hears of traces, and asks for the list each time, as the page does."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self._place = urlsplit(server.url)
        self._over = False
        self.ready = threading.Event()
        self.events: dict[str, int] = {}
        self.rows: dict[str, int] = {}

    def run(self) -> None:
        stream = self._connect()
        stream.request("GET", f"/p/{PROJECT}/live")
        asking = self._connect()
        lines = stream.getresponse()
        if lines.status != 200:
            raise RuntimeError(f"the stream was refused with {lines.status}")
        self.ready.set()
        while not self._over:
            told = lines.readline().decode()
            if told.startswith("data: ["):
                now = time.time_ns()
                for trace in json.loads(told.removeprefix("data: ")):
                    self.events.setdefault(trace, now)
                self._rows(asking)

    def _rows(self, connection: http.client.HTTPConnection) -> None:
        connection.request("GET", f"/p/{PROJECT}/traces")
        page = connection.getresponse().read().decode()
        now = time.time_ns()
        for trace in self.events.keys() - self.rows.keys():
            if trace in page:
                self.rows[trace] = now

    def stop(self) -> None:
        self._over = True
        self.join(20)

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._place.hostname or "", self._place.port, timeout=20)
