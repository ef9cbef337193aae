"""No span makes a reader fail: real ones mutated, and ones that no client would send."""

from __future__ import annotations

import copy
import json
import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.counts import counted
from tests.otlp.dialects.spans import everything, log, span
from tracer.otlp.dialects import content as content_module
from tracer.otlp.dialects import preview, read_content, read_facts
from tracer.otlp.dialects.conventions import dialects
from tracer.otlp.dialects.dialect import Key
from tracer.otlp.dialects.reading import Content, Facts
from tracer.otlp.records import Event, LogRecord, SpanRecord

ODD: list[Any] = [
    *(None, True, 0, -1, 999_999_999, 2**63 - 1, -(2**63), 10**400, 1.5, float("nan"), float("-inf"), b"\xff"),
    *(
        "",
        " ",
        "x",
        "NaN",
        "1e999",
        "null",
        "true",
        "[",
        "}",
        '"',
        '""',
        "[]",
        "{}",
        "[[]]",
        "[null]",
        "[1]",
        "{" * 300,
    ),
    *('{"a": NaN}', '"\\ud800"', '{"a": "\\u0000"}', "x" * 40_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 1_000),
    *('{"messages": [1, null, "x", {"role": 1}]}', '{"choices": [null, 1, {"message": {"content": [1, null, {}]}}]}'),
    *('{"output": [{"type": "reasoning", "summary": [{"text": 5}]}]}', '[{"role": null, "parts": null}]'),
    *('[{"role": "user", "parts": [{"type": "tool_call"}]}]', '[{"role": 5, "parts": [{"type": {}, "content": {}}]}]'),
    *('{"documents": [[1, 2], {"id": []}]}', '{"ids": [["a"]], "documents": [["b"]], "distances": [[null]]}'),
    *("{'a': (1, 2)}", "(" * 300 + ")" * 300, "-" * 6_000 + "1", '{"args": [], "kwargs": {}}'),
    *([], {}, [1, "a", None, [[]]], {"a": {"b": [{}]}}, [{"role": "user", "content": 3}], {"role": "x"}),
]

INDEXES = ("999999999", "-1", "٣", "x", "00", "9" * 40, "")


@pytest.fixture(autouse=True)
def failures_are_seen(monkeypatch):
    monkeypatch.setattr(content_module, "reraise", True)


def check(one: SpanRecord, logs: list[LogRecord]) -> tuple[Facts, Content]:
    """Read a span every way; what comes out fits a database and strict JSON, and the span is as it was."""
    before = repr(one.attributes)
    facts, content = read_facts(one, logs), read_content(one, logs)
    lines = preview(one, facts, logs)
    assert repr(one.attributes) == before
    assert (read_facts(one, logs), read_content(one, logs)) == (facts, content)
    words = [facts.model, facts.provider, facts.session_id, facts.user_id, facts.environment, facts.release]
    for word in [*words, facts.service, facts.response_id, *facts.tags, *lines]:
        assert word is None or (isinstance(word, str) and len(word) <= 500)
        assert not re.search("[\x00\ud800-\udfff]", word or "")
    assert all(line is None or len(line) <= 200 for line in lines)
    for field in content.__slots__:
        value = getattr(content, field)
        value = value.value if field in ("input", "output") and value is not None else value
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    json.dumps(facts.metadata, allow_nan=False, ensure_ascii=False).encode()
    return facts, content


ALL = list(everything())
KEYS = sorted({key for one, _ in ALL for key in one.attributes})


def mutated(one: SpanRecord, logs: list[LogRecord], rng: random.Random) -> tuple[SpanRecord, list[LogRecord]]:
    one, logs = copy.deepcopy(one), copy.deepcopy(logs)
    attributes = one.attributes
    for _ in range(rng.randint(1, 5)):
        key = rng.choice(list(attributes)) if attributes and rng.random() < 0.6 else rng.choice(KEYS)
        value, dice = attributes.get(key), rng.random()
        if dice < 0.4:
            attributes[key] = rng.choice(ODD)
        elif dice < 0.5:
            attributes.pop(key, None)
        elif dice < 0.7 and isinstance(value, str):
            attributes[key] = value[: rng.randint(0, len(value))]
        elif dice < 0.8 and isinstance(value, str) and value:
            place = rng.randrange(len(value))
            attributes[key] = value[:place] + rng.choice('{}[]":,\\é1') + value[place + 1 :]
        elif dice < 0.9 and attributes:
            attributes[key] = attributes[rng.choice(list(attributes))]
        else:
            attributes[key.replace(".0.", f".{rng.choice(INDEXES)}.")] = rng.choice(ODD)
    for event in one.events:
        event.attributes |= {key: rng.choice(ODD) for key in event.attributes if rng.random() < 0.2}
    if rng.random() < 0.2:
        name = rng.choice(("gen_ai.choice", "gen_ai.tool.message", "gen_ai.content.prompt", "mlflow.chunk.item.0"))
        keys = ("content", "message", "gen_ai.prompt", "gen_ai.event.content", "mlflow.chunk.value")
        one.events.append(Event(name, rng.choice((0, 1, 2**70)), {key: rng.choice(ODD) for key in keys}))
    for record in logs:
        if rng.random() < 0.3:
            record.body = rng.choice(ODD)
    return one, logs


def test_r38_mutated_spans_of_every_client_are_read_without_failing():
    rng = random.Random(20_260)
    for _ in range(counted(1_500, 100_000)):
        check(*mutated(*rng.choice(ALL), rng))


@pytest.mark.parametrize("odd", ODD, ids=lambda value: repr(value)[:30])
def test_r35_every_known_key_takes_every_kind_of_value(odd):
    names = [
        key.name if isinstance(key, Key) else key for one in dialects() for keys in one.facts.values() for key in keys
    ]
    for key in [*names, *KEYS]:
        read_facts(span({key: odd}))
    check(span(dict.fromkeys([*names, *KEYS], odd)), [log("gen_ai.user.message", odd, dict.fromkeys(names, odd))])


@pytest.mark.parametrize(
    "key",
    [
        "llm.input_messages.999999999.message.content",
        "a." * 3000 + "b",
        "__proto__",
        "__class__",
        "",
        ".",
        "gen_ai.prompt.٣.content",
        "retrieval.documents.0",
        "traceloop.association.properties.",
    ],
)
def test_r39_odd_keys_are_read_flat(key):
    facts, content = check(span({key: "x", "openinference.span.kind": "LLM"}), [])

    assert facts.kind.name == "llm"
    assert len(content.input_messages or ()) <= 1


def test_r39_ten_thousand_attributes_are_read():
    attributes = {f"llm.input_messages.{place}.message.content": f"m{place}" for place in range(10_000)}

    messages = read_content(span({"openinference.span.kind": "LLM", **attributes})).input_messages or []

    assert len(messages) == 10_000


def test_r30_json_inside_json_is_opened_only_so_deep():
    sent: Any = "end"
    for _ in range(12):
        sent = json.dumps({"messages": sent})

    check(span({"mlflow.spanType": '"LLM"', "mlflow.spanInputs": sent}), [])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "role",
                    "content",
                    "parts",
                    "type",
                    "text",
                    "messages",
                    "choices",
                    "message",
                    "tool_calls",
                    "function",
                    "name",
                    "arguments",
                    "id",
                    "output",
                    "kwargs",
                    "data",
                    "documents",
                    "score",
                    "metadata",
                    "input",
                    "args",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)
content_keys = st.sampled_from(
    [
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.system_instructions",
        "gen_ai.tool.definitions",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
        "gen_ai.retrieval.documents",
        "input.value",
        "metadata",
        "output.value",
        "llm.invocation_parameters",
        "llm.tools.0.tool.json_schema",
        "mlflow.spanInputs",
        "tag.tags",
        "mlflow.spanOutputs",
        "mlflow.chat.tokenUsage",
        "traceloop.entity.input",
        "traceloop.entity.output",
        "events",
        "langfuse.observation.input",
        "langfuse.observation.output",
        "langfuse.observation.usage_details",
        "ai.prompt",
        "ai.prompt.messages",
        "ai.response.toolCalls",
        "ai.prompt.tools",
        "request_data",
        "response_data",
        "ai.values",
        "pydantic_ai.all_messages",
        "gcp.vertex.agent.llm_request",
        "gcp.vertex.agent.llm_response",
        "function.args",
        "gen_ai.prompt",
        "gen_ai.completion",
        "gen_ai.usage.input_token_details",
        "langsmith.metadata.usage_metadata",
        "braintrust.input_json",
        "braintrust.output_json",
        "braintrust.metadata",
        "braintrust.metrics",
        "braintrust.scores",
        "braintrust.span_attributes",
    ]
)
kinds = st.sampled_from(["llm", "tool", "retriever", "embedding", "reranker", "agent", "chain"])


@given(
    kinds,
    st.dictionaries(content_keys, json_values.map(lambda value: json.dumps(value, ensure_ascii=True)), max_size=6),
    st.dictionaries(content_keys, json_values, max_size=3),
)
def test_any_json_under_any_key_is_read_without_failing(kind, texts, structures):
    check(span({"stepscope.kind": kind, **structures, **texts}), [])


@pytest.mark.parametrize("literal", ['("\\ud800",)', "('a\\x00b',)", "({'\\udfff': 1},)"])
def test_python_text_cannot_bring_in_what_no_database_holds(literal):
    check(span({"function.args": literal, "gen_ai.usage.input_token_details": literal[1:-2]}), [])
