"""How long a month of metrics takes: `python -m tests.bench.month [--spans N] [--lines N] [--runs N] [--db URL]`.

The cube's rows of a month are written as they are, without the spans behind them: 30 days, every hour with the same
lines, some of them failing now and then, lengths of time spread as model calls spread them.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from tests.bench.load import MODELS
from tracer.ingest.cube import row_of, write_rows
from tracer.otlp.dialects.reading import Kind
from tracer.queries.metrics import BY, metrics
from tracer.queries.scope import EVERYTHING
from tracer.settings import parse_database_url
from tracer.store.cube import Cell, Period, Totals, line_of, pack_sums
from tracer.store.engine import Store
from tracer.store.histogram import histogram_of
from tracer.store.migrate import migrate
from tracer.store.models import Status
from tracer.store.sql import Sql
from tracer.units import DAY, HOUR, SECOND, Nanos, UnixNanos

DAYS = 30
BEGIN = 20_000 * DAY


def main() -> None:
    """Print the milliseconds that a month takes, by what and in what intervals."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.month", description=__doc__)
    parser.add_argument("--spans", type=int, default=10_000_000, help="spans of the month (default: %(default)s)")
    parser.add_argument("--lines", type=int, default=40, help="names with their models (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each (default: %(default)s)")
    parser.add_argument("--db", help="an empty database; a SQLite file without")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stepscope-month-") as folder:
        url = parse_database_url(options.db or f"sqlite:///{folder}/month.db")
        migrate(url)
        store = Store(url, read_connections=1)
        project, rows = fill(store, spans=options.spans, lines=options.lines)
        print(f"A month of metrics, {options.spans:,} spans, {options.lines:,} lines, {rows:,} rows of the cube")
        for by in (None, *BY):
            for interval in (DAY, HOUR):
                limit = 10
                times: list[float] = []
                for _ in range(options.runs):
                    begun = time.perf_counter()
                    with store.reading() as connection:
                        metrics(
                            connection,
                            scope=EVERYTHING,
                            project_id=project,
                            since=UnixNanos(BEGIN),
                            until=UnixNanos(BEGIN + DAYS * DAY),
                            by=by,
                            interval=Nanos(interval),
                            limit=limit,
                        )
                    times.append((time.perf_counter() - begun) * 1_000)
                name = f"by {by or 'nothing'}, in {'days' if interval == DAY else 'hours'}, ms"
                print(f"  {name:42} {statistics.median(times):>10,.0f}   ({min(times):,.0f} to {max(times):,.0f})")
        store.close()


def fill(store: Store, *, spans: int, lines: int) -> tuple[int, int]:
    """Write the rows; returns the project's row number and how many they are."""
    written = 0
    with store.writing() as connection:
        sql = Sql(connection)
        sql.run("INSERT INTO project (id, slug, name, created_at) VALUES (1, 'month', 'month', 0)")
        for day in range(DAYS):
            rows = list(_day(BEGIN + day * DAY, spans / DAYS / 24 / lines, lines))
            write_rows(sql, rows)
            written += len(rows)
    return 1, written


def _day(start: int, spans: float, lines: int) -> Iterator[tuple[Any, ...]]:
    chance = random.Random(start)
    for number in range(lines):
        kind = (Kind.llm, Kind.tool, Kind.chain)[number % 3]
        model = MODELS[number % len(MODELS)][0] if kind is Kind.llm else None
        names = (f"step_{number}", model)
        for status, part in ((Status.ok, 0.97), (Status.error, 0.03)):
            whole = Totals()
            cell = Cell(1, int(Period.day), start, line_of(*names), int(kind), int(status))
            for hour in range(24):
                count = int(spans * part + chance.random())
                if count:
                    found = _content(chance, count, kind is Kind.llm)
                    whole.add(found)
                    yield row_of(cell._replace(period=0, start=start + hour * HOUR), 0, names, found)
            yield row_of(cell, 0, names, whole)


def _content(chance: random.Random, count: int, calls: bool) -> Totals:
    lengths = [int(chance.lognormvariate(0, 0.8) * SECOND) for _ in range(min(count, 300))]
    sums = {"duration": sum(lengths)}
    firsts = [length // 3 for length in lengths] if calls else []
    if calls:
        sums |= {"told": count, "input": 600 * count, "output": 200 * count, "total": 800 * count, "cost": 900 * count}
        sums |= {"cost_count": count, "first_tokens": sum(firsts), "first_token_count": len(firsts)}
    return Totals(count, pack_sums(sums), histogram_of(lengths), histogram_of(firsts))


if __name__ == "__main__":
    main()
