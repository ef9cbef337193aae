"""What the slowest calls cost while nobody answers at the server's address, beside OpenTelemetry's SDK.

A tight loop whose every argument is new, so that memory fills and the disk takes what it may: the worst that a host can
do to an SDK. R70 asks for a p99 below 2 ms, and for less than 100 MiB more of memory.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import tempfile

from tests.bench.report import heading, lacking
from tests.bench.sdk import WORKER, interpreter

SIZES = {1_024: 40_000, 16_384: 40_000, 65_536: 20_000, 262_144: 5_000, 1_048_576: 2_000}
"""Calls of a loop, by the bytes of each argument."""

SORTS = ("text", "dict")
SDKS = ("stepscope", "opentelemetry")
LONGEST_S = 120


def report(*, runs: int) -> None:
    """Print a row for each size and kind of argument."""
    heading(f"A tight loop while the server is away, a new argument each time, median of {runs}")
    print(f"  {'':14}{'bytes':>10} {'':5}" + "".join(f"{word:>12}" for word in ("p50, ms", "p99, ms", "grown, MiB")))
    for size, calls in SIZES.items():
        for sort in SORTS:
            for sdk in SDKS:
                found = [one for _ in range(runs) if (one := _loop(sdk, size, sort, calls)) is not None]
                if not found:
                    lacking(sdk, "no figures")
                    continue
                cells = "".join(
                    f"{statistics.median(one[name] for one in found):12.{digits}f}"
                    for name, digits in (("p50", 3), ("p99", 3), ("grown", 0))
                )
                print(f"  {sdk:14}{size:>10,} {sort:5}{cells}", flush=True)


def _loop(sdk: str, size: int, sort: str, calls: int) -> dict[str, float] | None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("STEPSCOPE", "OTEL"))}
        done = subprocess.run(
            [interpreter(sdk), "-W", "ignore", str(WORKER), sdk, str(port), sort, str(calls), "dead", str(size)],
            env={**keep, "XDG_STATE_HOME": folder},
            capture_output=True, text=True, timeout=LONGEST_S, check=False,
        )  # fmt: skip
    line = done.stdout.strip().rpartition("\n")[2]
    return json.loads(line) if not done.returncode and line.startswith("{") else None
