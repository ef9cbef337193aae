"""One line of a step's input and output: what a person would recognise it by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tracer.otlp.dialects import messages, values
from tracer.otlp.dialects.content import read_content
from tracer.otlp.dialects.reading import Content, Facts, Kind, Message
from tracer.otlp.dialects.skim import skim, skimmed
from tracer.otlp.dialects.source import as_value
from tracer.otlp.records import LogRecord, SpanRecord

LENGTH: Final = 200
"""Characters of a preview, the mark that it was cut included."""

_SLICE: Final = 4_000
_ENOUGH: Final = 2 * LENGTH
"""Characters that are a whole preview, but in texts that are white space for the most part."""

_MAX_DEPTH: Final = 6
_PLAIN_KINDS: Final = frozenset({Kind.chain, Kind.agent, Kind.tool, Kind.guardrail, Kind.evaluator, Kind.other})
_ASKED = (
    "messages",
    "question",
    "query",
    "input",
    "inputs",
    "prompt",
    "text",
    "content",
    "message",
    "q",
    "topic",
    "task",
)
_ANSWERED = ("output", "outputs", "answer", "result", "response", "text", "content", "message", "messages", "choices")
_ANSWERED += ("generations", "completion", "return_value")


def preview(span: SpanRecord, facts: Facts, logs: Sequence[LogRecord] = ()) -> tuple[str | None, str | None]:
    """One line each of a step's input and output, white space folded, at most LENGTH characters; None where unknown.

    Costs the same for long texts as for short ones: of those only the beginning, and a last message, is read.
    """
    if facts.kind in _PLAIN_KINDS:
        given, given_back = _plainly(span, "input", _ASKED), _plainly(span, "output", _ANSWERED)
        if given is not None and given_back is not None:
            return given, given_back
    content = read_content(skimmed(span), logs)
    return _line(asked(content)), _line(answered(content, facts.kind))


def _plainly(span: SpanRecord, side: str, keys: Sequence[str]) -> str | None:
    """The preview of a step whose input or output is in OpenInference's attribute, and in nothing else."""
    sent = span.attributes.get(f"{side}.value")
    if not isinstance(sent, str):
        return None
    mime = span.attributes.get(f"{side}.mime_type")
    said = gist(as_value(skim(sent), mime if isinstance(mime, str) else None).value, keys)
    return _line(said)


def asked(content: Content) -> str | None:
    """What a step was asked, in the words of who asked, whole; None when it tells of nothing."""
    said = _last_said(content.input_messages, "user")
    if said is None and content.embeddings:
        said = " · ".join(str(entry["text"]) for entry in content.embeddings[:5] if entry.get("text"))
    if not said and content.input is not None:
        said = gist(content.input.value, _ASKED)
    if not said and content.input_messages:
        said = _last_said(content.input_messages, None)
    if not said and content.tool is not None:
        said = gist(content.tool.get("arguments"), _ASKED)
    return said


def answered(content: Content, kind: Kind) -> str | None:
    """What a step answered, in words, whole; None when it tells of nothing."""
    said = None
    for message in content.output_messages or ():
        said = messages.text_of(message).strip() or None
        if said is not None:
            break
    if said is None:
        said = _last_said(content.output_messages, None)
    if not said and content.documents:
        found = [document.get("content") or document.get("id") for document in content.documents[:5]]
        said = " · ".join(text for text in found if isinstance(text, str))
    if not said and content.output is not None and kind is not Kind.embedding:
        said = gist(content.output.value, _ANSWERED)
    if not said and content.tool is not None:
        said = gist(content.tool.get("result"), _ANSWERED)
    return said


def _line(said: str | None) -> str | None:
    return (line(said) or None) if said else None


def line(text: str) -> str:
    """Text on one line, white space folded, cut to LENGTH characters with a mark."""
    folded = " ".join(text[:_ENOUGH].split())
    if len(folded) <= LENGTH:
        folded = " ".join(text[:_SLICE].split()) or " ".join(text.lstrip()[:_SLICE].split())
    folded = values.fit(folded[: LENGTH + 1])
    if len(folded) > LENGTH:
        return folded[: LENGTH - 1].rstrip() + "…"
    return folded


def gist(value: object, keys: Sequence[str], depth: int = 0) -> str | None:
    """The words in a value that a person would recognise it by: the one text in it, the last message, else its JSON."""
    if value is None or value == "" or value == [] or value == {}:
        return None
    if isinstance(value, str):
        return value
    if depth < _MAX_DEPTH:
        inside = _gist_of_list(value, keys, depth) if isinstance(value, list) else None
        if isinstance(value, dict):
            inside = _gist_of_dict(value, keys, depth)
        if inside is not None:
            return inside
    return values.compact(value)


def _gist_of_list(value: list[Any], keys: Sequence[str], depth: int) -> str | None:
    if all(isinstance(entry, dict) and ("role" in entry or "type" in entry or "lc" in entry) for entry in value[-3:]):
        found = messages.messages(value[-50:])
        said = _last_said(found, "user") if keys is _ASKED else _said(found[-1]) if found else None
        if said:
            return said
    return gist(value[0], keys, depth + 1) if len(value) == 1 else None


def _gist_of_dict(value: dict[str, Any], keys: Sequence[str], depth: int) -> str | None:
    if "args" in value and "kwargs" in value and len(value) <= 4:
        args, kwargs = value["args"], value["kwargs"]
        if args:
            return gist(args, keys, depth + 1)
        return gist(kwargs, keys, depth + 1)
    made = messages.message(value) if "role" in value or "lc" in value or "data" in value else None
    if made is not None:
        return _said(made)
    if len(value) == 1:
        return gist(next(iter(value.values())), keys, depth + 1)
    for key in keys:
        if value.get(key):
            return gist(value[key], keys, depth + 1)
    return None


def _last_said(found: list[Message] | None, role: str | None) -> str | None:
    for message in reversed(found or ()):
        if role is None or message.get("role") == role:
            said = _said(message)
            if said:
                return said
    return None


def _said(message: Message) -> str | None:
    """A message's words, else its tool calls as `name(arguments)`, else what it shows or thinks."""
    said = messages.text_of(message)
    if said.strip():
        return said
    calls = [part for part in message.get("parts") or () if part.get("type") == "tool_call"]
    if calls:
        return ", ".join(f"{call.get('name')}({_arguments(call.get('arguments'))})" for call in calls[:5])
    for part in message.get("parts") or ():
        if part.get("type") == "tool_call_response":
            return gist(part.get("response"), _ANSWERED)
        if part.get("type") == "reasoning" and part.get("content"):
            return str(part["content"])
        if part.get("type") in ("blob", "uri"):
            return f"[{part.get('modality') or part.get('mime_type') or 'file'}]"
    return None


def _arguments(sent: object) -> str:
    if sent is None:
        return ""
    if isinstance(sent, dict):
        return ", ".join(
            f"{key}={item if isinstance(item, str) else values.compact(item)}" for key, item in sent.items()
        )
    return sent if isinstance(sent, str) else values.compact(sent)
