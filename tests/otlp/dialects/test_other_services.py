"""What other services' clients send over OTLP in words of their own, and what only some apps say of a call."""

from __future__ import annotations

import json

import pytest

from tests.otlp.dialects.spans import content_of, facts_of, said, sent_by, span
from tracer.otlp.dialects import preview
from tracer.otlp.dialects.reading import Kind, Usage


class TestLangSmith:
    """A run with a retriever, a tool and a model call, sent by its SDK."""

    @pytest.fixture
    def runs(self):
        return {one.name: one for one in sent_by("langsmith")}

    def test_the_run_type_tells_the_kind_also_where_the_operation_name_says_otherwise(self, runs):
        kinds = {name: facts_of(one).kind for name, one in runs.items()}

        assert kinds == {"answer": Kind.chain, "look": Kind.retriever, "weather": Kind.tool, "llm": Kind.llm}

    def test_session_user_tags_and_metadata_are_the_apps_own(self, runs):
        facts = facts_of(runs["llm"])

        assert (facts.dialect, facts.session_id, facts.user_id, facts.tags) == (
            "langsmith",
            "chat-7",
            "mara",
            ("beta",),
        )
        assert facts.metadata == {"plan": "pro"}

    def test_a_model_call_has_its_messages_parameters_and_token_classes(self, runs):
        facts, content = facts_of(runs["llm"]), content_of(runs["llm"])

        assert facts.model == "gpt-4o-mini"
        assert facts.usage == Usage(12, 4, 16, 5, None, 2)
        assert [message["role"] for message in content.input_messages] == ["system", "user"]
        assert said(content.output_messages[0]) == "At nine."
        call = content.output_messages[0]["parts"][1]
        assert (call["name"], call["arguments"]) == ("weather", {"city": "Oslo"})
        assert content.parameters == {"temperature": 0.2}

    def test_tool_runs_and_documents(self, runs):
        assert content_of(runs["weather"]).tool == {
            "name": "weather",
            "arguments": {"city": "Oslo"},
            "result": {"temp": 3},
        }
        assert content_of(runs["look"]).documents == [{"content": "The shop opens at nine.", "metadata": {"page": 1}}]

    def test_the_root_is_recognised_by_what_was_asked(self, runs):
        asked, answered = preview(runs["answer"], facts_of(runs["answer"]))

        assert (asked, answered) == ("When do you open?", "At nine.")

    @pytest.mark.parametrize("sent", ["{'cache_read': 5}", '{"cache_read": 5}', {"cache_read": 5}])
    def test_token_details_come_as_python_text_as_json_or_as_an_object(self, sent):
        one = span(
            {"langsmith.span.kind": "llm", "gen_ai.usage.input_tokens": 9, "gen_ai.usage.input_token_details": sent}
        )

        assert facts_of(one).usage.cached_input == 5


class TestBraintrust:
    def test_a_chain_has_its_input_and_output(self):
        one = next(one for one in sent_by("braintrust") if one.name == "answer")

        assert (facts_of(one).dialect, facts_of(one).kind) == ("braintrust", Kind.chain)
        assert content_of(one).input.value == {"question": "When?"}
        assert content_of(one).output.value == "At nine."

    def test_a_model_call_in_its_own_words(self):
        one = span(
            {
                "braintrust.span_attributes": json.dumps({"type": "llm"}),
                "braintrust.input_json": json.dumps([{"role": "user", "content": "When?"}]),
                "braintrust.output_json": json.dumps({"role": "assistant", "content": "At nine."}),
                "braintrust.metadata": json.dumps({"model": "small-1", "temperature": 0.1, "provider": "openai"}),
                "braintrust.metrics": json.dumps({"prompt_tokens": 9, "completion_tokens": 3, "tokens": 12}),
                "braintrust.scores": json.dumps({"helpful": 0.5, "odd": None}),
                "braintrust.tags": ["beta"],
            }
        )
        facts, content = facts_of(one), content_of(one)

        assert (facts.kind, facts.usage, facts.tags) == (Kind.llm, Usage(9, 3, 12), ("beta",))
        assert (said(content.input_messages[0]), said(content.output_messages[0])) == ("When?", "At nine.")
        assert content.parameters == {"temperature": 0.1}
        assert content.scores == [{"name": "helpful", "value": 0.5}]

    def test_tools_and_retrievers(self):
        tool = span(
            {
                "braintrust.span_attributes.type": "tool",
                "braintrust.input": '{"city": "Oslo"}',
                "braintrust.output": "cold",
            }
        )
        search = span(
            {"openinference.span.kind": "RETRIEVER", "braintrust.output_json": '[{"id": "1", "content": "nine"}]'}
        )

        assert content_of(tool).tool == {"name": "step", "arguments": {"city": "Oslo"}, "result": "cold"}
        assert content_of(search).documents == [{"id": "1", "content": "nine"}]


class TestCaches:
    @pytest.mark.parametrize("key", ["stepscope.cache_hit", "llm.cache_hit", "gen_ai.cache_hit", "cache_hit"])
    @pytest.mark.parametrize("value", [True, "true", "True"])
    def test_a_model_call_says_that_a_cache_answered(self, key, value):
        assert facts_of(span({"stepscope.kind": "llm", key: value})).cache_hit

    @pytest.mark.parametrize(
        "attributes", [{"stepscope.kind": "llm", "cache_hit": False}, {"stepscope.kind": "tool", "cache_hit": True}, {}]
    )
    def test_nothing_else_does(self, attributes):
        assert not facts_of(span(attributes)).cache_hit


def test_a_text_that_our_sdk_cut_says_how_long_it_was():
    one = span({"input.value": "aaaa… [cut]", "input.mime_type": "text/plain", "stepscope.input.length": 5_000_000})
    content = content_of(one)

    assert (content.input.value, content.input.full_length) == ("aaaa… [cut]", 5_000_000)
    assert content.output is None


def test_a_prompt_of_our_sdk_has_its_name():
    one = span(
        {"stepscope.kind": "prompt", "llm.prompt_template.template": "Dear {x}", "llm.prompt_template.name": "hi"}
    )

    assert content_of(one).prompt == {"name": "hi", "template": "Dear {x}"}


@pytest.mark.parametrize(
    "attributes",
    [
        {"llm.token_count.prompt_details.audio": 30, "llm.token_count.completion_details.audio": 20},
        {"gen_ai.usage.input_audio_tokens": 30, "gen_ai.usage.output_audio_tokens": 20},
        {
            "mlflow.chat.tokenUsage": json.dumps(
                {"prompt_tokens_details": {"audio_tokens": 30}, "completion_tokens_details": {"audio_tokens": 20}}
            )
        },
    ],
)
def test_audio_tokens_are_told_apart_where_the_wire_does(attributes):
    usage = facts_of(span({"openinference.span.kind": "LLM", **attributes})).usage

    assert (usage.audio, usage.audio_output) == (50, 20)


def test_tags_of_mlflow_traces_are_metadata():
    assert facts_of(span({"mlflow.spanType": "CHAIN", "mlflow.traceTag.plan": "pro"})).metadata == {"plan": "pro"}
