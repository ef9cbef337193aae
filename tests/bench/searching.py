"""The search index under the ingest load: its cost and size, how soon it has caught up, how fast it finds."""

from __future__ import annotations

import gzip
import json
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.load import Body
from tests.bench.report import heading, line
from tests.bench.server import Server, running, send, warm_up
from tracer.garbage import collect_seldom
from tracer.otlp.decode import decode_traces
from tracer.search.documents import Fragment, fragments
from tracer.search.find import find_traces
from tracer.search.parse import read_search
from tracer.search.status import index_bytes
from tracer.search.walk import Range
from tracer.settings import parse_database_url
from tracer.store.engine import Store
from tracer.store.sql import Sql

QUERIES = {
    "rare word": "timed out",
    "common word": "ta",
    "two words": "lo mi",
    "beginning": "sta*",
    "phrase": '"timed out after"',
    "no such word": "nowhere",
}
ASKED = 20
PATIENCE_S = 600


@dataclass(frozen=True)
class Round:
    """One run: the burst beside the index, the whole with the index caught up."""

    spans_per_second: float
    ack_p99_ms: float
    cpu_per_1000: float
    lag_seconds: float
    peak_mib: float
    bytes_per_text_byte: float
    finds_ms: dict[str, float]


def one_round(streams: Sequence[Sequence[Body]]) -> Round:
    """Send the load with the index on, wait until it has caught up, ask."""
    spans = sum(one.spans for bodies in streams for one in bodies)
    with tempfile.TemporaryDirectory(prefix="stepscope-bench-") as folder:
        data = Path(folder)
        with running(data) as server:
            first = warm_up(server)
            _catch_up(server)
            started = server.cpu_seconds
            figures = send(server, streams)
            sent = time.perf_counter()
            peak = _catch_up(server)
            lag = time.perf_counter() - sent
            cpu = (server.cpu_seconds - started) / spans * 1_000
        store = Store(parse_database_url(f"sqlite:///{data / 'stepscope.db'}"))
        with store.reading() as connection:
            held = index_bytes(Sql(connection))
        collect_seldom()  # as the server does
        finds = {name: _find_ms(store, q) for name, q in QUERIES.items()}
        store.close()
    return Round(
        figures.spans_per_second,
        figures.ack_p99_ms,
        cpu,
        lag,
        max(peak, figures.peak_mib),
        held / text_bytes([first, *streams]),
        finds,
    )


def report(streams: Sequence[Sequence[Body]], *, runs: int) -> None:
    """The rows of the report."""
    rounds = [one_round(streams) for _ in range(runs)]
    heading("With the search index, on SQLite")
    line("acknowledged and durable, spans/s", [run.spans_per_second for run in rounds])
    line("acknowledgement p99, ms", [run.ack_p99_ms for run in rounds])
    line("server CPU, caught up, s per 1,000 spans", [run.cpu_per_1000 for run in rounds], digits=3)
    line("caught up after the burst, s", [run.lag_seconds for run in rounds], digits=1)
    line("memory at its peak, MiB", [run.peak_mib for run in rounds])
    line("index bytes per byte of text", [run.bytes_per_text_byte for run in rounds], digits=3)
    for name in QUERIES:
        line(f"first page, {name}, p95 ms", [run.finds_ms[name] for run in rounds], digits=1)


def text_bytes(streams: Sequence[Sequence[Body]]) -> int:
    """Bytes of the texts that the load brings, what a trace repeats on one side counted once."""
    total = 0
    seen: dict[bytes, set[Fragment]] = {}
    for bodies in streams:
        for one in bodies:
            for span in decode_traces(gzip.decompress(one.data), json=False).spans:
                known = seen.setdefault(span.trace_id, set())
                for fragment in fragments(span):
                    if fragment not in known:
                        known.add(fragment)
                        total += len(fragment[1].encode())
        seen.clear()
    return total


def _find_ms(store: Store, q: str) -> float:
    took = []
    for _ in range(1 + ASKED):
        with store.reading() as connection:
            start = time.perf_counter()
            find_traces(Sql(connection), read_search(q), Range((1,)), limit=50)
            took.append((time.perf_counter() - start) * 1_000)
    del took[0]  # opened the connection and the segments
    return statistics.quantiles(took, n=20)[-1]


def _catch_up(server: Server) -> float:
    """Wait for the index; returns the largest memory seen, in MiB."""
    peak, end = 0.0, time.perf_counter() + PATIENCE_S
    while _status(server)["state"] != "caught_up":
        peak = max(peak, server.memory_mib)
        if time.perf_counter() > end:
            raise RuntimeError("the index did not catch up")
        time.sleep(0.2)
    return peak


def _status(server: Server) -> dict[str, Any]:
    with urllib.request.urlopen(f"{server.url}/api/v1/status", timeout=30) as answer:
        return json.load(answer)["index"]
