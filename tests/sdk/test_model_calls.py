"""What a handle says of model calls, tools, documents and prompts, in the words of the wire."""

from __future__ import annotations

import json
from typing import Any

import pytest

import stepscope
from stepscope import testing


def llm(kind: str = "llm", **settings: object) -> dict[str, Any]:
    with testing.capture() as steps, stepscope.step("call", kind=kind) as handle:
        for name, value in settings.items():
            setattr(handle, name, value)
    return steps.one("call").attributes


def test_model_provider_parameters_and_answer_have_their_conventional_names():
    found = llm(
        model="small-1",
        response_model="small-1-0613",
        provider="openai",
        parameters={"temperature": 0, "max_tokens": 9, "stop": ["x"], "stream": True, "n": 2, "mine": {"a": 1}},
        finish_reason="stop",
        response_id="r-1",
        tools=[{"type": "function", "function": {"name": "lookup"}}],
    )

    assert found["gen_ai.request.model"] == "small-1"
    assert found["gen_ai.response.model"] == "small-1-0613"
    assert found["gen_ai.provider.name"] == "openai"
    assert found["gen_ai.request.temperature"] == 0
    assert found["gen_ai.request.max_tokens"] == 9
    assert found["gen_ai.request.stop_sequences"] == ["x"]
    assert found["gen_ai.request.stream"] is True
    assert found["gen_ai.request.choice.count"] == 2
    assert json.loads(found["gen_ai.request.mine"]) == {"a": 1}
    assert found["gen_ai.response.finish_reasons"] == ["stop"]
    assert found["gen_ai.response.id"] == "r-1"
    assert json.loads(found["gen_ai.tool.definitions"])[0]["function"]["name"] == "lookup"


def test_tokens_have_their_classes_and_nonsense_is_left_out():
    with testing.capture() as steps, stepscope.step("call", kind="llm") as handle:
        handle.tokens(12, 3, cached_input=4, cache_write=0, reasoning=2)
        nonsense: Any = "many"
        handle.tokens(output=nonsense)

    found = steps.one("call").attributes
    assert {key.removeprefix("gen_ai.usage."): value for key, value in found.items() if "usage" in key} == {
        "input_tokens": 12,
        "output_tokens": 3,
        "cache_read.input_tokens": 4,
        "cache_creation.input_tokens": 0,
        "reasoning.output_tokens": 2,
    }


CALL = {"id": "c1", "type": "function", "function": {"name": "lookup", "arguments": '{"id": "A-1"}'}}


def said(role: str, *parts: object) -> list[dict[str, object]]:
    """One message in the conventional form."""
    return [{"role": role, "parts": list(parts)}]


def text(content: str) -> dict[str, object]:
    return {"type": "text", "content": content}


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
BLOB = {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "AA"}
USE = {"type": "tool_use", "id": "t", "name": "n", "input": {"a": 1}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("Hello?", said("user", text("Hello?"))),
        ({"role": "system", "content": "Be brief."}, said("system", text("Be brief."))),
        (
            [{"role": "assistant", "content": None, "tool_calls": [CALL]}],
            said("assistant", {"type": "tool_call", "id": "c1", "name": "lookup", "arguments": {"id": "A-1"}}),
        ),
        (
            [{"role": "tool", "tool_call_id": "c1", "content": "found"}],
            said("tool", {"type": "tool_call_response", "id": "c1", "response": "found"}),
        ),
        (
            [{"role": "user", "content": [{"type": "text", "text": "see"}, PICTURE]}],
            said("user", text("see"), BLOB),
        ),
        (
            [{"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, USE]}],
            said(
                "assistant",
                {"type": "reasoning", "content": "hm"},
                {"type": "tool_call", "id": "t", "name": "n", "arguments": {"a": 1}},
            ),
        ),
        ([{"role": "user", "content": [{"type": "novel", "x": 1}]}], said("user", {"type": "novel", "x": 1})),
        (said("user", text("as is")), said("user", text("as is"))),
        ([["odd"]], said("user", text('["odd"]'))),
    ],
)
def test_messages_of_any_common_shape_become_the_conventional_one(given, expected):
    assert json.loads(llm(messages=given)["gen_ai.input.messages"]) == expected


def test_a_reply_is_an_assistants_message():
    found = llm(reply="Hi!")

    assert json.loads(found["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "Hi!"}]}
    ]


def test_messages_are_kept_as_they_were_when_they_were_set():
    history = [{"role": "user", "content": "one"}]
    with testing.capture() as steps, stepscope.step("call", kind="llm") as handle:
        handle.messages = history
        history.append({"role": "user", "content": "two"})
        history[0]["content"] = "changed"

    assert "two" not in steps.one("call").attributes["gen_ai.input.messages"]
    assert "one" in steps.one("call").attributes["gen_ai.input.messages"]


def test_documents_carry_id_content_score_and_metadata():
    class Document:
        def __init__(self) -> None:
            self.page_content = "x"

        def __repr__(self) -> str:
            return "Document(x)"

    found = llm(
        kind="retriever",
        documents=[
            {"id": 7, "content": "Change the pads.", "score": 0.5, "metadata": {"page": 12}, "title": "Brakes"},
            "only text",
            {"page_content": "from a chain"},
            Document(),
        ],
    )

    base = "retrieval.documents.{}.document.{}".format
    assert found[base(0, "id")] == "7"
    assert found[base(0, "content")] == "Change the pads."
    assert found[base(0, "score")] == 0.5
    assert json.loads(found[base(0, "metadata")]) == {"page": 12, "title": "Brakes"}
    assert found[base(1, "content")] == "only text"
    assert found[base(2, "content")] == "from a chain"
    assert found[base(3, "content")] == "Document(x)"


def test_a_prompt_is_recorded_apart_from_its_variables():
    with testing.capture() as steps, stepscope.step("write", kind="prompt") as handle:
        handle.prompt("Dear {name}", {"name": "Mara"}, version=3, name="greeting")

    found = steps.one("write").attributes
    assert found["llm.prompt_template.template"] == "Dear {name}"
    assert json.loads(found["llm.prompt_template.variables"]) == {"name": "Mara"}
    assert found["llm.prompt_template.version"] == "3"
    assert found["llm.prompt_template.name"] == "greeting"


def test_a_tool_run_names_its_tool_and_the_call_it_answers():
    assert llm(kind="tool")["gen_ai.tool.name"] == "call"
    found = llm(kind="tool", tool_name="lookup", tool_call_id="c1")
    assert (found["gen_ai.tool.name"], found["gen_ai.tool.call.id"]) == ("lookup", "c1")


def test_attributes_and_events_of_ones_own_keep_their_types():
    with testing.capture() as steps, stepscope.step("work") as handle:
        given: dict[str, object] = {
            "i": 1,
            "f": 0.5,
            "b": True,
            "s": "x",
            "l": ["a", 1],
            "d": {"a": 1},
            "big": 2**70,
            "nan": float("nan"),
        }
        for key, value in given.items():
            handle.set(key, value)
        handle.set("none", None)
        handle.event("retry", attempt=2)

    found = steps.one("work")
    assert {key: found.attributes[key] for key in ("i", "f", "b", "s", "l", "big", "nan")} == {
        "i": 1, "f": 0.5, "b": True, "s": "x", "l": ["a", 1], "big": str(2**70), "nan": "nan",
    }  # fmt: skip
    assert json.loads(found.attributes["d"]) == {"a": 1}
    assert "none" not in found.attributes
    assert found.events == [{"name": "retry", "attempt": 2}]


def test_setters_take_nonsense_without_raising(monkeypatch):
    from stepscope import _guard

    monkeypatch.setattr(_guard, "reraise", False)

    class Bad:
        def __str__(self) -> str:
            raise ValueError

        __repr__ = __iter__ = __len__ = __str__

    with testing.capture() as steps, stepscope.step("call", kind="llm") as handle:
        for name in (
            "model", "provider", "parameters", "messages", "reply", "tools", "finish_reason", "response_id",
            "documents", "metadata", "tags", "session", "user", "input", "output", "tool_name", "name", "kind",
        ):  # fmt: skip
            setattr(handle, name, Bad())
        bad: Any = Bad()
        handle.tokens(bad, bad)
        handle.stream(bad)
        handle.fail(bad)
        handle.event(bad)
        handle.set(bad, bad)
        handle.prompt(bad, bad, version=bad)

    (step,) = steps
    assert step.status == "error"
    assert step.kind == "other"
