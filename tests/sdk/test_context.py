"""Context: generators, threads, sessions and other libraries' spans (R73)."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import json
import sys
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

import stepscope
from stepscope import testing
from stepscope._context import current


@pytest.fixture
def steps() -> Iterator[testing.CapturedSteps]:
    with testing.capture() as found:
        yield found
    assert current.get() is None


def test_r73_a_generators_step_is_current_only_while_it_runs(steps):
    @stepscope.step
    def count() -> Iterator[str]:
        with stepscope.step("inside"):
            for word in ("a", "b"):
                with stepscope.step(f"make {word}"):
                    pass
                yield word

    @stepscope.step
    def consume() -> list[str]:
        out = []
        for word in count():
            with stepscope.step(f"use {word}"):
                out.append(word)
        return out

    assert inspect.isgeneratorfunction(count)
    assert consume() == ["a", "b"]

    steps.assert_tree(
        """
        consume
          count
            inside
              make a
              make b
          use a
          use b
        """
    )
    assert steps.one("count").output == "ab"


def test_r73_a_generator_behaves_as_it_would_without_us(steps):
    def talk(first: int) -> Iterator[object]:
        got = yield first
        try:
            got = yield got
        except KeyError as error:
            got = yield f"caught {error}"
        yield from [1, 2]
        return "result"

    def drive(function) -> list[object]:
        generator = function(7)
        seen = [next(generator), generator.send("sent"), generator.throw(KeyError("k"))]
        while True:
            try:
                seen.append(next(generator))
            except StopIteration as stop:
                return [*seen, stop.value]

    assert drive(stepscope.step(talk)) == drive(talk) == [7, "sent", "caught 'k'", 1, 2, "result"]
    assert steps.one("talk").status == "ok" if len(steps) == 1 else True


def test_r73_an_abandoned_generator_ends_its_step_and_leaks_nothing(steps):
    closed = []

    @stepscope.step
    def endless() -> Iterator[int]:
        try:
            number = 0
            while True:
                yield number
                number += 1
        finally:
            with stepscope.step("clean up"):
                closed.append(True)

    for number in endless():
        if number == 3:
            break
    gc.collect()

    assert closed
    assert stepscope.current_step() is None
    assert steps.one("endless").status == "ok"
    assert steps.one("endless").output == [0, 1, 2, 3]
    steps.assert_tree("endless\n  clean up")


def test_r73_a_generator_that_fails_or_refuses_to_close_is_recorded(steps):
    @stepscope.step
    def fails() -> Iterator[int]:
        yield 1
        raise ValueError("bad")

    @stepscope.step
    def stubborn() -> Generator[int]:
        try:
            yield 1
        except GeneratorExit:
            yield 2

    with pytest.raises(ValueError, match="bad") as caught:
        list(fails())
    assert caught.value.__context__ is None
    generator = stubborn()
    next(generator)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        generator.close()

    assert steps.one("fails").error == "bad"
    assert steps.one("stubborn").status == "error"


def test_r73_a_generator_may_be_resumed_in_other_contexts(steps):
    @stepscope.step
    def count() -> Iterator[int]:
        for number in range(3):
            with stepscope.step(f"make {number}"):
                yield number

    generator = count()
    for number in range(3):
        assert contextvars.copy_context().run(next, generator) == number
    assert list(generator) == []

    steps.assert_tree("count\n  make 0\n  make 1\n  make 2")


def test_r73_a_contextmanager_function_can_be_a_step(steps):
    import contextlib

    @contextlib.contextmanager
    @stepscope.step
    def opened(name: str) -> Iterator[str]:
        yield name

    with opened("x") as found:
        assert found == "x"
    with pytest.raises(KeyError), opened("y"):
        raise KeyError("k")

    assert [step.status for step in steps] == ["ok", "error"]


def test_r73_async_generators_nest_and_leak_nothing(steps):
    @stepscope.step
    async def chunks() -> AsyncIterator[str]:
        for word in ("a", "b", "c"):
            async with stepscope.step(f"make {word}"):
                await asyncio.sleep(0)
            yield word

    async def main() -> None:
        async with stepscope.step("root"):
            async for word in chunks():
                with stepscope.step(f"use {word}"):
                    await asyncio.sleep(0)
                if word == "b":
                    break

    assert inspect.isasyncgenfunction(chunks)
    asyncio.run(main())

    steps.assert_tree(
        """
        root
          chunks
            make a
            make b
          use a
          use b
        """
    )
    assert steps.one("chunks").status == "ok"
    assert steps.one("chunks").output == "ab"


def test_r73_an_async_generator_behaves_as_it_would_without_us(steps):
    async def talk() -> AsyncIterator[object]:
        got = yield 1
        try:
            yield got
        except KeyError as error:
            yield f"caught {error}"
        raise ValueError("end")

    async def drive(function) -> list[object]:
        generator = function()
        seen = [await generator.__anext__(), await generator.asend("sent"), await generator.athrow(KeyError("k"))]
        with pytest.raises(ValueError, match="end"):
            await generator.__anext__()
        with pytest.raises(StopAsyncIteration):
            await generator.__anext__()
        return seen

    assert asyncio.run(drive(stepscope.step(talk))) == asyncio.run(drive(talk)) == [1, "sent", "caught 'k'"]
    assert steps.one("talk").error == "end"


def test_r73_tasks_that_outlive_their_step_stay_below_it(steps):
    @stepscope.step
    async def late() -> None:
        await asyncio.sleep(0.01)
        with stepscope.step("first"):
            pass
        with stepscope.step("second"):
            pass

    async def main() -> None:
        with stepscope.step("request"):
            task = asyncio.create_task(late())
        await task

    asyncio.run(main())

    steps.assert_tree("request\n  late\n    first\n    second")


def test_r73_threads_start_without_a_parent_unless_it_is_propagated(steps):
    @stepscope.step
    def work(number: int) -> int:
        return number

    with stepscope.step("root"), stepscope.session("chat-7"), ThreadPoolExecutor(2) as pool:
        assert list(pool.map(stepscope.propagate(work), range(4))) == [0, 1, 2, 3]
        alone = threading.Thread(target=work, args=(9,))
        alone.start()
        alone.join()
        pool.submit(stepscope.current_step).result()
        assert pool.submit(stepscope.current_step).result() is None

    root = steps.one("root")
    assert sorted(step.input["number"] for step in steps.children(root)) == [0, 1, 2, 3]
    assert {step.attributes.get("session.id") for step in steps.children(root)} == {"chat-7"}
    (lonely,) = [step for step in steps.all("work") if step.parent_id is None]
    assert lonely.input == {"number": 9}


def test_r73_to_thread_and_async_functions_are_carried_too(steps):
    @stepscope.step
    def work() -> None:
        pass

    @stepscope.step
    async def later() -> str:
        return "done"

    async def main() -> None:
        with stepscope.step("root"):
            await asyncio.to_thread(work)
            carried = stepscope.propagate(later)
        assert await carried() == "done"

    asyncio.run(main())

    steps.assert_tree("root\n  work\n  later")


def test_session_user_tags_and_metadata_hold_inside_their_blocks(steps):
    outer = stepscope.context(session="chat-7", user="mara", tags=["beta"], metadata={"plan": "pro", "seat": 1})
    with outer, stepscope.step("a"):
        inner = stepscope.tags("eu", "beta"), stepscope.metadata(seat=2), stepscope.user(9)
        with inner[0], inner[1], inner[2], stepscope.step("b") as handle:
            handle.tags = ["own"]
            handle.metadata["extra"] = True
        with stepscope.step("c") as handle:
            handle.session = "chat-8"
    with stepscope.step("d"):
        pass

    a, b, c, d = steps
    assert (a.attributes["session.id"], a.attributes["user.id"], a.attributes["tag.tags"]) == (
        "chat-7",
        "mara",
        ["beta"],
    )
    assert json.loads(a.attributes["metadata"]) == {"plan": "pro", "seat": 1}
    assert b.attributes["tag.tags"] == ["beta", "eu", "own"]
    assert json.loads(b.attributes["metadata"]) == {"plan": "pro", "seat": 2, "extra": True}
    assert b.attributes["user.id"] == "9"
    assert (c.attributes["session.id"], c.attributes["user.id"]) == ("chat-8", "mara")
    assert not {"session.id", "user.id", "tag.tags", "metadata"} & set(d.attributes)


def test_environment_and_release_can_hold_for_a_block(steps):
    with stepscope.context(environment="staging", release="1.4"), stepscope.step("a"):
        pass

    assert steps.one("a").attributes["deployment.environment.name"] == "staging"
    assert steps.one("a").attributes["service.version"] == "1.4"


def test_a_context_that_makes_no_sense_harms_nothing(steps, monkeypatch):
    from stepscope import _guard

    monkeypatch.setattr(_guard, "reraise", False)
    nonsense: Any = 7
    with stepscope.context(tags=nonsense, metadata=nonsense), stepscope.step("a"):
        pass

    assert steps.one("a").status == "ok"


def span_of_others(trace_id: int = 0xABC, span_id: int = 0xDEF) -> NonRecordingSpan:
    return NonRecordingSpan(SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(1)))


def test_a_current_opentelemetry_span_becomes_our_parent(steps):
    with trace.use_span(span_of_others()), stepscope.step("ours"), stepscope.step("child"):
        pass
    with stepscope.step("alone"):
        pass

    ours, child, alone = steps
    assert (ours.trace_id, ours.parent_id) == (f"{0xABC:032x}", f"{0xDEF:016x}")
    assert (child.trace_id, child.parent_id) == (ours.trace_id, ours.span_id)
    assert alone.parent_id is None


def test_the_nearer_of_our_step_and_an_opentelemetry_span_is_the_parent(steps):
    with trace.use_span(span_of_others()), stepscope.step("ours") as ours:
        with trace.use_span(span_of_others(span_id=0x123)), stepscope.step("inner"):
            pass
        with trace.use_span(span_of_others(trace_id=0x999)), stepscope.step("elsewhere"):
            pass

    assert steps.one("inner").parent_id == f"{0x123:016x}"
    assert steps.one("inner").trace_id == ours.trace_id
    assert steps.one("elsewhere").parent_id == ours.span_id


def test_an_invalid_or_broken_opentelemetry_harms_nothing(steps, monkeypatch):
    from stepscope import _guard

    with trace.use_span(span_of_others(trace_id=0)), stepscope.step("invalid"):
        pass
    monkeypatch.setattr(_guard, "reraise", False)
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", object())
    with stepscope.step("broken"):
        pass
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    with stepscope.step("gone"):
        pass

    assert [step.parent_id for step in steps] == [None, None, None]
