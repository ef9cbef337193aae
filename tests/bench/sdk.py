"""What a recorded call costs, beside OpenTelemetry's SDK and the others that are there.

Another SDK is measured in its own environment below the folder that `STEPSCOPE_BENCH_PEERS` names
(`FOLDER/sdk-langfuse/bin/python`), else in this one. Everything is sent for real, to a server on this machine that
takes anything and counts the spans afterwards; all take turns within a round, so that their ratios are of one moment.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import zstandard
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.bench.report import heading, lacking
from tests.bench.sdk_worker import READY

WORKER = Path(__file__).with_name("sdk_worker.py")
IMPORTS = {
    "stepscope": "stepscope",
    "opentelemetry": "opentelemetry.exporter.otlp.proto.http.trace_exporter, opentelemetry.sdk.trace.export",
    "phoenix": "phoenix.otel",
    "mlflow": "mlflow",
    "langfuse": "langfuse",
    "logfire": "logfire",
    "langsmith": "langsmith",
    "opik": "opik",
    "traceloop": "traceloop.sdk",
}
DISTRIBUTIONS = {
    "opentelemetry": "opentelemetry-exporter-otlp-proto-http", "phoenix": "arize-phoenix-otel",
    "mlflow": "mlflow-tracing", "traceloop": "traceloop-sdk",
}  # fmt: skip
SIZE = """
import json, sys
from importlib.metadata import distribution, PackageNotFoundError
import re
seen, waiting = {}, [sys.argv[1]]
while waiting:
    name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
    if name in seen:
        continue
    try:
        found = distribution(name)
    except PackageNotFoundError:
        continue
    files = [found.locate_file(file) for file in found.files or ()]
    if "editable" in (found.read_text("direct_url.json") or ""):
        import importlib.util, pathlib
        files = list(pathlib.Path(importlib.util.find_spec(name).origin).parent.rglob("*.py"))
    seen[name] = sum(file.stat().st_size for file in files if file.is_file() and not str(file).endswith(".pyc"))
    for need in found.requires or ():
        if "extra ==" not in need:
            waiting.append(re.match(r"[A-Za-z0-9_.-]+", need)[0])
print(json.dumps([len(seen), sum(seen.values())]))
"""


class Taker:
    """A server that takes anything, and counts spans when asked."""

    def __init__(self) -> None:
        self.bodies: list[tuple[str, dict[str, str], bytes]] = []
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()
        self._ready.wait(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._talk, "127.0.0.1", 0, limit=1 << 26))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                pairs = (line.split(":", 1) for line in lines[1:] if line)
                headers = {name.strip().lower(): value.strip() for name, value in pairs}
                body = await self._body(reader, headers)
                path = lines[0].split(" ")[1]
                self.bodies.append((path, headers, body))
                sort = (
                    headers.get("content-type", "application/json")
                    if path.endswith("/v1/traces")
                    else "application/json"
                )
                said = b"" if "protobuf" in sort else b"{}"
                writer.write(
                    f"HTTP/1.1 200 OK\r\nContent-Type: {sort}\r\nContent-Length: {len(said)}\r\n\r\n".encode() + said
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _body(self, reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "") != "chunked":
            return await reader.readexactly(int(headers.get("content-length", 0)))
        parts: list[bytes] = []
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            parts.append((await reader.readexactly(size + 2))[:-2])
        await reader.readexactly(2)
        return b"".join(parts)

    def spans(self) -> int:
        """Count the different spans that came."""
        ids: set[object] = set()
        for path, headers, packed in self.bodies:
            encoding = headers.get("content-encoding", "")
            body = packed
            if encoding == "gzip":
                body = gzip.decompress(packed)
            elif encoding == "deflate":
                body = zlib.decompress(packed)
            elif encoding == "zstd":
                body = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
            if path.endswith("/v1/traces") and "json" in headers.get("content-type", ""):
                ids.update(re.findall(rb'"spanId":"([0-9a-f]{16})"', body))
            elif path.endswith("/v1/traces"):
                request = ExportTraceServiceRequest.FromString(body)
                ids.update(
                    span.span_id for one in request.resource_spans for two in one.scope_spans for span in two.spans
                )
            elif "multipart" in headers.get("content-type", ""):
                ids.update(re.findall(rb'name="post\.([0-9a-f-]{36})"', body))
            elif "/spans/batch" in path:
                ids.update(str(span["id"]) for span in json.loads(body).get("spans", []))
        return len(ids)


def measure(python: str, sdk: str, sort: str, calls: int, pace: str) -> tuple[dict[str, float], float] | None:
    """Run one worker; returns its figures and the part of its spans that never came, or None where it can't run."""
    taker = Taker()
    with tempfile.TemporaryDirectory() as folder:
        keep = {
            name: value for name, value in os.environ.items() if not name.startswith(("STEPSCOPE", "OTEL", "PYTEST"))
        }
        try:
            done = subprocess.run(
                [python, "-W", "ignore", str(WORKER), sdk, str(taker.port), sort, str(calls), pace],
                env={**keep, "DO_NOT_TRACK": "1", "XDG_STATE_HOME": folder},
                capture_output=True, text=True, timeout=LONGEST, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            lacking(f"{sdk}: {sort}, {pace}", f"not done after {LONGEST} s")
            return None
    line = done.stdout.strip().rpartition("\n")[2]
    if done.returncode or not line.startswith("{"):
        lacking(f"{sdk}: {sort}, {pace}", done.stderr.strip().rpartition("\n")[2] or "no figures")
        return None
    time.sleep(0.3)
    figures: dict[str, float] = json.loads(line)
    return figures, 1 - taker.spans() / figures["calls"]


def imported(python: str, modules: str, runs: int) -> float | None:
    """Return the milliseconds of CPU that an import takes, over a bare start: others' work doesn't count."""

    def once(code: str) -> float | None:
        begun = os.times()
        done = subprocess.run([python, "-W", "ignore", "-c", code], capture_output=True, check=False)
        ended = os.times()
        spent = ended.children_user + ended.children_system - begun.children_user - begun.children_system
        return None if done.returncode else spent * 1000

    if once(f"import {modules}") is None:
        return None
    bare = [taken for _ in range(runs) if (taken := once("pass")) is not None]
    full = [taken for _ in range(runs) if (taken := once(f"import {modules}")) is not None]
    return statistics.median(full) - statistics.median(bare)


def installed(python: str, sdk: str) -> tuple[int, float]:
    """Return how many distributions an SDK brings along, itself included, and their size in MB."""
    name = DISTRIBUTIONS.get(sdk, sdk)
    done = subprocess.run([python, "-c", SIZE, name], capture_output=True, text=True, check=False)
    count, size = json.loads(done.stdout) if done.returncode == 0 else (0, 0)
    return count, size / 1e6


def interpreter(sdk: str) -> str:
    """Where an SDK is installed: its own environment, or this one."""
    own = Path(os.environ.get("STEPSCOPE_BENCH_PEERS", os.devnull)) / f"sdk-{sdk}" / "bin" / "python"
    return str(own) if own.exists() else sys.executable


LONGEST = 180
"""Seconds that one worker may take."""
PACED = ("text", "dict", "model", "large")
TIGHT = ("text", "dict")
LOST = (*TIGHT, "large")
Values = dict[str, list[float]]


def none_yet(sorts: tuple[str, ...]) -> Values:
    """An empty list each."""
    out: Values = {}
    for sort in sorts:
        out[sort] = []
    return out


@dataclass
class Row:
    """What was found of one SDK, a value a round."""

    us: Values = field(default_factory=lambda: none_yet(PACED))
    cpu: list[float] = field(default_factory=list)
    tight: list[float] = field(default_factory=list)
    lost: Values = field(default_factory=lambda: none_yet(LOST))


def report(*, runs: int, calls: int = 5_000, tight: int = 100_000) -> None:
    """Print a table with a row for each SDK that is installed."""
    heading(f"A decorated call, 1 KB in and 1 KB out, {calls:,} paced and {tight:,} in a tight loop, median of {runs}")
    brought = {sdk: imported(interpreter(sdk), IMPORTS[sdk], 5) for sdk in READY}
    rows = {sdk: Row() for sdk, cost in brought.items() if cost is not None}
    for _ in range(runs):
        for sdk, row in rows.items():
            one_round(sdk, row, calls, tight)
    top = ("text", "dict", "model", "1 MB", "tight", "CPU", "lost", "lost", "lost", "import", "size", "brings")
    units = (*["\u00b5s"] * 6, "text", "dict", "1 MB", "ms", "MB", "dists")
    for words in (top, units):
        print(f"  {'':14}" + "".join(f"{word:>9}" for word in words))
    for sdk in READY:
        if sdk not in rows:
            lacking(sdk, "not installed")
            continue
        row = rows[sdk]
        cells = [cell(row.us[sort], "9.1f") for sort in PACED] + [cell(row.tight, "9.1f"), cell(row.cpu, "9.1f")]
        cells += [cell(row.lost[sort], "9.1%") for sort in LOST]
        count, size = installed(interpreter(sdk), sdk)
        print(f"  {sdk:14}" + "".join(cells) + f"{brought[sdk]:9.0f}{size:9.2f}{count:9}", flush=True)
    print(
        "  1 MB: bursts of 40 calls. What comes while its memory is full keeps the beginnings of its texts (Stepscope)."
    )


def one_round(sdk: str, row: Row, calls: int, tight: int) -> None:
    """Measure one SDK once."""
    python = interpreter(sdk)
    for sort in PACED:
        found = measure(python, sdk, sort, 40 if sort == "large" else calls, "paced")
        if found is not None:
            row.us[sort].append(found[0]["us"])
            if sort == "text":
                row.cpu.append(found[0]["cpu_us"])
            elif sort == "large":
                row.lost[sort].append(max(found[1], 0.0))
    for sort in TIGHT:
        found = measure(python, sdk, sort, tight, "tight")
        if found is not None:
            row.lost[sort].append(max(found[1], 0.0))
            if sort == "text":
                row.tight.append(found[0]["us"])


def cell(values: list[float], form: str) -> str:
    """One figure, or a dash where it could not be had."""
    return format(statistics.median(values), form) if values else f"{'-':>9}"
