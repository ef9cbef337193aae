"""Ingest into a database that holds much already: what ten million spans beside it change.

A base of traces is recorded by the service itself; a loader then copies its rows, trace by trace, under new trace ids
and earlier times until there are as many as wanted. Every table that grows with the spans grows, and every index; so
does the search index, when the base is in it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Table, text

from tests.bench.load import Body, Chain
from tests.bench.report import heading, lacking, line
from tests.bench.server import running, send
from tests.bench.variants import own_postgres
from tracer.search.segments import decode_runs, encode_runs
from tracer.settings import parse_database_url
from tracer.store.engine import Store
from tracer.store.models import PACKS_PER_TRACE, metadata, trace
from tracer.store.sql import Sql

BASE_SPANS = 24_000
SENDERS = 4
DAY = 86_400 * 10**9
OFF = ("--search", "off")
"""For measuring what words have no part in."""

OWNED: dict[str, str] = {
    "trace": "id", "span": "trace_pk", "pack": "id", "partial_output": "trace_pk",
    "trace_label": "trace_pk", "search_seen": "trace_pk",
}  # fmt: skip
"""The tables whose rows belong to one trace, and the column that says to which (a pack's number holds it)."""


@dataclass(frozen=True)
class Database:
    """Where the rows are, how a server is told so, and what makes a new trace id in SQL."""

    folder: Path
    url: URL
    searching: tuple[str, ...]
    """Arguments of a server with the search index."""
    new_id: str

    @property
    def arguments(self) -> tuple[str, ...]:
        """Those of one without it."""
        return (*OFF, *self.searching)


def report(streams: Sequence[Sequence[Body]], *, stored: int, stored_postgres: int, runs: int) -> None:
    """Print the rate with many spans stored, and its ratio to that with 100 thousand."""
    with tempfile.TemporaryDirectory(prefix="stepscope-bench-") as folder:
        few, many = (on_sqlite(Path(folder) / name) for name in ("few", "many"))
        _compare("SQLite", few, many, streams, stored=stored, runs=runs)
    with (
        tempfile.TemporaryDirectory(prefix="stepscope-bench-") as folder,
        own_postgres() as one,
        own_postgres() as two,
    ):
        if one is None or two is None:
            heading("Ingest on Postgres into much that is stored")
            lacking("Postgres", "not installed")
            return
        few, many = (on_postgres(Path(folder) / name, url) for name, url in (("few", one), ("many", two)))
        _compare("Postgres", few, many, streams, stored=stored_postgres, runs=runs)


def on_sqlite(folder: Path, *, fresh: bool = True) -> Database:
    if fresh:
        folder.mkdir()
    return Database(folder, parse_database_url(f"sqlite:///{folder / 'stepscope.db'}"), (), "randomblob(16)")


def on_postgres(folder: Path, url: str) -> Database:
    folder.mkdir()
    return Database(folder, parse_database_url(url), ("--db", url), "decode(md5(random()::text || id::text), 'hex')")


def _compare(
    name: str, few: Database, many: Database, streams: Sequence[Sequence[Body]], *, stored: int, runs: int
) -> None:
    heading(f"Ingest on {name} with {stored:,} spans stored, and with 100,000, spans/s")
    base = [list(Chain(100 + seed).bodies(BASE_SPANS // SENDERS)) for seed in range(SENDERS)]
    for database, wanted in ((few, 100_000), (many, stored)):
        with running(database.folder, *database.arguments) as server:
            send(server, base)
        loaded = load(database, wanted)
        if database is many:
            line("loaded, spans/s", [loaded])
    rates: dict[str, list[float]] = {"few": [], "many": []}
    waits: list[float] = []
    for number in range(runs):
        fresh = _renamed(streams, number)
        for database, kept in ((few, rates["few"]), (many, rates["many"])):
            with running(database.folder, *database.arguments) as server:
                figures = send(server, fresh)
            kept.append(figures.spans_per_second)
            if database is many:
                waits.append(figures.ack_p99_ms)
    line("with 100,000", rates["few"])
    line(f"with {stored:,}", rates["many"])
    line("ratio", [b / a for a, b in zip(rates["few"], rates["many"], strict=True)], digits=2)
    line(f"acknowledgement p99 with {stored:,}, ms", waits)


def _renamed(streams: Sequence[Sequence[Body]], number: int) -> list[list[Body]]:
    """A load of the same size that no run has sent before."""
    if number == 0:
        return [list(bodies) for bodies in streams]
    return [
        list(Chain(1_000 * number + at).bodies(sum(one.spans for one in bodies))) for at, bodies in enumerate(streams)
    ]


def load(database: Database, wanted: int) -> float:
    """Copy the base until there are `wanted` spans; returns spans a second."""
    store = Store(database.url)
    began = time.perf_counter()
    try:
        with store.writing() as connection:
            newest = connection.execute(text("SELECT max(id) FROM trace")).scalar_one()
            spans = connection.execute(text("SELECT count(*) FROM span")).scalar_one()
            index = _index(Sql(connection))
        copies = max(0, wanted // spans - 1)
        for number in range(1, copies + 1):
            with store.writing() as connection:
                for name, key in OWNED.items():
                    _copy(connection, metadata.tables[name], key, newest, number, database.new_id, index.entries)
                _copy_segments(Sql(connection), index, newest, number)
        with store.writing() as connection:
            connection.execute(
                text("UPDATE search_state SET next_entry = next_entry + :n"), {"n": copies * index.entries}
            )
            connection.execute(
                text(
                    "UPDATE project_counter SET trace_count = trace_count * :n, span_count = span_count * :n, "
                    "body_bytes = body_bytes * :n"
                ),
                {"n": copies + 1},
            )
            if not store.sqlite:
                after = "SELECT setval(pg_get_serial_sequence('trace', 'id'), (SELECT max(id) FROM trace))"
                connection.execute(text(after))
        took = time.perf_counter() - began
        if not store.sqlite:
            # What autovacuum would do on its own within minutes, in the middle of the measurement.
            with store.maintaining() as connection:
                connection.execute(text("VACUUM ANALYZE"))
        return spans * copies / took
    finally:
        store.close()


@dataclass(frozen=True)
class _Index:
    """The base's segments, and how many entries they have."""

    segments: list[Any]
    entries: int
    newest_block: int


def _index(sql: Sql) -> _Index:
    columns = ", ".join(column.name for column in metadata.tables["search_segment"].columns)
    segments = list(sql.rows(f"SELECT {columns} FROM search_segment ORDER BY id"))
    newest = sql.rows("SELECT coalesce(max(id), 0) AS id FROM search_block")[0].id
    return _Index(segments, sum(one.entries for one in segments), newest)


def _copy_segments(sql: Sql, index: _Index, newest: int, number: int) -> None:
    """Copy the base's part of the search index once more, for the copies of its traces."""
    up, earlier = newest * number, index.entries * number
    columns = tuple(column.name for column in metadata.tables["search_segment"].columns)
    for segment in index.segments:
        changed = {
            "id": segment.id + earlier,
            "first_trace": segment.first_trace + up,
            "last_trace": segment.last_trace + up,
            "runs": encode_runs((pk + up, count) for pk, count in decode_runs(segment.runs)),
        }
        values = tuple(changed.get(name, getattr(segment, name)) for name in columns)
        sql.insert("search_segment", columns, [values])
    sql.run(
        f"INSERT INTO search_block (segment_id, first_term, data) SELECT segment_id + {earlier}, first_term, data "
        f"FROM search_block WHERE id <= {index.newest_block}"
    )


def _copy(connection: Connection, table: Table, key: str, newest: int, number: int, new_id: str, entries: int) -> None:
    """Copy the base's rows of one table once more, `number` days earlier."""
    width = PACKS_PER_TRACE if table.name == "pack" else 1
    values: list[str] = []
    for column in table.columns:
        if column.name == key:
            values.append(f"{key} + {newest * number * width}")
        elif table is trace and column.name == "trace_id":
            values.append(new_id)
        elif column.name == "entry":
            values.append(f"entry + {entries * number}")
        elif column.name in ("start_time", "end_time"):
            values.append(f"{column.name} - {number * DAY // 24}")
        else:
            values.append(f'"{column.name}"')
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    last = newest * width + width - 1
    connection.execute(
        text(f"INSERT INTO {table.name} ({names}) SELECT {', '.join(values)} FROM {table.name} WHERE {key} <= {last}")
    )
