"""Braintrust's OpenTelemetry attributes: input and output as text or JSON, a type, metrics and metadata."""

from __future__ import annotations

from collections.abc import Mapping

from tracer.otlp.dialects import documents, messages, values
from tracer.otlp.dialects.dialect import Dialect, Field, Key, always, one_of
from tracer.otlp.dialects.fill import called_with, fill_tool, request_parameters
from tracer.otlp.dialects.reading import Content, Kind
from tracer.otlp.dialects.source import Source, document_value

KINDS: Mapping[str, Kind] = {
    "llm": Kind.llm,
    "tool": Kind.tool,
    "function": Kind.chain,
    "task": Kind.chain,
    "eval": Kind.chain,
    "score": Kind.evaluator,
    "automation": Kind.chain,
    "facet": Kind.evaluator,
    "preprocessor": Kind.chain,
}

_INPUT = ("braintrust.input_json", "braintrust.input")
_OUTPUT = ("braintrust.output_json", "braintrust.output")
_METADATA = "braintrust.metadata."


def content(source: Source, content: Content) -> None:
    """Fill in input, output, scores, and a model call's messages."""
    for side, keys in (("input", _INPUT), ("output", _OUTPUT)):
        sent = source.get(*keys)
        if getattr(content, side) is None and sent is not None:
            setattr(content, side, document_value(sent))
    asked, answered = source.json(*_INPUT), source.json(*_OUTPUT)
    if asked is None and answered is None:
        return
    if source.kind is Kind.llm:
        if content.input_messages is None:
            content.input_messages = messages.messages(asked)
        if content.output_messages is None:
            content.output_messages = messages.answers(answered)
        metadata = source.json("braintrust.metadata")
        if isinstance(metadata, dict):
            request_parameters(content, {key: value for key, value in metadata.items() if key != "provider"})
    elif source.kind is Kind.tool:
        fill_tool(content, None, None, called_with(asked), answered)
    elif source.kind in (Kind.retriever, Kind.reranker) and content.documents is None:
        content.documents = documents.documents(answered)
    scores = source.json("braintrust.scores")
    if isinstance(scores, dict) and not content.scores:
        found = [(name, values.number(value)) for name, value in scores.items()]
        content.scores = [{"name": name, "value": value} for name, value in found if name and value is not None]


def _kind(value: object) -> Kind | None:
    sent = values.mapping(value)
    word = sent.get("type") if sent is not None else None
    return KINDS.get(word.lower()) if isinstance(word, str) else None


DIALECT = Dialect(
    name="braintrust",
    rank=110,
    marks=frozenset({*_INPUT, *_OUTPUT, "braintrust.span_attributes"}),
    facts={
        Field.KIND: (
            Key("braintrust.span_attributes.type", one_of(KINDS)),
            Key("braintrust.span_attributes", _kind),
        ),
        Field.HINT: tuple(Key(key, always(Kind.chain)) for key in (*_INPUT, *_OUTPUT)),
        Field.LIKELY_MODEL: (_METADATA + "model",),
        Field.USAGE: ("braintrust.metrics",),
        Field.INPUT_TOKENS: ("braintrust.metrics.prompt_tokens",),
        Field.OUTPUT_TOKENS: ("braintrust.metrics.completion_tokens",),
        Field.TOTAL_TOKENS: ("braintrust.metrics.tokens",),
        Field.CACHED_INPUT: ("braintrust.metrics.prompt_cached_tokens",),
        Field.CACHE_WRITE: ("braintrust.metrics.prompt_cache_creation_tokens",),
        Field.REASONING: ("braintrust.metrics.completion_reasoning_tokens",),
        Field.TIME_TO_FIRST: ("braintrust.metrics.time_to_first_token",),
        Field.SESSION: (_METADATA + "session_id",),
        Field.USER: (_METADATA + "user_id",),
        Field.TAGS: ("braintrust.tags",),
        Field.METADATA: ("braintrust.metadata",),
    },
    families={_METADATA: Field.METADATA},
    content=content,
    roots=frozenset({"braintrust"}),
)
