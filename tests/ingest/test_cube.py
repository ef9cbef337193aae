"""The metrics cube is a function of the stored spans, whatever the order of deliveries, deletions and folds."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from tests.counts import counted
from tracer.errors import Unavailable
from tracer.ingest import cube
from tracer.ingest.apply import Applier
from tracer.ingest.cube_check import cube_differences, cube_of
from tracer.ingest.fold import Folding, fold, settled
from tracer.ingest.prepare import PreparedSpan, prepare
from tracer.otlp.records import Attributes, LogRecord, Scope, SpanRecord
from tracer.prices import PriceBook
from tracer.settings import parse_database_url
from tracer.store.cube import OTHER_LINE, TEXT_LIMIT, Period, read_sums, totals_of
from tracer.store.engine import Store
from tracer.store.histogram import percentiles
from tracer.store.migrate import migrate
from tracer.store.sql import Sql
from tracer.units import DAY, HOUR, MINUTE, SECOND

NOON = 20_000 * DAY + 12 * HOUR
LATER = NOON + 10 * DAY
PRICES = PriceBook()
EDGE = 2**63 - 1


@dataclass(frozen=True)
class Sent:
    """One version of a span."""

    trace: int
    span: int
    name: str
    start: int
    length: int | None
    kind: str = "LLM"
    model: str | None = None
    seq: int | None = None
    error: bool = False
    tokens: tuple[int | None, int | None, int | None] = (None, None, None)
    cost: float | None = None
    first_token: float | None = None


def prepared(sent: Sent, project: str = "p") -> PreparedSpan:
    told: Attributes = {"openinference.span.kind": sent.kind}
    for key, value in (
        ("llm.model_name", sent.model),
        ("llm.token_count.prompt", sent.tokens[0]),
        ("llm.token_count.completion", sent.tokens[1]),
        ("llm.token_count.total", sent.tokens[2]),
        ("llm.cost.total", sent.cost),
        ("gen_ai.response.time_to_first_chunk", sent.first_token),
        ("stepscope.seq", sent.seq),
    ):
        if value is not None:
            told[key] = value
    end = 0 if sent.length is None or sent.seq is not None else sent.start + sent.length
    record = SpanRecord(
        sent.trace.to_bytes(16), sent.span.to_bytes(8), None, sent.name, 1, sent.start, end, 2 if sent.error else 1,
        "", told, [], [], {}, Scope(),
    )  # fmt: skip
    return prepare([record], asked_project=project, prices=PRICES)[0]


def named_by_log(trace: int, span: int, model: str) -> tuple[str, LogRecord]:
    """A log record from which a step that is stored learns its response id, or nothing new."""
    said: Attributes = {"gen_ai.response.id": model, "session.id": "s"}
    return "p", LogRecord(trace.to_bytes(16), span.to_bytes(8), NOON, "gen_ai.choice", "", None, said, {}, Scope())


@st.composite
def versions(draw: st.DrawFn) -> list[Sent]:
    """The versions of some spans: perhaps a running one, mostly a finished one."""
    sent: list[Sent] = []
    for trace in range(1, draw(st.integers(1, 4)) + 1):
        for span in range(1, draw(st.integers(1, 5)) + 1):
            one = Sent(
                trace,
                span,
                draw(st.sampled_from(["plan", "answer", "look_up", "x" * 300, "x" * 299 + "y"])),
                NOON + draw(st.sampled_from([-1, 0, 59 * MINUTE, HOUR, 11 * HOUR, 12 * HOUR, 40 * DAY])),
                draw(st.one_of(st.none(), st.integers(-5, 5), st.integers(0, 10**10))),
                kind=draw(st.sampled_from(["LLM", "LLM", "CHAIN", "EMBEDDING"])),
                model=draw(st.sampled_from([None, "made-up-1", "made-up-2"])),
                error=draw(st.booleans()),
                tokens=draw(
                    st.tuples(
                        st.sampled_from([None, 0, 10, EDGE]), st.sampled_from([None, 5]), st.sampled_from([None, 40])
                    )
                ),
                cost=draw(st.sampled_from([None, 0.25])),
                first_token=draw(st.sampled_from([None, 0.4])),
            )
            if draw(st.booleans()):
                sent.append(replace(one, seq=1))
                if draw(st.booleans()):
                    continue
            sent.append(one)
    return sent


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    url = parse_database_url(database_url)
    migrate(url)
    made = Store(url, read_connections=2)
    yield made
    made.close()


@contextmanager
def empty(store: Store) -> Iterator[Applier]:
    with store.writing() as connection:
        for table in ("span", "pack", "change", "log_record", "trace", "metric_cell"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    yield Applier(shard=1, prices=PRICES)


def problems(connection: Connection) -> list[str]:
    sql = Sql(connection)
    return [one for row in sql.rows("SELECT id FROM project") for one in cube_differences(sql, row.id)]


def delete(connection: Connection, traces: Iterable[int]) -> None:
    """Delete traces as a deletion does: what they added is taken away before the rows go."""
    sql = Sql(connection)
    ids = [trace.to_bytes(16) for trace in traces]
    pks = [row.id for row in sql.rows_in("SELECT id FROM trace WHERE trace_id IN ({keys})", ids)]
    cube.subtract(sql, pks)
    for pk in pks:
        sql.run("DELETE FROM span WHERE trace_pk = ?", [pk])
        sql.run("DELETE FROM trace WHERE id = ?", [pk])


@given(data=st.data())
def test_the_cube_is_what_the_stored_spans_add_up_to(store: Store, data: st.DataObject) -> None:
    sent = data.draw(versions())
    deliveries = data.draw(st.permutations([*sent, *data.draw(st.lists(st.sampled_from(sent), max_size=4))]))
    with empty(store) as applier:
        while deliveries:
            size = data.draw(st.integers(1, len(deliveries)))
            batch, deliveries = deliveries[:size], deliveries[size:]
            with store.writing() as connection:
                applier.apply(connection, [prepared(one) for one in batch])
            then = data.draw(st.sampled_from(["", "fold", "delete", "log"]))
            with store.writing() as connection:
                if then == "fold":
                    sql, now = Sql(connection), data.draw(st.sampled_from([NOON, LATER]))
                    for row in sql.rows("SELECT DISTINCT project_id, period, start FROM metric_cell"):
                        fold(sql, (row.project_id, row.period, row.start), now=now, kept=data.draw(st.integers(0, 2)))
                elif then == "delete":
                    applier.forget()
                    delete(connection, [data.draw(st.integers(1, 4))])
                elif then == "log":
                    applier.apply(connection, [], [named_by_log(data.draw(st.integers(1, 4)), 1, "r1")])
        with store.reading() as connection:
            assert problems(connection) == []
        with store.writing() as connection:
            delete(connection, range(1, 5))
            left = Sql(connection).rows("SELECT * FROM metric_cell")
            assert {(row.line, row.name, row.model) for row in left} <= {(OTHER_LINE, None, None)}
            assert {row.span_count for row in left} <= {0}


def test_a_cell_holds_counts_sums_and_percentiles(store: Store) -> None:
    calls = [
        Sent(1, span, "answer", NOON, span * SECOND, model="made-up-1", tokens=(10, 5, None), cost=0.5, first_token=0.2)
        for span in range(1, 5)
    ]
    with empty(store) as applier, store.writing() as connection:
        applier.apply(connection, [prepared(one) for one in calls])
        rows = Sql(connection).rows("SELECT * FROM metric_cell ORDER BY period")
        assert [(row.period, row.start, row.name, row.model) for row in rows] == [
            (Period.hour, NOON, "answer", "made-up-1"),
            (Period.day, NOON - 12 * HOUR, "answer", "made-up-1"),
        ]
        for row in rows:
            totals = totals_of(row)
            sums = read_sums(totals.sums)
            assert totals.span_count == 4
            assert sums["duration"] == 10 * SECOND
            assert (sums["input"], sums["output"], sums["total"]) == (40, 20, 60)
            assert (sums["cost"], sums["cost_count"]) == (2 * SECOND, 4)
            assert sums["first_tokens"] == 4 * SECOND // 5
            found = percentiles(totals.durations, [50, 99])
            assert found is not None
            assert [round(one / SECOND) for one in found[1]] == [2, 4]


def test_running_steps_are_not_counted_until_they_end(store: Store) -> None:
    step = Sent(1, 1, "answer", NOON, SECOND)
    with empty(store) as applier, store.writing() as connection:
        applier.apply(connection, [prepared(replace(step, seq=1))])
        assert Sql(connection).rows("SELECT * FROM metric_cell") == []
        applier.apply(connection, [prepared(step)])
        assert {row.span_count for row in Sql(connection).rows("SELECT span_count FROM metric_cell")} == {1}


def test_planted_damage_is_found(store: Store) -> None:
    with empty(store) as applier, store.writing() as connection:
        applier.apply(connection, [prepared(Sent(1, 1, "answer", NOON, SECOND, tokens=(1, 2, None)))])
        assert problems(connection) == []
        connection.exec_driver_sql("UPDATE metric_cell SET span_count = 2 WHERE period = 0")
        assert len(problems(connection)) == 1
        connection.exec_driver_sql("DELETE FROM metric_cell")
        assert len(problems(connection)) == 2


def test_of_a_period_that_is_over_the_largest_lines_stay_apart(store: Store) -> None:
    names = ["often"] * 3 + ["at times"] * 2 + ["once", "never again"]
    with empty(store) as applier, store.writing() as connection:
        sql = Sql(connection)
        applier.apply(connection, [prepared(Sent(1, span, name, NOON, 1)) for span, name in enumerate(names, 1)])
        hour = (sql.rows("SELECT id FROM project")[0].id, int(Period.hour), NOON)
        assert not fold(sql, hour, now=NOON, kept=2)
        assert not fold(sql, hour, now=LATER, kept=2)
        stays = "SELECT name, SUM(span_count) AS n FROM metric_cell WHERE period = 0 GROUP BY name ORDER BY 2 DESC, 1"
        assert {tuple(row) for row in sql.rows(stays)} == {("often", 3), ("at times", 2), (None, 2)}
        applier.apply(connection, [prepared(Sent(2, 1, "once", NOON, 1)), prepared(Sent(2, 2, "often", NOON, 1))])
        assert {tuple(row) for row in sql.rows(stays)} == {("often", 4), ("at times", 2), (None, 3)}
        assert problems(connection) == []
        delete(connection, [1, 2])
        assert {tuple(row) for row in sql.rows(stays)} == {(None, 0)}


def test_a_period_is_folded_when_it_is_settled_and_looked_after_until_then(store: Store) -> None:
    folding = Folding()
    with empty(store) as applier, store.writing() as connection:
        sql = Sql(connection)
        assert not folding.step(sql, now=NOON)
        spans = [prepared(Sent(1, span, f"step {span}", NOON, 1)) for span in range(1, 1_202)]
        applier.apply(connection, spans)
        project = sql.rows("SELECT id FROM project")[0].id
        folding.watch([(project, 0, NOON)])
        lines = "SELECT COUNT(DISTINCT line) AS n FROM metric_cell WHERE period = 0"
        assert not folding.step(sql, now=NOON + 59 * MINUTE)
        assert sql.rows(lines)[0].n == 1_201
        assert not settled((project, 0, NOON), NOON + HOUR)
        assert not folding.step(sql, now=NOON + 2 * HOUR)
        assert sql.rows(lines)[0].n == 1_001
        assert problems(connection) == []


def test_a_process_that_starts_finds_the_recent_periods(store: Store) -> None:
    with empty(store) as applier, store.writing() as connection:
        sql = Sql(connection)
        applier.apply(connection, [prepared(Sent(1, span, f"step {span}", NOON, 1)) for span in range(1, 1_003)])
        Folding().step(sql, now=NOON + 30 * HOUR)
        assert sql.rows("SELECT COUNT(DISTINCT line) AS n FROM metric_cell WHERE period = 0")[0].n == 1_001


def test_long_names_are_cut_with_a_mark(store: Store) -> None:
    with empty(store) as applier, store.writing() as connection:
        applier.apply(connection, [prepared(Sent(1, 1, "n" * 10_000, NOON, 1, model="m" * 300))])
        row = Sql(connection).rows("SELECT name, model FROM metric_cell")[0]
        assert (row.name, row.model) == ("n" * (TEXT_LIMIT - 1) + "…", "m" * (TEXT_LIMIT - 1) + "…")


def test_writers_at_the_same_time_have_shards_of_their_own(store: Store) -> None:
    if store.sqlite:
        with store.writing() as connection:
            assert cube.take_shard(Sql(connection)) == 0
        return
    with empty(store) as first, store.writing() as one:
        first.apply(one, [prepared(Sent(1, 1, "answer", NOON, 1))])
        other_store = Store(store.url, read_connections=1)
        second = Applier(shard=2, prices=PRICES)
        with other_store.writing() as two:
            second.apply(two, [prepared(Sent(1 << 120, 1, "answer", NOON, 1), "q")])
            assert {row.shard for row in Sql(two).rows("SELECT shard FROM metric_cell")} == {1}
        other_store.close()
    with store.reading() as connection:
        assert {row.shard for row in Sql(connection).rows("SELECT shard FROM metric_cell")} == {0, 1}
        assert problems(connection) == []


def impatient_fold(store: Store, period: cube.PeriodKey) -> None:
    with store.writing() as connection:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '100ms'")
        fold(Sql(connection), period, now=LATER, kept=1)


def test_a_fold_waits_for_who_writes_to_its_period(store: Store) -> None:
    if store.sqlite:
        return  # one writer at a time
    steps = [prepared(Sent(1, span, f"step {span}", NOON, 1)) for span in range(1, 6)]
    other = Store(store.url, read_connections=1)
    with empty(store) as applier:
        with store.writing() as one:
            applier.apply(one, steps)
        with store.writing() as one:
            project = Sql(one).rows("SELECT id FROM project")[0].id
            applier.apply(one, [prepared(Sent(2, 1, "late", NOON, 1))])
            with pytest.raises(Unavailable):
                impatient_fold(other, (project, int(Period.hour), NOON))
            with other.writing() as two:
                fold(Sql(two), (project, int(Period.hour), NOON + HOUR), now=LATER, kept=1)
    other.close()


def test_writers_deletions_and_folds_at_once_leave_nothing_wrong(store: Store) -> None:
    def work(number: int) -> None:
        own = Store(store.url, read_connections=1)
        applier, chance = Applier(shard=number, prices=PRICES), random.Random(number)
        for turn in range(counted(12, 200)):
            trace = (number << 100) + turn + 1
            steps = [
                Sent(trace, span, f"step {chance.randint(1, 9)}", NOON + chance.choice([-1, 0, HOUR]), span)
                for span in range(1, 6)
            ]
            with own.writing() as connection:
                applier.apply(connection, [prepared(one) for one in steps])
            with own.writing() as connection:
                sql = Sql(connection)
                if chance.random() < 0.4:
                    delete(connection, [(number << 100) + chance.randint(1, turn + 1)])
                    applier.forget()
                elif chance.random() < 0.5:
                    for row in sql.rows("SELECT DISTINCT project_id, period, start FROM metric_cell LIMIT 1"):
                        fold(sql, (row.project_id, row.period, row.start), now=LATER, kept=3)
        own.close()

    with empty(store) as applier:
        with store.writing() as connection:
            applier.apply(connection, [prepared(Sent(1, 1, "step 1", NOON, 1))])
        with ThreadPoolExecutor(3) as threads:
            for done in [threads.submit(work, number) for number in range(1, 4)]:
                done.result()
        with store.reading() as connection:
            assert problems(connection) == []


def test_the_reference_counts_each_period_once() -> None:
    values = ("answer", None, 3, 1, NOON, NOON + SECOND, None, None, 1, 2, None, None, None, None)
    cells = cube_of([(7, values), (7, (*values[:3], 3, *values[4:]))])

    assert sorted((cell.period, cell.start, content.span_count) for cell, content in cells.items()) == [
        (0, NOON, 1),
        (1, NOON - 12 * HOUR, 1),
    ]
