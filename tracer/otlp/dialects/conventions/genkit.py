"""Genkit: actions with a type, a name, and input and output as JSON."""

from __future__ import annotations

from collections.abc import Mapping

from tracer.otlp.dialects.dialect import Dialect, Field, Key, one_of
from tracer.otlp.dialects.fill import fill_observed, request_parameters
from tracer.otlp.dialects.reading import Content, Kind
from tracer.otlp.dialects.source import Source
from tracer.otlp.dialects.usage import usage_inside

KINDS: Mapping[str, Kind] = {
    "model": Kind.llm,
    "background-model": Kind.llm,
    "tool": Kind.tool,
    "tool.v2": Kind.tool,
    "retriever": Kind.retriever,
    "reranker": Kind.reranker,
    "embedder": Kind.embedding,
    "evaluator": Kind.evaluator,
    "flow": Kind.chain,
    "flowstep": Kind.chain,
    "util": Kind.chain,
    "indexer": Kind.chain,
    "custom": Kind.chain,
    "action": Kind.chain,
    "agent": Kind.agent,
    "session-flow": Kind.agent,
    "prompt": Kind.prompt,
    "executable-prompt": Kind.prompt,
    "prompttemplate": Kind.prompt,
    "dotprompt": Kind.prompt,
}


def content(source: Source, content: Content) -> None:
    """Fill in what an action took and gave."""
    if source.get("genkit:input", "genkit:output") is None:
        return
    fill_observed(source, content, "genkit:input", "genkit:output")
    asked = source.json("genkit:input")
    if source.kind is Kind.llm and isinstance(asked, dict):
        request_parameters(content, asked.get("config"))
    elif source.kind is Kind.tool and content.tool is not None:
        content.tool.setdefault("name", source.word("genkit:name"))


DIALECT = Dialect(
    name="genkit",
    rank=79,
    marks=frozenset({"genkit:type", "genkit:name", "genkit:path"}),
    facts={
        Field.KIND: (Key("genkit:metadata:subtype", one_of(KINDS)), Key("genkit:type", one_of(KINDS))),
        Field.LIKELY_MODEL: ("genkit:name",),
        Field.USAGE: (Key("genkit:output", usage_inside),),
        Field.SESSION: ("genkit:sessionId",),
    },
    content=content,
    roots=frozenset({"genkit:input", "genkit:output"}),
)
