"""Haystack's own tracing: a span for each pipeline and component, what it took and gave as JSON when asked for."""

from __future__ import annotations

from collections.abc import Mapping

from tracer.otlp.dialects import documents
from tracer.otlp.dialects.dialect import Dialect, Field, Key, always
from tracer.otlp.dialects.fill import fill_observed, request_parameters
from tracer.otlp.dialects.reading import Content, Kind
from tracer.otlp.dialects.source import Source
from tracer.otlp.dialects.usage import usage_inside

_ENDINGS: Mapping[str, Kind] = {
    "generator": Kind.llm,
    "retriever": Kind.retriever,
    "ranker": Kind.reranker,
    "embedder": Kind.embedding,
    "agent": Kind.agent,
    "toolinvoker": Kind.tool,
    "evaluator": Kind.evaluator,
    "promptbuilder": Kind.prompt,
    "websearch": Kind.retriever,
}
"""What the end of a component's class says it does."""

_SIDES = (
    ("haystack.agent.step.llm.input", "haystack.agent.step.llm.output"),
    ("haystack.agent.step.tool.input", "haystack.agent.step.tool.output"),
    ("haystack.agent.input", "haystack.agent.output"),
    ("haystack.component.input", "haystack.component.output"),
    ("haystack.pipeline.input_data", "haystack.pipeline.output_data"),
)


def content(source: Source, content: Content) -> None:
    """Fill in what a component, a pipeline or an agent's step took and gave."""
    for asked_key, answered_key in _SIDES:
        if source.get(asked_key, answered_key) is None:
            continue
        fill_observed(source, content, asked_key, answered_key)
        asked = source.json(asked_key)
        if source.kind is Kind.llm and isinstance(asked, dict):
            request_parameters(content, asked.get("generation_kwargs"))
        elif source.kind is Kind.embedding and isinstance(asked, dict) and not content.embeddings:
            text = asked.get("text")
            found = [{"content": text}] if isinstance(text, str) else documents.documents(asked)
            content.embeddings = [{"text": one["content"]} for one in found or () if one.get("content")]
        return


def _kind(value: object) -> Kind | None:
    word = value.lower() if isinstance(value, str) else ""
    return next((kind for ending, kind in _ENDINGS.items() if word.endswith(ending)), Kind.chain) if word else None


DIALECT = Dialect(
    name="haystack",
    rank=78,
    marks=frozenset({"haystack.component.name", "haystack.component.type", "haystack.pipeline.input_data"}),
    facts={
        Field.KIND: (Key("haystack.component.type", _kind),),
        Field.HINT: (
            Key("haystack.agent.step.llm.input", always(Kind.llm)),
            Key("haystack.agent.step.tool.input", always(Kind.tool)),
            Key("haystack.agent.max_steps", always(Kind.agent)),
            Key("haystack.agent.step", always(Kind.chain)),
            Key("haystack.pipeline.input_data", always(Kind.chain)),
        ),
        Field.USAGE: (
            Key("haystack.agent.step.llm.output", usage_inside),
            Key("haystack.component.output", usage_inside),
        ),
    },
    content=content,
    roots=frozenset({"haystack"}),
)
