"""A steady load for minutes, the search index keeping up beside it: rate, waits, how far the index is behind."""

from __future__ import annotations

import http.client
import json
import multiprocessing
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.bench.load import Chain
from tests.bench.report import heading, line
from tests.bench.server import Server, running

SENDERS = 4
MINUTE = 60
CATCH_UP_S = 600


@dataclass
class Heard:
    """What the senders were answered, and what the server told of its index."""

    spans: int = 0
    waits: list[float] = field(default_factory=list)
    refused: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def report(*, rate: int, minutes: float) -> None:
    """Print what a load of `rate` spans a second did to the server, minute by minute."""
    heading(f"Sustained: {rate:,} spans/s for {minutes:g} minutes, {SENDERS} senders, the search index on, SQLite")
    with tempfile.TemporaryDirectory(prefix="stepscope-bench-") as folder:
        files = _written(Path(folder), int(rate * minutes * MINUTE))
        data = Path(folder) / "data"
        data.mkdir()
        with running(data) as server:
            _measure(server, files, rate, minutes)


def _measure(server: Server, files: list[Path], rate: int, minutes: float) -> None:
    heard, cpu, began = Heard(), server.cpu_seconds, time.perf_counter()
    threads = [
        threading.Thread(target=_send, args=(server, file, rate / SENDERS, began, minutes * MINUTE, heard))
        for file in files
    ]
    for thread in threads:
        thread.start()
    rates: list[float] = []
    lags: list[float] = []
    peak, before = 0.0, 0
    next_minute = began + min(MINUTE, minutes * MINUTE / 2)
    while any(thread.is_alive() for thread in threads):
        peak = max(peak, server.memory_mib)
        if time.perf_counter() >= next_minute:
            part = min(MINUTE, minutes * MINUTE / 2)
            rates.append((heard.spans - before) / part)
            before = heard.spans
            lags.append(float(_index(server)["lag_spans"]))
            next_minute += part
        time.sleep(0.05)
    took = time.perf_counter() - began
    caught_up = _catch_up(server)
    spent = server.cpu_seconds - cpu
    ordered = sorted(heard.waits)
    line("acknowledged and durable, spans/s", [heard.spans / took])
    if rates:
        line("  by the minute", rates)
        line("index behind, spans, by the minute", lags)
        line("  in the first half, at most", [max(lags[: len(lags) // 2] or lags)])
        line("  in the second half, at most", [max(lags[len(lags) // 2 :])])
    line("caught up after the end, s", [caught_up], digits=1)
    line("acknowledgement p50, ms", [ordered[len(ordered) // 2] * 1_000])
    line("acknowledgement p99, ms", [ordered[len(ordered) * 99 // 100] * 1_000])
    line("refused for the moment (429, 503)", [heard.refused])
    line("server CPU, caught up, s per 1,000 spans", [spent / heard.spans * 1_000], digits=3)
    line("memory at its peak, MiB", [peak])


def _written(folder: Path, spans: int) -> list[Path]:
    """The load on disk, one file a sender: making it costs more than sending it."""
    files = [folder / f"load-{number}" for number in range(SENDERS)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.starmap(partial(_write, spans // SENDERS), enumerate(files))
    return files


def _write(spans: int, seed: int, file: Path) -> None:
    with file.open("wb") as out:
        for one in Chain(500 + seed).bodies(spans):
            out.write(len(one.data).to_bytes(4) + one.spans.to_bytes(4) + one.data)


def _read(file: Path) -> Iterator[tuple[int, bytes]]:
    with file.open("rb") as stored:
        while head := stored.read(8):
            yield int.from_bytes(head[4:]), stored.read(int.from_bytes(head[:4]))


def _send(server: Server, file: Path, rate: float, began: float, seconds: float, heard: Heard) -> None:
    place = urlsplit(server.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
    sent = 0
    for spans, data in _read(file):
        ahead = began + sent / rate - time.perf_counter()
        if ahead > 0:
            time.sleep(ahead)
        if time.perf_counter() - began > seconds:
            break
        while True:
            asked = time.perf_counter()
            connection.request("POST", "/v1/traces", data, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                break
            if answer.status not in (429, 503):
                raise RuntimeError(f"not taken: {answer.status}")
            with heard.lock:
                heard.refused += 1
            time.sleep(float(answer.headers.get("Retry-After", "1")))
        sent += spans
        with heard.lock:
            heard.spans += spans
            heard.waits.append(time.perf_counter() - asked)
    connection.close()


def _index(server: Server) -> dict[str, Any]:
    with urllib.request.urlopen(f"{server.url}/api/v1/status", timeout=30) as answer:
        return json.load(answer)["index"]


def _catch_up(server: Server) -> float:
    begun = time.perf_counter()
    while _index(server)["state"] != "caught_up":
        if time.perf_counter() - begun > CATCH_UP_S:
            raise RuntimeError("the index did not catch up")
        time.sleep(0.2)
    return time.perf_counter() - begun
