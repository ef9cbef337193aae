"""An export of everything: how fast it leaves, and what memory the server takes for it."""

from __future__ import annotations

import http.client
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench.load import Chain
from tests.bench.report import heading, line
from tests.bench.server import Measured, running, send
from tests.bench.stored import load, on_sqlite

PART = 1 << 18


@dataclass(frozen=True)
class Export:
    """One export: its bytes and lines, spans a second, and memory in MiB before and at its peak."""

    bytes: int
    lines: int
    seconds: float
    idle_mib: float
    peak_mib: float


def report(*, spans: int) -> None:
    """Print what an export of so many spans takes, form by form; Parquet last, whose library stays in memory."""
    heading(f"Export of {spans:,} spans on SQLite")
    with tempfile.TemporaryDirectory(prefix="stepscope-bench-") as folder:
        database = on_sqlite(Path(folder) / "stored")
        with running(database.folder, *database.arguments) as server:
            send(server, [list(Chain(1).bodies(24_000))])
        load(database, spans)
        with running(database.folder, *database.arguments) as server:
            for format in ("csv", "otlp", "jsonl", "parquet"):
                found = take_out(server, format=format)
                line(f"{format}, spans/s", [spans / found.seconds])
                line(f"{format}, MB", [found.bytes / 1e6])
                line(f"{format}, memory before and at the peak, MiB", [found.idle_mib, found.peak_mib])


def take_out(server: Measured, *, format: str) -> Export:
    """Export everything that a server has, and throw it away as it comes.

    Raises http.client.IncompleteRead when it breaks off.
    """
    place = urlsplit(server.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=120)
    idle = peak = server.memory_mib
    size = lines = 0
    looked = began = time.perf_counter()
    connection.request("GET", f"{place.path}/api/v1/export?format={format}", headers=server.headers)
    answer = connection.getresponse()
    if answer.status != 200:
        raise RuntimeError(f"the export was refused: {answer.status} {answer.read()[:300]!r}")
    while part := answer.read(PART):
        size += len(part)
        lines += part.count(b"\n")
        if time.perf_counter() - looked > 0.1:
            looked = time.perf_counter()
            peak = max(peak, server.memory_mib)
    peak = max(peak, server.memory_mib)
    connection.close()
    return Export(size, lines, time.perf_counter() - began, idle, peak)
