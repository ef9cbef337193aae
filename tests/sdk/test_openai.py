"""OpenAI's own client, instrumented: every sort of call is recorded, and the program gets what it always got."""

from __future__ import annotations

import asyncio
import gc
import inspect
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import stepscope
from examples.stand_in import StandIn
from stepscope import testing
from tests.sdk.libraries import library, need
from tests.sdk.providers import Provider, Said, outcome, outcome_later
from tests.sdk.test_processes import run

openai = library("openai")

SYSTEM = "You work for Larch & Lever, a bicycle shop in Freiburg."
MESSAGES: Any = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "Where is order A-2291?"}]
GATHER: Any = [{"role": "system", "content": f"{SYSTEM} Gather the facts."}, MESSAGES[1]]
TOOLS: Any = [{"type": "function", "function": {"name": "lookup_order", "parameters": {"type": "object"}}}]


@pytest.fixture(autouse=True)
def instrumented() -> None:
    need("openai", openai)
    stepscope.instrument("openai")


@pytest.fixture(scope="module")
def model() -> Iterator[StandIn]:
    with StandIn(speed=500) as stand_in:
        yield stand_in


@pytest.fixture
def client(model) -> Iterator[Any]:
    with openai.OpenAI(base_url=model.base_url, api_key="k", max_retries=0) as found:
        yield found


def parts(step: testing.CapturedStep, side: str) -> list[dict[str, Any]]:
    import json

    return json.loads(step.attributes[f"gen_ai.{side}.messages"])


def said(step: testing.CapturedStep) -> str:
    return "".join(part.get("content", "") for message in parts(step, "output") for part in message["parts"])


def test_a_chat_is_recorded_with_its_messages_tokens_and_reason(client):
    with testing.capture() as steps:
        answer = client.chat.completions.create(model="m-1", messages=MESSAGES, temperature=0.2)

    step = steps.one("chat m-1", kind="llm")
    assert step.status == "ok"
    assert [message["role"] for message in parts(step, "input")] == ["system", "user"]
    assert said(step) == answer.choices[0].message.content
    facts = step.attributes
    assert facts["gen_ai.request.model"] == facts["gen_ai.response.model"] == "m-1"
    assert facts["gen_ai.provider.name"] == "openai"
    assert facts["gen_ai.request.temperature"] == 0.2
    assert facts["gen_ai.usage.input_tokens"] == answer.usage.prompt_tokens
    assert facts["gen_ai.usage.output_tokens"] == answer.usage.completion_tokens
    assert facts["gen_ai.response.id"] == answer.id
    assert facts["gen_ai.response.finish_reasons"] == ["stop"]


def test_a_call_inside_a_step_stands_below_it_and_steps_after_it_do_not_stand_below_the_call(client):
    with testing.capture() as steps, stepscope.step("answer"):
        client.chat.completions.create(model="m", messages=MESSAGES)
        with stepscope.step("afterwards"):
            pass

    steps.assert_tree("""
        answer
          chat m (llm)
          afterwards
    """)


def test_a_stream_shows_its_text_and_its_first_token(client):
    with testing.capture() as steps:
        stream = client.chat.completions.create(
            model="m", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)

    step = steps.one("chat m")
    assert text
    assert step.status == "ok"
    assert step.output == said(step) == text
    assert step.attributes["gen_ai.response.time_to_first_chunk"] > 0
    assert step.attributes["gen_ai.usage.output_tokens"] > 0
    assert step.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert step.events == []


@pytest.mark.parametrize("how", ["close", "forget", "leave"])
def test_a_stream_that_is_dropped_keeps_what_had_come(client, how):
    with testing.capture() as steps:
        stream = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        got = ""
        if how == "leave":
            with stream:
                for chunk in stream:
                    got += chunk.choices[0].delta.content or ""
                    if len(got) > 10:
                        break
        else:
            for chunk in stream:
                got += chunk.choices[0].delta.content or ""
                if len(got) > 10:
                    break
            if how == "close":
                stream.close()
            else:
                del stream, chunk
                gc.collect()

    step = steps.one("chat m")
    assert step.end_time is not None
    assert str(step.output).startswith(got)
    assert [event["name"] for event in step.events] == ["the stream was closed before its end"]


def test_tools_and_tool_calls_are_recorded(client):
    with testing.capture() as steps:
        whole = client.chat.completions.create(model="m", messages=GATHER, tools=TOOLS)
        for _ in client.chat.completions.create(model="m", messages=GATHER, tools=TOOLS, stream=True):
            pass

    call = whole.choices[0].message.tool_calls[0]
    for step in steps:
        (part,) = parts(step, "output")[0]["parts"]
        assert part["type"] == "tool_call"
        assert part["name"] == call.function.name == "lookup_order"
        assert "A-2291" in str(part["arguments"])
        assert step.attributes["gen_ai.response.finish_reasons"] == ["tool_calls"]
        assert "lookup_order" in step.attributes["gen_ai.tool.definitions"]


def test_async_calls_and_streams_are_recorded(model):
    async def talk() -> str:
        async with openai.AsyncOpenAI(base_url=model.base_url, api_key="k") as client:
            await client.chat.completions.create(model="one", messages=MESSAGES)
            stream = await client.chat.completions.create(model="two", messages=MESSAGES, stream=True)
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            dropped = await client.chat.completions.create(model="three", messages=MESSAGES, stream=True)
            async for _ in dropped:
                break
            await dropped.close()
            return text

    with testing.capture() as steps:
        text = asyncio.run(talk())

    assert said(steps.one("chat one")) == text == steps.one("chat two").output
    assert steps.one("chat three").end_time is not None
    assert {step.status for step in steps} == {"ok"}


def test_the_streaming_helper_and_raw_answers_are_recorded_and_still_work(client):
    with testing.capture() as steps:
        raw = client.chat.completions.with_raw_response.create(model="raw", messages=MESSAGES)
        assert raw.headers["content-type"] == "application/json"
        text = raw.parse().choices[0].message.content
        with client.chat.completions.with_streaming_response.create(model="whole", messages=MESSAGES) as response:
            assert response.parse().choices[0].message.content == text
        with client.chat.completions.with_streaming_response.create(
            model="lines", messages=MESSAGES, stream=True
        ) as response:
            lines = list(response.iter_lines())
        raw_stream = client.chat.completions.with_raw_response.create(model="stream", messages=MESSAGES, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in raw_stream.parse()) == text
        with client.chat.completions.stream(model="helper", messages=MESSAGES) as events:
            kinds = {event.type for event in events}
            assert events.get_final_completion().choices[0].message.content == text

    assert lines[-1] == ""
    assert "content.delta" in kinds
    assert {name.partition(" ")[2] for name in (step.name for step in steps)} == {
        "raw", "whole", "lines", "stream", "helper",
    }  # fmt: skip
    for step in steps:
        if step.name != "chat whole":  # a whole answer that is read as a stream of bytes is no stream of events
            assert said(step) == text, step.name


def test_embeddings_are_recorded_without_their_vectors(client):
    with testing.capture() as steps:
        answer = client.embeddings.create(model="e-1", input=["brake pads", "chain"])

    step = steps.one("embeddings e-1", kind="embedding")
    assert step.input == ["brake pads", "chain"]
    assert step.output == {"vectors": 2, "dimensions": len(answer.data[0].embedding)}
    assert step.attributes["gen_ai.usage.input_tokens"] == answer.usage.prompt_tokens


def test_an_error_is_the_clients_own_and_fails_the_step(client):
    with testing.capture() as steps, pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="m", messages="nonsense")

    step = steps.one("chat m")
    assert step.status == "error"
    assert step.events[0]["exception.type"] == "openai.BadRequestError"
    assert caught.value.__suppress_context__
    assert caught.value.status_code == 400


def test_a_server_that_is_away_fails_the_step():
    client = openai.OpenAI(base_url="http://127.0.0.1:9", api_key="k", max_retries=0)
    with client, testing.capture() as steps, pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(model="m", messages=MESSAGES)

    assert steps.one().events[0]["exception.type"] == "openai.APIConnectionError"


def test_the_wrapped_methods_look_like_their_own():
    assert inspect.iscoroutinefunction(openai.AsyncOpenAI.request)
    assert not inspect.iscoroutinefunction(openai.OpenAI.request)
    assert openai.OpenAI.request.__qualname__ == "SyncAPIClient.request"
    assert "cast_to" in inspect.signature(openai.OpenAI.request).parameters


# --- what the stand-in does not speak --------------------------------------------------------------------------------

RESPONSE: Any = {
    "id": "resp-1", "object": "response", "created_at": 1, "model": "r-1-2026", "status": "completed",
    "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
    "output": [
        {"type": "reasoning", "id": "rs-1", "summary": [{"type": "summary_text", "text": "Think."}]},
        {"type": "message", "id": "m-1", "role": "assistant", "status": "completed",
         "content": [{"type": "output_text", "text": "Hello.", "annotations": []}]},
        {"type": "function_call", "id": "f-1", "call_id": "c-1", "name": "lookup", "arguments": '{"n": 1}',
         "status": "completed"},
    ],
    "usage": {"input_tokens": 20, "output_tokens": 9, "total_tokens": 29, "input_tokens_details": {"cached_tokens": 8},
              "output_tokens_details": {"reasoning_tokens": 4}},
}  # fmt: skip


@pytest.fixture
def serving() -> Iterator[Any]:
    """Start a scripted server, and a client of it."""
    started: list[Any] = []

    def start(answer: Any, retries: int = 0) -> tuple[Provider, Any]:
        provider = Provider(answer)
        client = openai.OpenAI(base_url=f"{provider.url}/v1", api_key="k", max_retries=retries)
        started.extend((client, provider))
        return provider, client

    yield start
    for each in started:
        each.close()


def check_response(step: testing.CapturedStep) -> None:
    kinds = [part["type"] for message in parts(step, "output") for part in message["parts"]]
    assert kinds == ["reasoning", "text", "tool_call"]
    facts = step.attributes
    assert facts["gen_ai.usage.input_tokens"] == 20
    assert facts["gen_ai.usage.cache_read.input_tokens"] == 8
    assert facts["gen_ai.usage.reasoning.output_tokens"] == 4
    assert facts["gen_ai.response.model"] == "r-1-2026"
    assert facts["gen_ai.response.finish_reasons"] == ["tool_calls"]


def test_responses_are_recorded_with_reasoning_tools_and_token_classes(serving):
    _, client = serving(lambda path, body: Said(RESPONSE))
    given: Any = [
        {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"type": "function_call", "call_id": "c-0", "name": "lookup", "arguments": '{"n": 0}'},
        {"type": "function_call_output", "call_id": "c-0", "output": "none"},
    ]
    with testing.capture() as steps:
        client.responses.create(model="r-1", instructions="Be brief.", input=given)

    step = steps.one("chat r-1")
    check_response(step)
    assert [message["role"] for message in parts(step, "input")] == ["system", "user", "assistant", "tool"]
    assert parts(step, "input")[3]["parts"][0] == {"type": "tool_call_response", "id": "c-0", "response": "none"}


EVENTS: list[tuple[str, Any]] = [
    (kind, {"type": kind, "sequence_number": 1, **data})
    for kind, data in (
        ("response.created", {"response": {**RESPONSE, "status": "in_progress"}}),
        ("response.output_text.delta", {"output_index": 1, "delta": "Hel", "content_index": 0, "item_id": "m-1"}),
        ("response.output_text.delta", {"output_index": 1, "delta": "lo.", "content_index": 0, "item_id": "m-1"}),
        ("response.completed", {"response": RESPONSE}),
    )
]


def test_streamed_responses_are_recorded(serving):
    events = EVENTS
    _, client = serving(lambda path, body: Said(events=events if body["model"] == "r-1" else events[:-1]))
    with testing.capture() as steps:
        got = [event.type for event in client.responses.create(model="r-1", input="Hi", stream=True)]
        for _ in client.responses.create(model="cut", input="Hi", stream=True):
            pass

    assert got == [kind for kind, _ in events]
    check_response(steps.one("chat r-1"))
    assert steps.one("chat r-1").output == "Hello."
    assert said(steps.one("chat cut")) == "Hello."


def chunk(text: str | None = None, **more: Any) -> tuple[str, Any]:
    delta: Any = {} if text is None else {"content": text}
    return "", {
        "id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": None}], **more,
    }  # fmt: skip


def test_a_stream_that_breaks_keeps_what_had_come_and_fails_the_step(serving):
    _, client = serving(lambda path, body: Said(events=[chunk("Hal"), chunk("f")], broken=True))
    with testing.capture() as steps, pytest.raises(Exception) as caught:
        list(client.chat.completions.create(model="m", messages=MESSAGES, stream=True))

    step = steps.one("chat m")
    assert said(step) == step.output == "Half"
    assert step.status == "error"
    assert not isinstance(caught.value, AssertionError)


def test_an_error_inside_a_stream_fails_the_step(serving):
    events: list[tuple[str, Any]] = [chunk("Hal"), ("", {"error": {"message": "overloaded"}})]
    _, client = serving(lambda path, body: Said(events=events))
    with testing.capture() as steps, pytest.raises(openai.APIError, match="overloaded"):
        list(client.chat.completions.create(model="m", messages=MESSAGES, stream=True))

    assert steps.one("chat m").error == "overloaded"


def test_a_packed_stream_and_one_with_odd_bytes_are_read_along(serving):
    _, client = serving(lambda path, body: Said(events=[chunk("Grüße, "), chunk("世界 🚲"), ("", None)], packed=True))
    with testing.capture() as steps:
        got = list(client.chat.completions.create(model="m", messages=MESSAGES, stream=True))

    assert len(got) == 2
    assert steps.one("chat m").output == "Grüße, 世界 🚲"


def test_an_answer_of_another_shape_is_passed_on_as_it_is(serving):
    _, client = serving(lambda path, body: Said({"strange": [1, {"choices": 5}], "choices": "none", "usage": []}))
    with testing.capture() as steps:
        got = client.chat.completions.create(model="m", messages=MESSAGES)

    assert got.strange[0] == 1
    assert steps.one("chat m").status == "ok"


def test_retries_are_one_step(serving):
    answers = iter(
        [Said(status=500), Said(status=500), Said({**chunk()[1], "object": "chat.completion", "choices": []})]
    )
    provider, client = serving(lambda path, body: next(answers), 2)
    with testing.capture() as steps:
        client.chat.completions.create(model="m", messages=MESSAGES)

    assert len(provider.asked) == 3
    assert steps.one("chat m").status == "ok"


VECTORS: Any = {
    "object": "list", "model": "e-1", "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -1.0]}],
    "usage": {"prompt_tokens": 3, "total_tokens": 3},
}  # fmt: skip
WHOLE: Any = {
    "id": "c-1", "object": "chat.completion", "created": 1, "model": "m", "surprise": {"new": [1]},
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hé 🚲"}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}  # fmt: skip


def scripted(path: str, body: Any) -> Said:
    """Answer as the model's name wants."""
    wanted = body["model"]
    if wanted.isdigit():
        return Said({"error": {"message": "no", "type": "t", "code": "c", "param": None}}, status=int(wanted))
    if path.endswith("embeddings"):
        return Said(VECTORS)
    if wanted == "odd":
        return Said({"unknown": 1})
    if path.endswith("responses"):
        return (
            Said(events=EVENTS[:2] if wanted == "breaks" else EVENTS, broken=wanted == "breaks")
            if body.get("stream")
            else Said(RESPONSE)
        )
    if not body.get("stream"):
        return Said(WHOLE)
    last: Any = {"fails": [("", {"error": {"message": "overloaded"}})], "breaks": []}.get(wanted, [("", None)])
    return Said(events=[chunk("Hé "), chunk("🚲"), *last], broken=wanted == "breaks", packed=wanted == "packed")


def every_call(client: Any, wait: bool) -> dict[str, Any]:
    """All sorts of calls by a name; those of an async client wait to be awaited."""
    chat, responses, embeddings = client.chat.completions, client.responses, client.embeddings
    vectors = {"input": ["a"], "encoding_format": "float"}
    out: dict[str, Any] = {}
    for name in ("m", "odd", "400", "401", "429", "500"):
        out[f"chat {name}"] = lambda name=name: chat.create(model=name, messages=MESSAGES)
        out[f"response {name}"] = lambda name=name: responses.create(model=name, input="Hi")
        out[f"vectors {name}"] = lambda name=name: embeddings.create(model=name, **vectors)
    for name in ("m", "packed", "breaks", "fails", "503"):
        out[f"chat stream {name}"] = lambda name=name: chat.create(model=name, messages=MESSAGES, stream=True)
    for name in ("m", "breaks", "400"):
        out[f"response stream {name}"] = lambda name=name: responses.create(model=name, input="Hi", stream=True)
    if not wait:
        raw = chat.with_raw_response
        out["raw"] = lambda: raw.create(model="m", messages=MESSAGES)
        out["raw failure"] = lambda: raw.create(model="404", messages=MESSAGES)
    return out


async def later(url: str, retries: int) -> dict[str, object]:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=retries) as client:
        return {name: await outcome_later(call) for name, call in every_call(client, wait=True).items()}


def test_results_and_exceptions_are_to_the_last_byte_those_that_the_bare_client_gives(serving, monkeypatch):
    provider, client = serving(scripted, 1)

    def all_sorts() -> list[dict[str, object]]:
        found = {name: outcome(call) for name, call in every_call(client, wait=False).items()}
        return [found, asyncio.run(later(provider.url, 1))]

    with monkeypatch.context() as bare:
        for kind in (openai.OpenAI, openai.AsyncOpenAI):
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
    assert len({repr(each) for each in without[0].values()}) > 15
    assert len(steps) == sum(len(each) for each in without)
    assert {step.status for step in steps if step.name.endswith((" 400", " 503", "breaks", "fails"))} == {"error"}
    answers = [step for step in steps if step.name == "chat m" and step.attributes["gen_ai.response.id"] == "resp-1"]
    for step in answers:
        check_response(step)
    vectors = [step.output for step in steps.all("embeddings m")]
    assert len(answers) == 4
    assert vectors == [{"vectors": 1, "dimensions": 2}] * 2


def test_the_environment_switches_it_on_whenever_the_client_is_imported(model, sink):
    code = f"""
import stepscope, sys, warnings
warnings.simplefilter("ignore")
assert "openai" not in sys.modules
import openai
client = openai.OpenAI(base_url={model.base_url!r}, api_key="k")
client.chat.completions.create(model="m", messages={MESSAGES!r})
assert openai.__spec__.loader.__class__.__name__ == "SourceFileLoader"
"""
    done = run(code, sink, flags=("-W", "ignore"), STEPSCOPE_INSTRUMENT="1")

    assert (done.returncode, done.stderr) == (0, "")
    assert "chat m" in sink.spans()


def test_a_library_that_nobody_knows_is_named(caplog):
    stepscope.instrument("opnai")

    assert "nothing is known of 'opnai'" in caplog.text


def test_instrumenting_imports_nothing():
    code = "import stepscope, sys; stepscope.instrument(); print({'openai', 'anthropic', 'langgraph'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
