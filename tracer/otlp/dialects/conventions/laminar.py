"""Laminar's SDK: spans with a type, input and output as JSON, and properties of the run; GenAI attributes beside."""

from __future__ import annotations

from collections.abc import Mapping

from tracer.otlp.dialects.dialect import Dialect, Field, Key, one_of
from tracer.otlp.dialects.fill import fill_observed
from tracer.otlp.dialects.reading import Content, Kind
from tracer.otlp.dialects.source import Source

KINDS: Mapping[str, Kind] = {
    "llm": Kind.llm,
    "cached": Kind.llm,
    "tool": Kind.tool,
    "default": Kind.chain,
    "pipeline": Kind.chain,
    "executor": Kind.chain,
    "evaluation": Kind.chain,
    "evaluator": Kind.evaluator,
    "human_evaluator": Kind.evaluator,
}

_PROPERTIES = "lmnr.association.properties."


def content(source: Source, content: Content) -> None:
    """Fill in what a span took and gave."""
    fill_observed(source, content, "lmnr.span.input", "lmnr.span.output")


DIALECT = Dialect(
    name="laminar",
    rank=75,
    marks=frozenset({"lmnr.span.type", "lmnr.span.input", "lmnr.span.path"}),
    facts={
        Field.KIND: (Key("lmnr.span.type", one_of(KINDS)),),
        Field.SESSION: (_PROPERTIES + "session_id",),
        Field.USER: (_PROPERTIES + "user_id",),
        Field.TAGS: (_PROPERTIES + "tags", _PROPERTIES + "labels"),
    },
    families={_PROPERTIES + "metadata.": Field.METADATA},
    content=content,
    roots=frozenset({"lmnr"}),
)
