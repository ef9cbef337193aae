"""Clients that we ran ourselves against a stand-in model; `tests/payloads/recorded` says which versions."""

import pytest

from tests.otlp.dialects.spans import content_of, facts_of, recorded, said, span
from tracer.otlp.dialects import preview
from tracer.otlp.dialects.reading import Kind, Usage

ANSWER = "Cold in Oslo. 4 °C ❄️"
CALL = {"type": "tool_call", "id": "call_1", "name": "get_weather", "arguments": {"city": "Oslo"}}

EVERY = (
    "langfuse",
    "vercel5",
    "vercel6",
    "vercel7",
    "logfire",
    "pydantic-ai-v2",
    "pydantic-ai-v5",
    "strands",
    "strands-latest",
)


def of_kind(client, kind):
    return [one for one in recorded(client) if facts_of(one).kind is kind]


def talks(client):
    """Model calls with an answer, in the order they were sent."""
    return [one for one in of_kind(client, Kind.llm) if content_of(one).output_messages]


@pytest.mark.parametrize("client", EVERY)
def test_the_first_call_asks_for_the_tool_and_the_next_has_its_result_and_the_answer(client):
    first, second = (content_of(one) for one in talks(client)[:2])

    assert first.output_messages[0]["parts"] == [CALL]
    assert said(second.output_messages[-1]).strip() == ANSWER
    asked = [part for message in second.input_messages for part in message["parts"]]
    assert CALL in asked
    (result,) = [part for part in asked if part["type"] == "tool_call_response"]
    assert result["id"] == "call_1"
    assert "4" in str(result["response"])


@pytest.mark.parametrize("client", EVERY)
def test_the_system_prompt_and_the_question_lead_the_conversation(client):
    heard = content_of(talks(client)[0]).input_messages

    roles = [message["role"] for message in heard]
    assert roles[0] == "system"
    assert roles[-1] == "user"
    assert "Be brief" in " ".join(said(message) for message in heard)
    assert said(heard[-1]) == "Weather in Oslo?"


@pytest.mark.parametrize("client", EVERY)
def test_tokens_model_and_tools_of_a_call_are_read(client):
    one = talks(client)[0]
    facts, content = facts_of(one), content_of(one)

    assert facts.model in ("gpt-4o-mini-2024-07-18", "gpt-4o-mini")
    assert (facts.usage.input, facts.usage.output, facts.usage.total) == (40, 12, 52)
    assert facts.usage.cached_input in (8, None)
    if not client.startswith("strands"):
        assert [tool["name"] for tool in content.tools] == ["get_weather"]
        assert content.tools[0]["schema"]["type"] == "object"


@pytest.mark.parametrize("client", [client for client in EVERY if client != "logfire"])
def test_the_tool_run_has_its_name_arguments_and_result(client):
    (run,) = of_kind(client, Kind.tool)
    tool = content_of(run).tool

    assert tool["name"] == "get_weather"
    assert tool["arguments"] in ({"city": "Oslo"}, "Oslo")
    assert "4" in str(tool["result"])


@pytest.mark.parametrize(
    ("client", "word"),
    [
        ("langfuse", "langfuse"),
        ("vercel5", "vercel"),
        ("logfire", "logfire"),
        ("pydantic-ai-v5", "logfire"),
        ("strands", "strands"),
        ("strands-latest", "strands"),
    ],
)
def test_each_is_named_by_its_convention(client, word):
    assert {facts_of(one).dialect for one in recorded(client)} == {word}


def test_langfuse_says_session_user_tags_release_and_what_a_run_cost():
    by_name = {one.name: facts_of(one) for one in recorded("langfuse")}
    root, manual = by_name["chain"], by_name["manual"]

    assert (root.kind, root.session_id, root.user_id, root.tags) == (Kind.chain, "sess-1", "user-1", ("a", "b"))
    assert (root.environment, root.release, root.metadata) == ("staging", "r9", {"plan": "pro"})
    assert manual.sent_cost == 1_000_000
    assert manual.usage == Usage(input=110, output=5, total=115, cached_input=100)


def test_langfuse_documents_reasoning_and_the_first_token_are_read():
    spans = recorded("langfuse")
    (search,) = (one for one in spans if one.name == "search")
    answers = [content_of(one).output_messages for one in spans if facts_of(one).model == "o4-mini"]

    assert [entry["content"] for entry in content_of(search).documents] == ["Snow is cold.", "Rain is wet."]
    assert answers[0][0]["parts"][0] == {"type": "reasoning", "content": "Think of snow."}
    assert any(facts_of(one).time_to_first_token for one in spans)


def test_vercel_wrappers_are_agents_and_only_what_they_do_are_model_calls():
    kinds = {one.name: facts_of(one).kind for one in recorded("vercel5")}

    assert kinds["ai.generateText"] is Kind.agent
    assert kinds["ai.generateText.doGenerate"] is Kind.llm
    assert kinds["ai.embedMany"] is Kind.chain
    assert kinds["ai.embedMany.doEmbed"] is Kind.embedding


def test_vercel_metadata_first_chunk_embeddings_and_objects_are_read():
    spans = {one.name: one for one in recorded("vercel5")}
    facts = facts_of(spans["ai.streamText.doStream"])
    embedded = content_of(spans["ai.embedMany.doEmbed"])

    assert (facts.session_id, facts.user_id, facts.tags, facts.metadata) == ("s-1", "u-1", ("a", "b"), {"plan": "pro"})
    assert facts.provider == "openai"
    assert facts.time_to_first_token > 0
    assert facts.usage.reasoning == 3
    assert embedded.embeddings == [{"text": "a", "dimensions": 8}, {"text": "b", "dimensions": 8}]
    assert preview(spans["ai.generateObject"], facts_of(spans["ai.generateObject"])) == (
        "Obj",
        '{"city":"Oslo","temp":4}',
    )


def test_logfire_counts_cached_tokens_in_the_raw_usage_and_takes_the_cost_it_worked_out():
    spans = recorded("logfire")
    (claude,) = (facts_of(one) for one in spans if facts_of(one).provider == "anthropic")

    assert claude.usage == Usage(input=1782, output=12, total=1794, cached_input=1750, cache_write=0)
    assert claude.sent_cost == 801_000
    assert (claude.environment, claude.tags) == (None, ())


def test_logfire_spans_and_functions_are_chains_and_its_log_lines_are_not():
    spans = {one.name: one for one in recorded("logfire")}

    assert facts_of(spans["answer {q}"]).kind is Kind.chain
    assert facts_of(spans["answer {q}"]).tags == ("x", "y")
    assert facts_of(spans["note {n}"]).kind is Kind.other
    call = content_of(spans["Calling __main__.f"])
    assert (call.input.value, call.output.value) == ({"x": 4}, 8)


def test_a_pending_span_of_logfire_announces_its_parent():
    sent = {"logfire.span_type": "pending_span", "logfire.pending_parent_id": "00000000000000aa", "logfire.msg": "run"}
    child = facts_of(span(sent, parent_id=b"\x07" * 8))
    root = facts_of(span(sent | {"logfire.pending_parent_id": "0" * 16}, parent_id=b"\x07" * 8))

    assert (child.announces, child.announced_parent) == (b"\x07" * 8, bytes(7) + b"\xaa")
    assert (root.announces, root.announced_parent) == (b"\x07" * 8, None)
    assert facts_of(span({"logfire.span_type": "span"}, parent_id=b"\x07" * 8)).announces is None


@pytest.mark.parametrize("client", ["pydantic-ai-v2", "pydantic-ai-v5"])
def test_a_pydantic_agent_run_shows_what_was_asked_and_its_result(client):
    run = of_kind(client, Kind.agent)[0]
    content = content_of(run)

    assert preview(run, facts_of(run)) == ("Weather in Oslo?", ANSWER)
    assert content.output.value == ANSWER
    assert facts_of(run).usage.input == 80


def test_strands_times_are_milliseconds_and_its_loop_is_a_chain():
    spans = recorded("strands")
    call = facts_of(of_kind("strands", Kind.llm)[0])

    assert call.time_to_first_token == 473_000_000
    assert (call.session_id, call.user_id, call.tags) == ("s-9", "u-9", ("q",))
    assert {one.name for one in spans if facts_of(one).kind is Kind.chain} == {"execute_event_loop_cycle"}
