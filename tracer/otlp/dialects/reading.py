"""What a convention's reader finds in a span: the columns at ingest, the content on reading."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeAlias

import msgspec

from tracer.units import Nanos, NanoUsd


class Kind(IntEnum):
    """What a step does. The number is what the database holds: never renumber."""

    other = 0
    chain = 1
    agent = 2
    llm = 3
    tool = 4
    retriever = 5
    embedding = 6
    reranker = 7
    guardrail = 8
    evaluator = 9
    prompt = 10


CALL_KINDS = frozenset({Kind.llm, Kind.embedding})
"""The kinds of step that are model calls: a trace's tokens and cost are theirs."""


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens of one call. `input` counts every input token, `cached_input` and `cache_write` are parts of it;
    `reasoning` is part of `output`; None where the client said nothing.
    """

    input: int | None = None
    output: int | None = None
    total: int | None = None
    cached_input: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    audio: int | None = None
    audio_output: int | None = None
    """The part of `audio` that the model spoke; None where nobody told it apart."""


class Facts(msgspec.Struct, gc=False):
    """What ingest derives from a span: columns, never content."""

    dialect: str = "otel"
    kind: Kind = Kind.other
    model: str | None = None
    """The model that answered, else the one asked for, as sent."""
    provider: str | None = None
    usage: Usage | None = None
    sent_cost: NanoUsd | None = None
    """A cost > 0 that the client computed; 0 is unknown, so None."""
    cache_hit: bool = False
    """The answer came from the app's own cache: the call cost nothing."""
    response_id: str | None = None
    time_to_first_token: Nanos | None = None
    session_id: str | None = None
    user_id: str | None = None
    environment: str | None = None
    release: str | None = None
    service: str | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}
    announces: bytes | None = None
    """Set on a placeholder span: the id of the running span that it stands for."""
    announced_parent: bytes | None = None
    """The parent of the announced span; None when that is a root (or when nothing is announced)."""


@dataclass(frozen=True, slots=True)
class Value:
    """A step's input or output: `value` is a str when `mime` is text/plain, else parsed JSON."""

    mime: str
    value: Any
    raw: str
    """The text exactly as it was sent."""
    full_length: int | None = None
    """The text's length in characters before the client cut it; None when it was not cut."""


Message: TypeAlias = dict[str, Any]
"""The OpenTelemetry GenAI form: {"role", "parts": [...], "finish_reason"?, "name"?}."""


@dataclass(slots=True)
class Content:
    """What a reader finds in a span when someone opens it, in the shapes of the REST contract."""

    input: Value | None = None
    output: Value | None = None
    input_messages: list[Message] | None = None
    output_messages: list[Message] | None = None
    tools: list[dict[str, Any]] = field(default_factory=list)
    tool: dict[str, Any] | None = None
    """{name, call_id?, arguments, result} on a tool step."""
    documents: list[dict[str, Any]] | None = None
    """[{id?, content, score?, metadata?}] on retriever and reranker steps."""
    prompt: dict[str, Any] | None = None
    """{name?, version?, template?, variables?}."""
    parameters: dict[str, Any] = field(default_factory=dict)
    finish_reasons: list[str] = field(default_factory=list)
    embeddings: list[dict[str, Any]] = field(default_factory=list)
    """[{text?, dimensions?}] on embedding steps: vectors are counted, never shown as text."""
    scores: list[dict[str, Any]] = field(default_factory=list)
    """Feedback that came inside the span: [{name, value, comment?}]."""
