"""AgentOps' SDK: entities with a kind; a decorated function's input and output under keys named by the kind."""

from __future__ import annotations

from collections.abc import Mapping

from tracer.otlp.dialects import values
from tracer.otlp.dialects.dialect import Dialect, Field, Key, one_of
from tracer.otlp.dialects.fill import fill_observed, tool_definitions
from tracer.otlp.dialects.reading import Content, Kind
from tracer.otlp.dialects.source import Source

KINDS: Mapping[str, Kind] = {
    "workflow": Kind.chain,
    "session": Kind.chain,
    "task": Kind.chain,
    "operation": Kind.chain,
    "chain": Kind.chain,
    "text": Kind.chain,
    "agent": Kind.agent,
    "tool": Kind.tool,
    "llm": Kind.llm,
    "guardrail": Kind.guardrail,
    "http": Kind.other,
}


def content(source: Source, content: Content) -> None:
    """Fill in what an entity took and gave, and the tools of a call."""
    word = source.word("agentops.span.kind")
    if word is None:
        return
    asked = f"agentops.{word}.input" if f"agentops.{word}.input" in source.attributes else "agentops.entity.input"
    answered = f"agentops.{word}.output" if f"agentops.{word}.output" in source.attributes else "agentops.entity.output"
    fill_observed(source, content, asked, answered)
    if source.kind is Kind.llm and not content.tools:
        entries = source.items("gen_ai.request.tools.") or source.items("gen_ai.request.functions.")
        content.tools = [tool for entry in entries for tool in tool_definitions([_opened(entry)])]


def _opened(entry: Mapping[str, object]) -> dict[str, object]:
    return {key: values.opened(value) for key, value in entry.items()}


DIALECT = Dialect(
    name="agentops",
    rank=76,
    marks=frozenset({"agentops.span.kind", "agentops.entity.name", "agentops.entity.input"}),
    facts={
        Field.KIND: (Key("agentops.span.kind", one_of(KINDS)),),
        Field.SESSION: ("agentops.session.id",),
        Field.ENVIRONMENT: ("agentops.environment",),
        Field.TAGS: ("agentops.tags",),
    },
    content=content,
    roots=frozenset({"agentops"}),
)
