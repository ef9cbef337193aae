"""What the tests of the index share: steps to store, an index to write, and the search once more, slow and obvious."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from tracer.ingest.apply import Applier
from tracer.ingest.prepare import PreparedSpan, prepare
from tracer.otlp.records import Attributes, Event, Scope, SpanRecord
from tracer.prices import PriceBook
from tracer.search.documents import Fragment, Side
from tracer.search.find import Found, find_traces
from tracer.search.query import meets
from tracer.search.tree import All, Says
from tracer.search.verify import verify_index
from tracer.search.walk import Place, Range
from tracer.search.worker import Indexer
from tracer.settings import parse_database_url
from tracer.store.engine import Store
from tracer.store.migrate import migrate
from tracer.store.sql import Sql

SECOND = 10**9
PRICES = PriceBook()


@dataclass(frozen=True)
class Said:
    """A step as a client sends it. `seq` set means that it still runs."""

    trace: int
    span: int
    name: str = "step"
    input: str | None = None
    output: str | None = None
    error: str = ""
    exception: str | None = None
    start: int = 1
    seq: int | None = None

    @property
    def key(self) -> tuple[int, int]:
        return self.trace, self.span

    def beats(self, other: Said) -> bool:
        if (self.seq is None) != (other.seq is None):
            return self.seq is None
        return self.seq is not None and other.seq is not None and self.seq > other.seq


def record(said: Said) -> SpanRecord:
    attributes: Attributes = {"openinference.span.kind": "CHAIN"}
    for side, text in (("input", said.input), ("output", said.output)):
        if text is not None:
            attributes |= {f"{side}.value": text, f"{side}.mime_type": "text/plain"}
    if said.seq is not None:
        attributes["stepscope.seq"] = said.seq
    events = [Event("exception", 1, {"exception.message": said.exception})] if said.exception is not None else []
    return SpanRecord(
        said.trace.to_bytes(16),
        said.span.to_bytes(8),
        None,
        said.name,
        1,
        said.start * SECOND,
        0 if said.seq is not None else (said.start + 1) * SECOND,
        2 if said.error else 1,
        said.error,
        attributes,
        events,
        [],
        {},
        Scope(),
    )


def prepared(*records: SpanRecord, project: str = "p") -> list[PreparedSpan]:
    return prepare(list(records), asked_project=project, prices=PRICES)


class Shelf:
    """A store with an index that is written when told to."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.applier = Applier(shard=1, prices=PRICES)
        self.indexer = Indexer(store, on=True, busy=lambda: False)

    def put(self, *said: Said, project: str = "p") -> None:
        self.put_records(*(record(one) for one in said), project=project)

    def put_records(self, *records: SpanRecord, project: str = "p") -> None:
        with self.store.writing() as connection:
            self.applier.apply(connection, prepared(*records, project=project))

    def index(self) -> None:
        while self.indexer.step():
            pass

    def find(self, said: Sequence[Says], *, after: Place | None = None, limit: int = 50, seconds: float = 60) -> Found:
        with self.store.reading() as connection:
            sql = Sql(connection)
            projects = tuple(row.id for row in sql.rows("SELECT id FROM project ORDER BY id"))
            range_ = Range(projects, after=after)
            return find_traces(sql, All(tuple(said)), range_, limit=limit, seconds=seconds)

    def traces(self, terms: Sequence[Says], *, limit: int = 1000) -> list[int]:
        """The numbers of the traces found, newest first."""
        places = self.find(terms, limit=limit).places
        with self.store.reading() as connection:
            rows = Sql(connection).rows("SELECT id, trace_id FROM trace")
        numbers = {row.id: int.from_bytes(row.trace_id) for row in rows}
        return [numbers[place.pk] for place in places]

    def differences(self) -> list[str]:
        return [f"{one.trace_pk}: {one.words}" for one in verify_index(self.store)]

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        with self.store.reading() as connection:
            return [tuple(row) for row in Sql(connection).rows(statement)]

    def pk(self, trace: int) -> int:
        with self.store.reading() as connection:
            return Sql(connection).rows("SELECT id FROM trace WHERE trace_id = ?", [trace.to_bytes(16)])[0].id


TABLES = (
    "search_work", "search_seen", "search_block", "search_segment", "partial_output", "span", "pack", "change",
    "log_record", "project_counter", "trace_label", "trace_alike", "trace", "project",
)  # fmt: skip


@contextmanager
def opened(database_url: str) -> Iterator[Store]:
    url = parse_database_url(database_url)
    migrate(url)
    store = Store(url, read_connections=3)
    try:
        yield store
    finally:
        store.close()


def emptied(store: Store) -> Shelf:
    """The store without anything in it, with an indexer that remembers nothing."""
    with store.writing() as connection:
        for table in TABLES:
            connection.exec_driver_sql(f"DELETE FROM {table}")
        connection.exec_driver_sql("UPDATE search_state SET owner = '', until = 0")
    return Shelf(store)


def kept(said: Sequence[Said]) -> dict[tuple[int, int], Said]:
    """The version of each step that stays."""
    found: dict[tuple[int, int], Said] = {}
    for one in said:
        known = found.get(one.key)
        if known is None or (known.seq is not None and one.beats(known)):
            found[one.key] = one
    return found


def texts_of(said: Said) -> list[Fragment]:
    texts = [(Side.NAME, said.name), (Side.INPUT, said.input), (Side.OUTPUT, said.output)]
    texts += [(Side.ERROR, said.error), (Side.ERROR, said.exception)]
    return [(side, text) for side, text in texts if text]


def expected(said: Sequence[Said], terms: Sequence[Says]) -> list[int]:
    """The traces that meet every term, newest first, from nothing but the set of steps."""
    traces: dict[int, list[Said]] = {}
    for one in kept(said).values():
        traces.setdefault(one.trace, []).append(one)
    return [
        trace
        for trace, steps in sorted(traces.items(), key=lambda item: min(one.start for one in item[1]), reverse=True)
        if all(any(_meets(one, term) for one in steps) for term in terms)
    ]


def _meets(said: Said, asked: Says) -> bool:
    term = asked.term
    return any(
        side in term.sides and meets(text, reading) for side, text in texts_of(said) for reading in term.readings
    )


def finished(said: Said) -> Said:
    return replace(said, seq=None)


def now() -> int:
    return time.time_ns()
