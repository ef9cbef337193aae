"""Our own SDK: a kind word, input and output as text or JSON, and the GenAI names for all that concerns a model."""

from __future__ import annotations

from dataclasses import replace

from tracer.otlp.dialects import values
from tracer.otlp.dialects.dialect import Dialect, Field, Key, one_of
from tracer.otlp.dialects.reading import Content, Kind, Value
from tracer.otlp.dialects.source import TEXT_MIME, Source

PARTIAL = "stepscope.output.partial"
"""The output so far of a step that is still running."""

LENGTHS = (("input", "stepscope.input.length"), ("output", "stepscope.output.length"))
"""Where a text was cut: how many characters it had."""


def content(source: Source, content: Content) -> None:
    """Fill in the growing output of a running step, until it has a finished one; and how long what was cut once was."""
    for side, key in LENGTHS:
        length = values.count(source.get(key))
        value = source.value(f"{side}.value", f"{side}.mime_type") if length is not None else None
        if value is not None:
            setattr(content, side, replace(value, full_length=length))
    partial = source.text(PARTIAL)
    if partial is not None and content.output is None and source.get("output.value") is None:
        content.output = Value(TEXT_MIME, partial, partial)


DIALECT = Dialect(
    name="stepscope",
    rank=0,
    marks=frozenset({"stepscope.kind", "stepscope.seq"}),
    facts={
        Field.KIND: (Key("stepscope.kind", one_of({kind.name: kind for kind in Kind})),),
        Field.CACHE_HIT: ("stepscope.cache_hit",),
    },
    content=content,
    roots=frozenset({"stepscope"}),
)
