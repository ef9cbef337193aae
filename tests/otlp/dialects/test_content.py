"""What a step says: messages, tools, documents, prompts, in every form that clients write."""

import json

import pytest

from tests.otlp.dialects.spans import content_of, log, said, scenario, span
from tracer.otlp.dialects.reading import Value
from tracer.otlp.records import Attributes, Event

CHAT = {"gen_ai.operation.name": "chat"}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def texts(messages):
    return [(message["role"], said(message)) for message in messages]


@pytest.mark.parametrize(
    "sent",
    [
        [{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}],
        [{"role": "user", "content": "Hi"}],
        [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        [{"role": "user", "content": [{"text": "Hi"}]}],
        [{"role": "user", "parts": [{"text": "Hi"}]}],
        [{"role": "human", "content": "Hi"}],
        [{"lc": 1, "type": "constructor", "id": ["langchain", "HumanMessage"], "kwargs": {"content": "Hi"}}],
        [[{"lc": 1, "id": ["langchain", "HumanMessage"], "kwargs": {"content": "Hi", "type": "human"}}]],
        [{"type": "human", "data": {"content": "Hi"}}],
        [["human", "Hi"]],
        {"messages": [{"role": "user", "content": "Hi"}]},
        {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
        {"input": "Hi"},
        {"prompt": "Hi"},
        "Hi",
    ],
)
def test_a_question_is_a_question_in_every_vendors_form(sent):
    attributes = {"mlflow.spanType": '"LLM"', "mlflow.spanInputs": json.dumps(sent)}

    assert texts(content_of(span(attributes)).input_messages) == [("user", "Hi")]


@pytest.mark.parametrize(
    "sent",
    [
        {"choices": [{"message": {"role": "assistant", "content": "Yes"}, "finish_reason": "stop"}]},
        {"choices": [{"text": "Yes"}]},
        {"output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Yes"}]}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Yes"}], "stop_reason": "end_turn"},
        {"generations": [[{"text": "Yes", "message": {"id": ["x", "AIMessage"], "kwargs": {"content": "Yes"}}}]]},
        {"candidates": [{"content": {"role": "model", "parts": [{"text": "Yes"}]}}]},
        {"output": {"message": {"role": "assistant", "content": [{"text": "Yes"}]}}},
        {"messages": [{"type": "human", "data": {"content": "?"}}, {"type": "ai", "data": {"content": "Yes"}}]},
        {"message": {"role": "assistant", "content": "Yes"}},
        {"text": "Yes"},
        "Yes",
    ],
)
def test_an_answer_is_an_answer_in_every_vendors_form(sent):
    attributes = {"mlflow.spanType": '"LLM"', "mlflow.spanOutputs": json.dumps(sent)}

    assert texts(content_of(span(attributes)).output_messages) == [("assistant", "Yes")]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_call", "id": "c1", "name": "f", "arguments": {"a": 1}},
        {"type": "tool_call", "id": "c1", "name": "f", "arguments": '{"a": 1}'},
        {"type": "tool_call", "id": "c1", "name": "f", "arguments": '"{\\"a\\": 1}"'},
        {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}},
        {"type": "tool-call", "toolCallId": "c1", "toolName": "f", "args": {"a": 1}},
        {"toolUse": {"toolUseId": "c1", "name": "f", "input": {"a": 1}}},
        {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}},
    ],
)
def test_a_tool_call_has_its_id_name_and_opened_arguments_in_every_form(block):
    sent = json.dumps([{"role": "assistant", "parts": [block]}])
    (message,) = content_of(span(CHAT | {"gen_ai.output.messages": sent})).output_messages

    assert message["parts"] == [{"type": "tool_call", "id": "c1", "name": "f", "arguments": {"a": 1}}]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "4"}]},
        {"role": "user", "parts": [{"type": "tool_call_response", "id": "c1", "response": "4"}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "result": "4"}]},
        {"role": "tool", "tool_call_id": "c1", "content": "4"},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "4"}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "c1", "content": [{"text": "4"}]}}]},
        {
            "role": "tool",
            "content": [{"type": "tool-result", "toolCallId": "c1", "output": {"type": "text", "value": "4"}}],
        },
    ],
)
def test_a_tools_result_is_joined_to_its_call_in_every_form(message):
    (read,) = content_of(span(CHAT | {"gen_ai.input.messages": json.dumps([message])})).input_messages

    (part,) = read["parts"]
    assert (read["role"], part["type"], part["id"], part["response"]) == ("tool", "tool_call_response", "c1", "4")


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": {"url": PIXEL}},
        {"type": "input_image", "image_url": PIXEL},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
        {"type": "blob", "mime_type": "image/png", "modality": "image", "content": "iVBORw0KGgo="},
        {"type": "file", "mediaType": "image/png", "data": "iVBORw0KGgo="},
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
    ],
)
def test_an_image_is_its_bytes_in_every_form(block):
    sent = json.dumps([{"role": "user", "content": [block]}])
    (message,) = content_of(span(CHAT | {"gen_ai.input.messages": sent})).input_messages

    (part,) = message["parts"]
    assert (part["type"], part["mime_type"], part["data"]) == ("blob", "image/png", "iVBORw0KGgo=")


def test_an_image_elsewhere_stays_an_address():
    sent = json.dumps([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/cat.jpg"}}]}])
    (message,) = content_of(span(CHAT | {"gen_ai.input.messages": sent})).input_messages

    assert message["parts"] == [{"type": "uri", "uri": "https://x/cat.jpg", "modality": "image"}]


def test_parts_of_no_known_form_are_kept_as_they_are():
    part = {"type": "hologram", "shape": [1, 2], "content": "x"}
    sent = json.dumps([{"role": "user", "parts": [part]}])

    assert content_of(span(CHAT | {"gen_ai.input.messages": sent})).input_messages[0]["parts"] == [part]


def test_system_instructions_lead_the_messages_once():
    asked = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}])
    apart = CHAT | {"gen_ai.system_instructions": '[{"type": "text", "content": "Be kind"}]'}
    within = json.dumps([{"role": "system", "content": "Be kind"}, {"role": "user", "content": "Hi"}])

    wanted = [("system", "Be kind"), ("user", "Hi")]
    assert texts(content_of(span(apart | {"gen_ai.input.messages": asked})).input_messages) == wanted
    assert texts(content_of(span(apart | {"gen_ai.input.messages": within})).input_messages) == wanted


def test_words_that_happen_to_be_json_are_shown_as_typed():
    typed = '{"role": "user", "content": "not me"}'
    sent = json.dumps([{"role": "user", "parts": [{"type": "text", "content": typed}]}])

    assert said(content_of(span(CHAT | {"gen_ai.input.messages": sent})).input_messages[0]) == typed


def test_flattened_messages_are_in_the_order_of_their_numbers():
    attributes = {"openinference.span.kind": "LLM"}
    for place in reversed(range(12)):
        attributes[f"llm.input_messages.{place}.message.role"] = "user"
        attributes[f"llm.input_messages.{place}.message.content"] = f"m{place}"

    assert [text for _, text in texts(content_of(span(attributes)).input_messages)] == [f"m{n}" for n in range(12)]


def test_one_call_that_is_flattened_twice_is_there_once():
    call = {"tool_call.id": "c1", "tool_call.function.name": "f", "tool_call.function.arguments": '{"a": 1}'}
    attributes = {"openinference.span.kind": "LLM", "llm.output_messages.0.message.role": "assistant"}
    for key, value in call.items():
        attributes[f"llm.output_messages.0.message.tool_calls.0.{key}"] = value
        attributes[f"llm.output_messages.0.message.contents.1.{key}"] = value

    (message,) = content_of(span(attributes)).output_messages
    assert message["parts"] == [{"type": "tool_call", "id": "c1", "name": "f", "arguments": {"a": 1}}]


def test_older_log_events_are_messages_in_order_of_time():
    logs = [
        log("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": {"content": "Yes"}}, time=3),
        log("gen_ai.user.message", {"content": "Hi"}, time=2),
        log("", {"content": "Be kind"}, {"event.name": "gen_ai.system.message"}, time=1),
    ]
    content = content_of(span(CHAT), logs)

    assert texts(content.input_messages) == [("system", "Be kind"), ("user", "Hi")]
    assert texts(content.output_messages) == [("assistant", "Yes")]
    assert content.finish_reasons == ["stop"]


def test_span_events_are_messages_too_in_both_older_forms():
    newer = [
        Event("gen_ai.user.message", 1, {"content": "Hi"}),
        Event("gen_ai.choice", 2, {"message": '{"content": "Yes"}', "finish_reason": "stop"}),
    ]
    oldest = [
        Event("gen_ai.content.prompt", 1, {"gen_ai.prompt": '[{"role": "user", "content": "Hi"}]'}),
        Event("gen_ai.content.completion", 2, {"gen_ai.completion": '[{"role": "assistant", "content": "Yes"}]'}),
    ]
    boxed = [
        Event("gen_ai.user.message", 1, {"gen_ai.event.content": '{"role": "user", "content": "Hi"}'}),
        Event("gen_ai.choice", 2, {"gen_ai.event.content": '{"message": {"content": "Yes"}}'}),
    ]
    for events in (newer, oldest, boxed):
        content = content_of(span(CHAT, events=events))
        assert texts(content.input_messages) == [("user", "Hi")]
        assert texts(content.output_messages) == [("assistant", "Yes")]


def test_content_on_the_span_and_in_a_log_event_is_shown_once():
    messages = [{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}]
    details = log("gen_ai.client.inference.operation.details", None, {"gen_ai.input.messages": messages})
    both = content_of(span(CHAT | {"gen_ai.input.messages": json.dumps(messages)}), [details])
    only = content_of(span(CHAT), [details])

    assert texts(both.input_messages) == texts(only.input_messages) == [("user", "Hi")]


def test_a_return_value_under_the_name_of_messages_is_the_output():
    content = content_of(span({"function.args": "('q',)", "function.kwargs": "{}", "gen_ai.output.messages": 51}))

    assert content.output == Value("application/json", 51, "51")
    assert content.output_messages is None
    assert content.input == Value("application/json", {"args": ["q"], "kwargs": {}}, "('q',)")


def test_tool_calls_that_only_a_streams_chunks_have_are_put_together():
    (call,) = [one for one in scenario("mlflow/streamtools").spans.values() if one.events]
    calls = [part for part in content_of(call).output_messages[0]["parts"] if part["type"] == "tool_call"]

    assert [part["arguments"]["city"] for part in calls] == ["Reykjavík", "東京"]


def test_a_langchain_tools_python_text_and_wrapped_result_are_opened():
    run = scenario("traceloop-langchain/agent")
    (tool,) = (one for one in run.spans.values() if one.name == "execute_tool get_weather")

    assert content_of(tool).tool == {
        "name": "get_weather",
        "call_id": "call_0147_0",
        "arguments": {"city": "Reykjavík"},
        "result": "4 °C und Schnee ❄️ in Reykjavík",
    }


@pytest.mark.parametrize(
    "sent",
    [
        [{"id": "d", "content": "text", "score": 0.5}],
        [{"page_content": "text", "metadata": {"score": 0.5}, "id": "d"}],
        {"documents": [{"id": "d", "text": "text", "score": 0.5}]},
        {"matches": [{"id": "d", "score": 0.5, "metadata": {"text": "text"}}]},
        {"ids": [["d"]], "documents": [["text"]], "distances": [[0.5]]},
        [[{"id": "d", "page_content": "text"}, 0.5]],
        [{"node": {"id_": "d", "text": "text"}, "score": 0.5}],
    ],
)
def test_documents_are_found_in_every_stores_form(sent):
    attributes = {"openinference.span.kind": "RETRIEVER", "output.value": json.dumps(sent)}
    (document,) = content_of(span(attributes)).documents

    assert (document["id"], document["content"], document["score"]) == ("d", "text", 0.5)


def test_flattened_documents_keep_score_and_opened_metadata():
    start = "retrieval.documents.0.document."
    sent = {"openinference.span.kind": "RETRIEVER", start + "content": "text", start + "score": 0.5}
    sent[start + "metadata"] = '{"page": 3}'

    assert content_of(span(sent)).documents == [{"content": "text", "score": 0.5, "metadata": {"page": 3}}]


def test_a_vector_stores_results_come_as_events():
    result: Attributes = {
        "db.query.result.id": "d",
        "db.query.result.document": "text",
        "db.query.result.distance": 0.5,
    }
    one = span({"db.system": "chroma", "db.chroma.query.n_results": 2}, events=[Event("db.query.result", 1, result)])

    assert content_of(one).documents == [{"id": "d", "content": "text", "score": 0.5}]


def test_system_instructions_also_lead_messages_that_came_as_events():
    sent = CHAT | {"gen_ai.system_instructions": '[{"type": "text", "content": "Be kind"}]'}
    one = span(sent, events=[Event("gen_ai.user.message", 1, {"content": "Hi"})])

    assert texts(content_of(one).input_messages) == [("system", "Be kind"), ("user", "Hi")]


def test_vectors_are_counted_and_never_shown():
    start = "embedding.embeddings.0.embedding."
    sent = {"openinference.span.kind": "EMBEDDING", start + "text": "t", start + "vector": [0.1] * 1536}

    assert content_of(span(sent)).embeddings == [{"text": "t", "dimensions": 1536}]


def test_a_prompt_template_comes_with_its_variables():
    sent = {"llm.prompt_template.template": "Say {x}", "llm.prompt_template.variables": '{"x": 1}'}
    sent["llm.prompt_template.version"] = "v2"

    assert content_of(span(sent)).prompt == {"version": "v2", "template": "Say {x}", "variables": {"x": 1}}


def test_parameters_leave_out_content_and_model():
    sent = {
        "openinference.span.kind": "LLM",
        "llm.invocation_parameters": '{"model": "m", "temperature": 0.3, "n": null}',
    }

    assert content_of(span(sent)).parameters == {"temperature": 0.3}
    assert content_of(span(CHAT | {"gen_ai.request.model": "m", "gen_ai.request.seed": 0})).parameters == {"seed": 0}


@pytest.mark.parametrize(
    "definition",
    [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}},
        {"name": "f", "description": "d", "input_schema": {"type": "object"}},
        {"type": "function", "name": "f", "description": "d", "inputSchema": {"jsonSchema": {"type": "object"}}},
        {"toolSpec": {"name": "f", "description": "d", "inputSchema": {"json": {"type": "object"}}}},
    ],
)
def test_tools_offered_have_name_description_and_schema(definition):
    content = content_of(span(CHAT | {"gen_ai.tool.definitions": json.dumps([definition])}))

    assert content.tools == [{"name": "f", "description": "d", "schema": {"type": "object"}}]


def test_scores_that_came_inside_a_span_are_found():
    evaluation: Attributes = {"gen_ai.evaluation.name": "relevance", "gen_ai.evaluation.score.value": 0.9}
    flattened = {"evaluations.0.evaluation.name": "tone", "evaluations.0.evaluation.label": "kind"}

    found = content_of(span(CHAT, events=[Event("gen_ai.evaluation.result", 1, evaluation)])).scores
    assert found == [{"name": "relevance", "value": 0.9}]
    assert content_of(span(flattened)).scores == [{"name": "tone", "value": "kind"}]


def test_a_running_steps_growing_output_is_its_output_until_it_has_one():
    running = {"stepscope.kind": "llm", "stepscope.seq": 3, "stepscope.output.partial": "So f"}

    assert content_of(span(running)).output == Value("text/plain", "So f", "So f")
    done = content_of(span(running | {"output.value": "So far", "output.mime_type": "text/plain"}))
    assert done.output == Value("text/plain", "So far", "So far")


def test_the_raw_text_of_a_value_is_exactly_what_was_sent():
    text = '{"a" : 1.50,\n "b":"\\u00ed"}'
    value = content_of(span({"input.value": text, "input.mime_type": "application/json"})).input

    assert (value.value, value.raw) == ({"a": 1.5, "b": "í"}, text)


@pytest.mark.parametrize("text", ['{"cut": "in the mid', "[1, 2", "{}}", "", "[" * 100_000, '{"a":' * 5_000])
def test_json_that_is_none_after_all_stays_text(text):
    value = content_of(span({"input.value": text, "input.mime_type": "application/json"})).input

    assert value == Value("text/plain", text, text)


def test_numbers_that_json_cannot_hold_are_text():
    value = content_of(span({"input.value": '{"a": NaN, "b": 1e999}', "input.mime_type": "application/json"})).input

    assert value.value == {"a": "NaN", "b": "1e999"}
