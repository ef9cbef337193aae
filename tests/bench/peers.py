"""Other servers that take OTLP, with the same bodies in the same round: Phoenix and MLflow, where they are installed.

Their commands are looked for on the `PATH`, and in the environments below the folder that `STEPSCOPE_BENCH_PEERS` names
(`FOLDER/phoenix/bin/phoenix`, `FOLDER/mlflow/bin/mlflow`). A rate counts what can be read from their database file by
another process, not what they have answered to.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import psutil

from tests.bench.load import Body
from tests.bench.report import heading, lacking, line
from tests.bench.server import MEBIBYTE, Measured, plain_environment, running, send
from tests.bench.shapes import agent_loop, body, size_of

READY_WITHIN_S = 300
DURABLE_WITHIN_S = 1_800


@dataclass(frozen=True)
class Found:
    """One server in one round: what it stored durably in a second, what that took, and what lies on disk after it."""

    answered: float
    durable: float
    cpu_per_1000: float
    idle_mib: float
    peak_mib: float
    bytes_per_span: float
    agent_bytes: float


@dataclass(frozen=True)
class Peer:
    """A server of somebody else: how it is started, and where its spans can be counted."""

    name: str
    arguments: Callable[[Path, int], list[str]]
    variables: Callable[[Path, int], dict[str, str]]
    ready_path: str
    database: str
    headers: Callable[[int], dict[str, str]]

    @property
    def command(self) -> str | None:
        """The program; None when it is not installed."""
        folder = os.environ.get("STEPSCOPE_BENCH_PEERS")
        if folder:
            own = Path(folder) / self.name / "bin" / self.name
            return str(own) if own.exists() else None
        return shutil.which(self.name)

    def count(self, folder: Path) -> int:
        """Spans in its database, read beside it."""
        with (
            suppress(sqlite3.OperationalError),
            closing(sqlite3.connect(f"file:{folder / self.database}?mode=ro", uri=True, timeout=20)) as connection,
        ):
            return int(connection.execute("SELECT COUNT(*) FROM spans").fetchone()[0])
        return 0

    def size(self, folder: Path) -> int:
        """Bytes of its database."""
        return sum(file.stat().st_size for file in folder.glob(f"{self.database}*"))


def _experiment(port: int) -> dict[str, str]:
    """MLflow stores spans by experiment, which is made first."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    asked = json.dumps({"name": "bench"})
    connection.request("POST", "/api/2.0/mlflow/experiments/create", asked, {"Content-Type": "application/json"})
    made = json.loads(connection.getresponse().read())
    connection.close()
    return {"x-mlflow-experiment-id": made["experiment_id"]}


PEERS = (
    Peer(
        "phoenix",
        lambda folder, port: ["serve"],
        lambda folder, port: {
            "PHOENIX_WORKING_DIR": str(folder),
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(port),
            "PHOENIX_GRPC_PORT": str(free_port()),
            "PHOENIX_TELEMETRY_ENABLED": "false",
        },
        "/healthz",
        "phoenix.db",
        lambda port: {},
    ),
    Peer(
        "mlflow",
        lambda folder, port: [
            "server", "--host", "127.0.0.1", "--port", str(port),
            "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
            "--artifacts-destination", str(folder / "files"),
        ],
        lambda folder, port: {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"},
        "/health",
        "mlflow.db",
        _experiment,
    ),
)  # fmt: skip


class Process(Measured):
    """A peer's processes together: its workers belong to it."""

    def __init__(self, peer: Peer, folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [str(peer.command), *peer.arguments(folder, port)],
            cwd=folder,
            env=plain_environment(**peer.variables(folder, port)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._watched = psutil.Process(self._process.pid)
        end = time.monotonic() + READY_WITHIN_S
        while not self._answers(port, peer.ready_path):
            if time.monotonic() > end or self._process.poll() is not None:
                self.stop()
                raise RuntimeError(f"{peer.name} did not start")
            time.sleep(0.2)
        self.headers = peer.headers(port)

    def _answers(self, port: int, path: str) -> bool:
        with suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path)
            ready = connection.getresponse().status == 200
            connection.close()
            return ready
        return False

    def _family(self) -> Iterator[psutil.Process]:
        yield self._watched
        yield from self._watched.children(recursive=True)

    @property
    def cpu_seconds(self) -> float:
        """Processor time so far, of all its processes."""
        total = 0.0
        for one in self._family():
            with suppress(psutil.NoSuchProcess):
                times = one.cpu_times()
                total += times.user + times.system
        return total

    @property
    def memory_mib(self) -> float:
        """Resident memory now, of all its processes."""
        total = 0
        for one in self._family():
            with suppress(psutil.NoSuchProcess):
                total += one.memory_info().rss
        return total / MEBIBYTE

    def stop(self) -> None:
        """End all its processes."""
        family = list(self._family()) if self._process.poll() is None else []
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.terminate()
        for one in psutil.wait_procs(family, timeout=20)[1]:
            one.kill()
        self._process.wait(20)


def report(streams: Sequence[Sequence[Body]], *, spans: int, runs: int) -> None:
    """Print ours and theirs, and the ratios, for the first `spans` of the load."""
    some = _first(streams, spans)
    heading(f"Beside others, the same {sum(one.spans for of in some for one in of):,} spans in the same round")
    ours: list[Found] = []
    theirs: dict[str, list[Found]] = {peer.name: [] for peer in PEERS if peer.command}
    for number in range(runs):
        agent = [[body(agent_loop(number))]]
        ours.append(_ours(some, agent))
        for peer in PEERS:
            if peer.command:
                theirs[peer.name].append(_peer(peer, some, agent))
    for name, rounds in {"Stepscope": ours, **theirs}.items():
        _lines(name, rounds)
    for name, rounds in theirs.items():
        _ratios(name, ours, rounds)
    for peer in PEERS:
        if not peer.command:
            lacking(peer.name, "not installed")


def _lines(name: str, rounds: list[Found]) -> None:
    line(f"{name}: answered with 200, spans/s", [one.answered for one in rounds])
    line(f"{name}: durable, spans/s", [one.durable for one in rounds])
    line(f"{name}: CPU, s per 1,000 spans", [one.cpu_per_1000 for one in rounds], digits=3)
    line(f"{name}: memory idle, MiB", [one.idle_mib for one in rounds])
    line(f"{name}: memory at its peak, MiB", [one.peak_mib for one in rounds])
    line(f"{name}: database bytes per span", [one.bytes_per_span for one in rounds])
    line(f"{name}: database bytes of an agent's loop", [one.agent_bytes for one in rounds])


def _ratios(name: str, ours: list[Found], theirs: list[Found]) -> None:
    for what, of, digits in (
        ("durable spans/s, ours to theirs", lambda mine, its: mine.durable / its.durable, 1),
        ("CPU, theirs to ours", lambda mine, its: its.cpu_per_1000 / mine.cpu_per_1000, 1),
        ("peak memory, theirs to ours", lambda mine, its: its.peak_mib / mine.peak_mib, 1),
        ("bytes per span, ours to theirs", lambda mine, its: mine.bytes_per_span / its.bytes_per_span, 2),
        ("bytes of an agent's loop, ours to theirs", lambda mine, its: mine.agent_bytes / its.agent_bytes, 3),
    ):
        line(f"{name}: {what}", [of(mine, its) for mine, its in zip(ours, theirs, strict=True)], digits=digits)


def _ours(streams: Sequence[Sequence[Body]], agent: Sequence[Sequence[Body]]) -> Found:
    with tempfile.TemporaryDirectory(prefix="stepscope-bench-") as folder:
        data = Path(folder)
        with running(data) as server:
            figures = send(server, streams)
        size = size_of(data)
        with running(data) as server:
            send(server, agent)
        return Found(
            figures.spans_per_second,
            figures.spans_per_second,
            figures.cpu_per_1000,
            figures.idle_mib,
            figures.peak_mib,
            size / spans_of(streams),
            float(size_of(data) - size),
        )


def _peer(peer: Peer, streams: Sequence[Sequence[Body]], agent: Sequence[Sequence[Body]]) -> Found:
    with tempfile.TemporaryDirectory(prefix="stepscope-bench-") as folder, started(peer, Path(folder)) as server:
        data, spans = Path(folder), spans_of(streams)
        cpu, began = server.cpu_seconds, time.perf_counter()
        figures = send(server, streams)
        peak = figures.peak_mib
        while stored(peer, data, began, spans) < spans:
            peak = max(peak, server.memory_mib)
            time.sleep(0.2)
        durable = spans / (time.perf_counter() - began)
        cpu = server.cpu_seconds - cpu
        size = peer.size(data)
        began = time.perf_counter()
        send(server, agent)
        while stored(peer, data, began, spans + spans_of(agent)) < spans + spans_of(agent):
            time.sleep(0.2)
        return Found(
            figures.spans_per_second,
            durable,
            cpu / spans * 1_000,
            figures.idle_mib,
            peak,
            size / spans,
            float(peer.size(data) - size),
        )


def stored(peer: Peer, folder: Path, began: float, wanted: int) -> int:
    """Spans in a peer's database; raises RuntimeError when it takes too long to store what it has taken."""
    count = peer.count(folder)
    if time.perf_counter() - began > DURABLE_WITHIN_S:
        raise RuntimeError(f"{peer.name} has stored {count:,} of {wanted:,} spans after {DURABLE_WITHIN_S} s")
    return count


@contextmanager
def started(peer: Peer, folder: Path) -> Iterator[Process]:
    """A peer's server for the time of a with statement."""
    server = Process(peer, folder)
    try:
        yield server
    finally:
        server.stop()


def spans_of(streams: Sequence[Sequence[Body]]) -> int:
    """How many spans they hold."""
    return sum(one.spans for bodies in streams for one in bodies)


def _first(streams: Sequence[Sequence[Body]], spans: int) -> list[list[Body]]:
    """The first bodies of each stream, as many as hold so many spans."""
    some: list[list[Body]] = [[] for _ in streams]
    for at_once in zip_longest(*streams):
        for of, one in zip(some, at_once, strict=True):
            if one is not None and spans_of(some) < spans:
                of.append(one)
    return some


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
