"""What SDKs write that no recording here has: payloads as their sources make them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.otlp.dialects.spans import content_of, facts_of, log, span
from tracer.otlp.dialects import content as content_module
from tracer.otlp.dialects.reading import Kind, Usage
from tracer.otlp.records import Event

USER = {"role": "user", "parts": [{"type": "text", "content": "When?"}]}
NINE = {"role": "assistant", "parts": [{"type": "text", "content": "At nine."}]}


NO_META: dict[str, str] = {}
NO_ARGS: list[str] = []


def as_json(value: object) -> str:
    return json.dumps(value)


def test_laminar() -> None:
    sent = span(
        {
            "lmnr.span.type": "LLM",
            "lmnr.span.path": ["answer", "chat"],
            "lmnr.span.input": as_json([{"role": "user", "content": "When?"}]),
            "lmnr.span.output": as_json({"role": "assistant", "content": "At nine."}),
            "lmnr.association.properties.session_id": "s-1",
            "lmnr.association.properties.user_id": "mara",
            "lmnr.association.properties.tags": ["shop"],
            "lmnr.association.properties.metadata.plan": '"pro"',
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.usage.input_tokens": 10,
            "gen_ai.usage.output_tokens": 3,
            "gen_ai.usage.reasoning_output_tokens": 1,
            "gen_ai.usage.input_cost": 0.25,
            "gen_ai.usage.output_cost": 0.5,
        }
    )
    facts, content = facts_of(sent), content_of(sent)
    assert (facts.kind, facts.dialect, facts.session_id, facts.user_id) == (Kind.llm, "laminar", "s-1", "mara")
    assert (facts.tags, facts.metadata, facts.sent_cost) == (("shop",), {"plan": "pro"}, 750_000_000)
    assert facts.usage == Usage(10, 3, 13, reasoning=1)
    assert (content.input_messages, content.output_messages) == ([USER], [NINE])
    tool = span({"lmnr.span.type": "TOOL", "lmnr.span.input": '{"day": 1}', "lmnr.span.output": '"nine"'}, name="hours")
    assert content_of(tool).tool == {"name": "hours", "arguments": {"day": 1}, "result": "nine"}


def test_agentops() -> None:
    sent = {
        "agentops.span.kind": "tool",
        "operation.name": "hours",
        "agentops.tool.input": as_json({"args": NO_ARGS, "kwargs": {"day": 1}}),
        "agentops.tool.output": '"nine"',
        "agentops.tags": ["shop"],
    }
    tool = span(sent, name="hours.tool")
    assert (facts_of(tool).kind, facts_of(tool).tags) == (Kind.tool, ("shop",))
    assert content_of(tool).tool == {"name": "hours.tool", "arguments": {"day": 1}, "result": "nine"}
    agent = span({"agentops.span.kind": "agent", "agentops.entity.input": "When?", "agentops.entity.output": "Nine."})
    assert content_of(agent).input.value == "When?"
    call = span(
        {
            "agentops.span.kind": "llm",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.prompt.0.role": "user",
            "gen_ai.prompt.0.content": "When?",
            "gen_ai.request.tools.0.name": "hours",
            "gen_ai.request.tools.0.description": "Opening hours",
            "gen_ai.request.tools.0.parameters": '{"type": "object"}',
            "gen_ai.streaming.time_to_first_token": 0.5,
            "gen_ai.request.streaming": True,
        }
    )
    assert facts_of(call).time_to_first_token == 500_000_000
    content = content_of(call)
    assert content.input_messages == [USER]
    assert content.tools == [{"name": "hours", "description": "Opening hours", "schema": {"type": "object"}}]
    assert "tools.0.name" not in content.parameters


def test_langwatch() -> None:
    call = span(
        {
            "langwatch.span.type": "llm",
            "langwatch.input": as_json({"type": "chat_messages", "value": [{"role": "user", "content": "When?"}]}),
            "langwatch.output": as_json({"type": "text", "value": "At nine."}),
            "langwatch.params": as_json({"temperature": 0.5, "tools": [{"function": {"name": "hours"}}]}),
            "langwatch.metrics": as_json({"prompt_tokens": 10, "completion_tokens": 3}),
            "langwatch.thread.id": "t-1",
            "gen_ai.request.model": "gpt-4o-mini",
        }
    )
    facts, content = facts_of(call), content_of(call)
    assert (facts.kind, facts.session_id, facts.usage) == (Kind.llm, "t-1", Usage(10, 3, 13))
    assert (content.input_messages, content.output_messages) == ([USER], [NINE])
    assert (content.parameters, [tool["name"] for tool in content.tools]) == ({"temperature": 0.5}, ["hours"])
    contexts = [{"document_id": "d1", "chunk_id": "c1", "content": "We open at nine."}]
    rag = span({"langwatch.span.type": "rag", "langwatch.rag_contexts": as_json(contexts)})
    assert facts_of(rag).kind is Kind.retriever
    assert content_of(rag).documents == [{"id": "d1", "content": "We open at nine."}]


HAYSTACK_ASKED = {
    "messages": [{"role": "user", "meta": NO_META, "name": None, "content": [{"text": "When?"}]}],
    "generation_kwargs": {"temperature": 0.5},
}
HAYSTACK_ANSWERED = {
    "replies": [
        {
            "role": "assistant",
            "meta": {
                "model": "gpt-4o-mini-2024-07-18",
                "index": 0,
                "finish_reason": "tool_calls",
                "usage": {
                    "completion_tokens": 3,
                    "prompt_tokens": 10,
                    "total_tokens": 13,
                    "prompt_tokens_details": {"cached_tokens": 4},
                },
            },
            "name": None,
            "content": [{"tool_call": {"tool_name": "hours", "arguments": {"day": 1}, "id": "c1", "extra": None}}],
        }
    ]
}


@pytest.mark.parametrize(
    "told",
    [
        {
            "haystack.component.name": "llm",
            "haystack.component.type": "OpenAIChatGenerator",
            "haystack.component.input": as_json(HAYSTACK_ASKED),
            "haystack.component.output": as_json(HAYSTACK_ANSWERED),
        },
        {
            "haystack.agent.step.llm.input": as_json(HAYSTACK_ASKED),
            "haystack.agent.step.llm.output": as_json(HAYSTACK_ANSWERED),
        },
    ],
)
def test_haystack_calls(told: dict[str, Any]) -> None:
    sent = span(told, name="haystack.component.run")
    facts, content = facts_of(sent), content_of(sent)
    assert (facts.kind, facts.model) == (Kind.llm, "gpt-4o-mini-2024-07-18")
    assert facts.usage == Usage(10, 3, 13, cached_input=4)
    assert content.input_messages == [USER]
    assert content.output_messages == [
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "c1", "name": "hours", "arguments": {"day": 1}}],
            "finish_reason": "tool_calls",
        }
    ]
    assert content.parameters == {"temperature": 0.5}


def test_haystack_steps() -> None:
    found = {"documents": [{"id": "d1", "content": "We open at nine.", "score": 0.5, "meta": NO_META}]}
    sent = {"haystack.component.type": "InMemoryBM25Retriever", "haystack.component.output": as_json(found)}
    assert content_of(span(sent)).documents == [{"id": "d1", "content": "We open at nine.", "score": 0.5}]
    embedder = {"haystack.component.type": "OpenAITextEmbedder", "haystack.component.input": '{"text": "When?"}'}
    assert content_of(span(embedder)).embeddings == [{"text": "When?"}]
    for word, kind in (("PromptBuilder", Kind.prompt), ("Agent", Kind.agent), ("DocumentJoiner", Kind.chain)):
        assert facts_of(span({"haystack.component.type": word})).kind is kind
    assert facts_of(span({"haystack.pipeline.input_data": "{}"}, name="haystack.pipeline.run")).kind is Kind.chain


def test_genkit() -> None:
    asked = {
        "messages": [
            {"role": "user", "content": [{"text": "When?"}]},
            {"role": "model", "content": [{"toolRequest": {"name": "hours", "ref": "c1", "input": {"day": 1}}}]},
            {"role": "tool", "content": [{"toolResponse": {"name": "hours", "ref": "c1", "output": "nine"}}]},
        ],
        "config": {"temperature": 0.5},
        "tools": [{"name": "hours", "description": "Opening hours", "inputSchema": {"type": "object"}}],
    }
    answered = {
        "message": {"role": "model", "content": [{"text": "At nine."}]},
        "finishReason": "stop",
        "usage": {"inputTokens": 10, "outputTokens": 3, "totalTokens": 13, "thoughtsTokens": 1},
    }
    call = span(
        {
            "genkit:name": "googleai/gemini-2.0-flash",
            "genkit:type": "action",
            "genkit:metadata:subtype": "model",
            "genkit:input": as_json(asked),
            "genkit:output": as_json(answered),
        }
    )
    facts, content = facts_of(call), content_of(call)
    assert (facts.kind, facts.dialect, facts.model) == (Kind.llm, "genkit", "googleai/gemini-2.0-flash")
    assert facts.usage == Usage(10, 3, 13, reasoning=1)
    assert content.input_messages is not None
    assert content.input_messages[0] == USER
    assert content.input_messages[1]["parts"] == [
        {"type": "tool_call", "id": "c1", "name": "hours", "arguments": {"day": 1}}
    ]
    assert content.input_messages[2]["parts"] == [
        {"type": "tool_call_response", "id": "c1", "name": "hours", "response": "nine"}
    ]
    assert content.output_messages == [NINE | {"finish_reason": "stop"}]
    assert (content.parameters, content.tools[0]["name"]) == ({"temperature": 0.5}, "hours")
    flow = span({"genkit:type": "flow", "genkit:name": "menu", "genkit:input": '"a"', "genkit:output": '"b"'})
    assert (facts_of(flow).kind, facts_of(flow).model) == (Kind.chain, None)
    assert (content_of(flow).input.value, content_of(flow).output.value) == ("a", "b")


def test_spring_ai() -> None:
    tool = span(
        {
            "spring.ai.kind": "tool_call",
            "gen_ai.operation.name": "framework",
            "gen_ai.system": "spring_ai",
            "spring.ai.tool.definition.name": "hours",
            "spring.ai.tool.call.arguments": '{"day": 1}',
            "spring.ai.tool.call.result": '"nine"',
        }
    )
    assert facts_of(tool).kind is Kind.tool
    assert content_of(tool).tool == {"name": "hours", "arguments": {"day": 1}, "result": "nine"}
    store = span(
        {
            "spring.ai.kind": "vector_store",
            "db.operation.name": "query",
            "db.vector.query.content": "When?",
            "db.vector.query.response.documents": as_json([{"id": "d1", "text": "We open at nine.", "score": 0.5}]),
        }
    )
    assert facts_of(store).kind is Kind.retriever
    assert content_of(store).documents == [{"id": "d1", "content": "We open at nine.", "score": 0.5}]
    client = span({"spring.ai.kind": "chat_client", "gen_ai.operation.name": "framework"})
    assert facts_of(client).kind is Kind.agent


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({"gen_ai.usage.cached_tokens": 4}, Usage(10, 3, 13, cached_input=4)),
        ({"gen_ai.usage.prompt_tokens_details.cached_tokens": 4}, Usage(10, 3, 13, cached_input=4)),
        ({"gen_ai.usage.prompt_tokens_details.cache_creation_tokens": 4}, Usage(10, 3, 13, cache_write=4)),
        ({"gen_ai.usage.thinking_tokens": 2}, Usage(10, 3, 13, reasoning=2)),
        ({"gen_ai.usage.completion_tokens_details.reasoning_tokens": 2}, Usage(10, 3, 13, reasoning=2)),
        (
            {"gen_ai.usage.audio.input_tokens": 2, "gen_ai.usage.audio.output_tokens": 1},
            Usage(10, 3, 13, audio=3, audio_output=1),
        ),
    ],
)
def test_counts_under_names_that_few_clients_use(told: dict[str, Any], usage: Usage) -> None:
    plain = {"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 3}
    assert facts_of(span(plain | told)).usage == usage


@pytest.mark.parametrize(
    "key",
    [
        "gen_ai.system_instruction",
        "gen_ai.system.instructions",
        "gen_ai.request.instructions",
        "gen_ai.request.system_instruction",
    ],
)
def test_instructions_under_other_names_lead_the_messages(key: str) -> None:
    sent = span(
        {"gen_ai.operation.name": "chat", key: "Be short.", "gen_ai.prompt.0.role": "user"}
        | {"gen_ai.prompt.0.content": "When?"}
    )
    content = content_of(sent)
    assert content.input_messages == [{"role": "system", "parts": [{"type": "text", "content": "Be short."}]}, USER]
    assert content.parameters == {}


def test_steps_that_are_no_calls() -> None:
    guard = span({"gen_ai.guardrail.name": "pii", "gen_ai.guardrail.input": "Call me", "gen_ai.guardrail.output": "ok"})
    assert facts_of(guard).kind is Kind.guardrail
    assert (content_of(guard).input.value, content_of(guard).output.value) == ("Call me", "ok")
    flow = span({"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.input": '{"a": 1}'})
    assert content_of(flow).input.value == {"a": 1}
    tool = span(
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "hours"}
        | {"gen_ai.tool.arguments": '{"day": 1}', "gen_ai.tool.output": "nine"}
    )
    assert content_of(tool).tool == {"name": "hours", "arguments": {"day": 1}, "result": "nine"}


@pytest.mark.parametrize("sent", ['[{"type": ["x"], "role": "assistant"}]', '{"type": {}, "text": "a"}'])
def test_an_answer_whose_type_is_no_word_is_read_as_far_as_it_goes(sent: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(content_module, "reraise", True)
    assert content_of(span({"mlflow.spanType": '"CHAT_MODEL"', "mlflow.spanOutputs": sent})).output is not None


def test_azure_agents_messages_come_as_events() -> None:
    said = Event("gen_ai.user.message", 1, {"gen_ai.event.content": as_json({"content": "When?", "role": "user"})})
    sent = span(
        {"gen_ai.operation.name": "process_thread_run", "gen_ai.system": "az.ai.agents", "gen_ai.thread.id": "t-1"},
        events=[said],
    )
    assert facts_of(sent).session_id == "t-1"
    assert content_of(sent).input_messages == [USER]


def test_gemini_contents_in_log_events() -> None:
    asked = log("gen_ai.user.message", {"content": {"parts": [{"text": "When?"}], "role": "user"}})
    called = {"parts": [{"function_call": {"name": "hours", "args": {"day": 1}}}], "role": "model"}
    answered = log("gen_ai.choice", {"index": 0, "content": called, "finish_reason": "STOP"})
    content = content_of(span({"gen_ai.operation.name": "generate_content"}), [asked, answered])
    assert content.input_messages == [USER]
    call = {"type": "tool_call", "name": "hours", "arguments": {"day": 1}}
    assert content.output_messages == [{"role": "assistant", "parts": [call], "finish_reason": "STOP"}]


def test_a_bedrock_result_is_the_json_in_its_only_block() -> None:
    result = log("gen_ai.tool.message", {"id": "c1", "content": [{"json": {"day": 1}}]})
    content = content_of(span({"gen_ai.operation.name": "chat"}), [result])
    assert content.input_messages == [
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": {"day": 1}}]}
    ]


def test_calls_of_a_function_in_the_oldest_forms() -> None:
    call = {"type": "tool_call", "name": "hours", "arguments": {"day": 1}}
    arguments = '{"day": 1}'
    flattened = span(
        {
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.function_call.name": "hours",
            "gen_ai.completion.0.function_call.arguments": arguments,
        }
    )
    whole = span(
        {
            "openinference.span.kind": "LLM",
            "llm.function_call": as_json({"name": "hours", "arguments": arguments}),
        }
    )
    for sent in (flattened, whole):
        assert content_of(sent).output_messages == [{"role": "assistant", "parts": [call]}]


def test_what_a_reranker_was_given() -> None:
    sent = span(
        {
            "openinference.span.kind": "RERANKER",
            "reranker.query": "When?",
            "reranker.top_k": 1,
            "reranker.input_documents.0.document.content": "a",
            "reranker.input_documents.1.document.content": "b",
            "reranker.output_documents.0.document.content": "b",
            "reranker.output_documents.0.document.score": 0.5,
        }
    )
    content = content_of(sent)
    assert content.input.value == {"query": "When?", "documents": ["a", "b"]}
    assert (content.documents, content.parameters) == ([{"content": "b", "score": 0.5}], {"top_k": 1})


def whole_answer(usage: dict[str, Any]) -> str:
    call = {"id": "c1", "type": "function", "function": {"name": "hours", "arguments": '{"day": 1}'}}
    return as_json({"choices": [{"message": {"role": "assistant", "tool_calls": [call]}}], "usage": usage})


def openinference(usage: dict[str, Any]) -> Any:
    tool = {"type": "function", "function": {"name": "hours"}}
    return span(
        {
            "openinference.span.kind": "LLM",
            "llm.model_name": "mistral-small",
            "llm.token_count.prompt": 10,
            "llm.token_count.completion": 3,
            "llm.invocation_parameters": as_json({"temperature": 0.5, "top_p": ""}),
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "hours",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"day": 1}',
            "input.value": as_json({"messages": [{"role": "user", "content": "When?"}], "tools": [tool]}),
            "output.value": whole_answer(usage),
        }
    )


def test_what_flattened_attributes_left_out_comes_from_the_whole_request_and_answer() -> None:
    cached = {"prompt_tokens_details": {"cached_tokens": 4}}
    sent = openinference({"prompt_tokens": 10, "completion_tokens": 3, **cached})
    content = content_of(sent)
    assert content.output_messages[0]["parts"][0]["id"] == "c1"
    assert (content.tools, content.parameters) == ([{"name": "hours"}], {"temperature": 0.5})
    assert facts_of(sent).usage == Usage(10, 3, 13, cached_input=4)
    other = openinference({"prompt_tokens": 20, "completion_tokens": 3, **cached})
    assert facts_of(other).usage == Usage(10, 3, 13)


def test_a_reranking_in_the_words_of_a_conversation() -> None:
    told: dict[str, Any] = {"llm.request.type": "rerank", "gen_ai.request.model": "rerank-3"}
    said = [("prompt", "system", "a"), ("prompt", "system", "b"), ("prompt", "user", "When?")]
    for at, (side, role, text) in enumerate(said):
        told |= {f"gen_ai.{side}.{at}.role": role, f"gen_ai.{side}.{at}.content": text}
    for at, text in enumerate(("Doc 1, Score: 0.5", "Doc 9, Score: 0.25", "nothing")):
        told |= {f"gen_ai.completion.{at}.role": "assistant", f"gen_ai.completion.{at}.content": text}
    content = content_of(span(told))
    assert content.input.value == {"query": "When?", "documents": ["a", "b"]}
    assert content.documents == [{"content": "b", "score": 0.5}]
