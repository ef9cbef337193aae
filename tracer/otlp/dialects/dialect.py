"""What a convention's module says about itself: which attribute is which fact, and how content is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

from tracer.otlp.dialects import values
from tracer.otlp.dialects.reading import Content, Kind
from tracer.otlp.dialects.source import Source

Reader: TypeAlias = Callable[[object], object]
"""Turns an attribute's value into a fact, or None when it can't be one. Never raises."""


class Field(IntEnum):
    """The facts that attributes can carry, one slot each."""

    MARK = 0
    """No fact: the key only tells the convention."""
    KIND = 1
    HINT = 2
    """A kind that follows from what a span carries, when nothing says it outright."""
    ANSWERED_MODEL = 3
    REQUESTED_MODEL = 4
    LIKELY_MODEL = 5
    """A model only if the step turns out to be a call of one (keys of the plainest names)."""
    PROVIDER = 6
    PARAMETERS = 7
    INPUT_TOKENS = 8
    OUTPUT_TOKENS = 9
    TOTAL_TOKENS = 10
    CACHED_INPUT = 11
    CACHE_WRITE = 12
    REASONING = 13
    AUDIO_INPUT = 14
    AUDIO_OUTPUT = 15
    USAGE = 16
    """An object with all token counts, under one of many names."""
    COST = 17
    COST_INPUT = 18
    COST_OUTPUT = 19
    RESPONSE_ID = 20
    TIME_TO_FIRST = 21
    TIME_TO_ANSWER = 22
    """Time to first token that equals the whole duration when the call did not stream."""
    FIRST_TOKEN_AT = 23
    """The instant of the first token."""
    STREAM = 24
    SESSION = 25
    USER = 26
    ENVIRONMENT = 27
    RELEASE = 28
    SERVICE = 29
    TAGS = 30
    METADATA = 31
    ANNOUNCES = 32
    """The parent that the announced span really has."""
    EXCLUSIVE = 33
    """That input tokens are sent without the cached ones, where the model's maker counts so."""
    IN_MILLISECONDS = 34
    """That TIME_TO_ANSWER was sent in milliseconds, and for streams alone."""
    CACHE_HIT = 35
    """That the answer came from the app's own cache, so that no model was asked."""


DEFAULT_READERS: Final[Mapping[Field, Reader]] = {
    Field.MARK: lambda value: None,
    Field.PARAMETERS: values.as_is,
    Field.USAGE: values.mapping,
    Field.INPUT_TOKENS: values.count,
    Field.OUTPUT_TOKENS: values.count,
    Field.TOTAL_TOKENS: values.count,
    Field.CACHED_INPUT: values.count,
    Field.CACHE_WRITE: values.count,
    Field.REASONING: values.count,
    Field.AUDIO_INPUT: values.count,
    Field.AUDIO_OUTPUT: values.count,
    Field.COST: values.dollars,
    Field.COST_INPUT: values.dollars,
    Field.COST_OUTPUT: values.dollars,
    Field.TIME_TO_FIRST: values.seconds,
    Field.TIME_TO_ANSWER: values.seconds,
    Field.STREAM: values.flag,
    Field.CACHE_HIT: values.flag,
    Field.TAGS: values.words,
    Field.METADATA: values.mapping,
}
"""How a field's value is read when the key says nothing else; any other field is a word."""


class Key(NamedTuple):
    """An attribute key with a reader of its own."""

    name: str
    reader: Reader


@dataclass(frozen=True, slots=True)
class Dialect:
    """One convention.

    `rank` is the place in which its keys and its content are asked for, the lowest first. A `base` names a span only
    when no other convention does, since others are built on it.
    """

    name: str
    rank: int
    facts: Mapping[Field, Sequence[str | Key]] = field(default_factory=dict)
    marks: frozenset[str] = frozenset()
    """Keys that tell this convention."""
    families: Mapping[str, Field] = field(default_factory=dict)
    """Prefixes of open-ended keys: METADATA collects what follows the prefix as metadata, MARK only marks."""
    first_token_events: frozenset[str] = frozenset()
    """Names of span events whose first one is the first token."""
    base: bool = False
    content: Callable[[Source, Content], None] | None = None
    """Fills in what of the content is still unknown."""
    roots: frozenset[str] = frozenset()
    """First words (`gen_ai`), or first two (`gen_ai.request`), of the keys from which `content` takes anything: a step
    without them, events and logs is not shown to it. None named: it is asked about every step.
    """


def roots_of(*keys: str) -> frozenset[str]:
    """The first two words of each key, for a dialect's `roots`."""
    return frozenset(".".join(key.split(".")[:2]) for key in keys)


def one_of(kinds: Mapping[str, Kind]) -> Reader:
    """A reader of kind words, whatever their case; a word that isn't in the table tells nothing."""

    def read(value: object) -> Kind | None:
        if type(value) is not str:
            return None
        kind = kinds.get(value)
        return kind if kind is not None else kinds.get(value.strip().strip('"').lower())

    return read


def always(fact: object) -> Reader:
    """A reader for keys whose presence says it all."""
    return lambda value: fact
