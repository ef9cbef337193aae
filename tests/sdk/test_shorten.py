"""Large steps while memory is full: they cost their thread little, none is lost, each says how much is missing."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from typing import Any

import pytest

import stepscope
from stepscope import _encode, _overflow, _shorten, testing
from stepscope._steps import Step
from tests.sdk.test_overflow import held, starved

__all__ = ["starved"]

MEMORY = 8_000_000
LENGTH = 100_000


def record(number: int) -> None:
    with stepscope.step("work", input=f"{number:<9} " + "in " * (LENGTH // 3)) as s:
        s.output = {"number": number, "text": "out " * (LENGTH // 4)}


def test_a_burst_of_large_texts_does_not_wait_for_the_disk_and_loses_no_step(
    sink, tmp_path, starved, monkeypatch, caplog
):
    at_disk: list[threading.Thread] = []
    put = _overflow.Overflow.put
    monkeypatch.setattr(
        _overflow.Overflow,
        "put",
        lambda self, steps, room: at_disk.append(threading.current_thread()) or put(self, steps, room),
    )
    stepscope.init(endpoint=sink.url, spool=str(tmp_path), memory=MEMORY)
    highest = 0
    with caplog.at_level(logging.WARNING, "stepscope"):
        for number in range(50):
            record(number)
            highest = max(highest, held())

    assert highest < MEMORY * 0.75
    assert threading.current_thread() not in at_disk
    shortened = stepscope.status().shortened
    assert shortened in range(20, 40)
    starved.set()
    assert stepscope.flush(20), stepscope.status()
    assert stepscope.status()[:4] == (50, 50, 0, 0)
    assert caplog.text.count("the beginnings are kept meanwhile") == 1
    finals = sorted(sink.finals(), key=lambda span: span.start)
    assert [int(span.attributes["input.value"][:9]) for span in finals] == list(range(50))
    for span in finals[:-shortened]:
        assert len(span.attributes["input.value"]) > LENGTH * 0.99
        assert len(span.read("output")["text"]) == LENGTH
    for number, span in enumerate(finals[-shortened:], 50 - shortened):
        assert span.attributes["input.value"].endswith("in… [cut: 100,009 characters in all]")
        assert span.attributes["stepscope.input.length"] == 100_009
        assert span.read("output")["number"] == number
        assert span.read("output")["text"].startswith("out out ")
        assert span.read("output")["text"].endswith(f"[cut: {LENGTH:,} characters in all]")
        assert len(str(span.attributes)) < 8_000


def test_where_nothing_may_be_on_disk_more_large_steps_are_kept_than_memory_could_hold(sink, starved):
    stepscope.init(endpoint=sink.url, spool=False, memory=MEMORY)
    for number in range(60):
        record(number)

    assert held() < MEMORY * 0.75
    assert stepscope.status()[:4] == (60, 0, 60, 0)
    starved.set()
    assert stepscope.flush(20), stepscope.status()
    assert len(sink.finals()) == 60


def everything(s: Step) -> None:
    text = "word " * 20_000
    s.input = [text, {"a": text, "b": [b"\x00" * 50_000, 7, None]}, *range(1_000)]
    s.messages = [{"role": "user", "content": text}, {"role": "assistant", "content": "short"}]
    s.set("mine", text)
    s.metadata["note"] = text
    for number in range(300):
        s.event("noted", text=text, number=number)
    s.stream("first ")
    s.stream(text)


def captured(do: Any) -> Step:
    with testing.capture() as steps, stepscope.step("work", kind="llm") as s:
        do(s)
    (found,) = steps._steps
    assert isinstance(found, Step)
    return found


def test_whatever_makes_a_step_large_is_cut_and_what_is_left_reads_as_before():
    step = captured(everything)
    before = step._extra
    assert step._size > 300_000
    assert _shorten.shorten(step)

    written = _encode.span_bytes(step)
    assert 10_000 < len(written) < step._size * 1.2
    assert step._size < 100_000
    assert before is not step._extra, "who reads the old one meanwhile is not disturbed"
    with testing.capture() as steps:
        steps._steps.append(step)
    facts = steps.one("work").attributes
    assert facts["output.value"].startswith("first word word")
    assert facts["output.value"].endswith("[cut: 100,006 characters in all]")
    assert facts["stepscope.output.length"] == 100_006
    assert facts["mine"].endswith("[cut: 100,000 characters in all]")
    given = steps.one("work").input
    assert given[0].endswith("[cut: 100,000 characters in all]")
    assert given[-1].endswith(" more")
    assert given[1]["b"] == [{"bytes": 50_000, "base64": given[1]["b"][0]["base64"], "cut": True}, 7, None]
    assert '"short"' in facts["gen_ai.input.messages"]


def test_a_small_step_stays_as_it_is_and_what_was_cut_once_keeps_its_full_length():
    small = captured(lambda s: setattr(s, "input", {"a": ["text", 1]}))
    before = _encode.span_bytes(small)
    _shorten.shorten(small)
    assert _encode.span_bytes(small) == before

    twice = captured(lambda s: setattr(s, "output", "x" * 3_000_000))
    _shorten.shorten(twice)
    assert b'"stepscope.output.length","value":{"intValue":"3000000"}' in _encode.span_bytes(twice)


@pytest.mark.parametrize("nested", [False, True])
def test_a_key_that_stands_across_the_cut_does_not_leave_in_part(sink, starved, nested):
    key = "sk-proj1-" + "A1b2" * 20
    stepscope.init(endpoint=sink.url, spool=False, memory=1_000_000)
    for number in range(60):
        text = "x " * ((_shorten.KEPT - 10) // 2 - number) + key + " y" * 10_000
        with stepscope.step("work", input={"a": text} if nested else text):
            pass
    assert stepscope.status().shortened > 10
    starved.set()
    assert stepscope.flush(20)

    assert "A1b2" not in str(sink.finals())


def test_steps_in_a_threads_hands_when_everything_ends_are_counted(tmp_path):
    with testing.capture() as steps:
        for _ in range(3):
            with stepscope.step("work"):
                pass
    ended = deque(steps._steps)

    def file() -> int:
        overflow.close()  # the program ends in this very moment
        return os.open(tmp_path / "steps", os.O_RDWR | os.O_CREAT)

    overflow = _overflow.Overflow(file, _encode.span_bytes)
    assert not overflow.absorb(ended, lambda: 1 << 30, 1 << 20)

    assert (len(ended), overflow.lost, overflow.seen(ended), len(overflow)) == (0, 3, 3, 0)
