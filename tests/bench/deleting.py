"""Deleting beside ingest: `python -m tests.bench.deleting [--spans N]`.

Half of the load is stored and asked to be deleted while the other half arrives; beside it stands the same arrival with
nothing being deleted. What is left is verified.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

from tests.bench.load import Chain
from tests.bench.server import MEBIBYTE as MIB
from tests.bench.server import Figures, Server, running, send
from tracer.ingest.verify import verify
from tracer.settings import parse_database_url
from tracer.store.engine import Store

SENDERS = 4
_open = build_opener(ProxyHandler({})).open


def ask(server: Server, path: str, method: str = "GET") -> dict[str, object]:
    """One REST answer."""
    with _open(Request(f"{server.url}/api/v1/{path}", method=method)) as answer:
        return json.loads(answer.read())


def size(data: Path) -> float:
    """The database's files, in MiB."""
    return sum(file.stat().st_size for file in data.glob("stepscope.db*")) / MIB


def main() -> None:
    """Measure, print, verify."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.deleting", description=__doc__)
    parser.add_argument("--spans", type=int, default=48_000, help="spans of each half (default: %(default)s)")
    options = parser.parse_args()
    first, second, third = (
        [list(Chain(seed + 10 * half).bodies(options.spans // SENDERS)) for seed in range(SENDERS)] for half in range(3)
    )
    with tempfile.TemporaryDirectory(prefix="stepscope-bench-") as folder:
        data = Path(folder)
        with running(data) as server:
            send(server, first)
            calm = send(server, second)
            full = size(data)
            took: list[float] = []

            def delete() -> None:
                start = time.perf_counter()
                receipt = ask(server, "traces?project=bench", "DELETE")
                while receipt["state"] != "done":
                    time.sleep(0.1)
                    receipt = ask(server, f"deletions/{receipt['id']}")
                took.append(time.perf_counter() - start)

            thread = threading.Thread(target=delete)
            thread.start()
            busy = send(server, third)
            thread.join()
            left = size(data)
        store = Store(parse_database_url(f"sqlite:///{data / 'stepscope.db'}"))
        differences = sum(1 for _ in verify(store))
        store.close()
    print(f"Deleting {2 * options.spans:,} spans while {options.spans:,} arrive from {SENDERS} senders, SQLite")
    line("nothing is deleted", calm)
    line("beside the deletion", busy)
    print(f"  the receipt was done after {took[0]:.1f} s; {full:.0f} MiB became {left:.0f} MiB")
    print(f"  differences found afterwards: {differences}")


def line(name: str, figures: Figures) -> None:
    """One row."""
    print(
        f"  {name:22} {figures.spans_per_second:8,.0f} spans/s   acknowledgement p50 {figures.ack_p50_ms:,.0f} ms, "
        f"p99 {figures.ack_p99_ms:,.0f} ms   CPU {figures.cpu_per_1000:.3f} s per 1,000 spans"
    )


if __name__ == "__main__":
    main()
