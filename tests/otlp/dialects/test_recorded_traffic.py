"""What real clients sent, read and compared with what truly happened."""

import pytest

from tests.otlp.dialects.spans import content_of, facts_of, scenario, scenarios
from tests.otlp.dialects.truth import statements

NOT_ON_THE_WIRE: dict[str, set[str]] = {}
"""Facts by scenario that a client did not send although they are marked as sent; none among the scenarios here."""

DIALECTS = {
    "autogen": {"genai"},
    "google-adk": {"adk", "genai"},
    "mlflow": {"mlflow"},
    "mlflow-langchain": {"mlflow"},
    "openinference-openai": {"openinference"},
    "openinference-openai-js": {"openinference"},
    "openinference-langchain": {"openinference"},
    "openlit-anthropic": {"openlit", "otel"},
    "otel-genai-openai": {"genai"},
    "otel-openai-v2-legacy": {"genai", "otel"},
    "traceloop-anthropic-v047": {"traceloop"},
    "traceloop-node": {"traceloop"},
    "web-distributed": {"openinference", "otel"},
}


@pytest.mark.parametrize("name", scenarios())
def test_every_fact_that_a_client_sent_is_read(name):
    found = list(statements(scenario(name)))

    wrong = [fact for fact in found if not fact.holds and fact.field not in NOT_ON_THE_WIRE.get(name, set())]
    assert not wrong, "\n".join(f"{fact.span_id} {fact.field}: {fact.wanted!r} read as {fact.got!r}" for fact in wrong)


def test_the_recorded_traffic_makes_enough_statements_to_mean_something():
    fields: dict[str, int] = {}
    for name in scenarios():
        for fact in statements(scenario(name)):
            fields[fact.field] = fields.get(fact.field, 0) + 1

    assert sum(fields.values()) > 1_000
    assert {"kind", "model", "input text", "output text", "tool call", "tool result", "reasoning"} <= fields.keys()
    assert {"input tokens", "cached_input tokens", "cache_write tokens", "reasoning tokens"} <= fields.keys()
    assert {"time to first token", "document", "session_id", "user_id", "tags", "tool run"} <= fields.keys()


@pytest.mark.parametrize("client", sorted(DIALECTS))
def test_a_client_is_named_by_the_convention_it_speaks(client):

    spoken = set()
    for name in scenarios():
        if name.startswith(f"{client}/"):
            spoken |= {facts_of(span).dialect for span in scenario(name).spans.values()}

    assert spoken == DIALECTS[client]


def test_content_that_was_not_captured_is_unknown_rather_than_empty():

    run = scenario("otel-openai-v2-latest/agent_nocontent")
    models = [span for span in run.spans.values() if facts_of(span).kind.name == "llm"]

    assert models
    for span in models:
        content = content_of(span, run.logs.get(span.span_id.hex(), []))
        assert content.input_messages is None
        assert content.output_messages is None
