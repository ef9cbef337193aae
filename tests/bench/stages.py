"""What a span costs in each stage of the writing path: `python -m tests.bench.stages [--spans N] [--runs N]`.

One process, one thread, the load of the benches in commits of several bodies, on a SQLite file. Processor time, and
of several runs the smallest: what else runs on the machine only ever adds to it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from tests.bench.load import Body, Chain
from tests.bench.report import heading, line
from tracer.garbage import collect_seldom
from tracer.ingest.apply import Applier
from tracer.ingest.prepare import PreparedSpan, prepare
from tracer.otlp.decode import decode_traces
from tracer.otlp.dialects import preview, read_facts
from tracer.otlp.inflate import inflate
from tracer.prices import PriceBook
from tracer.settings import parse_database_url
from tracer.store.engine import Store
from tracer.store.migrate import migrate

T = TypeVar("T")
BODIES_A_COMMIT = 4
STAGES = ("inflate", "decode", "prepare", "apply", "commit")
LIMIT = 64 << 20


class Clock:
    """Processor time by stage, in seconds."""

    def __init__(self) -> None:
        self.spent = dict.fromkeys(STAGES, 0.0)

    def run(self, stage: str, work: Callable[[], T]) -> T:
        """Do the work and charge it to the stage."""
        begun = time.process_time()
        try:
            return work()
        finally:
            self.spent[stage] += time.process_time() - begun


def one_run(bodies: Sequence[Body], file: Path) -> Clock:
    """Write every body into a new database and return what each stage took."""
    url = parse_database_url(f"sqlite:///{file}")
    migrate(url)
    prices, store, clock = PriceBook(), Store(url, read_connections=1), Clock()
    prices.load()
    applier = Applier(shard=1, prices=prices)
    for number in range(0, len(bodies), BODIES_A_COMMIT):
        spans: list[PreparedSpan] = []
        for one in bodies[number : number + BODIES_A_COMMIT]:
            data = one.data
            body = clock.run("inflate", lambda data=data: inflate(data, encoding="gzip", limit=LIMIT))
            records = clock.run("decode", lambda body=body: decode_traces(body, json=False).spans)
            spans += clock.run("prepare", lambda records=records: prepare(records, asked_project=None, prices=prices))
        begun, before = time.process_time(), clock.spent["apply"]
        with store.writing() as connection:
            clock.run("apply", lambda connection=connection, spans=spans: applier.apply(connection, spans))
        clock.spent["commit"] += time.process_time() - begun - (clock.spent["apply"] - before)
    store.close()
    return clock


def report(*, spans: int, runs: int) -> None:
    """Print which share of the writing path's processor time the reading of the conventions takes."""
    bodies = [one for seed in range(4) for one in Chain(seed).bodies(spans // 4)]
    heading(f"Reading conventions at ingest, {spans:,} spans, one thread")
    shares: list[float] = []
    costs: list[float] = []
    with tempfile.TemporaryDirectory(prefix="stepscope-stages-") as folder:
        for number in range(runs):
            whole = sum(one_run(bodies, Path(folder) / f"{number}.db").spent.values())
            reading = reading_time(bodies)
            shares.append(100 * reading / whole)
            costs.append(reading / spans * 1e6)
    line("reading, µs of CPU a span", costs, digits=1)
    line("share of the writing path, % (at most 30)", shares, digits=1)


def reading_time(bodies: Sequence[Body]) -> float:
    """Seconds of processor time for what ingest reads: every span's facts, and the previews of each trace's root."""
    spent = 0.0
    for one in bodies:
        records = decode_traces(inflate(one.data, encoding="gzip", limit=LIMIT), json=False).spans
        begun = time.process_time()
        for record in records:
            facts = read_facts(record)
            if record.parent_id is None:
                preview(record, facts)
        spent += time.process_time() - begun
    return spent


def main() -> None:
    """Print microseconds of processor time per span and stage."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.stages", description=__doc__)
    parser.add_argument("--spans", type=int, default=24_000, help="spans of one run (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="runs (default: %(default)s)")
    options = parser.parse_args()
    streams = [list(Chain(seed).bodies(options.spans // 4)) for seed in range(4)]
    bodies = [body for group in zip(*streams, strict=True) for body in group]
    spans = sum(one.spans for one in bodies)
    collect_seldom()
    with tempfile.TemporaryDirectory(prefix="stepscope-stages-") as folder:
        runs = [one_run(bodies, Path(folder) / f"{number}.db").spent for number in range(options.runs)]
    for stage in STAGES:
        print(f"  {stage:10} {min(run[stage] for run in runs) / spans * 1e6:8.1f} µs a span")
    print(f"  {'together':10} {min(sum(run.values()) for run in runs) / spans * 1e6:8.1f} µs a span")


if __name__ == "__main__":
    main()
