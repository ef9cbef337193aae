"""Spring AI: observations with a kind; GenAI attributes for models, its own for tools and vector stores."""

from __future__ import annotations

from collections.abc import Mapping

from tracer.otlp.dialects import documents
from tracer.otlp.dialects.dialect import Dialect, Field, Key, one_of
from tracer.otlp.dialects.fill import fill_tool
from tracer.otlp.dialects.reading import Content, Kind
from tracer.otlp.dialects.source import Source, as_value

KINDS: Mapping[str, Kind] = {
    "chat_client": Kind.agent,
    "advisor": Kind.chain,
    "tool_call": Kind.tool,
    "vector_store": Kind.chain,
}


def content(source: Source, content: Content) -> None:
    """Fill in a tool's run and a search in a vector store."""
    if source.kind is Kind.tool:
        arguments, result = source.json("spring.ai.tool.call.arguments"), source.json("spring.ai.tool.call.result")
        fill_tool(content, source.word("spring.ai.tool.definition.name"), None, arguments, result)
    sides = {
        "input": ("spring.ai.tool.call.arguments", "db.vector.query.content"),
        "output": ("spring.ai.tool.call.result", "db.vector.query.response.documents"),
    }
    for side, keys in sides.items():
        sent = source.get(*keys)
        if getattr(content, side) is None and sent is not None:
            setattr(content, side, as_value(sent))
    if content.documents is None and source.kind is Kind.retriever:
        content.documents = documents.documents(source.json("db.vector.query.response.documents"))


def _search(value: object) -> Kind | None:
    return Kind.retriever if isinstance(value, str) else None


DIALECT = Dialect(
    name="spring",
    rank=12,
    marks=frozenset({"spring.ai.kind", "spring.ai.tool.definition.name"}),
    facts={
        Field.KIND: (Key("db.vector.query.content", _search), Key("spring.ai.kind", one_of(KINDS))),
        Field.SESSION: ("spring.ai.chat.client.conversation.id",),
    },
    content=content,
    roots=frozenset({"db", "spring"}),
)
