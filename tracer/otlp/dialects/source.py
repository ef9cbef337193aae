"""A span as the content readers look at it: attributes by type, flattened lists, log events, each read once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from tracer.otlp.dialects import flattened, values
from tracer.otlp.dialects.reading import Facts, Kind, Value
from tracer.otlp.records import AnyValue, Attributes, Event, LogRecord, SpanRecord

JSON_MIME = "application/json"
TEXT_MIME = "text/plain"


KEPT_KEYS, KEPT_CHARACTERS = 64, 4096
"""The shape of a span with up to so many attributes, and characters in their keys, is remembered."""


class Shape(NamedTuple):
    """What the keys of a span's attributes tell by themselves: steps have the same ones again and again."""

    roots: frozenset[str]
    """The keys' first words, and their first two: `gen_ai` and `gen_ai.request`."""
    lists: dict[str, list[str]]
    """The keys of flattened lists by what stands before the first index, dot included."""


def shape_of(attributes: Iterable[str]) -> Shape:
    """The shape of a span with these attributes."""
    keys = tuple(attributes)
    if len(keys) <= KEPT_KEYS and sum(map(len, keys)) <= KEPT_CHARACTERS:
        return _kept_shape(keys)
    return _shape(keys)


def _shape(keys: tuple[str, ...]) -> Shape:
    words = [key.split(".", 2) for key in keys]
    roots = frozenset((*(some[0] for some in words), *(".".join(some[:2]) for some in words)))
    return Shape(roots, flattened.by_prefix(keys))


_kept_shape = lru_cache(maxsize=1024)(_shape)


class Source:
    """One span with its log records and the facts already known of it."""

    def __init__(self, span: SpanRecord, logs: Sequence[LogRecord], facts: Facts) -> None:
        self.span = span
        self.logs = logs
        self.facts = facts
        self.attributes: Attributes = span.attributes
        self._parsed: dict[str, Any] = {}
        self.roots, self._lists = shape_of(span.attributes)
        self.has_lists = bool(self._lists)
        """Whether any list is flattened: without one, `items` finds nothing."""

    @property
    def kind(self) -> Kind:
        """The step's kind."""
        return self.facts.kind

    @property
    def events(self) -> Sequence[Event]:
        """The span's events in the order they were sent."""
        return self.span.events

    def get(self, *keys: str) -> AnyValue:
        """The first of these attributes that is there and not null."""
        for key in keys:
            found = self.attributes.get(key)
            if found is not None:
                return found
        return None

    def word(self, *keys: str) -> str | None:
        """The first of these attributes that is a word, a plain one or one in JSON quotes."""
        for key in keys:
            sent = self.attributes.get(key)
            if sent is not None:
                found = values.quoted(sent)
                if found is not None:
                    return found
        return None

    def text(self, *keys: str) -> str | None:
        """The first of these attributes that is text with something in it, whole."""
        for key in keys:
            found = self.attributes.get(key)
            if isinstance(found, str) and found:
                return found
        return None

    def json(self, *keys: str) -> Any:
        """The first of these attributes that is there, with JSON text opened; None when none is."""
        for key in keys:
            found = self.attributes.get(key)
            if found is None:
                continue
            if key not in self._parsed:
                self._parsed[key] = values.opened(found) if isinstance(found, str) else values.plain(found)
            return self._parsed[key]
        return None

    def items(self, prefix: str) -> list[dict[str, AnyValue]]:
        """A flattened list's entries, their values as JSON can hold them (`prefix` ends with a dot)."""
        keys = self._lists.get(prefix)
        if not keys:
            return []
        entries = flattened.items(self.attributes, prefix, keys)
        return [{key: values.plain(value) for key, value in entry.items()} for entry in entries]

    def below(self, prefix: str) -> dict[str, AnyValue]:
        """The attributes under a prefix (which ends with a dot), without it."""
        return flattened.below(self.attributes, prefix)

    def value(self, key: str, mime_key: str | None = None) -> Value | None:
        """A step's input or output from one attribute.

        Text is opened when its mime type says JSON, or when none is sent and it looks like an object or an array.
        """
        found = self.attributes.get(key)
        if found is None:
            return None
        mime = self.attributes.get(mime_key) if mime_key else None
        return as_value(found, mime if isinstance(mime, str) else None)


def as_value(found: AnyValue, mime: str | None = None) -> Value:
    """An attribute's value as a step's input or output; what is no JSON after all stays text."""
    if not isinstance(found, str):
        value = values.plain(found)
        return Value(JSON_MIME, value, values.compact(value))
    if mime is not None and "json" not in mime.lower():
        return Value(TEXT_MIME, found, found)
    if mime is None and found[:64].lstrip()[:1] not in ("{", "["):
        return Value(TEXT_MIME, found, found)
    value = values.parse(found)
    return Value(TEXT_MIME, found, found) if value is values.NOT_JSON else Value(JSON_MIME, value, found)


def document_value(found: AnyValue) -> Value:
    """The same for conventions that write every value as JSON: a text in quotes is the text inside them."""
    if isinstance(found, str):
        value = values.parse(found)
        if isinstance(value, str):
            return Value(TEXT_MIME, value, found)
        return Value(TEXT_MIME, found, found) if value is values.NOT_JSON else Value(JSON_MIME, value, found)
    return as_value(found)
