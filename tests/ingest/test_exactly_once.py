"""Order, repetition and lateness change nothing: the stored state is a function of the set of facts."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.databases import NewDatabase
from tests.ingest.reference import Expected, Sent, expected
from tracer.errors import BadPayload
from tracer.ingest.apply import Applier
from tracer.ingest.prepare import PreparedSpan, prepare
from tracer.ingest.writer import Writer
from tracer.otlp.records import Attributes, Scope, SpanRecord
from tracer.prices import PriceBook
from tracer.queries.scope import EVERYTHING
from tracer.queries.steps import steps, tree
from tracer.queries.traces import trace_by_id
from tracer.settings import parse_database_url
from tracer.store.engine import Store
from tracer.store.migrate import migrate
from tracer.store.models import metadata, search_state

SECOND = 10**9
PRICES = PriceBook()
KINDS = ("chain", "llm", "embedding", "tool", "agent")


def trace_id(number: int) -> bytes:
    return number.to_bytes(16)


def span_id(number: int) -> bytes:
    return number.to_bytes(8)


def prepared(fact: Sent) -> PreparedSpan:
    attributes: Attributes = {"openinference.span.kind": fact.kind.upper()}
    if fact.text is not None:
        attributes |= {"input.value": fact.text, "input.mime_type": "text/plain"}
    if fact.tokens is not None:
        attributes |= {"llm.token_count.prompt": fact.tokens[0], "llm.token_count.completion": fact.tokens[1]}
    if fact.response_id is not None:
        attributes["gen_ai.response.id"] = fact.response_id
    if fact.model is not None:
        attributes["llm.model_name"] = fact.model
    if fact.session is not None:
        attributes["session.id"] = fact.session
    if fact.user is not None:
        attributes["user.id"] = fact.user
    if fact.tags:
        attributes["tag.tags"] = [*sorted(fact.tags)]
    if fact.metadata:
        attributes["metadata"] = json.dumps(dict(fact.metadata))
    if fact.seq is not None:
        attributes["stepscope.seq"] = fact.seq
    record = SpanRecord(
        trace_id(fact.trace),
        span_id(fact.span),
        None if fact.parent is None or fact.parent == fact.span else span_id(fact.parent),
        fact.name,
        1,
        fact.start,
        0 if fact.running else fact.end or 0,
        2 if fact.error else 1,
        "",
        attributes,
        [],
        [],
        {},
        Scope(),
    )
    return prepare([record], asked_project="p", prices=PRICES)[0]


@st.composite
def span_facts(draw: st.DrawFn) -> list[Sent]:
    """The versions of each span of one or two traces: perhaps running ones, perhaps a finished one."""
    facts: list[Sent] = []
    for trace in range(1, draw(st.integers(1, 2)) + 1):
        for number in range(1, draw(st.integers(1, 7)) + 1):
            text = draw(st.sampled_from([None, "short", "a question " * 40]))
            kind = draw(st.sampled_from(KINDS))
            base = Sent(
                trace,
                number,
                draw(st.one_of(st.none(), st.integers(1, 9))),
                draw(st.sampled_from(["plan", "answer", "look_up"])) + str(number),
                draw(st.integers(1, 6)) * SECOND,
                kind=kind,
                session=draw(st.sampled_from([None, None, "s1", "s2"])),
                user=draw(st.sampled_from([None, None, "mara"])),
                tags=draw(st.frozensets(st.sampled_from(["prod", "eu"]))),
                metadata=draw(st.sampled_from([(), (("plan", "pro"),), (("plan", "free"), ("k", "v"))])),
                text=text,
            )
            versions = draw(st.integers(0, 2))
            for seq in range(1, versions + 1):
                other_start = base.start + draw(st.sampled_from([0, 0, 0, SECOND]))
                facts.append(replace(base, seq=seq, start=other_start, model=None))
            if versions == 0 or draw(st.booleans()):
                finished = replace(
                    base,
                    end=base.start + draw(st.integers(0, 5)) * SECOND or None,
                    error=draw(st.booleans()),
                    model=draw(st.sampled_from([None, "made-up-1", "made-up-2"])),
                )
                if kind in ("llm", "embedding"):
                    finished = replace(
                        finished,
                        tokens=draw(st.sampled_from([None, (10, 5), (7, 0)])),
                        response_id=draw(st.sampled_from([None, None, "r1", "r2"])),
                    )
                facts.append(finished)
    return facts


class Databases:
    """Empty databases for each example, made by emptying one."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @contextmanager
    def empty(self) -> Iterator[Store]:
        with self.store.writing() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())
            connection.execute(search_state.insert().values(id=1, owner="", until=0, next_entry=1))
        yield self.store


@pytest.fixture
def databases(database_url: str) -> Iterator[Databases]:
    url = parse_database_url(database_url)
    migrate(url)
    store = Store(url, read_connections=2)
    yield Databases(store)
    store.close()


def test_R10_a_value_that_the_database_cannot_hold_is_refused_for_good_and_costs_no_neighbour(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Postgres's indexes are the narrowest; ingest cuts what goes there, which is lifted here."""
    monkeypatch.setattr("tracer.ingest.columns.TRACE_NAME_LIMIT", 1 << 20)
    long = "".join(map(chr, random.Random(7).choices(range(0x20000, 0x2A000), k=3_000)))
    url = parse_database_url(new_database("postgresql"))
    migrate(url)
    store = Store(url, read_connections=1)
    writer = Writer(store, prices=PRICES, on_commit=lambda _: None)
    batches = [[prepared(Sent(trace, 1, None, name, 1, 2))] for trace, name in ((1, "a"), (2, long), (3, "c"))]
    waiting = [writer.submit(batch) for batch in batches]
    writer.start()
    try:
        assert [waiting[number].result(20).count for number in (0, 2)] == [0, 0]
        with pytest.raises(BadPayload, match="cannot be stored"):
            waiting[1].result(20)
        assert writer.problem is None
    finally:
        writer.stop()
        store.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_r04_r07_any_order_repetition_and_batching_gives_the_state_of_one_delivery(
    databases: Databases, data: st.DataObject
) -> None:
    facts = data.draw(span_facts())
    repeated = facts + data.draw(st.lists(st.sampled_from(facts), max_size=5))
    order = data.draw(st.permutations(repeated))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(order)), max_size=4)))
    batches = [order[start:end] for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    with databases.empty() as store:
        applier = Applier(shard=1, prices=PRICES)
        for batch in batches:
            if data.draw(st.booleans()):
                applier.forget()
            with store.writing() as connection:
                applier.apply(connection, [prepared(fact) for fact in batch])
        compare(store, facts)


def compare(store: Store, facts: list[Sent]) -> None:
    """Hold every trace against the reference."""
    with store.reading() as conn:
        for number, wanted in expected(facts).items():
            row = trace_by_id(conn, scope=EVERYTHING, trace_id=trace_id(number).hex())
            got = Expected(
                name=row.name,
                status=row.status,
                start=row.start_time,
                end=row.end_time,
                span_count=row.span_count,
                running_count=row.running_count,
                error_count=row.error_count,
                llm_call_count=row.llm_call_count,
                tokens=(row.tokens.input, row.tokens.output) if row.tokens else (None, None),
                partial=(row.partial.reasons, row.partial.span_count) if row.partial else None,
                models=list(row.models),
                session=row.session_id,
                user=row.user_id,
                tags=list(row.tags),
                metadata=row.metadata,
                failed_in=row.failed_in,
                input_preview=wanted.input_preview,
                spans=wanted.spans,
            )
            assert got == wanted
            if wanted.input_preview is not None:
                assert row.input_preview is not None
                assert row.input_preview[:20] == wanted.input_preview[:20].strip()
            rows = {one.span_id: one for one in tree(conn, trace=row)}
            assert set(rows) == {span_id(one).hex() for one in wanted.spans}
            for one in steps(conn, trace=row):
                sent = wanted.spans[int(one.row.span_id, 16)]
                assert one.row.name == sent.name
                assert one.attributes.get("input.value") == sent.text
