"""What a project keeps: by age, by tag and by size; what goes goes for good, and is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ingest.deleting import Bench, bench, large_text, one_span
from tests.ingest.reference import Sent
from tests.ingest.test_deleting import hold_slices, project
from tests.ingest.test_exactly_once import Databases, databases, prepared, trace_id
from tracer.errors import BadRequest
from tracer.ingest.keeping import (
    Keeping,
    TagDays,
    check_keeping,
    read_size,
    read_tag_days,
    with_room,
    write_size,
    write_tag_days,
)
from tracer.ingest.people import Patch, annotate
from tracer.ingest.privacy import store_rules
from tracer.ingest.receipts import Receipt, receipts_of
from tracer.ingest.reclaim import share_of, size_in_use
from tracer.ingest.retention import Retention, due_in_projects
from tracer.ingest.rules import Rules
from tracer.store.sql import Sql
from tracer.units import DAY, SECOND

__all__ = ["databases"]


@pytest.fixture
def at(databases: Databases) -> Iterator[Bench]:
    with databases.empty() as store, bench(store) as made:
        yield made


def days_ago(days: int, trace: int, *tags: str, text: str = "") -> Sent:
    """A trace of one step that started so many days ago."""
    start = time.time_ns() - days * DAY
    return replace(one_span(trace, tags=frozenset(tags), text=text), start=start, end=start + SECOND)


def keep(at: Bench, days: int | None = None, max_size: int | None = None, **tags: int | None) -> None:
    """Give the tests' project its rules."""
    named = tuple(TagDays(tag, kept) for tag, kept in tags.items())
    with at.store.writing() as connection:
        store_rules(connection, project(at), Rules(retention_days=days, retention_tags=named, max_size=max_size))


def work(at: Bench) -> list[Receipt]:
    """Do once what the rules want, as the deleter does, and return its receipts."""
    at.deleter._retention = Retention()
    while at.deleter._work():
        pass
    with at.store.reading() as connection:
        return receipts_of(Sql(connection), None, limit=100, by_rule=True)


def left(at: Bench) -> list[int]:
    """The traces that are there."""
    return sorted(int.from_bytes(row.trace_id) for row in at.rows("SELECT trace_id FROM trace"))


class TestByTag:
    def test_a_trace_is_kept_as_long_as_the_tag_that_keeps_it_longest_says(self, at: Bench) -> None:
        at.send(
            [
                days_ago(2, 1, "debug"),
                days_ago(4, 2, "debug"),
                days_ago(4, 3, "debug", "golden"),
                days_ago(4, 4, "debug", "slow"),
                days_ago(40, 5, "slow"),
                days_ago(100, 6, "slow"),
                days_ago(900, 7, "golden"),
                days_ago(31, 8),
                days_ago(29, 9, "other"),
                days_ago(31, 10, "debug"),
            ]
        )
        keep(at, 30, debug=3, slow=60, golden=None)
        told = [(one.tag, one.traces) for one in work(at)]
        assert left(at) == [1, 3, 4, 5, 7, 9]
        assert sorted(told, key=str) == [("debug", 2), ("slow", 1), (None, 1)]
        assert at.differences() == []
        assert list(due_in_projects(at.store)) == []
        assert at.send([days_ago(4, 2, "debug")]), "what went is refused"

    def test_without_days_only_traces_with_the_tag_go(self, at: Bench) -> None:
        at.send([days_ago(9, 1, "debug"), days_ago(9, 2), days_ago(9, 3, "debugging")])
        keep(at, debug=3)
        work(at)
        assert left(at) == [2, 3]

    def test_tags_that_people_added_count_too(self, at: Bench) -> None:
        at.send([days_ago(40, 1), days_ago(40, 2), days_ago(4, 3)])
        with at.store.writing() as connection:
            for trace, tag in ((1, "golden"), (3, "debug")):
                patch = Patch(tags=(tag,))
                annotate(Sql(connection), trace_id(trace), patch, project_id=project(at), now=time.time_ns())
        keep(at, 30, golden=None, debug=3)
        work(at)
        assert left(at) == [1]
        assert at.differences() == []

    def test_who_tags_a_trace_or_takes_the_rule_back_meanwhile_is_heard(
        self, at: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hold_slices(monkeypatch, at, 1)
        at.send([days_ago(100 - trace, trace) for trace in range(1, 21)])
        keep(at, 30, golden=None)
        due = next(due_in_projects(at.store))
        receipt = at.deleter.ask(project_id=due.project_id, until=due.until, by_rule=True)

        def meanwhile(so_far: Receipt) -> None:
            if so_far.traces == 2:
                with at.store.writing() as connection:
                    patch = Patch(tags=("golden",))
                    annotate(Sql(connection), trace_id(9), patch, project_id=project(at), now=time.time_ns())
            if so_far.traces == 12:
                keep(at)

        assert at.deleter.carry_out(receipt.id, told=meanwhile)
        assert at.deleter.receipt(receipt.id).state == "done"
        assert left(at) == [9, *range(14, 21)]
        assert at.differences() == []

    def test_what_comes_late_is_refused_only_when_no_tag_could_keep_it(self) -> None:
        assert Keeping(30).longest() == 30
        assert Keeping(30, (TagDays("debug", 3),)).longest() == 30
        assert Keeping(30, (TagDays("slow", 60),)).longest() == 60
        assert Keeping(30, (TagDays("golden", None),)).longest() is None
        assert Keeping(None, (TagDays("debug", 3),)).longest() is None


class TestBySize:
    def test_the_oldest_of_the_project_go_and_those_that_are_kept_last(self, at: Bench) -> None:
        sent = [
            days_ago(100 - trace, trace, *(["golden"] if trace <= 3 else []), text=large_text(trace))
            for trace in range(1, 61)
        ]
        spans = [prepared(one) for one in sent]
        for span in spans[40:]:
            span.project = "other"
        at.writer.submit(spans).result()
        mine = share_of(at.store, project(at)).size
        keep(at, max_size=mine // 2, golden=None)
        due = list(due_in_projects(at.store))
        assert [(one.project_id, one.max_size) for one in due] == [(project(at), with_room(mine // 2))]
        work(at)
        here = left(at)
        assert here[:3] == [1, 2, 3]
        assert here[3:] == list(range(64 - len(here), 61))
        assert 15 <= len(here) - 20 <= 21
        assert share_of(at.store, project(at)).size <= mine // 2
        assert list(due_in_projects(at.store)) == []
        assert at.differences() == []

        keep(at, max_size=share_of(at.store, project(at)).size // 20, golden=None)
        work(at)
        assert left(at)[-20:] == list(range(41, 61))
        assert set(left(at)[:-20]) <= {2, 3}, "what is kept goes when nothing else is left"

    def test_no_more_goes_than_has_to_though_the_oldest_are_the_largest(self, at: Bench) -> None:
        long = [" ".join(large_text(number) for number in range(part, part + 30)) for part in (0, 30)]
        at.send([days_ago(100, 1, text=long[0]), days_ago(99, 2, text=long[1])])
        at.send([days_ago(50, trace) for trace in range(3, 103)])
        keep(at, max_size=share_of(at.store, project(at)).size - 20_000)
        work(at)
        assert left(at) == list(range(2, 103))
        assert at.differences() == []

    def test_the_projects_sizes_add_up_to_what_is_in_use(self, at: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tracer.ingest.reclaim.NOBODYS", 0)
        spans = [prepared(one_span(trace, text=large_text(trace))) for trace in range(1, 41)]
        for span in spans[:10]:
            span.project = "other"
        at.writer.submit(spans).result()
        ids = [row.id for row in at.rows("SELECT id FROM project ORDER BY id")]
        shares = [share_of(at.store, one) for one in ids]
        assert abs(sum(one.size for one in shares) - size_in_use(at.store)) <= 10
        assert sorted(one.spans for one in shares) == [10, 30]
        bodies = sum(one.bodies for one in shares)
        assert bodies == at.rows("SELECT sum(length(data) + length(pieces)) FROM pack")[0][0]
        at.deleter.carry_out(at.deleter.ask(project_id=None).id)
        assert [share_of(at.store, one).bodies for one in ids] == [0, 0]

    def test_the_server_spares_what_a_projects_tag_keeps_until_the_end(self, at: Bench) -> None:
        kept = [days_ago(90, trace, "golden", text=large_text(trace)) for trace in range(1, 6)]
        at.send(kept + [days_ago(60 - trace, trace, text=large_text(trace)) for trace in range(6, 41)])
        keep(at, golden=None)
        receipt = at.deleter.ask(project_id=None, max_size=size_in_use(at.store) * 2 // 3, by_rule=True)
        at.deleter.carry_out(receipt.id)
        assert left(at)[:5] == [1, 2, 3, 4, 5]
        assert 5 < len(left(at)) < 40
        assert left(at)[5:] == list(range(46 - len(left(at)), 41))


class TestWords:
    def test_tags_are_read_as_people_write_them(self) -> None:
        text = "debug: 3\n\n team:search : 14 days\ngolden: For ever\n"
        found = [TagDays("debug", 3), TagDays("team:search", 14), TagDays("golden", None)]
        assert list(read_tag_days(text)) == found
        assert list(read_tag_days(write_tag_days(found))) == found

    @pytest.mark.parametrize("text", ["debug", "debug:", ": 3", "debug: soon", "debug: -1", "debug: 3.5", "a: ever"])
    def test_what_is_none_is_named(self, text: str) -> None:
        with pytest.raises(BadRequest) as problem:
            list(read_tag_days(text))
        assert problem.value.field == "retention_tags"

    @pytest.mark.parametrize(
        ("keeping", "field"),
        [
            (Keeping(0), "retention_days"),
            (Keeping(36_501), "retention_days"),
            (Keeping(tags=(TagDays("a", 0),)), "retention_tags"),
            (Keeping(tags=(TagDays(" ", 1),)), "retention_tags"),
            (Keeping(tags=(TagDays("x" * 201, 1),)), "retention_tags"),
            (Keeping(tags=(TagDays("a", 1), TagDays(" a", 2))), "retention_tags"),
            (Keeping(tags=tuple(TagDays(str(n), 1) for n in range(51))), "retention_tags"),
            (Keeping(max_size=10), "max_size"),
            (Keeping(max_size=2**61), "max_size"),
        ],
        ids=lambda given: given if isinstance(given, str) else "",
    )
    def test_what_cannot_be_used_is_refused_and_named(self, keeping: Keeping, field: str) -> None:
        with pytest.raises(BadRequest) as problem:
            check_keeping(keeping)
        assert problem.value.field == field

    @given(st.integers(min_value=10**6, max_value=2**60), st.integers(min_value=0, max_value=15))
    def test_a_size_that_is_written_is_read_again(self, size: int, zeros: int) -> None:
        for one in (size, size // 10**zeros * 10**zeros):
            assert read_size(write_size(one)) == one

    @pytest.mark.parametrize("text", ["much", "-1GB", "1 XB", "9" * 400, "1" * 30 + "TB", "nan", "inf"])
    def test_what_is_no_size_is_named(self, text: str) -> None:
        with pytest.raises(BadRequest) as problem:
            check_keeping(Keeping(max_size=read_size(text)))
        assert problem.value.field == "max_size"
