"""The index finds what a slow search over all texts finds, on both databases, whatever came in which order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.counts import counted
from tests.search.stored import Said, Shelf, emptied, expected, opened
from tracer.search.documents import Side
from tracer.search.lookup import Index
from tracer.search.merge import purge
from tracer.search.pace import Pace
from tracer.search.query import term
from tracer.search.tree import Says
from tracer.search.write import purge_due, remove_traces
from tracer.store.engine import Store
from tracer.store.sql import Sql

WORDS = (
    *(
        "refund",
        "policy",
        "Refund",
        "refunds",
        "getUserById",
        "user",
        "get_user",
        "snake_case",
        "café",
        "Café",
        "naïve",
    ),
    *(
        "退款政策",
        "退款",
        "政策",
        "款",
        "한국어",
        "국어",
        "🎉",
        "🎉🎉",
        "hello世界",
        "gpt-4o-mini",
        "3.14",
        "ไทย",
        "हिन्दी",
    ),
    *("über", "UBER", "x", "0x1F", "a.b.c", "HTTPServer", "http", "server", "—"),
)
SENTENCES = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    if request.param == "sqlite":
        with opened(f"sqlite:///{tmp_path_factory.mktemp('index')}/s.db") as found:
            yield found
        return
    from uuid import uuid4

    from sqlalchemy.engine import make_url

    from tests.databases import run

    server = make_url(request.getfixturevalue("postgres_url"))
    name = f"index_{uuid4().hex[:12]}"
    run(server, f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8'")
    try:
        with opened(server.set(database=name).render_as_string(hide_password=False)) as found:
            yield found
    finally:
        run(server, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def shelf(store: Store) -> Shelf:
    return emptied(store)


@st.composite
def steps(draw: st.DrawFn) -> list[Said]:
    """The versions of the steps of some traces: perhaps running ones first, in which a text may differ."""
    found: list[Said] = []
    pool = draw(st.lists(SENTENCES, min_size=1, max_size=5))
    for trace in range(1, draw(st.integers(1, 5)) + 1):
        for span in range(1, draw(st.integers(1, 4)) + 1):
            text = st.one_of(st.none(), st.sampled_from(pool), SENTENCES)
            made = Said(
                trace,
                span,
                draw(st.sampled_from(["plan", "look_up", "退款"])),
                draw(text),
                draw(text),
                draw(st.sampled_from(["", "", "timed out"])),
                draw(st.sampled_from([None, None, "Connection refused by getUserById"])),
                start=trace,
            )
            if draw(st.booleans()):
                found.append(replace(made, seq=1, output=None, input=draw(st.sampled_from([made.input, "before"]))))
                if draw(st.booleans()):
                    continue
            found.append(made)
    return found


@st.composite
def searches(draw: st.DrawFn) -> list[Says]:
    found: list[Says] = []
    for _ in range(draw(st.integers(1, 3))):
        sides = draw(st.sampled_from([frozenset(Side), frozenset({Side.INPUT}), frozenset({Side.OUTPUT, Side.ERROR})]))
        text = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=2).map(" ".join))
        cut = draw(st.integers(1, len(text)))
        beginning = draw(st.booleans())
        text = text[:cut] if beginning else text
        if term(text) is not None:
            found.append(Says(text, beginning, sides))
    return found


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=counted(20, 3_000),
)
@given(data=st.data())
def test_the_index_finds_what_a_search_over_all_texts_finds(store: Store, data: st.DataObject) -> None:
    shelf = emptied(store)
    said = data.draw(steps())
    order = data.draw(st.permutations(said + data.draw(st.lists(st.sampled_from(said), max_size=3))))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(order)), max_size=4)))
    gone: set[int] = set()
    for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True):
        shelf.put(*order[start:end])
        if data.draw(st.booleans()):
            shelf.index()
        if data.draw(st.booleans()):
            shelf.indexer._forget()
    shelf.index()
    if data.draw(st.booleans()):
        gone = data.draw(st.sets(st.sampled_from(sorted({one.trace for one in said}))))
        delete(shelf, gone)
        if data.draw(st.booleans()):
            purge(store)

    left = [one for one in said if one.trace not in gone]
    for terms in data.draw(st.lists(searches(), min_size=1, max_size=6)):
        if terms:
            assert shelf.traces(terms) == expected(left, terms)
    assert shelf.differences() == []


def delete(shelf: Shelf, traces: set[int]) -> None:
    with shelf.store.writing() as connection:
        sql = Sql(connection)
        pks = [sql.rows("SELECT id FROM trace WHERE trace_id = ?", [one.to_bytes(16)])[0].id for one in traces]
        remove_traces(sql, pks)
        for pk in pks:
            sql.run("DELETE FROM trace WHERE id = ?", [pk])


def found(shelf: Shelf, text: str, *, sides: frozenset[Side] = frozenset(Side)) -> list[int]:
    return shelf.traces([Says(text, sides=sides)])


def test_words_may_lie_in_different_steps_and_a_phrase_lies_in_one_text(shelf: Shelf) -> None:
    shelf.put(Said(1, 1, input="the refund"), Said(1, 2, output="a policy"), Said(2, 1, input="the refund policy"))
    shelf.index()

    assert set(shelf.traces([Says("refund"), Says("policy")])) == {1, 2}
    assert found(shelf, "refund policy") == [2]
    assert found(shelf, "policy", sides=frozenset({Side.INPUT})) == [2]


def test_an_agents_history_is_indexed_once(shelf: Shelf) -> None:
    history = ["You are a careful assistant."]
    calls = counted(25, 50)
    for call in range(calls):
        history.append(f"question{call} " + f"filler{call} " * 40)
        shelf.put_records(model_call(call, history))
        if call % 7 == 0:
            shelf.index()
        history.append(f"answer{call} " + f"padding{call} " * 40)
    shelf.index()

    held = shelf.rows("SELECT sum(documents), count(*) FROM search_segment")[0][0]
    assert isinstance(held, int)
    assert held <= calls + 1  # one input a call, the name once
    assert shelf.differences() == []
    with shelf.store.reading() as connection:
        brought = sum(len(row.data) for row in Sql(connection).rows("SELECT data FROM search_seen"))
    # 8 bytes for each message and the name, 12 for each call: no call brings what was said before it.
    assert brought <= 8 * (2 * calls + 1) + 12 * calls
    assert found(shelf, f"question{calls - 1}") == [1]
    assert found(shelf, "answer0") == [1]


def model_call(number: int, history: list[str]):
    from tests.search.stored import record

    made = record(Said(1, number + 1, "call", start=number + 1))
    attributes = {"openinference.span.kind": "LLM"}
    for place, text in enumerate(history):
        attributes[f"llm.input_messages.{place}.message.role"] = "assistant" if place and place % 2 == 0 else "user"
        attributes[f"llm.input_messages.{place}.message.content"] = text
    made.attributes.clear()
    made.attributes.update(attributes)
    return made


def test_a_removed_text_is_found_no_more_and_its_bytes_go(shelf: Shelf) -> None:
    shelf.put(Said(1, 1, input="secretword one"), Said(2, 1, input="other words"))
    shelf.put(Said(3, 1, input="third"))
    shelf.index()

    delete(shelf, {1})

    assert found(shelf, "secretword") == []
    with shelf.store.reading() as connection:
        assert purge_due(Sql(connection)) == 1
    purge(shelf.store)
    with shelf.store.reading() as connection:
        sql = Sql(connection)
        assert purge_due(sql) == 0
        from tracer.search.postings import Block

        terms = {one for row in sql.rows("SELECT data FROM search_block") for one in Block(row.data).terms}
    assert b"secretword" not in terms
    assert b"other" in terms
    assert shelf.differences() == []


def test_deleting_everything_leaves_nothing(shelf: Shelf) -> None:
    shelf.put(Said(1, 1, input="one"), Said(2, 1, input="two"))
    shelf.index()

    delete(shelf, {1, 2})

    for table in ("search_segment", "search_block", "search_seen"):
        assert shelf.rows(f"SELECT count(*) FROM {table}") == [(0,)]


def test_a_trace_deleted_before_it_was_indexed_never_is(shelf: Shelf) -> None:
    shelf.put(Said(1, 1, input="early"))
    delete(shelf, {1})
    shelf.index()

    assert found(shelf, "early") == []
    assert shelf.rows("SELECT count(*) FROM search_work") == [(0,)]
    assert shelf.differences() == []


def test_many_small_slices_become_few_segments(shelf: Shelf) -> None:
    many = counted(60, 300)
    for number in range(1, many):
        shelf.put(Said(number, 1, input=f"word{number} common", start=number))
        shelf.indexer.step()
    shelf.index()

    segments = shelf.rows("SELECT count(*) FROM search_segment")[0][0]
    assert isinstance(segments, int)
    assert segments < 20
    assert found(shelf, "common") == list(range(many - 1, 0, -1))
    assert found(shelf, "word47") == [47]
    assert shelf.differences() == []


def test_a_word_is_looked_for_as_long_as_that_is_not_going_to_take_too_long(shelf: Shelf) -> None:
    for number in range(1, 13):
        shelf.put(Said(number, 1, input="common", start=number))
        shelf.indexer.step()
    asked: list[float] = []

    def late(done: float) -> bool:
        asked.append(done)
        return len(asked) == stop

    wanted = Says("nowhere").term
    with shelf.store.reading() as connection:
        stop = 0
        assert Index(Sql(connection)).all_traces(wanted, enough=9, at_most=9, late=late) == set()
        assert len(asked) > 1
        assert asked == sorted(asked)
        assert asked[-1] == 1
        stop = len(asked) + 1
        assert Index(Sql(connection)).all_traces(wanted, enough=9, at_most=9, late=late) is None
        assert asked[-1] < 1


def test_what_came_before_a_way_says_nothing_of_how_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("tracer.search.pace.time.perf_counter", lambda: now)
    pace = Pace(0.05)
    now = 0.020
    assert not pace.too_long(0)
    now = 0.021
    assert not pace.too_long(0.01)
    now = 0.040
    assert pace.too_long(0.1), "200 ms in all"
    now = 0.060
    assert not pace.too_long(0.5)
    now = 0.160
    assert pace.too_long(0.99), "nothing takes longer than three times what a search has"


def test_a_part_of_a_search_is_as_large_as_fits_into_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("tracer.search.pace.time.perf_counter", lambda: now)
    pace = Pace(0.05)
    assert pace.fitting(5_000) == 5_000, "nothing is known yet"
    now = 0.010
    assert not pace.ends(1_000)
    assert 2_799 <= pace.fitting(5_000) <= 2_800
    assert pace.fitting(2_000) == 2_000
    now = 0.046
    assert pace.ends(3_200)
    assert pace.fitting(5_000) < 1_000


def test_going_on_from_a_place_gives_every_trace_once(shelf: Shelf) -> None:
    shelf.put(*(Said(number, 1, input="common", start=number % 7) for number in range(1, 60)))
    shelf.index()
    seen: list[int] = []
    after = None
    for _ in range(60):
        page = shelf.find([Says("common")], limit=7, after=after)
        seen += [place.pk for place in page.places]
        if page.searched_to is None:
            break
        after = page.searched_to

    assert len(seen) == len(set(seen)) == 59


def test_a_search_out_of_time_says_how_far_it_looked(shelf: Shelf) -> None:
    shelf.put(*(Said(number, 1, input="common words", start=number) for number in range(1, 300)))
    shelf.index()

    whole: list[int] = []
    after = None
    turns = 0
    while True:
        page = shelf.find([Says("common words")], after=after, limit=1000, seconds=0)
        whole += [place.pk for place in page.places]
        turns += 1
        if page.searched_to is None:
            break
        after = page.searched_to

    assert turns > 1
    assert len(whole) == len(set(whole)) == 299
