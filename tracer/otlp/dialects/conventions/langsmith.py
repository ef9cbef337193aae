"""LangSmith's SDK over OTLP: run types, whole inputs and outputs as JSON, token details apart from the counts."""

from __future__ import annotations

from collections.abc import Mapping

from tracer.otlp.dialects import documents, messages, values
from tracer.otlp.dialects.dialect import Dialect, Field, Key, Reader, one_of
from tracer.otlp.dialects.fill import fill_tool, request_parameters, tool_definitions
from tracer.otlp.dialects.reading import Content, Kind
from tracer.otlp.dialects.source import Source, as_value

KINDS: Mapping[str, Kind] = {
    "llm": Kind.llm,
    "embedding": Kind.embedding,
    "tool": Kind.tool,
    "retriever": Kind.retriever,
    "chain": Kind.chain,
    "parser": Kind.chain,
    "agent": Kind.agent,
    "prompt": Kind.prompt,
}

_ASKED, _ANSWERED = "gen_ai.prompt", "gen_ai.completion"
_METADATA = "langsmith.metadata."


def content(source: Source, content: Content) -> None:
    """Fill in a run's inputs and outputs, which other clients of the older GenAI conventions write the same way."""
    if source.get(_ASKED, _ANSWERED) is None:
        return
    for side, key in (("input", _ASKED), ("output", _ANSWERED)):
        sent = source.get(key)
        if getattr(content, side) is None and sent is not None:
            setattr(content, side, as_value(sent))
    asked, answered = source.json(_ASKED), source.json(_ANSWERED)
    result = answered["output"] if isinstance(answered, dict) and answered.keys() == {"output"} else answered
    if source.kind is Kind.llm:
        if content.input_messages is None:
            content.input_messages = messages.messages(asked)
        if content.output_messages is None:
            content.output_messages = messages.answers(result)
        if not content.tools and isinstance(asked, dict):
            content.tools = tool_definitions(asked.get("tools"))
        request_parameters(content, asked)
    elif source.kind is Kind.tool:
        fill_tool(content, None, None, asked, result)
    elif source.kind in (Kind.retriever, Kind.reranker) and content.documents is None:
        content.documents = documents.documents(result)


def _detail(*names: str) -> Reader:
    """A reader of one count in an object that came as JSON, or as Python's own text for it."""

    def read(value: object) -> int | None:
        sent = values.mapping(value)
        if sent is None and isinstance(value, str):
            literal = values.literal(value)
            sent = literal if isinstance(literal, dict) else None
        if sent is None:
            return None
        return next((count for name in names if (count := values.count(sent.get(name))) is not None), None)

    return read


DIALECT = Dialect(
    name="langsmith",
    rank=15,
    marks=frozenset({"langsmith.span.kind", "langsmith.trace.name", "langsmith.trace.session_name"}),
    facts={
        Field.KIND: (Key("langsmith.span.kind", one_of(KINDS)),),
        Field.USAGE: (_METADATA + "usage_metadata", "langsmith.usage_metadata"),
        Field.CACHED_INPUT: (Key("gen_ai.usage.input_token_details", _detail("cache_read", "cached_tokens")),),
        Field.REASONING: (Key("gen_ai.usage.output_token_details", _detail("reasoning", "reasoning_tokens")),),
        Field.STREAM: ("langsmith.request.streaming",),
        Field.SESSION: (_METADATA + "session_id", _METADATA + "thread_id", _METADATA + "conversation_id"),
        Field.USER: (_METADATA + "user_id", _METADATA + "user-id"),
        Field.ENVIRONMENT: (_METADATA + "environment",),
        Field.TAGS: ("langsmith.span.tags",),
        Field.METADATA: ("langsmith.metadata",),
    },
    families={_METADATA: Field.METADATA},
    first_token_events=frozenset({"new_token"}),
    content=content,
    roots=frozenset({"gen_ai"}),
)
