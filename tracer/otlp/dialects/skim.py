"""Long texts cut to what a preview can show, JSON among them kept whole in form."""

from __future__ import annotations

import re
from typing import Any, Final

from msgspec.structs import replace

from tracer.otlp.dialects import values
from tracer.otlp.records import AnyValue, Attributes, SpanRecord

LONG: Final = 32_000
"""Texts up to this length, in characters, are read whole."""

_HEAD: Final = 8_000
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_LOOSE_END = re.compile(r"[,:]\s*$")
_LOOSE_KEY = re.compile(r',?\s*"(?:[^"\\]|\\.)*"\s*:?\s*$')
_LAST_USER: Final = ('{"role":"user"', '{"role": "user"')


def skimmed(span: SpanRecord) -> SpanRecord:
    """The same span with its long texts cut; the span itself when it has none."""
    long = {key: skim(value) for key, value in span.attributes.items() if type(value) is str and len(value) > LONG}
    if not long:
        return span
    attributes: Attributes = {**span.attributes, **long}
    return replace(span, attributes=attributes)


def skim(text: AnyValue) -> Any:
    """A long text cut: plain text to its beginning; JSON to its beginning, closed again, and its last user message."""
    if not isinstance(text, str) or len(text) <= LONG:
        return text
    head = text[:_HEAD]
    if head.lstrip()[:1] not in ("{", "["):
        return head
    closed = _closed(head)
    begun = values.parse(closed)
    if begun is values.NOT_JSON:
        return head
    place = max(text.rfind(mark) for mark in _LAST_USER)
    if place >= _HEAD // 2:
        last = values.parse(_first_object(text[place : place + _HEAD]))
        listed = begun if isinstance(begun, list) else begun.get("messages") if isinstance(begun, dict) else None
        if isinstance(listed, list) and isinstance(last, dict):
            listed.append(last)
            return values.compact(begun)
    return closed


def _closed(text: str) -> str:
    """The beginning of a JSON text made whole: cut where a value may end, and every open bracket closed."""
    stack: list[str] = []
    end = 0
    for token in _TOKENS.finditer(text):
        mark, end = token.group(), token.end()
        if mark in "[{":
            stack.append("]" if mark == "[" else "}")
        elif mark in "]}":
            if not stack:
                return text[: token.start()]
            stack.pop()
    rest = text[end:]
    quote = rest.find('"')
    if quote >= 0:
        # A text that goes on beyond the cut: closed here, without half an escape.
        body = re.sub(r"\\(?:u[0-9a-fA-F]{0,3})?$", "", rest[quote + 1 :])
        if (len(body) - len(body.rstrip("\\"))) % 2:
            body = body[:-1]
        text = text[:end] + rest[:quote] + '"' + body + '"'
    else:
        text = text[:end]
    closing = "".join(reversed(stack))
    for attempt in (text, text + ":null", _LOOSE_END.sub("", text), _LOOSE_KEY.sub("", text)):
        if values.parse(attempt + closing) is not values.NOT_JSON:
            return attempt + closing
    return text + closing


def _first_object(text: str) -> str:
    """The object that a text begins with; closed when it goes on beyond the text."""
    depth = 0
    for token in _TOKENS.finditer(text):
        mark = token.group()
        if mark in "[{":
            depth += 1
        elif mark in "]}":
            depth -= 1
            if depth == 0:
                return text[: token.end()]
    return _closed(text)
