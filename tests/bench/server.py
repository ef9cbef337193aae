"""A server under load: started, filled, watched, stopped; its CPU time and memory read from the operating system."""

from __future__ import annotations

import http.client
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Protocol
from urllib.parse import urlsplit

import psutil

from tests.bench.load import BATCH, Body, Chain

READY_WORDS = "Stepscope is at "
MEBIBYTE = 1 << 20
PATIENCE_S = 120.0
"""So long a batch is sent again when the server hangs up instead of answering."""


@dataclass(frozen=True)
class Figures:
    """One run: spans a second, CPU seconds for 1,000 spans, acknowledgements in ms, memory in MiB."""

    spans_per_second: float
    cpu_per_1000: float
    ack_p50_ms: float
    ack_p99_ms: float
    peak_mib: float
    idle_mib: float


SLOWING = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONPATH")
"""Variables with which a Python runs slower, or other code, than a user's."""


def plain_environment(**variables: str) -> dict[str, str]:
    """This process's environment as a user would have it, and `variables`."""
    return {key: value for key, value in os.environ.items() if key not in SLOWING} | variables


class Measured(Protocol):
    """A server that is sent spans and watched; `headers` are those that it asks for."""

    url: str
    headers: dict[str, str]

    @property
    def cpu_seconds(self) -> float:
        """Processor time so far."""

    @property
    def memory_mib(self) -> float:
        """Resident memory now."""


class Server(Measured):
    """Our service in a process of its own."""

    def __init__(self, data: Path, *arguments: str, **variables: str) -> None:
        command = [sys.executable, "-m", "tracer", "serve", "--port", "0", "--data", str(data), *arguments]
        started = time.perf_counter()
        self.process = Popen(command, stdout=PIPE, text=True, env=plain_environment(**variables))
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith(READY_WORDS):
            raise RuntimeError(f"the server did not start: {line!r}")
        self.start_seconds = time.perf_counter() - started
        self.url = line.removeprefix(READY_WORDS).strip()
        self.headers: dict[str, str] = {}
        self._watched = psutil.Process(self.process.pid)

    @property
    def cpu_seconds(self) -> float:
        """Processor time so far, of all threads, and of the process that indexes beside it, also when it has ended."""
        own = self._watched.cpu_times()
        spent = own.user + own.system + own.children_user + own.children_system
        for child in self._watched.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                times = child.cpu_times()
                spent += times.user + times.system
        return spent

    @property
    def busy_ms(self) -> float:
        """Processor time so far of the service alone, where Linux counts it in nanoseconds; else in hundredths."""
        try:
            threads = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
            return sum(int(one.read_text().split()[0]) for one in threads) / 1e6
        except OSError:
            times = self._watched.cpu_times()
            return (times.user + times.system) * 1_000

    @property
    def memory_mib(self) -> float:
        """Resident memory now, that of the process that indexes beside it included."""
        held = self._watched.memory_info().rss
        for child in self._watched.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                held += child.memory_info().rss
        return held / MEBIBYTE

    def stop(self) -> None:
        """End the process in order."""
        self.process.terminate()
        self.process.wait(timeout=30)


@contextmanager
def running(data: Path, *arguments: str, **variables: str) -> Iterator[Server]:
    """A server for the time of a with statement; `variables` are added to its environment."""
    server = Server(data, *arguments, **variables)
    try:
        yield server
    finally:
        server.stop()


def warm_up(server: Measured) -> list[Body]:
    """Send one batch, so that what a server does once, at its start and at its first request, is done.

    Returns what was sent.
    """
    bodies = list(Chain(99).bodies(BATCH))
    send(server, [bodies])
    return bodies


def send(server: Measured, streams: Sequence[Sequence[Body]]) -> Figures:
    """Send each stream from a connection of its own, all at once, waiting for each acknowledgement."""
    place = urlsplit(server.url)
    waits: list[float] = []
    failures: list[str] = []
    peak = idle = server.memory_mib

    def sender(bodies: Sequence[Body]) -> None:
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip", **server.headers}
        for one in bodies:
            give_up = time.perf_counter() + PATIENCE_S
            while True:
                asked = time.perf_counter()
                try:
                    connection.request("POST", "/v1/traces", one.data, headers)
                    answer = connection.getresponse()
                    answer.read()
                except (OSError, http.client.HTTPException) as problem:  # hung up on: what an exporter sends again
                    connection.close()
                    if time.perf_counter() > give_up:
                        failures.append(repr(problem))
                        return
                    time.sleep(0.2)
                    continue
                if answer.status == 200:
                    waits.append(time.perf_counter() - asked)
                    break
                if answer.status not in (429, 503):
                    failures.append(f"{answer.status}")
                    return
                time.sleep(float(answer.headers.get("Retry-After", "1")))
        connection.close()

    threads = [threading.Thread(target=sender, args=(bodies,)) for bodies in streams]
    cpu, start = server.cpu_seconds, time.perf_counter()
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        peak = max(peak, server.memory_mib)
        time.sleep(0.05)
    elapsed = time.perf_counter() - start
    if failures:
        raise RuntimeError(f"not taken: {failures[0]}")
    spans = sum(one.spans for bodies in streams for one in bodies)
    ordered = sorted(waits)
    return Figures(
        spans_per_second=spans / elapsed,
        cpu_per_1000=(server.cpu_seconds - cpu) / spans * 1_000,
        ack_p50_ms=ordered[len(ordered) // 2] * 1_000,
        ack_p99_ms=ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] * 1_000,
        peak_mib=peak,
        idle_mib=idle,
    )
