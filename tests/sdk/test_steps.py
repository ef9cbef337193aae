"""Recording: functions and blocks, sync and async, what goes in and out, and errors."""

from __future__ import annotations

import asyncio
import inspect
import json
from typing import Any

import pytest

import stepscope


def test_a_decorated_function_is_a_step_with_its_arguments_by_name_and_its_result(sent):
    @stepscope.step
    def answer(question: str, *, limit: int = 3) -> str:
        return question.upper()

    assert answer("where?", limit=5) == "WHERE?"

    span = sent().spans()["answer"]
    assert span.read("input") == {"question": "where?", "limit": 5}
    assert span.read("output") == "WHERE?"
    assert span.attributes["output.mime_type"] == "text/plain"
    assert span.attributes["stepscope.kind"] == "chain"
    assert span.status == {"code": 1}
    assert span.end >= span.start > 1_600_000_000 * 10**9
    assert span.parent_id is None
    assert span.scope == "stepscope"


def test_name_and_kind_can_be_given(sent):
    @stepscope.step(name="look up", kind="tool")
    def lookup(order: str) -> dict[str, str]:
        return {"order": order}

    lookup("A-1")

    span = sent().spans()["look up"]
    assert span.attributes["stepscope.kind"] == "tool"
    assert span.attributes["gen_ai.tool.name"] == "look up"
    assert span.read("output") == {"order": "A-1"}


@pytest.mark.parametrize("kind", sorted(stepscope._steps.KINDS))
def test_each_kind_travels_as_it_is(sent, kind):
    with stepscope.step("work", kind=kind):
        pass

    assert sent().spans()["work"].attributes["stepscope.kind"] == kind


def test_an_unknown_kind_becomes_other_with_one_line_in_the_log(sent, caplog):
    for _ in range(3):
        with stepscope.step("work", kind="wizardry"):
            pass

    assert sent().spans()["work"].attributes["stepscope.kind"] == "other"
    assert len([record for record in caplog.records if record.name == "stepscope"]) == 1


def test_steps_nest_through_functions_and_blocks(sent):
    @stepscope.step
    def leaf() -> None:
        with stepscope.step("block", kind="tool"):
            pass

    @stepscope.step
    def root() -> None:
        leaf()
        leaf()

    root()
    root()

    finals = sent().finals()
    by_id = {span.span_id: span for span in finals}
    assert len(by_id) == len(finals) == 10
    assert len({span.trace_id for span in finals}) == 2
    for span in finals:
        parent = by_id[span.parent_id].name if span.parent_id else None
        assert parent == {"block": "leaf", "leaf": "root", "root": None}[span.name]
        assert not span.parent_id or by_id[span.parent_id].trace_id == span.trace_id


def test_a_handle_has_ids_and_takes_input_output_and_metadata(sent):
    with stepscope.step("work") as handle:
        handle.input = {"a": 1}
        handle.output = ["x"]
        handle.metadata["plan"] = "pro"
        handle.metadata = {**handle.metadata, "seat": 4}
        assert len(handle.trace_id) == 32
        assert len(handle.span_id) == 16
        assert handle.input == {"a": 1}

    span = sent().spans()["work"]
    assert (span.trace_id, span.span_id) == (handle.trace_id, handle.span_id)
    assert handle.trace_id == handle.trace_id.lower()
    assert span.read("input") == {"a": 1}
    assert span.read("output") == ["x"]
    assert json.loads(span.attributes["metadata"]) == {"plan": "pro", "seat": 4}


def test_values_are_kept_as_they_were_when_they_were_given(sent):
    given = {"list": [1], "text": "x"}

    @stepscope.step
    def change(value: dict[str, Any]) -> dict[str, Any]:
        value["list"].append(2)
        value["text"] = "y"
        return value

    change(given)["list"].clear()

    span = sent().spans()["change"]
    assert span.read("input") == {"value": {"list": [1], "text": "x"}}
    assert span.read("output") == {"list": [1, 2], "text": "y"}


def test_async_functions_and_blocks_nest_per_task(sent):
    @stepscope.step
    async def child(number: int) -> int:
        async with stepscope.step(f"inner {number}"):
            await asyncio.sleep(0.001 * (5 - number))
        return number

    @stepscope.step
    async def parent() -> list[int]:
        return await asyncio.gather(*(child(number) for number in range(5)))

    assert inspect.iscoroutinefunction(parent)
    assert asyncio.run(parent()) == [0, 1, 2, 3, 4]

    finals = sent().finals()
    by_id = {span.span_id: span for span in finals}
    assert len(by_id) == 11
    for number in range(5):
        inner = next(span for span in finals if span.name == f"inner {number}")
        assert by_id[inner.parent_id].read("input") == {"number": number}
        assert by_id[by_id[inner.parent_id].parent_id].name == "parent"


def test_an_exception_is_recorded_and_passes_unchanged(sent):
    class OrderNotFound(Exception):
        pass

    cause = KeyError("A-1")
    error = OrderNotFound("no order 'A-1'")

    @stepscope.step
    def lookup() -> None:
        raise error from cause

    with pytest.raises(OrderNotFound) as caught, stepscope.step("outer"):
        lookup()

    assert caught.value is error
    assert error.__cause__ is cause
    assert error.__context__ is None
    assert caught.traceback[-1].name == "lookup"
    for name in ("lookup", "outer"):
        span = sent().spans()[name]
        assert span.status == {"code": 2, "message": "no order 'A-1'"}
        (event,) = span.events
        assert event["name"] == "exception"
        assert event["attributes"]["exception.type"].endswith("OrderNotFound")
        assert event["attributes"]["exception.message"] == "no order 'A-1'"
        stack = event["attributes"]["exception.stacktrace"]
        assert "raise error from cause" in stack
        assert "KeyError: 'A-1'" in stack
        assert "direct cause" in stack
        assert "stepscope/_" not in stack
        assert span.attributes["error.type"].endswith("OrderNotFound")


def test_an_async_exception_and_a_cancelled_task_are_recorded_and_pass(sent):
    @stepscope.step
    async def fail() -> None:
        raise ValueError("bad")

    @stepscope.step
    async def hang() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        with pytest.raises(ValueError, match="bad"):
            await fail()
        task = asyncio.create_task(hang())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())

    spans = sent().spans()
    assert spans["fail"].status["code"] == 2
    assert spans["hang"].attributes["error.type"].endswith("CancelledError")


def test_a_handled_error_can_be_told(sent):
    with stepscope.step("told") as handle:
        handle.fail("the model refused")
    with stepscope.step("caught") as handle:
        try:
            raise TimeoutError("slow")
        except TimeoutError as error:
            handle.fail(error)

    spans = sent().spans()
    assert spans["told"].status == {"code": 2, "message": "the model refused"}
    assert spans["told"].events == []
    assert spans["caught"].events[0]["attributes"]["exception.type"] == "TimeoutError"


def test_a_program_that_exits_with_zero_has_not_failed(sent):
    @stepscope.step
    def leave(code: int) -> None:
        raise SystemExit(code)

    for code in (0, 3):
        with pytest.raises(SystemExit):
            leave(code)

    assert [span.status["code"] for span in sent().finals()] == [1, 2]


def test_methods_leave_self_out_and_static_and_class_methods_work(sent):
    class Shop:
        @stepscope.step
        def sell(self, article: str) -> str:
            return article

        @stepscope.step
        @classmethod
        def open(cls, day: str) -> str:
            return cls.__name__ + day

        @staticmethod
        @stepscope.step
        def close(hour: int) -> int:
            return hour

    assert Shop().sell("bell") == "bell"
    assert Shop.open("Mon") == "ShopMon"
    assert Shop.close(6) == 6

    spans = sent().spans()
    assert spans["Shop.sell"].read("input") == {"article": "bell"}
    assert spans["Shop.open"].read("input") == {"day": "Mon"}
    assert spans["Shop.close"].read("input") == {"hour": 6}


def test_further_arguments_are_kept_under_their_names(sent):
    @stepscope.step
    def add(first: int, *rest: int, **options: int) -> int:
        return first + sum(rest) + options["x"]

    assert add(1, 2, 3, x=4) == 10

    assert sent().spans()["add"].read("input") == {"first": 1, "rest": [2, 3], "x": 4}


def test_a_decorated_function_keeps_its_name_document_and_signature():
    def answer(question: str, limit: int = 3) -> str:
        """Answer it."""
        return question

    wrapped = stepscope.step(answer)

    assert wrapped.__name__ == "answer"
    assert wrapped.__doc__ == "Answer it."
    assert inspect.signature(wrapped) == inspect.signature(answer)
    assert inspect.unwrap(wrapped) is answer


def test_capture_false_keeps_arguments_and_result_out(sent):
    @stepscope.step(capture=False)
    def login(password: str) -> str:
        return "token"

    assert login("hunter2") == "token"

    span = sent().spans()["login"]
    assert "hunter2" not in str(span)
    assert "token" not in str(span.attributes)


def test_an_output_set_by_hand_wins_over_the_result(sent):
    @stepscope.step
    def work() -> str:
        handle = stepscope.current_step()
        assert handle is not None
        handle.output = "by hand"
        return "result"

    assert work() == "result"

    assert sent().spans()["work"].read("output") == "by hand"


def test_the_current_step_and_its_address_are_known_inside_and_gone_outside(sent, sink):
    with stepscope.step("work") as handle:
        assert stepscope.current_step() is handle
        assert stepscope.current_trace_url() == f"{sink.url}/traces/{handle.trace_id}"
        assert handle.url == f"{sink.url}/traces/{handle.trace_id}?span={handle.span_id}"
    assert stepscope.current_step() is None
    assert stepscope.current_trace_url() is None


def test_a_step_can_be_started_and_ended_by_hand(sent):
    with stepscope.step("root") as root:
        upload = stepscope.start_step("upload", kind="tool", input="file")
        with stepscope.step("beside"):
            pass
    part = stepscope.start_step("part", parent=upload)
    part.end()
    upload.end("disk full")
    upload.end()

    spans = sent().spans()
    assert spans["upload"].parent_id == root.span_id
    assert spans["beside"].parent_id == root.span_id
    assert spans["part"].parent_id == upload.span_id
    assert spans["part"].trace_id == root.trace_id
    assert spans["upload"].status == {"code": 2, "message": "disk full"}
    assert len(sent().finals()) == 4


def test_a_tree_can_be_recorded_at_another_time(sent):
    past = 1_700_000_000 * 10**9
    with stepscope.step("root", start_time=past), stepscope.step("child"):
        pass

    spans = sent().spans()
    assert spans["root"].start == past
    assert past <= spans["child"].start <= spans["child"].end <= spans["root"].end < past + 10**9


def test_blocks_left_out_of_order_do_not_leak_a_finished_parent(sent):
    first, second = stepscope.step("first"), stepscope.step("second")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert stepscope.current_step() is None
    with stepscope.step("after"):
        pass

    assert sent().spans()["after"].parent_id is None


def test_one_maker_can_be_open_several_times(sent):
    maker = stepscope.step("again")
    with maker as outer, maker as inner:
        assert stepscope.current_step() is inner
    assert stepscope.current_step() is None

    finals = sent().finals()
    assert [span.parent_id for span in finals] == [outer.span_id, None]


def test_disabled_the_program_runs_as_if_nothing_were_there(monkeypatch, sink):
    monkeypatch.setenv("STEPSCOPE_DISABLED", "1")
    stepscope.init(endpoint=sink.url)

    @stepscope.step
    def work(x: int) -> int:
        assert stepscope.current_step() is None
        return x + 1

    assert work(1) == 2
    with stepscope.step("block") as handle:
        handle.output = "x"
        handle.tokens(input=1)
        assert len(handle.trace_id) == 32
    assert stepscope.flush(1)
    assert stepscope.status() == (0, 0, 0, 0, 0, 0, 0, "", "STEPSCOPE_DISABLED is set")
    assert sink.requests == []
