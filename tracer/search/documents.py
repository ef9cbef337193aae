"""What of a step can be found: the texts of its four sides, in fragments that are indexed once a trace.

A fragment is what conversations repeat as a whole: a message's part, a document, an item of a list. A phrase lies
within one fragment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import IntEnum
from hashlib import blake2b
from typing import Any

from tracer.otlp.dialects import read_content, values
from tracer.otlp.dialects.reading import Content, Kind, Message, Value
from tracer.otlp.records import LogRecord, SpanRecord

APART = 200
"""Characters from which a text inside JSON is a fragment of its own, so that a history's texts are told apart."""

STACK_LINES = 12
"""Lines of an exception's stack trace that are indexed: the last ones, where it was raised."""

DIGEST_SIZE = 7
ENCODED = "base64,"
_FILE = re.compile("(?<=base64,)[A-Za-z0-9+/=_-]+")
_MAX_DEPTH = 70


class Side(IntEnum):
    """Where in a step a text stands. The number is part of the index: never renumber."""

    NAME = 0
    INPUT = 1
    OUTPUT = 2
    ERROR = 3


Fragment = tuple[Side, str]


def fragments(record: SpanRecord, logs: Sequence[LogRecord] = (), kind: Kind | None = None) -> list[Fragment]:
    """The texts of a step by side, in their order, each once. Pure; read as the pages read it.

    `kind` is the step's, where it is known.
    """
    content = read_content(record, logs, kind)
    found: dict[Fragment, None] = {}
    for side, texts in (
        (Side.NAME, (record.name,)),
        (Side.INPUT, _input(content)),
        (Side.OUTPUT, _output(content)),
        (Side.ERROR, _error(record, logs)),
    ):
        for text in texts:
            if text:
                found[side, _without_files(text)] = None
    return list(found)


def digest(fragment: Fragment) -> bytes:
    """Eight bytes that tell a fragment from the others of its trace; the first is the side."""
    side, text = fragment
    return side.to_bytes(1) + blake2b(text.encode(), digest_size=DIGEST_SIZE).digest()


def _input(content: Content) -> Iterator[str]:
    if content.input_messages:
        yield from _of_messages(content.input_messages)
    elif content.tool is None:
        yield from _of_value(content.input)
    if content.tool is not None:
        yield from of_json(content.tool.get("arguments"))
    for entry in content.embeddings:
        yield from of_json(entry.get("text"))
    if content.prompt is not None:
        yield from of_json([content.prompt])


def _output(content: Content) -> Iterator[str]:
    if content.output_messages:
        yield from _of_messages(content.output_messages)
    elif content.documents:
        for document in content.documents:
            yield from of_json([document])
    elif content.tool is None:
        yield from _of_value(content.output)
    if content.tool is not None:
        yield from of_json(content.tool.get("result"))


def _error(record: SpanRecord, logs: Sequence[LogRecord]) -> Iterator[str]:
    yield record.status_message
    sources = [event.attributes for event in record.events if event.name == "exception"]
    sources += [log.attributes for log in logs if "exception.type" in log.attributes]
    for attributes in sources:
        for key in ("exception.type", "exception.message"):
            said = attributes.get(key)
            if isinstance(said, str):
                yield said
        stack = attributes.get("exception.stacktrace")
        if isinstance(stack, str):
            yield "\n".join(stack.rstrip().splitlines()[-STACK_LINES:])


def _of_value(value: Value | None) -> Iterator[str]:
    if value is not None:
        yield from of_json(value.value)


def _of_messages(found: list[Message]) -> Iterator[str]:
    for message in found:
        for part in message.get("parts") or ():
            match part.get("type"):
                case "text" | "reasoning":
                    yield from of_json(part.get("content"))
                case "tool_call":
                    name = part.get("name")
                    yield from of_json([{"": [name], **_as_dict(part.get("arguments"))}])
                case "tool_call_response":
                    yield from of_json(part.get("response"))
                case "blob":
                    pass
                case _:
                    yield from of_json([{key: said for key, said in part.items() if key not in ("type", "data")}])


def _as_dict(arguments: object) -> dict[str, Any]:
    opened = values.opened(arguments)
    return opened if isinstance(opened, dict) else {"": opened}


def of_json(value: object) -> Iterator[str]:
    """The fragments of a value: its keys, words and numbers, cut at the objects of lists and at long texts."""
    rest: list[str] = []
    yield from _walk(value, rest, 0)
    if rest:
        yield "\n".join(rest)


def _walk(value: object, rest: list[str], depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, str):
        if value[:1] in ("{", "["):
            opened = values.opened(value)
            if not isinstance(opened, str):
                yield from _walk(opened, rest, depth + 1)
                return
        if len(value) >= APART:
            yield value
        else:
            rest.append(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            rest.append(str(key))
            yield from _walk(item, rest, depth + 1)
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, (dict, list)):
                own: list[str] = []
                yield from _walk(item, own, depth + 1)
                if own:
                    yield "\n".join(own)
            else:
                yield from _walk(item, rest, depth + 1)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        rest.append(values.number_text(value))


def _without_files(text: str) -> str:
    """The text without files that are written into it as base64: they are no words."""
    return _FILE.sub("", text) if ENCODED in text else text
