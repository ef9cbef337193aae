"""How long a list takes that is full of traces: first and deep pages, searches of every kind, with few and with many.

The databases are loaded as `stored` loads them. A rare value is one that five traces have, spread over the whole time.
Figures are milliseconds of server time, warm, at the 95th percentile.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy import Connection

from tests.bench.load import Body, Chain
from tests.bench.report import heading, lacking, line
from tests.bench.server import running, send
from tests.bench.stored import BASE_SPANS, SENDERS, Database, load, on_postgres, on_sqlite
from tests.bench.variants import own_postgres
from tracer.queries.facets import facets
from tracer.queries.found import found_spans, found_traces
from tracer.queries.scope import EVERYTHING
from tracer.queries.traces import newest_traces
from tracer.search.parse import read_search
from tracer.store.engine import Store
from tracer.store.sql import Sql

ASKED = 20
FEW = 100_000
LONG = 7_200 * 10**9
TRACES = {
    "by status": "status:error",
    "by a common model": "model:gpt-4o",
    "by a rare model": "model:rare-model",
    "by latency, common": "latency>100ms",
    "by latency, rare": "latency>1h",
    "by a user of 400": "user:user-7",
    "by a rare user": "user:rare-user",
    "by a session of 2,000": "session:session-7",
    "by a tag that all have": "tag:prod",
    "by a rare tag": "tag:rare-tag",
    "by two of these": "user:user-7 status:error",
    "by what a step is": "step:(kind:tool latency>50ms)",
    "by a child": "kind:chain child:(kind:tool status:error)",
    "by metadata": "metadata.tier:gold",
    "by an attribute": "attr.llm.provider:anthropic",
    "by what none has": "environment:nowhere",
    "by cost that none has": "cost>$1000",
    "by a step that none has": "kind:guardrail model:nothing*",
}
SPANS = {"spans": "", "spans by kind and status": "kind:tool status:error", "spans that none has": "name:nobody"}


def report(*, stored: int, stored_postgres: int) -> None:
    """Print a row for each shape: with few spans stored, with many, and the ratio."""
    base = [list(Chain(100 + seed).bodies(BASE_SPANS // SENDERS)) for seed in range(SENDERS)]
    with tempfile.TemporaryDirectory(prefix="stepscope-bench-") as folder:
        few, many = (on_sqlite(Path(folder) / name) for name in ("few", "many"))
        _compare("SQLite", few, many, base, stored)
    with tempfile.TemporaryDirectory(prefix="stepscope-bench-") as folder, own_postgres() as one, own_postgres() as two:
        if one is None or two is None:
            heading("Finding traces on Postgres")
            lacking("Postgres", "not installed")
            return
        few, many = (on_postgres(Path(folder) / name, url) for name, url in (("few", one), ("many", two)))
        _compare("Postgres", few, many, base, stored_postgres)


def _compare(name: str, few: Database, many: Database, base: Sequence[Sequence[Body]], stored: int) -> None:
    heading(f"Finding traces on {name}, p95 ms with {FEW:,} spans, with {stored:,}, and the ratio")
    figures: list[dict[str, float]] = []
    for database, wanted in ((few, FEW), (many, stored)):
        with running(database.folder, *database.arguments) as server:
            send(server, base)
        load(database, wanted)
        store = Store(database.url)
        try:
            _make_rare(store)
            figures.append(_measure(store))
        finally:
            store.close()
    for shape in figures[0]:
        less, more = figures[0][shape], figures[1][shape]
        line(f"{shape}, {FEW:,}", [less], digits=1)
        line(f"{shape}, {stored:,}", [more], digits=1)
        line(f"{shape}, ratio", [more / less], digits=2)


def _make_rare(store: Store) -> None:
    """Give five traces, spread over the time, values that no other has."""
    with store.writing() as connection:
        sql = Sql(connection)
        last = sql.rows("SELECT max(id) FROM trace")[0][0]
        for number in range(1, 6):
            pk = last * number // 6
            row = sql.rows("SELECT * FROM trace WHERE id = ?", [pk])[0]
            sql.run(
                "UPDATE trace SET user_id = ?, tags = ?, duration = ?, end_time = start_time + ? WHERE id = ?",
                ["rare-user", '["rare-tag"]', LONG, LONG, pk],
            )
            sql.run(
                "UPDATE span SET model = ? WHERE trace_pk = ? AND span_id = "
                "(SELECT min(span_id) FROM span WHERE trace_pk = ? AND kind = 3)",
                ["rare-model", pk, pk],
            )
            for field, value in (("model", "rare-model"), ("tag", "rare-tag")):
                label = (row.project_id, field, value, row.start_time, pk)
                sql.insert("trace_label", ("project_id", "field", "value", "start_time", "trace_pk"), [label])
            sql.run(
                "UPDATE trace SET tags = ?, end_time = start_time + ? WHERE id = ?", ['["rare-tag"]', 7_200 * 10**9, pk]
            )
    if not store.sqlite:
        with store.maintaining() as connection:
            connection.exec_driver_sql("ANALYZE")


def _measure(store: Store) -> dict[str, float]:
    with store.reading() as connection:
        project = Sql(connection).rows("SELECT id FROM project ORDER BY id")[0].id
        deep: str | None = None
        for _ in range(5):
            deep = newest_traces(connection, scope=EVERYTHING, project_id=project, limit=1000, after=deep).next_cursor
    found = {
        "first page": _p95(store, lambda conn: newest_traces(conn, scope=EVERYTHING, project_id=project)),
        "page 100": _p95(store, lambda conn: newest_traces(conn, scope=EVERYTHING, project_id=project, after=deep)),
    }
    for name, q in TRACES.items():
        search = read_search(q)
        found[name] = _p95(
            store, lambda conn, search=search: found_traces(conn, search, scope=EVERYTHING, project_id=project)
        )
    for name, q in SPANS.items():
        search = read_search(q, spans=True)
        found[name] = _p95(
            store, lambda conn, search=search: found_spans(conn, search, scope=EVERYTHING, project_id=project)
        )
    search = read_search("status:error")
    found["facets of all"] = _p95(store, lambda conn: facets(conn, None, scope=EVERYTHING, project_id=project))
    found["facets by status"] = _p95(store, lambda conn: facets(conn, search, scope=EVERYTHING, project_id=project))
    return found


def _p95(store: Store, ask: Callable[[Connection], object]) -> float:
    took: list[float] = []
    for _ in range(ASKED):
        with store.reading() as connection:
            begun = time.perf_counter()
            ask(connection)
            took.append((time.perf_counter() - begun) * 1_000)
    return statistics.quantiles(took[2:], n=20)[-1]
