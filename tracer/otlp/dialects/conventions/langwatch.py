"""LangWatch's SDK: span types, typed values as input and output, counts and parameters as JSON objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracer.otlp.dialects import documents, messages
from tracer.otlp.dialects.dialect import Dialect, Field, Key, one_of
from tracer.otlp.dialects.fill import (
    called_with,
    fill_asked,
    fill_tool,
    needs_asked,
    request_parameters,
    tool_definitions,
)
from tracer.otlp.dialects.parts import content_text
from tracer.otlp.dialects.reading import Content, Kind, Value
from tracer.otlp.dialects.source import JSON_MIME, TEXT_MIME, Source

KINDS: Mapping[str, Kind] = {
    "llm": Kind.llm,
    "span": Kind.chain,
    "chain": Kind.chain,
    "workflow": Kind.chain,
    "task": Kind.chain,
    "component": Kind.chain,
    "module": Kind.chain,
    "agent": Kind.agent,
    "tool": Kind.tool,
    "rag": Kind.retriever,
    "guardrail": Kind.guardrail,
    "evaluation": Kind.evaluator,
    "prompt": Kind.prompt,
}


def content(source: Source, content: Content) -> None:
    """Fill in typed values: `{"type": "chat_messages", "value": [...]}`."""
    asked, answered = _value(source.json("langwatch.input")), _value(source.json("langwatch.output"))
    for side, sent in (("input", asked), ("output", answered)):
        if getattr(content, side) is None and sent is not None:
            text = isinstance(sent, str)
            setattr(content, side, Value(TEXT_MIME if text else JSON_MIME, sent, content_text(sent)))
    if source.kind is Kind.llm:
        fill_asked(content, messages.messages(asked) if needs_asked(content) else None)
        if content.output_messages is None:
            content.output_messages = messages.answers(answered)
        parameters = source.json("langwatch.params")
        if isinstance(parameters, dict) and not content.tools:
            content.tools = tool_definitions(parameters.get("tools") or parameters.get("functions"))
        request_parameters(content, parameters)
    elif source.kind is Kind.tool:
        fill_tool(content, None, None, called_with(asked), answered)
    if content.documents is None and source.kind is Kind.retriever:
        content.documents = documents.documents(_value(source.json("langwatch.rag_contexts", "langwatch.rag.contexts")))
    name = source.word("langwatch.prompt.handle", "langwatch.prompt.id")
    if content.prompt is None and name:
        known = {
            "name": name,
            "version": source.word("langwatch.prompt.version.number", "langwatch.prompt.version.id"),
            "variables": _value(source.json("langwatch.prompt.variables")),
        }
        content.prompt = {key: value for key, value in known.items() if value is not None}


def _value(sent: Any) -> Any:
    if isinstance(sent, dict) and sent.keys() == {"type", "value"}:
        inner = sent["value"]
        return [_value(item) for item in inner] if sent["type"] == "list" and isinstance(inner, list) else inner
    return sent


DIALECT = Dialect(
    name="langwatch",
    rank=77,
    marks=frozenset({"langwatch.span.type", "langwatch.input", "langwatch.output"}),
    facts={
        Field.KIND: (Key("langwatch.span.type", one_of(KINDS)),),
        Field.USAGE: ("langwatch.metrics",),
        Field.SESSION: ("langwatch.thread.id", "langwatch.session.id"),
        Field.USER: ("langwatch.user.id", "langwatch.customer.id"),
        Field.TAGS: ("langwatch.labels", "langwatch.tags"),
        Field.METADATA: ("langwatch.metadata",),
    },
    content=content,
    roots=frozenset({"langwatch"}),
)
