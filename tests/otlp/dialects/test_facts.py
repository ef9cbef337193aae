"""The columns: which step it is, whose, with how many tokens."""

import pytest

from tests.otlp.dialects.spans import START, facts_of, log, scenario, span
from tracer.otlp.dialects import READER_VERSION
from tracer.otlp.dialects.conventions import dialects
from tracer.otlp.dialects.dialect import Key
from tracer.otlp.dialects.reading import Facts, Kind, Usage
from tracer.otlp.records import Event


def test_the_reader_has_a_version():
    assert READER_VERSION >= 1


@pytest.mark.parametrize("kind", list(Kind))
def test_our_own_sdk_names_every_kind(kind):
    facts = facts_of(span({"stepscope.kind": kind.name}))

    assert (facts.kind, facts.dialect) == (kind, "stepscope")


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"openinference.span.kind": "LLM"}, Kind.llm),
        ({"openinference.span.kind": "Guardrail"}, Kind.guardrail),
        ({"openinference.span.kind": "UNKNOWN", "gen_ai.operation.name": "execute_tool"}, Kind.tool),
        ({"gen_ai.operation.name": "generate_content"}, Kind.llm),
        ({"gen_ai.operation.name": "create_agent"}, Kind.other),
        ({"gen_ai.operation.name": "vector_db_retrieve", "traceloop.span.kind": "task"}, Kind.retriever),
        ({"traceloop.span.kind": "workflow", "traceloop.entity.name": "retrieve"}, Kind.chain),
        ({"traceloop.span.kind": "task", "traceloop.entity.name": "retrieve_docs"}, Kind.retriever),
        ({"traceloop.span.kind": "task", "traceloop.entity.name": "draft"}, Kind.chain),
        ({"gen_ai.prompt.0.role": "user"}, Kind.llm),
        ({"llm.request.type": "embedding"}, Kind.embedding),
        ({"mlflow.spanType": '"CHAT_MODEL"'}, Kind.llm),
        ({"mlflow.spanType": "RERANKER"}, Kind.reranker),
        ({"mlflow.spanType": '"MINE"'}, Kind.other),
        ({"gen_ai.request.model": "m"}, Kind.llm),
        ({"gen_ai.tool.name": "t", "gen_ai.operation.name": "chat"}, Kind.llm),
        ({"retrieval.documents.0.document.content": "d"}, Kind.retriever),
        ({"input.value": "q"}, Kind.chain),
        ({"function.args": "()"}, Kind.chain),
        ({"http.request.method": "GET"}, Kind.other),
        ({"http.method": "POST", "traceloop.workflow.name": "w"}, Kind.other),
        ({}, Kind.other),
    ],
)
def test_a_kind_is_what_the_attributes_say(attributes, kind):
    assert facts_of(span(attributes)).kind is kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("chat gpt-4o", Kind.llm),
        ("embeddings text-embedding-3", Kind.embedding),
        ("execute_tool search", Kind.tool),
        ("retrieve", Kind.retriever),
        ("chat", Kind.other),
        ("chatter about it", Kind.other),
        ("GET /retrieve", Kind.other),
    ],
)
def test_without_a_marker_the_name_may_tell(name, kind):
    assert facts_of(span(name=name)).kind is kind


def test_a_name_says_nothing_about_an_http_call():
    assert facts_of(span({"http.method": "POST"}, name="chat gpt-4o")).kind is Kind.other


def test_the_answering_model_wins_over_the_one_asked_for():
    both = facts_of(span({"gen_ai.request.model": "gpt", "gen_ai.response.model": "gpt-2024"}))
    one = facts_of(span({"gen_ai.request.model": "gpt"}))

    assert (both.model, one.model) == ("gpt-2024", "gpt")


@pytest.mark.parametrize(
    "attributes",
    [
        {"llm.invocation_parameters": '{"temperature": 1, "model": "gpt-9"}'},
        {"input.value": '{"messages": [], "model": "gpt-9"}'},
        {"mlflow.spanInputs": '{"model": "gpt-9", "messages": []}'},
    ],
)
def test_a_failed_call_still_has_the_model_that_its_request_names(attributes):
    assert facts_of(span({"openinference.span.kind": "LLM", **attributes})).model == "gpt-9"


def test_the_plain_word_model_is_a_model_only_on_a_model_call():
    assert facts_of(span({"mlflow.spanType": '"LLM"', "model": '"gpt"'})).model == "gpt"
    assert facts_of(span({"mlflow.spanType": '"CHAIN"', "model": '"T"'})).model is None


@pytest.mark.parametrize(
    ("attributes", "usage"),
    [
        ({"input_tokens": 5, "output_tokens": 3}, Usage(5, 3, 8)),
        ({"input_tokens": 0, "output_tokens": 0}, Usage(0, 0, 0)),
        ({"prompt_tokens": 5, "completion_tokens": 3}, Usage(5, 3, 8)),
        ({"input_tokens": 5}, Usage(5, None, 5)),
        ({"input_tokens": "5", "output_tokens": 3.0}, Usage(5, 3, 8)),
        ({"input_tokens": -5, "output_tokens": "three"}, None),
        ({"input_tokens": True, "output_tokens": [1]}, None),
        ({"input_tokens": 10**30}, None),
        ({"input_tokens": 8, "output_tokens": 2, "cache_read.input_tokens": 1750}, Usage(1758, 2, 1760, 1750)),
        ({"input_tokens": 1758, "output_tokens": 2, "cache_read.input_tokens": 1750}, Usage(1758, 2, 1760, 1750)),
        (
            {"input_tokens": 90, "output_tokens": 2, "cache_read.input_tokens": 50, "total_tokens": 142},
            Usage(140, 2, 142, 50),
        ),
    ],
)
def test_tokens_are_counted_with_the_cached_ones_in_the_input(attributes, usage):
    assert facts_of(span({f"gen_ai.usage.{key}": value for key, value in attributes.items()})).usage == usage


def test_a_convention_known_to_leave_cached_tokens_out_gets_them_added():
    sent = {
        "telemetry.sdk.name": "openlit",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.usage.input_tokens": 900,
        "gen_ai.usage.output_tokens": 10,
        "gen_ai.usage.cache_read.input_tokens": 100,
        "gen_ai.client.token.usage": 910,
    }

    assert facts_of(span(sent)).usage == Usage(1000, 10, 1010, 100)
    assert facts_of(span(sent | {"gen_ai.provider.name": "openai"})).usage == Usage(900, 10, 910, 100)


def test_a_cost_of_zero_is_unknown():
    assert facts_of(span({"gen_ai.usage.cost": 0})).sent_cost is None
    assert facts_of(span({"llm.cost.total": 1.965e-05})).sent_cost == 19_650
    assert facts_of(span({"llm.cost.prompt": 0.001, "llm.cost.completion": 0.002})).sent_cost == 3_000_000


def test_time_to_first_token_comes_from_attributes_or_the_first_event():
    chunk = [
        Event("note", START + 5, {}),
        Event("First Token Stream Event", START + 70, {}),
        Event("x", START + 80, {}),
    ]

    assert facts_of(span({"gen_ai.response.time_to_first_chunk": 0.25})).time_to_first_token == 250_000_000
    assert facts_of(span(events=chunk)).time_to_first_token == 70
    assert facts_of(span(events=[Event("mlflow.chunk.item.3", START + 9, {})])).time_to_first_token == 9
    assert facts_of(span(events=[Event("First Token Stream Event", START - 9, {})])).time_to_first_token is None


def test_a_time_that_is_the_whole_duration_counts_only_for_a_stream():
    sent = {"gen_ai.server.time_to_first_token": 0.5}

    assert facts_of(span(sent | {"gen_ai.request.stream": True})).time_to_first_token == 500_000_000
    assert facts_of(span(sent | {"gen_ai.request.stream": False})).time_to_first_token is None
    assert facts_of(span(sent)).time_to_first_token is None


@pytest.mark.parametrize("tags", [["a", "b"], '["a", "b"]', "a,b", "a, b,", ["a", "b", "a", None, ""]])
def test_tags_come_as_a_list_as_json_or_with_commas(tags):
    assert facts_of(span({"tag.tags": tags})).tags == ("a", "b")


def test_metadata_leaves_out_what_frameworks_note_for_themselves():
    facts = facts_of(
        span(
            {
                "metadata": '{"plan": "pro", "ls_provider": "openai", "langgraph_step": 1}',
                "traceloop.association.properties.region": "eu",
                "traceloop.association.properties.langgraph_node": "model",
                "traceloop.association.properties.session_id": "s-1",
            }
        )
    )

    assert facts.metadata == {"plan": "pro", "region": "eu"}
    assert facts.session_id == "s-1"


def test_where_it_ran_comes_from_the_resource():
    resource = {"service.name": "shop", "service.version": "1.2", "deployment.environment.name": "prod"}
    facts = facts_of(span({"service.name": "inner"}, resource=resource))

    assert (facts.service, facts.release, facts.environment) == ("shop", "1.2", "prod")
    assert facts_of(span({"deployment.environment": "test"})).environment == "test"


def test_a_user_that_only_a_log_event_names_is_found():
    run = scenario("google-adk/agent_content")
    users = {facts_of(one, run.logs.get(key, [])).user_id for key, one in run.spans.items()}

    assert "user-7" in users
    assert facts_of(span(), [log("event", attributes={"session.id": "s"})]).session_id == "s"


@pytest.mark.parametrize("value", [7, 7.5, "x" * 10_000, "", "  ", None, True, [], {}, b"id", float("nan")])
def test_r38_an_id_of_any_type_is_a_short_word_or_unknown(value):
    word = facts_of(span({"session.id": value, "user.id": value, "gen_ai.request.model": value})).session_id

    assert word is None or (isinstance(word, str) and 0 < len(word) <= 500)


def test_the_answers_id_is_found_where_the_answer_begins_with_it():
    sent = {"openinference.span.kind": "LLM", "output.value": '{"id":"chatcmpl-1","object":"x"}'}

    assert facts_of(span(sent)).response_id == "chatcmpl-1"
    assert facts_of(span(sent | {"openinference.span.kind": "TOOL"})).response_id is None


def test_tokens_that_only_the_answers_own_json_has_are_found():
    usage = '{"prompt_tokens": 6, "total_tokens": 6}'
    sent = {"mlflow.spanType": '"EMBEDDING"', "mlflow.spanOutputs": '{"data": [], "usage": ' + usage + "}"}

    assert facts_of(span(sent)).usage == Usage(6, None, 6)


def test_a_span_that_says_nothing_has_no_facts():
    assert facts_of(span()) == Facts()


def test_no_key_is_read_by_two_conventions():
    seen: dict[str, str] = {}
    for dialect in dialects():
        for field, keys in dialect.facts.items():
            for key in keys:
                name = key.name if isinstance(key, Key) else key
                assert name not in seen, f"{name} is {seen.get(name)} and {dialect.name} {field.name}"
                seen[name] = f"{dialect.name} {field.name}"
