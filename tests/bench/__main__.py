"""Prints the figures: `make bench`, or `python -m tests.bench [--spans N] [--runs N] [--only SECTION ...]`.

Every figure stands beside a physical limit or a peer measured in the same run, as a ratio: the machine's speed drifts,
the ratio does not. Medians of the runs, with the range.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.bench import (
    dead,
    finding,
    finding_peers,
    floor,
    live,
    pages,
    peers,
    sdk,
    searching,
    shapes,
    stages,
    stored,
    sustained,
    taking_out,
    variants,
)
from tests.bench.load import Body, Chain
from tests.bench.report import heading, line
from tests.bench.server import Figures, running, send, warm_up

SENDERS = 4
SECTIONS = (
    "ingest",
    "searching",
    "reading",
    "variants",
    "shapes",
    "live",
    "pages",
    "stored",
    "finding",
    "sustained",
    "export",
    "peers",
    "finding-peers",
    "sdk",
    "dead",
)


def main() -> None:
    """Measure what was asked for, everything unless told otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--spans", type=int, default=60_000, help="spans of one run (default: %(default)s)")
    parser.add_argument("--peer-spans", type=int, default=8_000, help="as many for others (default: %(default)s)")
    parser.add_argument("--peers-find", type=int, default=98_000, help="to be found in others (default: %(default)s)")
    parser.add_argument("--stored", type=int, default=10_000_000, help="spans stored before (default: %(default)s)")
    parser.add_argument("--stored-postgres", type=int, default=1_000_000, help="on Postgres (default: %(default)s)")
    parser.add_argument("--exported", type=int, default=1_000_000, help="spans taken out (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=4_000, help="spans/s of the steady load (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=10, help="how long it lasts (default: %(default)s)")
    parser.add_argument("--calls", type=int, default=5_000, help="paced calls of an SDK (default: %(default)s)")
    parser.add_argument("--tight", type=int, default=100_000, help="calls in a tight loop (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each (default: %(default)s)")
    parser.add_argument("--keep", type=Path, help="where databases of the finding section stay, and are found again")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, help="leave the other sections out")
    options = parser.parse_args()
    streams = [list(Chain(seed).bodies(options.spans // SENDERS)) for seed in range(SENDERS)]
    if "ingest" in options.only:
        ingest(streams, spans=options.spans, runs=options.runs)
    if "searching" in options.only:
        searching.report(streams, runs=options.runs)
    if "reading" in options.only:
        stages.report(spans=options.spans, runs=options.runs)
    if "variants" in options.only:
        variants.report(streams, runs=options.runs)
    if "shapes" in options.only:
        shapes.report(runs=options.runs)
    if "live" in options.only:
        live.report()
    if "pages" in options.only:
        pages.report(sizes=(12, 2_000, 10_000, 100_000), peer_sizes=(12, 2_000), runs=options.runs)
    if "stored" in options.only:
        stored.report(streams, stored=options.stored, stored_postgres=options.stored_postgres, runs=options.runs)
    if "finding" in options.only:
        finding.report(stored=options.stored, stored_postgres=options.stored_postgres, kept=options.keep)
    if "sustained" in options.only:
        sustained.report(rate=options.rate, minutes=options.minutes)
    if "export" in options.only:
        taking_out.report(spans=options.exported)
    if "sdk" in options.only:
        sdk.report(runs=options.runs, calls=options.calls, tight=options.tight)
    if "dead" in options.only:
        dead.report(runs=options.runs)
    if "peers" in options.only:
        peers.report(streams, spans=options.peer_spans, runs=options.runs)
    if "finding-peers" in options.only:
        finding_peers.report(spans=options.peers_find)


def ingest(streams: list[list[Body]], *, spans: int, runs: int) -> None:
    """Print what SQLite takes, beside the floor."""
    done = [one_round(streams) for _ in range(runs)]
    heading(f"Ingest on SQLite, {SENDERS} senders, bodies of 512 spans, {spans:,} spans, {runs} runs")
    line("acknowledged and durable, spans/s", [run.spans_per_second for run, _, _ in done])
    line("bare pipeline on one core, spans/s", [bare for _, bare, _ in done])
    line("ratio to the bare pipeline", [run.spans_per_second / bare for run, bare, _ in done], digits=2)
    line("server CPU, s per 1,000 spans", [run.cpu_per_1000 for run, _, _ in done], digits=3)
    line("acknowledgement p50, ms", [run.ack_p50_ms for run, _, _ in done])
    line("acknowledgement p99, ms", [run.ack_p99_ms for run, _, _ in done])
    line("memory idle, MiB", [run.idle_mib for run, _, _ in done])
    line("memory at its peak, MiB", [run.peak_mib for run, _, _ in done])
    line("database bytes per span", [size for _, _, size in done])


def one_round(streams: list[list[Body]]) -> tuple[Figures, float, float]:
    """Our server and the floor next to each other, so that their ratio is within one moment of the machine."""
    with tempfile.TemporaryDirectory(prefix="stepscope-bench-") as folder:
        data = Path(folder)
        bare = floor.spans_per_second([one for bodies in streams for one in bodies], data / "floor.db")
        with running(data, "--search", "off") as server:
            idle = server.memory_mib
            first = warm_up(server)
            figures = replace(send(server, streams), idle_mib=idle)
        stored = sum(one.spans for bodies in (first, *streams) for one in bodies)
        return figures, bare, shapes.size_of(data) / stored


if __name__ == "__main__":
    main()
