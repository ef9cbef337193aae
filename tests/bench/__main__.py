"""Prints the figures: `make bench`, or `python -m tests.bench [--spans N] [--runs N]`.

Every figure stands beside a physical limit or a peer measured in the same run, as a ratio: the machine's speed drifts,
the ratio does not. Medians of the runs, with the range.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from tests.bench import floor
from tests.bench.load import Body, Chain
from tests.bench.server import Figures, running, send

SENDERS = 4


def main() -> None:
    """Measure ingest on SQLite beside the floor."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--spans", type=int, default=60_000, help="spans of one run (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each (default: %(default)s)")
    options = parser.parse_args()
    streams = [list(Chain(seed).bodies(options.spans // SENDERS)) for seed in range(SENDERS)]
    runs = [one_round(streams, number) for number in range(options.runs)]
    print(f"Ingest on SQLite, {SENDERS} senders, bodies of 512 spans, {options.spans:,} spans, {options.runs} runs")
    line("acknowledged and durable, spans/s", [run.spans_per_second for run, _, _ in runs])
    line("bare pipeline on one core, spans/s", [bare for _, bare, _ in runs])
    line("ratio to the bare pipeline", [run.spans_per_second / bare for run, bare, _ in runs], digits=2)
    line("server CPU, s per 1,000 spans", [run.cpu_per_1000 for run, _, _ in runs], digits=3)
    line("acknowledgement p50, ms", [run.ack_p50_ms for run, _, _ in runs])
    line("acknowledgement p99, ms", [run.ack_p99_ms for run, _, _ in runs])
    line("memory idle, MiB", [run.idle_mib for run, _, _ in runs])
    line("memory at its peak, MiB", [run.peak_mib for run, _, _ in runs])
    line("database bytes per span", [size for _, _, size in runs])


def one_round(streams: list[list[Body]], number: int) -> tuple[Figures, float, float]:
    """Our server and the floor next to each other, so that their ratio is within one moment of the machine."""
    with tempfile.TemporaryDirectory(prefix="stepscope-bench-") as folder:
        data = Path(folder)
        bare = floor.spans_per_second([one for bodies in streams for one in bodies], data / "floor.db")
        with running(data) as server:
            figures = send(server, streams)
        spans = sum(one.spans for bodies in streams for one in bodies)
        size = sum(file.stat().st_size for file in data.glob("stepscope.db*")) / spans
    return figures, bare, size


def line(name: str, values: list[float], *, digits: int = 0) -> None:
    """One row of the report: the median and the range."""
    shown = f"{statistics.median(values):,.{digits}f}"
    print(f"  {name:42} {shown:>10}   ({min(values):,.{digits}f} to {max(values):,.{digits}f})")


if __name__ == "__main__":
    main()
