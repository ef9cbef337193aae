"""Langfuse's SDK: observations with a type, input and output, usage and cost as JSON objects."""

from __future__ import annotations

from collections.abc import Mapping

from tracer.otlp.dialects import documents, messages, values
from tracer.otlp.dialects.dialect import Dialect, Field, Key, one_of
from tracer.otlp.dialects.fill import (
    called_with,
    fill_asked,
    fill_tool,
    needs_asked,
    request_parameters,
    tool_definitions,
)
from tracer.otlp.dialects.reading import Content, Kind
from tracer.otlp.dialects.source import Source, document_value
from tracer.units import parse_rfc3339

KINDS: Mapping[str, Kind] = {
    "generation": Kind.llm,
    "embedding": Kind.embedding,
    "span": Kind.chain,
    "chain": Kind.chain,
    "agent": Kind.agent,
    "tool": Kind.tool,
    "retriever": Kind.retriever,
    "evaluator": Kind.evaluator,
    "guardrail": Kind.guardrail,
    "event": Kind.other,
}

_INPUT, _OUTPUT = "langfuse.observation.input", "langfuse.observation.output"


def content(source: Source, content: Content) -> None:
    """Fill in what an observation's attributes say."""
    for side, keys in (("input", (_INPUT, "langfuse.trace.input")), ("output", (_OUTPUT, "langfuse.trace.output"))):
        sent = source.get(*keys)
        if getattr(content, side) is None and sent is not None:
            setattr(content, side, document_value(sent))
    asked, answered = source.json(_INPUT), source.json(_OUTPUT)
    if source.kind is Kind.llm:
        fill_asked(content, messages.messages(asked) if needs_asked(content) else None)
        if content.output_messages is None:
            content.output_messages = messages.answers(answered)
        if not content.tools and isinstance(asked, dict):
            content.tools = tool_definitions(asked.get("tools"))
        request_parameters(content, source.json("langfuse.observation.model.parameters"))
        reason = source.word("langfuse.observation.metadata.finish_reason")
        if reason and not content.finish_reasons:
            content.finish_reasons = [reason]
    elif source.kind is Kind.tool:
        fill_tool(content, None, None, called_with(asked), answered)
    elif source.kind in (Kind.retriever, Kind.reranker) and content.documents is None:
        content.documents = documents.documents(answered)
    elif source.kind is Kind.embedding and not content.embeddings and asked is not None:
        texts = asked if isinstance(asked, list) else [asked]
        size = values.count(answered.get("dimensions")) if isinstance(answered, dict) else None
        shape = {"dimensions": size} if size is not None else {}
        content.embeddings = [{"text": text, **shape} for text in texts if isinstance(text, str)]
    if content.prompt is None:
        name, version = (
            source.word("langfuse.observation.prompt.name"),
            source.word("langfuse.observation.prompt.version"),
        )
        known = {"name": name, "version": version}
        content.prompt = {key: value for key, value in known.items() if value is not None} or None


def _instant(value: object) -> int | None:
    word = values.quoted(value)
    if word is None:
        return None
    try:
        return parse_rfc3339(word)
    except (ValueError, OverflowError):
        return None


def _total(value: object) -> object:
    sent = values.mapping(value)
    if sent is None:
        return None
    total = values.dollars(sent.get("total"))
    if total is not None:
        return total
    parts = [cost for key, amount in sent.items() if key != "total" and (cost := values.dollars(amount)) is not None]
    return sum(parts) or None


DIALECT = Dialect(
    name="langfuse",
    rank=70,
    marks=frozenset({"langfuse.observation.type", _INPUT, _OUTPUT}),
    facts={
        Field.KIND: (Key("langfuse.observation.type", one_of(KINDS)),),
        Field.ANSWERED_MODEL: ("langfuse.observation.model.name",),
        Field.USAGE: ("langfuse.observation.usage_details",),
        Field.COST: (Key("langfuse.observation.cost_details", _total),),
        Field.FIRST_TOKEN_AT: (Key("langfuse.observation.completion_start_time", _instant),),
        Field.SESSION: ("langfuse.session.id", "langfuse.trace.session_id"),
        Field.USER: ("langfuse.user.id", "langfuse.trace.user_id"),
        Field.ENVIRONMENT: ("langfuse.environment",),
        Field.RELEASE: ("langfuse.release", "langfuse.version"),
        Field.TAGS: ("langfuse.trace.tags", "langfuse.tags"),
        Field.METADATA: ("langfuse.trace.metadata", "langfuse.observation.metadata"),
    },
    families={"langfuse.trace.metadata.": Field.METADATA, "langfuse.observation.metadata.": Field.METADATA},
    content=content,
    roots=frozenset({"langfuse"}),
)
