"""Sampling: whole traces, the same ones in every process, and those that matter in any case."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import Any

import pytest

import stepscope
from stepscope import _runtime
from stepscope._sampling import Sampler
from tests.sdk.sink import Sink


def start(sink: Sink, **options: Any) -> None:
    stepscope.init(endpoint=sink.url, spool=False, **options)


def trees(count: int, fail: int | None = None) -> None:
    for number in range(count):
        try:
            with stepscope.step(f"root {number}"), stepscope.step(f"child {number}"):
                if number == fail:
                    raise ValueError("no")
        except ValueError:
            pass


def test_one_in_so_many_traces_is_kept_whole(sink):
    start(sink, sample=0.25)
    trees(400)
    assert stepscope.flush(10)

    sizes = Counter(span.trace_id for span in sink.finals())
    assert set(sizes.values()) == {2}
    assert 50 < len(sizes) < 150
    status = stepscope.status()
    assert status.recorded == status.delivered == 2 * len(sizes)
    assert status.left_out == 800 - status.recorded


def test_the_choice_hangs_on_the_traces_id_alone(sink):
    start(sink, sample=0.5)
    exporter = _runtime.exporter
    assert exporter is not None
    for trace, kept in (("0" * 16 + "7" + "f" * 15, True), ("f" * 16 + "8" + "0" * 15, False)):
        with stepscope.continue_trace(f"00-{trace}-b7ad6b7169203331-01"), stepscope.step(trace):
            pass
        assert stepscope.flush(10)
        assert (trace in sink.spans()) is kept


def test_traces_that_fail_are_kept_with_all_their_steps(sink):
    start(sink, sample=0.0)
    trees(20, fail=7)
    assert stepscope.flush(10)

    assert sorted(sink.spans()) == ["child 7", "root 7"]
    assert stepscope.status().left_out == 38


def test_traces_that_take_long_are_kept(sink, monkeypatch):
    monkeypatch.setenv("STEPSCOPE_SAMPLE", "0")
    monkeypatch.setenv("STEPSCOPE_KEEP_SLOW", "2")
    monkeypatch.setenv("STEPSCOPE_KEEP_ERRORS", "0")
    start(sink)
    exporter = _runtime.exporter
    assert exporter is not None
    clock = exporter.front.clock
    late = 0
    monkeypatch.setattr(exporter.front, "clock", lambda: clock() + late)
    with stepscope.step("slow"), stepscope.step("inside"):
        late = 3_000_000_000
    trees(5, fail=2)
    assert stepscope.flush(10)

    assert sorted(sink.spans()) == ["inside", "slow"]


def test_without_keeping_nothing_is_held_in_memory(sink):
    start(sink, sample=0.0, keep_errors=False)
    trees(50, fail=3)

    assert stepscope.flush(10)
    assert stepscope.status()[:2] == (0, 0)
    assert stepscope.status().left_out == 100
    assert sink.accepted() == []


def test_what_is_held_for_a_verdict_stays_within_a_quarter_of_the_memory(sink):
    start(sink, sample=0.0, memory=400_000)
    exporter = _runtime.exporter
    assert exporter is not None
    assert isinstance(exporter.front, Sampler)
    with stepscope.step("root"):
        for _ in range(300):
            with stepscope.step("child") as s:
                s.output = "x" * 1000
            assert exporter.front._held <= 100_000 + 3000
    assert exporter.front._held == 0
    assert exporter.front._groups == {}


def test_a_step_that_ends_after_its_failed_trace_was_kept_is_kept_too(sink):
    start(sink, sample=0.0)
    with pytest.raises(ValueError), stepscope.step("root") as root:
        raise ValueError
    with stepscope.step("unrelated"):
        pass
    stepscope.start_step("late", parent=root).end()
    assert stepscope.flush(10)

    assert sorted(sink.spans()) == ["late", "root"]


def test_at_the_end_a_trace_of_which_something_still_runs_is_judged_by_what_is_known(sink):
    start(sink, sample=0.0)
    for fails in (True, False):
        root = stepscope.start_step(f"never ends, {fails}")
        below = stepscope.continue_trace(f"00-{root.trace_id}-{root.span_id}-01")
        with suppress(ValueError), below, stepscope.step(f"child, {fails}"):
            if fails:
                raise ValueError
    exporter = _runtime.exporter
    assert exporter is not None
    assert stepscope.shutdown(5)

    assert [span.name for span in sink.finals()] == ["child, True"]
    status = exporter.status()
    assert (status.recorded, status.delivered, status.left_out) == (1, 1, 1)


def test_a_number_that_is_none_is_named_and_everything_is_recorded(sink, monkeypatch, caplog):
    monkeypatch.setenv("STEPSCOPE_SAMPLE", "ten percent")
    start(sink)
    trees(3)
    assert stepscope.flush(10)

    assert "STEPSCOPE_SAMPLE" in caplog.text
    assert len(sink.finals()) == 6
