"""A writer and what deletes, over an empty database: for the tests of deleting and of `verify`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.ingest.reference import Sent
from tests.ingest.test_exactly_once import PRICES, prepared, trace_id
from tracer.ingest.apply import Changes
from tracer.ingest.deleter import Deleter
from tracer.ingest.receipts import Receipt
from tracer.ingest.retention import Retention
from tracer.ingest.verify import Difference, verify
from tracer.ingest.writer import Writer
from tracer.otlp.records import LogRecord, Scope
from tracer.search.worker import Indexer
from tracer.settings import parse_database_url
from tracer.store.engine import Store
from tracer.store.migrate import migrate
from tracer.store.sql import Sql

SECOND = 10**9


@dataclass
class Bench:
    """One process: its store, its writer, its deleter, its index, and what it told open pages."""

    store: Store
    writer: Writer
    deleter: Deleter
    indexer: Indexer
    told: list[Changes] = field(default_factory=list)

    def send(self, facts: Sequence[Sent], logs: Sequence[LogRecord] = ()) -> dict[str, int]:
        """Deliver a batch and return how many spans and log records of it were refused, by reason."""
        spans = [prepared(fact) for fact in facts]
        return dict(self.writer.submit(spans, [("p", log) for log in logs]).result().reasons)

    def index(self) -> None:
        """Bring the search index up to what is stored."""
        while self.indexer.step():
            pass

    def delete(self, trace: int) -> Receipt:
        """Delete one trace, which has to be there."""
        row = self.rows("SELECT id, project_id FROM trace WHERE trace_id = ?", [trace_id(trace)])[0]
        return self.deleter.delete_trace(row.id, project_id=row.project_id)

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> Sequence[Any]:
        """Run a query."""
        with self.store.reading() as connection:
            return Sql(connection).rows(statement, parameters)

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Run a statement that plants damage, and return how many rows it changed."""
        with self.store.writing() as connection:
            return Sql(connection).run(statement, parameters)

    def count(self, table: str) -> int:
        """How many rows a table has."""
        return int(self.rows(f"SELECT count(*) FROM {table}")[0][0])

    def differences(self) -> list[Difference]:
        """What `verify` finds."""
        return list(verify(self.store))


@contextmanager
def opened(database_url: str) -> Iterator[Store]:
    """A new database, migrated."""
    url = parse_database_url(database_url)
    migrate(url)
    store = Store(url, read_connections=4)
    yield store
    store.close()


@contextmanager
def bench(store: Store, *, retention: Retention | None = None) -> Iterator[Bench]:
    """A started writer and deleter; both are stopped at the end."""
    told: list[Changes] = []
    writer = Writer(store, prices=PRICES, on_commit=told.append)
    deleter = Deleter(store, writer, on_commit=told.append, retention=retention)
    made = Bench(store, writer, deleter, Indexer(store, on=True, busy=lambda: False), told)
    writer.start()
    try:
        yield made
    finally:
        made.deleter.stop()
        writer.stop()


def log(trace: int, span: int, text: str = "a prompt", *, time: int = SECOND) -> LogRecord:
    """A log record of a span."""
    return LogRecord(trace_id(trace), span.to_bytes(8), time, "gen_ai.user.message", "", text, {}, {}, Scope())


def one_span(trace: int, span: int = 1, *, start: int = 1, **more: Any) -> Sent:
    """A finished span that starts so many seconds after the epoch."""
    made: dict[str, Any] = {"parent": None, "name": "step", "start": start * SECOND, "end": (start + 1) * SECOND}
    return Sent(trace, span, **{**made, **more})


def large_text(trace: int) -> str:
    """Some 20 KB that compress badly."""
    return " ".join(f"{number * 7919 * (trace + 3) % 1_000_003:x}" for number in range(3_500))
