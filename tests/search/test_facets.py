"""Facets of more traces than are looked at one by one: exact, by what ingest keeps count of."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.counts import FULL, counted
from tests.ingest.deleting import Bench, bench, one_span
from tests.ingest.reference import Sent
from tests.ingest.test_exactly_once import Databases, databases, trace_id
from tracer.ingest.people import Patch, annotate
from tracer.queries.facets import facets
from tracer.queries.rows import Facets
from tracer.queries.scope import EVERYTHING
from tracer.search.parse import read_search
from tracer.store.sql import Sql
from tracer.units import DAY, HOUR, MINUTE

__all__ = ["databases"]

NEWEST = ("user", "session", "kind")
FIRST = 20_000 * DAY
SEARCHES = (
    "", "status:error", "-status:error", "status:ok,unset", "status:running", "status:abandoned", "name:answer",
    "name:a*", "-name:report", "model:house-1", "-model:house-1,house-2", "model:house*", "tag:prod", "tag:golden",
    "-tag:*", "service:none", "environment:live", "status:error model:house-2", "tag:prod OR name:report",
    "-(tag:prod status:error)",
)  # fmt: skip


def chain(chance: random.Random, number: int, length: int) -> list[Sent]:
    """A trace of two steps somewhere in the time; some fail, some run on."""
    start = FIRST + chance.randrange(length)
    root = replace(
        one_span(number, 1),
        name=chance.choice(["answer", "ask", "report"]),
        start=start,
        end=start + MINUTE,
        tags=frozenset(chance.sample(["prod", "eval", "beta"], chance.randrange(3))),
        error=chance.random() < 0.3,
        user=f"user-{chance.randrange(9)}",
    )
    model = chance.choice(["house-1", "house-2", None])
    call = replace(one_span(number, 2, parent=1, kind="llm"), start=start + 5, end=start + MINUTE, model=model)
    if chance.random() < 0.1:
        call = replace(call, end=None, seq=1)
    return [root, call]


@pytest.fixture
def at(databases: Databases) -> Iterator[Bench]:
    with databases.empty() as store, bench(store) as made:
        yield made


def fill(at: Bench, *, traces: int, length: int) -> None:
    """Traces whose steps come in any order, some twice, some noted by people, some deleted."""
    chance = random.Random(f"{traces} {length}")
    sent = [chain(chance, number, length) for number in range(1, traces + 1)]
    waiting = [fact for facts in sent for fact in facts]
    waiting += chance.sample(waiting, traces // 4)
    chance.shuffle(waiting)
    while waiting:
        size = chance.randrange(1, 60)
        at.send(waiting[:size])
        del waiting[:size]
    project = at.rows("SELECT id FROM project")[0].id
    for number in chance.sample(range(1, traces + 1), traces // 10):
        patch = chance.choice([Patch(name="the golden one"), Patch(tags=("golden", "prod")), Patch(note="see")])
        with at.store.writing() as connection:
            annotate(Sql(connection), trace_id(number), patch, project_id=project, now=1)
    for number in chance.sample(range(1, traces + 1), traces // 10):
        at.delete(number)


def asked(at: Bench, q: str, since: int | None, until: int | None) -> Facets:
    with at.store.reading() as connection:
        range_: dict[str, Any] = {"since": since, "until": until}
        return facets(connection, read_search(q), scope=EVERYTHING, values=50, **range_)


def told(found: Facets) -> dict[str, Any]:
    """What has to be the same however it was counted."""
    shown = {one.field: (one.values, one.more, one.traces) for one in found.facets if one.field not in NEWEST}
    return shown | {"traces": found.traces, "failed": sum(bar.errors for bar in found.bars)}


def by(found: Facets, length: int) -> Counter[int]:
    """The bars put together by a longer interval."""
    counts: Counter[int] = Counter()
    for bar in found.bars:
        counts[bar.time // length * length] += bar.count
    return counts


@pytest.mark.parametrize("length", [5 * HOUR, 20 * DAY, 200 * DAY])
def test_what_is_kept_count_of_is_what_looking_at_every_trace_counts(
    at: Bench, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    fill(at, traces=counted(60, 1_500), length=length)
    assert at.differences() == []
    inner = (FIRST + length // 7, FIRST + length * 5 // 6)
    ranges = ((None, None), inner, (None, inner[1]), (inner[0], None))
    # Not every search with every range where few are wanted, but each with some.
    wanted = [
        (q, *times)
        for number, q in enumerate(SEARCHES)
        for place, times in enumerate(ranges)
        if FULL or (number + place) % 4 == 0
    ]
    one_by_one = [asked(at, *one) for one in wanted]
    monkeypatch.setattr("tracer.queries.facets.MOST", 1 if length > 100 * DAY else counted(20, 40))
    exact = 0
    for one, whole in zip(wanted, one_by_one, strict=True):
        found = asked(at, *one)
        if found.searched_to is not None:
            continue
        assert told(found) == told(whole), one
        if found.bars:
            longer = max(found.interval, whole.interval)
            assert by(found, longer) == by(whole, longer), one
        exact += max(facet.traces for facet in found.facets if facet.field in NEWEST) < found.traces
    assert exact > len(wanted) // 4


def test_users_are_those_of_the_newest_and_say_of_how_many(at: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(at, traces=60, length=DAY)
    monkeypatch.setattr("tracer.queries.facets.MOST", 7)
    found = asked(at, "", None, None)

    assert (found.traces, found.searched_to) == (54, None)
    assert {one.field: one.traces for one in found.facets} == {
        one.field: 7 if one.field in NEWEST else 54 for one in found.facets
    }


def test_a_search_that_nothing_is_kept_count_of_tells_of_the_newest(at: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(at, traces=60, length=DAY)
    monkeypatch.setattr("tracer.queries.facets.MOST", 7)
    for q in ("latency>1s", "user:user-*", "kind:llm", "status:error latency>1s", "has:tag"):
        found = asked(at, q, None, None)
        assert (found.traces, found.searched_to is None) == (7, False), q


def test_where_there_is_too_much_to_read_the_newest_are_told(at: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(at, traces=60, length=DAY)
    monkeypatch.setattr("tracer.queries.facets.MOST", 7)
    monkeypatch.setattr("tracer.queries.alike.ROWS_READ", 5)
    assert asked(at, "", None, None).searched_to is not None
    monkeypatch.undo()
    monkeypatch.setattr("tracer.queries.facets.MOST", 7)
    monkeypatch.setattr("tracer.queries.alike.STILL_RUNNING", 0)
    assert asked(at, "", None, None).searched_to is not None


def test_nothing_of_a_deleted_trace_is_left_in_the_counts(at: Bench) -> None:
    fill(at, traces=20, length=DAY)
    for row in at.rows("SELECT trace_id FROM trace"):
        at.delete(int.from_bytes(row.trace_id))
    assert at.count("trace_alike") == 0
