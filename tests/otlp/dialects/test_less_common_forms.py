"""Forms that conventions also have, and that no recorded client happened to send."""

import json
import logging

import pytest

from tests.otlp.dialects.spans import content_of, facts_of, said, span
from tracer.otlp.dialects import content as content_module
from tracer.otlp.dialects import values
from tracer.otlp.dialects.reading import Kind
from tracer.otlp.records import Event

CHAT = {"gen_ai.operation.name": "chat"}


def test_an_agent_kits_own_request_and_response_are_a_conversation():
    request = {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "config": {
            "system_instruction": "Be kind",
            "temperature": 0.2,
            "tools": [{"function_declarations": [{"name": "f", "parameters": {"type": "object"}}]}],
        },
    }
    call = {
        "role": "model",
        "parts": [{"text": "hm", "thought": True}, {"function_call": {"name": "f", "args": {"a": 1}}}],
    }
    sent = {
        "gcp.vertex.agent.llm_request": json.dumps(request),
        "gcp.vertex.agent.llm_response": json.dumps({"content": call, "finish_reason": "STOP"}),
        "gcp.vertex.agent.session_id": "s",
    }
    one = span(CHAT | sent)
    content = content_of(one)

    assert [(message["role"], said(message)) for message in content.input_messages] == [
        ("system", "Be kind"),
        ("user", "Hi"),
    ]
    assert content.output_messages[0]["parts"] == [
        {"type": "reasoning", "content": "hm"},
        {"type": "tool_call", "name": "f", "arguments": {"a": 1}},
    ]
    assert (content.parameters, content.finish_reasons) == ({"temperature": 0.2}, ["STOP"])
    assert content.tools == [{"name": "f", "schema": {"type": "object"}}]
    assert (facts_of(one).dialect, facts_of(one).session_id) == ("adk", "s")


def test_an_agent_kits_tool_run_has_arguments_and_result():
    sent = {"gcp.vertex.agent.tool_call_args": '{"a": 1}', "gcp.vertex.agent.tool_response": '{"b": 2}'}
    content = content_of(span({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "f"} | sent))

    assert content.tool == {"name": "f", "arguments": {"a": 1}, "result": {"b": 2}}
    assert (content.input.value, content.output.value) == ({"a": 1}, {"b": 2})


def test_logfires_older_request_and_response_data_are_read():
    request = {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 1,
        "tools": [{"name": "f"}],
    }
    whole = {
        "request_data": json.dumps(request),
        "response_data": '{"message": {"role": "assistant", "content": "Yes"}}',
    }
    streamed = {
        "request_data": json.dumps(request),
        "response_data": '{"combined_chunk_content": "Yes", "chunk_count": 2}',
    }
    for sent in (whole, streamed):
        content = content_of(span({"logfire.msg": "Chat", "gen_ai.request.model": "m"} | sent))
        assert said(content.input_messages[0]) == "Hi"
        assert said(content.output_messages[0]) == "Yes"
        assert (content.parameters, content.tools) == ({"temperature": 1}, [{"name": "f"}])


def test_messages_as_a_list_of_events_in_one_attribute_are_read():
    events = [
        {"event.name": "gen_ai.system.message", "content": "Be kind", "gen_ai.message.index": 0},
        {"event.name": "gen_ai.user.message", "role": "user", "content": "Hi"},
        {"event.name": "gen_ai.choice", "index": 0, "message": {"role": "assistant", "content": "Yes"}},
        "noise",
    ]
    call = content_of(span(CHAT | {"events": json.dumps(events)}))
    run = content_of(span({"gen_ai.operation.name": "invoke_agent", "all_messages_events": json.dumps(events)}))

    for content in (call, run):
        assert [said(message) for message in content.input_messages] == ["Be kind", "Hi"]
        assert [said(message) for message in content.output_messages] == ["Yes"]


def test_a_reranking_puts_documents_in_their_new_order():
    sent = {
        "ai.operationId": "ai.rerank.doRerank",
        "ai.documents": ['{"text": "one"}', '"two"'],
        "ai.ranking": ['{"index": 1, "relevanceScore": 0.9}', '{"index": 0, "relevanceScore": 0.1}'],
    }
    one = span(sent)

    assert facts_of(one).kind is Kind.reranker
    assert content_of(one).documents == [{"content": "two", "score": 0.9}, {"content": "one", "score": 0.1}]


def test_reasoning_of_the_ai_sdk_comes_before_its_text():
    for reasoning in ("Hm", '[{"type": "reasoning", "text": "Hm"}]'):
        sent = {"ai.operationId": "ai.generateText.doGenerate", "ai.response.reasoning": reasoning}
        (message,) = content_of(span(sent | {"ai.response.text": "Yes"})).output_messages
        assert message["parts"] == [{"type": "reasoning", "content": "Hm"}, {"type": "text", "content": "Yes"}]


def test_an_embedding_of_one_value_is_read():
    sent = {"ai.operationId": "ai.embed.doEmbed", "ai.value": '"a"', "ai.embedding": "[0.1, 0.2]"}

    assert content_of(span(sent)).embeddings == [{"text": "a", "dimensions": 2}]


def test_a_thinking_completion_of_the_older_traceloop_is_reasoning():
    sent = {
        "gen_ai.completion.0.role": "thinking",
        "gen_ai.completion.0.content": "Hm",
        "gen_ai.completion.1.role": "assistant",
        "gen_ai.completion.1.content": '[{"type": "text", "text": "Yes"}]',
    }
    thought, answer = content_of(span(sent)).output_messages

    assert thought["parts"] == [{"type": "reasoning", "content": "Hm"}]
    assert said(answer) == "Yes"


def test_a_legacy_function_call_is_a_tool_call():
    legacy = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a": 1}'}}
    nested = {"role": "assistant", "content": "", "additional_kwargs": {"function_call": legacy["function_call"]}}
    for sent in (legacy, nested):
        (message,) = content_of(span(CHAT | {"gen_ai.output.messages": json.dumps([sent])})).output_messages
        assert message["parts"] == [{"type": "tool_call", "name": "f", "arguments": {"a": 1}}]


@pytest.mark.parametrize(
    ("item", "part"),
    [
        (
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "tool_call", "id": "c", "name": "f", "arguments": {}},
        ),
        (
            {"type": "function_call_output", "call_id": "c", "output": "4"},
            {"type": "tool_call_response", "id": "c", "response": "4"},
        ),
        (
            {"type": "web_search_call", "id": "w", "status": "completed", "action": {"query": "q"}},
            {"type": "tool_call", "id": "w", "name": "web_search", "arguments": {"action": {"query": "q"}}},
        ),
        ({"type": "reasoning", "summary": [{"text": "a"}, "b"]}, {"type": "reasoning", "content": "a\nb"}),
    ],
)
def test_items_of_the_responses_api_are_parts(item, part):
    sent = {"mlflow.spanType": '"LLM"', "mlflow.spanInputs": json.dumps({"input": [item], "instructions": "Be kind"})}
    system, message = content_of(span(sent)).input_messages

    assert said(system) == "Be kind"
    assert message["parts"] == [part]


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"type": "refusal", "refusal": "No"}, {"type": "text", "content": "No"}),
        ({"type": "redacted_thinking", "data": "x"}, {"type": "reasoning", "content": "x", "redacted": True}),
        ({"reasoningContent": {"reasoningText": {"text": "Hm"}}}, {"type": "reasoning", "content": "Hm"}),
        ({"type": "input_file", "file_id": "f1"}, {"type": "file", "file_id": "f1"}),
        (
            {"type": "image_url", "image_url": {"url": "data:text/plain,hi"}},
            {"mime_type": "text/plain", "data": "aGk="},
        ),
        ({"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}, {"mime_type": "audio/wav"}),
        (
            {"image": {"format": "png", "source": {"bytes": "AA=="}}},
            {"type": "blob", "data": "AA==", "modality": "image"},
        ),
        ({"fileData": {"fileUri": "gs://x", "mimeType": "a/b"}}, {"type": "uri", "uri": "gs://x", "mime_type": "a/b"}),
        ({"cachePoint": {"type": "default"}}, {"type": "unknown", "cachePoint": {"type": "default"}}),
        (5, {"type": "text", "content": "5"}),
    ],
)
def test_blocks_of_many_vendors_are_parts(block, part):
    sent = json.dumps([{"role": "user", "content": [block]}])
    (message,) = content_of(span(CHAT | {"gen_ai.input.messages": sent})).input_messages

    assert part.items() <= message["parts"][0].items()


def test_a_tool_run_told_by_events_has_its_arguments_and_result():
    events = [
        Event("gen_ai.tool.message", 1, {"content": '{"a": 1}', "id": "c"}),
        Event("gen_ai.choice", 2, {"message": '[{"text": "4"}]', "id": "c"}),
    ]
    content = content_of(span({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "f"}, events=events))

    assert content.tool == {"name": "f", "arguments": {"a": 1}, "result": "4"}
    assert content.input_messages is None


def test_one_conventions_failure_costs_only_its_own_part(monkeypatch, caplog):
    def fail(source, content):
        raise RuntimeError("broken")

    broken = content_module._Reader("broken", frozenset(), fail)
    monkeypatch.setattr(content_module, "_readers_of", lambda roots: [broken, *content_module._READERS])
    sent = json.dumps([{"role": "user", "content": "Hi"}])

    with caplog.at_level(logging.WARNING):
        content = content_of(span(CHAT | {"gen_ai.input.messages": sent}))

    assert said(content.input_messages[0]) == "Hi"
    assert "The broken reader failed on span 0202020202020202" in caplog.text


@pytest.mark.parametrize(
    ("value", "read"),
    [("7", 7), (7.0, 7), (7.5, None), ("seven", None), (True, None), (-1, None), ("९", None), (10**13, None)],
)
def test_a_count_is_a_whole_number_however_it_came(value, read):
    assert values.count(value) == read


@pytest.mark.parametrize(
    ("value", "word"),
    [('"chain"', "chain"), ('"a\\u00ed"', "aí"), ("chain", "chain"), ('"', '"'), ('""', None), (7, "7"), (True, None)],
)
def test_a_word_in_json_quotes_is_the_word(value, word):
    assert values.quoted(value) == word


@pytest.mark.parametrize("source", ["__import__('os')", "{1: {2}}", "b'x'", "1" * 300_000, "[" * 600 + "]" * 600])
def test_only_plain_short_literals_are_opened(source):
    assert values.literal(source) is values.NOT_JSON


def test_text_is_made_fit_for_any_database():
    assert values.parse('{"a\\u0000": "\\ud800", "b": ["\\ud83d\\ude00"]}') == {"a␀": "�", "b": ["😀"]}


def test_values_too_deep_or_of_no_json_kind_are_text():
    deep: object = "end"
    for _ in range(100):
        deep = [deep]

    assert "[…]" in json.dumps(values.plain(deep), ensure_ascii=False)
    assert values.plain({"a": b"\xff", "b": float("inf")}) == {"a": "ff", "b": "inf"}
