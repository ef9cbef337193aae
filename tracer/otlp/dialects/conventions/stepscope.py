"""Our own SDK: a kind word, input and output as text or JSON, and the GenAI names for all that concerns a model."""

from __future__ import annotations

from tracer.otlp.dialects.dialect import Dialect, Field, Key, one_of
from tracer.otlp.dialects.reading import Content, Kind, Value
from tracer.otlp.dialects.source import TEXT_MIME, Source

PARTIAL = "stepscope.output.partial"
"""The output so far of a step that is still running."""


def content(source: Source, content: Content) -> None:
    """Fill in the growing output of a running step, until it has a finished one."""
    partial = source.text(PARTIAL)
    if partial is not None and content.output is None and source.get("output.value") is None:
        content.output = Value(TEXT_MIME, partial, partial)


DIALECT = Dialect(
    name="stepscope",
    rank=0,
    marks=frozenset({"stepscope.kind", "stepscope.seq"}),
    facts={Field.KIND: (Key("stepscope.kind", one_of({kind.name: kind for kind in Kind})),)},
    content=content,
)
