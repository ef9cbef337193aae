"""Traces across processes: `traceparent` out and in, and nothing else of what comes from outside."""

from __future__ import annotations

import asyncio
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stepscope
from stepscope import _w3c, testing

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": GOOD},
        {"Traceparent": f" {GOOD}\t"},
        {b"traceparent": GOOD.encode()},
        [(b"host", b"x"), (b"traceparent", GOOD.encode())],
        {"HTTP_TRACEPARENT": GOOD},
        GOOD,
        GOOD.encode(),
        {"traceparent": f"00-{TRACE}-{SPAN}-00"},
        {"traceparent": f"cc-{TRACE}-{SPAN}-01-what-comes-later"},
    ],
)
def test_a_trace_goes_on_where_a_request_names_it(headers):
    with testing.capture() as steps, stepscope.continue_trace(headers), stepscope.step("answer"):
        pass

    assert (steps.one().trace_id, steps.one().parent_id) == (TRACE, SPAN)


@pytest.mark.parametrize(
    "value",
    [
        "", "00", GOOD.upper(), GOOD[:-1], f"{GOOD}0", f"{GOOD}-more",
        f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01", GOOD.replace("-", "_"), f"{GOOD},{GOOD}", "٠٠" + GOOD[2:], GOOD + "x" * 10_000,
        f"cc-{TRACE}-{SPAN}-01" + "-x" * 1000, None, 7, object(), [GOOD], {"traceparent": 7}, {GOOD: "traceparent"},
        [("traceparent", GOOD), ("traceparent", GOOD)],
    ],
)  # fmt: skip
def test_r78_a_malformed_header_starts_a_new_trace(value):
    headers = {"traceparent": value} if isinstance(value, str) else value
    with testing.capture() as steps, stepscope.continue_trace(headers), stepscope.step("answer"):
        pass

    assert steps.one().parent_id is None
    assert steps.one().trace_id != TRACE


@given(st.text() | st.from_regex(_w3c._HEADER) | st.binary())
def test_r78_whatever_a_header_says_the_program_goes_on(value):
    with stepscope.continue_trace({"traceparent": value, "tracestate": value, "baggage": value}):
        found = stepscope.traceparent()
    if found is not None:
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        assert found[3:52] in text
        assert found[3:35].strip("0")
        assert found[36:52].strip("0")


@given(st.dictionaries(st.text(), st.text()) | st.lists(st.tuples(st.binary(), st.binary())) | st.lists(st.integers()))
def test_r78_whatever_the_headers_are_the_program_goes_on(headers):
    with stepscope.continue_trace(headers):
        assert stepscope.current_step() is None


def test_r78_no_configuration_is_read_from_a_header():
    before = dict(os.environ)
    headers = {"traceparent": GOOD, "tracestate": "stepscope=endpoint:http://evil", "baggage": "stepscope.api_key=k"}
    with testing.capture() as steps, stepscope.continue_trace(headers), stepscope.step("answer"):
        pass

    assert "evil" not in str(steps.one())
    assert dict(os.environ) == before


def test_what_goes_out_comes_in_and_nothing_stays():
    with testing.capture() as steps:
        assert stepscope.traceparent() is None
        with stepscope.step("caller"):
            header = stepscope.traceparent()
            with stepscope.continue_trace({"traceparent": header}), stepscope.step("callee"):
                pass
            with stepscope.step("after"):
                pass

    caller, callee, after = steps.one("caller"), steps.one("callee"), steps.one("after")
    assert header == f"00-{caller.trace_id}-{caller.span_id}-01"
    assert callee.parent_id == after.parent_id == caller.span_id


def test_a_request_without_a_header_starts_a_trace_of_its_own():
    with testing.capture() as steps, stepscope.step("server"), stepscope.continue_trace({}), stepscope.step("answer"):
        pass

    assert steps.one("answer").trace_id != steps.one("server").trace_id


def test_it_works_as_an_async_block():
    async def serve() -> None:
        async with stepscope.continue_trace({"traceparent": GOOD}), stepscope.step("answer"):
            pass

    with testing.capture() as steps:
        asyncio.run(serve())

    assert steps.one().parent_id == SPAN
