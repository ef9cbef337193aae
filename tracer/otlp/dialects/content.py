"""The content of a step: every convention fills in, in their order, what is still unknown."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from tracer.otlp.dialects.conventions import dialects
from tracer.otlp.dialects.facts import read_facts
from tracer.otlp.dialects.reading import Content, Facts, Kind
from tracer.otlp.dialects.source import Source
from tracer.otlp.records import LogRecord, SpanRecord

logger = logging.getLogger(__name__)

reraise = False
"""Tests set this, so that the guard around each convention never hides a mistake."""

_WORDLESS: Final = frozenset({Kind.tool, Kind.retriever, Kind.embedding, Kind.reranker})
"""Kinds whose input and output are no conversation, though some conventions write them as one."""


class _Reader(NamedTuple):
    name: str
    wanted: frozenset[str]
    fill: Callable[[Source, Content], None]


_READERS: Final = tuple(
    _Reader(dialect.name, dialect.roots, dialect.content) for dialect in dialects() if dialect.content is not None
)


@lru_cache(maxsize=1024)
def _readers_of(roots: frozenset[str]) -> tuple[_Reader, ...]:
    """Who takes anything from keys that begin so."""
    return tuple(reader for reader in _READERS if not reader.wanted or not reader.wanted.isdisjoint(roots))


def read_content(span: SpanRecord, logs: Sequence[LogRecord] = (), kind: Kind | None = None) -> Content:
    """What a step says and heard, in the shapes of the REST contract. Pure; never raises.

    A convention that fails on a span costs only its own part of the content. `kind` is the step's, where this reader
    has found it already.
    """
    source = Source(span, logs, read_facts(span, logs) if kind is None else Facts(kind=kind))
    content = Content()
    for name, _, fill in _READERS if span.events or logs else _readers_of(source.roots):
        try:
            fill(source, content)
        except Exception:
            if reraise:
                raise
            logger.warning("The %s reader failed on span %s.", name, span.span_id.hex(), exc_info=True)
    _finish(source, content)
    return content


def _finish(source: Source, content: Content) -> None:
    """What holds for every convention: names, finish reasons, no tool on a step that ran none."""
    if not content.finish_reasons and content.output_messages:
        reasons = [message.get("finish_reason") for message in content.output_messages]
        content.finish_reasons = list(dict.fromkeys(reason for reason in reasons if isinstance(reason, str) and reason))
    if source.kind in _WORDLESS:
        content.input_messages = content.output_messages = None
    if source.kind is Kind.tool:
        tool = content.tool if content.tool is not None else {}
        arguments = content.input.value if content.input is not None else None
        result = content.output.value if content.output is not None else None
        content.tool = {
            "name": tool.get("name") or source.span.name,
            **({"call_id": tool["call_id"]} if tool.get("call_id") else {}),
            "arguments": tool.get("arguments", arguments),
            "result": tool.get("result", result),
        }
    else:
        content.tool = None
