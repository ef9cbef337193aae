"""Anthropic's own client, instrumented, against a local server that speaks its protocol."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Iterator
from typing import Any

import pytest

import stepscope
from stepscope import testing
from tests.sdk.libraries import library, need
from tests.sdk.providers import Json, Provider, Said, outcome, outcome_later

anthropic = library("anthropic")

MESSAGES: Any = [{"role": "user", "content": [{"type": "text", "text": "Where is A-17?"}]}]
USAGE = {"input_tokens": 10, "cache_read_input_tokens": 6, "cache_creation_input_tokens": 4, "output_tokens": 1}
ANSWER: Json = {
    "id": "msg-1", "type": "message", "role": "assistant", "model": "c-1-2026", "stop_sequence": None,
    "content": [
        {"type": "thinking", "thinking": "Look it up.", "signature": "c2ln"},
        {"type": "text", "text": "On its way."},
        {"type": "tool_use", "id": "tu-1", "name": "lookup", "input": {"order": "A-17"}},
    ],
    "stop_reason": "tool_use",
    "usage": {**USAGE, "output_tokens": 12},
}  # fmt: skip


def stream_of(answer: Json) -> list[tuple[str, Json | None]]:
    begun: Json = {**answer, "content": [], "stop_reason": None, "usage": USAGE}
    events: list[tuple[str, Json | None]] = [("message_start", {"message": begun}), ("ping", {})]
    empty: list[Json] = [{"type": "thinking", "thinking": "", "signature": ""}, {"type": "text", "text": ""}]
    empty.append({**answer["content"][2], "input": {}})
    deltas: list[list[Json]] = [
        [{"type": "thinking_delta", "thinking": "Look "}, {"type": "thinking_delta", "thinking": "it up."}],
        [{"type": "text_delta", "text": "On its "}, {"type": "text_delta", "text": "way."}],
        [
            {"type": "input_json_delta", "partial_json": '{"order": '},
            {"type": "input_json_delta", "partial_json": '"A-17"}'},
        ],
    ]
    for index, block in enumerate(empty):
        events.append(("content_block_start", {"index": index, "content_block": block}))
        events += [("content_block_delta", {"index": index, "delta": delta}) for delta in deltas[index]]
        events.append(("content_block_stop", {"index": index}))
    ended = {"stop_reason": "tool_use", "stop_sequence": None}
    events += [("message_delta", {"delta": ended, "usage": {"output_tokens": 12}}), ("message_stop", {})]
    return [(name, {"type": name, **(data or {})}) for name, data in events]


@pytest.fixture(autouse=True)
def instrumented() -> None:
    need("anthropic", anthropic)
    stepscope.instrument("anthropic")


@pytest.fixture
def provider() -> Iterator[Provider]:
    found = Provider(lambda path, body: Said(events=stream_of(ANSWER)) if body.get("stream") else Said(ANSWER))
    yield found
    found.close()


@pytest.fixture
def client(provider) -> Iterator[Any]:
    with anthropic.Anthropic(base_url=provider.url, api_key="k", max_retries=0) as found:
        yield found


def check(step: testing.CapturedStep) -> None:
    facts = step.attributes
    assert facts["gen_ai.provider.name"] == "anthropic"
    assert facts["gen_ai.response.model"] == "c-1-2026"
    assert facts["gen_ai.usage.input_tokens"] == 20
    assert facts["gen_ai.usage.output_tokens"] == 12
    assert facts["gen_ai.usage.cache_read.input_tokens"] == 6
    assert facts["gen_ai.usage.cache_creation.input_tokens"] == 4
    assert facts["gen_ai.response.finish_reasons"] == ["tool_calls"]
    (reply,) = json.loads(facts["gen_ai.output.messages"])
    assert reply["parts"] == [
        {"type": "reasoning", "content": "Look it up."},
        {"type": "text", "content": "On its way."},
        {"type": "tool_call", "id": "tu-1", "name": "lookup", "arguments": {"order": "A-17"}},
    ]


def test_a_message_is_recorded_with_its_parts_and_token_classes(client):
    with testing.capture() as steps, stepscope.step("answer"):
        tools: Any = [{"name": "lookup", "input_schema": {"type": "object"}}]
        answer = client.messages.create(
            model="c-1", max_tokens=100, system="Be brief.", messages=MESSAGES, tools=tools, stop_sequences=["END"]
        )

    assert answer.content[1].text == "On its way."
    step = steps.one("chat c-1", kind="llm")
    check(step)
    assert step.parent_id == steps.one("answer").span_id
    assert step.attributes["gen_ai.request.max_tokens"] == 100
    assert "lookup" in step.attributes["gen_ai.tool.definitions"]
    messages = json.loads(step.attributes["gen_ai.input.messages"])
    assert [message["role"] for message in messages] == ["system", "user"]


def test_streams_are_recorded_by_events_and_by_the_helper(client):
    with testing.capture() as steps:
        kinds = [
            event.type for event in client.messages.create(model="one", max_tokens=9, messages=MESSAGES, stream=True)
        ]
        with client.messages.stream(model="two", max_tokens=9, messages=MESSAGES) as stream:
            text = "".join(stream.text_stream)
            assert stream.get_final_message().stop_reason == "tool_use"

    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert text == "On its way."
    for step in steps:
        check(step)
        assert step.output == "On its way."
        assert step.attributes["gen_ai.response.time_to_first_chunk"] > 0
    assert len(steps) == 2


def test_async_messages_and_streams_are_recorded(provider):
    async def talk() -> None:
        async with anthropic.AsyncAnthropic(base_url=provider.url, api_key="k") as client:
            await client.messages.create(model="one", max_tokens=9, messages=MESSAGES)
            async with client.messages.stream(model="two", max_tokens=9, messages=MESSAGES) as stream:
                assert "".join([text async for text in stream.text_stream]) == "On its way."

    with testing.capture() as steps:
        asyncio.run(talk())

    assert len(steps) == 2
    for step in steps:
        check(step)


def test_a_stream_that_is_dropped_keeps_what_had_come(client):
    with testing.capture() as steps:
        stream = client.messages.create(model="m", max_tokens=9, messages=MESSAGES, stream=True)
        for event in stream:
            if event.type == "content_block_delta" and event.index == 1:
                break
        stream.close()

    step = steps.one("chat m")
    assert step.end_time is not None
    assert str(step.output).startswith("On its ")
    assert step.attributes["gen_ai.usage.input_tokens"] == 20


def test_raw_answers_are_recorded_and_still_work(client):
    with testing.capture() as steps:
        raw = client.messages.with_raw_response.create(model="raw", max_tokens=9, messages=MESSAGES)
        assert raw.headers["x-request-id"] == "req-1"
        assert raw.parse().stop_reason == "tool_use"

    check(steps.one("chat raw"))


def test_errors_are_the_clients_own(provider, client):
    refused = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    provider.answer = lambda path, body: Said(refused, status=529)
    with testing.capture() as steps, pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(model="m", max_tokens=9, messages=MESSAGES)

    assert caught.value.status_code == 529
    assert steps.one("chat m").status == "error"


def test_counting_tokens_is_no_model_call(client):
    with testing.capture() as steps:
        client.messages.count_tokens(model="m", messages=MESSAGES)

    assert len(steps) == 0


def scripted(path: str, body: Json) -> Said:
    """Answer as the model's name wants."""
    wanted = body["model"]
    if wanted.isdigit():
        return Said({"type": "error", "error": {"type": "t", "message": "no"}}, status=int(wanted))
    if not body.get("stream"):
        return Said(ANSWER if wanted != "odd" else {"unknown": 1})
    events = stream_of(ANSWER)
    if wanted == "fails":
        events = [*events[:8], ("error", {"type": "error", "error": {"type": "overloaded_error", "message": "no"}})]
    return Said(events=events[:8] if wanted == "breaks" else events, broken=wanted == "breaks")


def every_call(client: Any) -> dict[str, Any]:
    """All sorts of calls by a name; those of an async client wait to be awaited."""
    create = client.messages.create
    out: dict[str, Any] = {}
    for name in ("m", "odd", "400", "429", "529"):
        out[name] = lambda name=name: create(model=name, max_tokens=9, messages=MESSAGES)
    for name in ("m", "breaks", "fails", "401"):
        out[f"stream {name}"] = lambda name=name: create(model=name, max_tokens=9, messages=MESSAGES, stream=True)
    return out


async def later(url: str) -> dict[str, object]:
    async with anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=1) as client:
        return {name: await outcome_later(call) for name, call in every_call(client).items()}


def test_results_and_exceptions_are_to_the_last_byte_those_that_the_bare_client_gives(provider, monkeypatch):
    provider.answer = scripted

    def all_sorts() -> list[dict[str, object]]:
        with anthropic.Anthropic(base_url=provider.url, api_key="k", max_retries=1) as client:
            found = {name: outcome(call) for name, call in every_call(client).items()}
            raw = client.messages.with_raw_response
            found["raw"] = outcome(lambda: raw.create(model="m", max_tokens=9, messages=MESSAGES))
        return [found, asyncio.run(later(provider.url))]

    with monkeypatch.context() as bare:
        for kind in (anthropic.Anthropic, anthropic.AsyncAnthropic):
            owner = next(base for base in kind.__mro__ if "request" in vars(base))
            bare.setattr(owner, "request", inspect.unwrap(owner.request))
            assert not hasattr(kind.request, "__stepscope__")
        without = all_sorts()
    asked = list(provider.asked)
    provider.asked.clear()
    with testing.capture() as steps:
        within = all_sorts()

    for one, other in zip(without, within, strict=True):
        assert other == one
    assert provider.asked == asked
    assert len(steps) == sum(len(each) for each in without)
    assert [step.status for step in steps if step.name == "chat m"] == ["ok"] * 5
    for step in steps.all("chat m"):
        check(step)
    broken = [step for step in steps if step.name in ("chat breaks", "chat fails")]
    assert {(step.status, step.output) for step in broken} == {("error", "On its ")}
    assert len(broken) == 4


def test_an_async_stream_that_is_dropped_keeps_what_had_come(provider):
    async def drop() -> None:
        async with anthropic.AsyncAnthropic(base_url=provider.url, api_key="k") as client:
            stream = await client.messages.create(model="m", max_tokens=9, messages=MESSAGES, stream=True)
            async for event in stream:
                if event.type == "content_block_delta" and event.index == 1:
                    break
            await stream.close()

    with testing.capture() as steps:
        asyncio.run(drop())

    assert str(steps.one("chat m").output).startswith("On its ")
    assert [event["name"] for event in steps.one("chat m").events] == ["the stream was closed before its end"]
