"""What `stepscope.testing` promises to users' tests."""

from __future__ import annotations

import pytest

import stepscope
from stepscope import testing


@stepscope.step(kind="tool")
def lookup(order_id: str) -> str:
    if order_id == "A-0":
        raise KeyError(order_id)
    return "on its way"


@stepscope.step
def answer(order_id: str) -> str:
    return f"It is {lookup(order_id)}."


def test_captured_steps_can_be_read_and_drawn():
    with testing.capture() as steps:
        answer("A-17")

    assert len(steps) == 2
    assert steps.one("lookup").input == {"order_id": "A-17"}
    assert steps.one(kind="tool").output == "on its way"
    assert steps.one("answer").output == "It is on its way."
    assert steps.tree() == "answer\n  lookup (tool)"
    assert [step.name for step in steps.children(steps.one("answer"))] == ["lookup"]


def test_failures_and_running_steps_are_marked():
    with testing.capture() as steps:
        with pytest.raises(KeyError):
            answer("A-0")
        running = stepscope.start_step("upload")
        assert steps.one("upload").status == "running"
        assert steps.one("upload").end_time is None
        steps.assert_tree("answer (error)\n  lookup (tool, error)\nupload (running)")
        running.end()

    assert steps.one("lookup").error == "'A-0'"
    assert steps.one("lookup").events[0]["exception.type"] == "KeyError"


def test_ids_and_times_are_the_same_every_time():
    def once() -> list[testing.CapturedStep]:
        with testing.capture() as steps:
            answer("A-1")
        return list(steps)

    assert once() == once()
    outer, inner = once()
    assert outer.trace_id == f"{1:032x}"
    assert outer.start_time == testing.FIRST_INSTANT
    assert (inner.duration_ms, outer.duration_ms) == (1.0, 3.0)


def test_a_clock_of_ones_own_can_be_advanced():
    clock = testing.FixedClock(start=1_000, tick=0)
    with testing.capture(clock=clock) as steps, stepscope.step("work"):
        clock.advance(5_000_000)

    assert (steps.one().start_time, steps.one().duration_ms) == (1_000, 5.0)


def test_a_wrong_expectation_says_what_there_is():
    with testing.capture() as steps:
        answer("A-1")

    with pytest.raises(AssertionError, match="expected one step nowhere, found 0 among:\nanswer"):
        steps.one("nowhere")
    with pytest.raises(AssertionError, match="the steps are"):
        steps.assert_tree("answer")


def test_nothing_is_sent_while_steps_are_captured(sent, sink):
    with testing.capture():
        answer("A-1")
    answer("A-2")
    sent()

    assert [span.read("input")["order_id"] for span in sink.finals()] == ["A-2", "A-2"]
