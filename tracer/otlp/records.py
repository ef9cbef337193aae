"""Spans and log records as they leave the wire, before any convention is read into them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntFlag
from typing import TypeAlias

import msgspec

AnyValue: TypeAlias = "str | bool | int | float | bytes | list[AnyValue] | dict[str, AnyValue] | None"
"""An OTLP AnyValue: kvlist is a dict, array a list, an empty AnyValue None."""

Attributes: TypeAlias = dict[str, AnyValue]

STATUS_UNSET, STATUS_OK, STATUS_ERROR = 0, 1, 2
"""OTLP status codes."""


class Flag(IntFlag):
    """What had to be changed or noted so that a span could be stored."""

    NONE = 0
    TEXT_REPLACED = 1
    """Invalid UTF-8, a lone surrogate or U+0000 was replaced by a visible mark."""
    NO_END = 2
    """The span had no end time and was not announced as running."""
    NEGATIVE_DURATION = 4
    """The end lies before the start: kept as sent, shown as a duration of 0."""
    KEY_REPEATED = 8
    """A key came more than once: the later ones are kept under `key#2`, `key#3`."""
    TIME_CLAMPED = 16
    """A time beyond the signed 64-bit range was held to it."""
    SELF_PARENT = 32
    """The span named itself as its parent: it is kept as a root."""
    RULED = 64
    """A rule of its project hid or left out part of it."""
    CUT = 128
    """Its name or its status message was longer than is kept, and was cut with a mark."""


@dataclass(slots=True)
class Event:
    """Something at one instant inside a span."""

    name: str
    time: int
    attributes: Attributes


@dataclass(slots=True)
class Link:
    """A pointer to a span elsewhere; ids as they came, of any length."""

    trace_id: bytes
    span_id: bytes
    attributes: Attributes
    trace_state: str = ""


@dataclass(slots=True)
class Scope:
    """The instrumentation that made a span; shared by the spans that came under it."""

    name: str = ""
    version: str = ""
    attributes: Attributes = field(default_factory=dict)


class SpanRecord(msgspec.Struct, gc=False):
    """One span off the wire. Times are Unix nanoseconds; `end_time` 0 means that none was sent."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes | None
    name: str
    otlp_kind: int
    start_time: int
    end_time: int
    status_code: int
    status_message: str
    attributes: Attributes
    events: list[Event]
    links: list[Link]
    resource: Attributes
    scope: Scope
    trace_state: str = ""
    otlp_flags: int = 0
    flags: Flag = Flag.NONE


@dataclass(slots=True)
class LogRecord:
    """One log record off the wire; ids are None when the record belongs to no span."""

    trace_id: bytes | None
    span_id: bytes | None
    time: int
    event_name: str
    severity: str
    body: AnyValue
    attributes: Attributes
    resource: Attributes
    scope: Scope
