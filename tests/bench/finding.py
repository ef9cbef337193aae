"""How long it takes to find traces among many: first and deep pages, searches of every kind, one trace whole.

The databases are loaded as `stored` loads them, with the search index. A rare value is one that five traces have,
spread over the whole time. Asked over HTTP, warm (SQLite's file has been read once); a figure is the time from the
request to its whole answer, beside it the processor time of the server, which a busy machine changes less.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.bench.asking import Asker, Request, in_turns, p95
from tests.bench.load import BATCH, MILLISECOND, Body, Chain, body
from tests.bench.report import heading, lacking, machine
from tests.bench.server import Server, running, send
from tests.bench.shapes import large_trace
from tests.bench.stored import BASE_SPANS, SENDERS, Database, load, on_postgres, on_sqlite
from tests.bench.variants import own_postgres
from tracer.ingest.alike import COUNTED, Recount
from tracer.search.merge import merge_once
from tracer.store.engine import Store
from tracer.store.sql import Sql

ASKED = 40
WARMING = 8
"""Turns before those: a search for rare values reads pages of the whole file, as far as its time allows, in each."""

FEW = 100_000
LONG = 7_200 * 10**9
LARGE = 10_000
RARE_WORD = "zephyrquartz"
PROJECT = "bench"
DEEP = 5_000
"""Traces before the deep page."""

AT_ONCE, WORDS, LIMIT = 20, 50, 60
"""Milliseconds: pages and filters; a word; anything else, which is the work limit and what the answer takes."""

FACETS = 300
IDLE = 1.5
"""A load average up to which the machine is ours."""

GROWTH = 1.3
"""What a page or a filter may take more of with many spans."""

NOTHING = 5
"""Milliseconds below which a growth is not looked at: most of it is HTTP."""

TRACES = {
    "by status": ("status:error", AT_ONCE),
    "by a common model": ("model:gpt-4o", AT_ONCE),
    "by a rare model": ("model:rare-model", AT_ONCE),
    "by latency, common": ("latency>100ms", AT_ONCE),
    "by latency, rare": ("latency>1h", AT_ONCE),
    "by a user of 400": ("user:user-7", AT_ONCE),
    "by a rare user": ("user:rare-user", AT_ONCE),
    "by a session of 2,000": ("session:session-7", AT_ONCE),
    "by a tag that all have": ("tag:prod", AT_ONCE),
    "by a rare tag": ("tag:rare-tag", AT_ONCE),
    "a rare word": (RARE_WORD, WORDS),
    "a common word": ("ta", WORDS),
    "no such word": ("nowheretobefound", WORDS),
    "two common words": ("lo mi", LIMIT),
    "a common beginning": ("sta*", LIMIT),
    "a common phrase": ('"timed out after"', LIMIT),
    "a rare phrase": (f'"{RARE_WORD} was found"', LIMIT),
    "a common word that failed": ("ta status:error", LIMIT),
    "by user and status": ("user:user-7 status:error", LIMIT),
    "by what a step is": ("step:(kind:tool latency>50ms)", LIMIT),
    "by a child": ("kind:chain child:(kind:tool status:error)", LIMIT),
    "by metadata": ("metadata.tier:gold", LIMIT),
    "by an attribute": ("attr.llm.provider:anthropic", LIMIT),
    "by what none has": ("environment:nowhere", LIMIT),
    "by cost that none has": ("cost>$1000", LIMIT),
    "by a step that none has": ("kind:guardrail model:nothing*", LIMIT),
}
SPANS = {
    "spans": ("", AT_ONCE),
    "spans by kind and status": ("kind:tool status:error", LIMIT),
    "spans that none has": ("name:nobody", LIMIT),
}


@dataclass(frozen=True)
class Marks:
    """Traces that were put among the others, by their ids."""

    small: str
    large: str


@dataclass(frozen=True)
class Shape:
    """A request of one kind, and within how many ms it is to be answered."""

    request: Request
    limit: int


def report(*, stored: int, stored_postgres: int, kept: Path | None = None) -> None:
    """Print a row for each shape: with few spans stored, with many, and the ratio of the medians.

    What is made under `kept` stays there, and is asked again the next time.
    """
    base = [list(Chain(100 + seed).bodies(BASE_SPANS // SENDERS)) for seed in range(SENDERS)]
    with _folder(kept) as folder:
        few, many = (sqlite_of(folder, size, base) for size in (FEW, stored))
        for database, _ in (few, many):
            _read_once(database.folder)
        _compare("SQLite", few, many, stored)
    if not stored_postgres:
        return
    with tempfile.TemporaryDirectory(prefix="stepscope-bench-") as name, own_postgres() as one, own_postgres() as two:
        if one is None or two is None:
            heading("Finding traces on Postgres")
            lacking("Postgres", "not installed")
            return
        few, many = (
            filled(on_postgres(Path(name) / str(size), url), size, base)
            for size, url in ((FEW, one), (stored_postgres, two))
        )
        _compare("Postgres", few, many, stored_postgres)


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="stepscope-bench-") as folder:
        yield Path(folder)


def sqlite_of(folder: Path, size: int, base: Sequence[Sequence[Body]]) -> tuple[Database, Marks]:
    """The database of so many spans in a folder: the one that is there, else a new one."""
    place = folder / f"sqlite-{size}"
    ready = place / "marks.json"
    if ready.exists():
        found = on_sqlite(place, fresh=False)
        return found, Marks(**json.loads(ready.read_text()))
    shutil.rmtree(place, ignore_errors=True)
    database, marks = filled(on_sqlite(place), size, base)
    ready.write_text(json.dumps(asdict(marks)))
    return database, marks


def filled(database: Database, size: int, base: Sequence[Sequence[Body]]) -> tuple[Database, Marks]:
    """Fill a database with so many spans, some rare ones among them, all of them in the search index."""
    arguments = database.searching
    with running(database.folder, *arguments) as server:
        send(server, base)
        _catch_up(server.url)
    _settle(database)
    load(database, size)
    store = Store(database.url)
    try:
        first, last = _make_rare(store)
        _recount(store)
    finally:
        store.close()
    chain, spans = Chain(1), large_trace(1, LARGE)
    large = spans[0].trace_id.hex()
    bodies = [body(spans[at : at + BATCH]) for at in range(0, len(spans), BATCH)]
    bodies += [body(_saying(chain.trace(first + (last - first) * number // 6))) for number in range(1, 6)]
    newest = chain.trace(time.time_ns() - 10_000 * MILLISECOND)
    bodies.append(body(newest))
    with running(database.folder, *arguments) as server:
        send(server, [bodies])
        _catch_up(server.url)
    _settle(database)
    return database, Marks(newest[0].trace_id.hex(), large)


def _saying(spans: list[Span]) -> list[Span]:
    """A trace whose answer has the rare word."""
    for pair in spans[-1].attributes:
        if pair.key == "output.value":
            pair.value.string_value += f" At last a {RARE_WORD} was found there."
    return spans


def _settle(database: Database) -> None:
    """Join the index's segments, as the service does when it has time."""
    store = Store(database.url)
    try:
        while merge_once(store):
            pass
    finally:
        store.close()


def _read_once(folder: Path) -> None:
    """Warm is what the operating system has in memory: a file of ten gigabytes is not after some hours."""
    for name in folder.glob("stepscope.db*"):
        with name.open("rb", buffering=0) as file:
            while file.read(1 << 24):
                pass


def _catch_up(url: str) -> None:
    with Asker(url) as server:
        end = time.perf_counter() + 600
        while server.read("/api/v1/status")["index"]["state"] != "caught_up":
            if time.perf_counter() > end:
                raise RuntimeError("the index did not catch up")
            time.sleep(0.2)


def _compare(name: str, few: tuple[Database, Marks], many: tuple[Database, Marks], stored: int) -> None:
    heading(f"Finding traces on {name}, ms, with {FEW:,} spans and with {stored:,}")
    machine()
    print(f"  {'':28}{'':>6}|{f'{FEW:,} spans':^24}|{f'{stored:,} spans':^24}|")
    print(f"  {'':28}{'limit':>6}|{'median':>8}{'p95':>8}{'CPU p95':>8}|{'median':>8}{'p95':>8}{'CPU p95':>8}| ratio")
    over = 0
    with asking(few[0]) as (one, ask_one), asking(many[0]) as (two, ask_two):
        less, more = shapes(ask_one, few[1]), shapes(ask_two, many[1])
        for shape, asked in less.items():
            turns = [partial(_ms, one, ask_one, asked.request), partial(_ms, two, ask_two, more[shape].request)]
            a, b = (_Figures.of(took) for took in in_turns(turns, times=ASKED, warming=WARMING))
            ratio = b.middle / a.middle
            alike = asked.limit == AT_ONCE and _items(ask_one, asked.request) == _items(ask_two, more[shape].request)
            late = b.p95 > asked.limit or (alike and ratio > GROWTH and b.middle > NOTHING)
            ours = b.busy_p95 > asked.limit or os.getloadavg()[0] <= IDLE
            word = "" if not late else "  OVER" if ours else "  waits"
            over += late
            print(f"  {shape:28}{asked.limit:>6}|{a.shown}|{b.shown}|{ratio:6.2f}{word}", flush=True)
    print(f"  {len(less) - over} of {len(less)} within their limits; `waits`: others keep the machine busy")
    machine()


@dataclass(frozen=True)
class _Figures:
    """What it took to be answered, and the server's processor time."""

    middle: float
    p95: float
    busy_p95: float

    @classmethod
    def of(cls, took: Sequence[tuple[float, float]]) -> _Figures:
        waits = [wait for wait, _ in took]
        return cls(statistics.median(waits), p95(waits), p95([busy for _, busy in took]))

    @property
    def shown(self) -> str:
        return f"{self.middle:8.1f}{self.p95:8.1f}{self.busy_p95:8.1f}"


@contextmanager
def asking(database: Database) -> Iterator[tuple[Server, Asker]]:
    """A server on a database, and a connection to it."""
    with running(database.folder, *database.searching) as server, Asker(server.url) as asker:
        yield server, asker


def _items(asker: Asker, asked: Request) -> int:
    """How many items a page has: one with more of them may take longer."""
    return len(json.loads(asker.ask(asked)[0])["items"])


def _ms(server: Server, asker: Asker, asked: Request) -> tuple[float, float]:
    before = server.busy_ms
    took = asker.ask(asked)[1]
    return took, server.busy_ms - before


def shapes(server: Asker, marks: Marks) -> dict[str, Shape]:
    """Every request that is measured."""
    deep = server.page_after(DEEP, project=PROJECT)
    pages = {"first page": None, "page 100": deep}
    traces, spans = partial(Request.of, "/api/v1/traces"), partial(Request.of, "/api/v1/spans")
    found = {name: Shape(traces(project=PROJECT, limit=50, cursor=cursor), AT_ONCE) for name, cursor in pages.items()}
    found |= {name: Shape(traces(project=PROJECT, limit=50, q=q), most) for name, (q, most) in TRACES.items()}
    found |= {name: Shape(spans(project=PROJECT, limit=50, q=q), most) for name, (q, most) in SPANS.items()}
    whole = partial(Request.of, project=PROJECT, bodies="false")
    return found | {
        "facets of all": Shape(Request.of("/api/v1/facets", project=PROJECT), FACETS),
        "facets by status": Shape(Request.of("/api/v1/facets", project=PROJECT, q="status:error"), FACETS),
        "a trace of 12 spans": Shape(whole(f"/api/v1/traces/{marks.small}"), 10),
        f"a trace of {LARGE:,} spans": Shape(whole(f"/api/v1/traces/{marks.large}"), 150),
    }


def _recount(store: Store) -> None:
    """Count the traces anew that are alike: those that were copied in SQL are not."""
    recount, after = Recount(), 0
    with store.writing() as connection:
        sql = Sql(connection)
        sql.run("DELETE FROM trace_alike")
        columns = ", ".join(COUNTED)
        while rows := sql.rows(f"SELECT id, {columns} FROM trace WHERE id > ? ORDER BY id LIMIT 10000", [after]):
            recount.add_rows(rows, {})
            after = rows[-1].id
        recount.write(sql)


def _make_rare(store: Store) -> tuple[int, int]:
    """Give five traces, spread over the time, values that no other has; returns when the first and last one began."""
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
        found = sql.rows("SELECT min(start_time) AS first, max(start_time) AS last FROM trace")[0]
    if not store.sqlite:
        with store.maintaining() as connection:
            connection.exec_driver_sql("ANALYZE")
    return found.first, found.last
