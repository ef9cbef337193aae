"""Strands Agents: GenAI attributes, messages as span events in the words of Amazon Bedrock, times in milliseconds."""

from __future__ import annotations

from tracer.otlp.dialects.dialect import Dialect, Field, Key, always
from tracer.otlp.dialects.fill import tool_definitions
from tracer.otlp.dialects.reading import Content, Kind
from tracer.otlp.dialects.source import Source


def content(source: Source, content: Content) -> None:
    """Fill in the tools of an agent; the GenAI reader has the messages."""
    if source.kind is Kind.agent and not content.tools:
        content.tools = tool_definitions(source.json("gen_ai.agent.tools"))


DIALECT = Dialect(
    name="strands",
    rank=100,
    marks=frozenset({"gen_ai.event.start_time", "event_loop.cycle_id"}),
    facts={Field.IN_MILLISECONDS: (Key("gen_ai.event.start_time", always(True)),)},
    content=content,
    roots=frozenset({"gen_ai"}),
)
