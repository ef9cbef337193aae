"""A step's content in the shapes that its page draws: chat, text, JSON, documents, the exception.

Everything here is a pure function of the step. Texts are cut to a head that a page can hold, and say their true size;
the whole lies one link away.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from tracer.otlp.dialects.reading import Message, Value
from tracer.pages.json_view import json_tree, pretty_json
from tracer.queries.rows import Event, Step

HEAD = 16_000
"""Characters of one text that a page shows at first."""
MESSAGES = 80
"""Messages of one conversation that a page shows at first: the newest, and the first of all."""
DOCUMENTS = 50

_ROLES = {"system", "developer", "user", "assistant", "tool", "function"}


@dataclass(frozen=True, slots=True)
class Text:
    """The head of a text, with the size in bytes of the whole."""

    head: str
    size: int
    cut: bool


@dataclass(slots=True)
class Part:
    """One piece of a message. `kind` is `text`, `reasoning`, `call`, `result`, `media` or `other`."""

    kind: str
    text: Text | None = None
    tree: Markup | None = None
    name: str = ""
    call_id: str = ""
    result: Part | None = None
    """On a call: what came back for it."""


@dataclass(slots=True)
class MessageView:
    """One message of a chat; `role` as sent, `known` when it is one of the usual ones."""

    role: str
    known: bool
    name: str
    finish_reason: str
    parts: list[Part]


@dataclass(slots=True)
class Side:
    """A step's input or output. At most one of `messages`, `text` and `tree` leads; `raw` is there when it differs."""

    messages: list[MessageView] = field(default_factory=list)
    skipped: int = 0
    """Messages after the first that are left out until asked for."""
    text: Text | None = None
    tree: Markup | None = None
    """The value, or the messages, as a JSON tree."""
    raw: Text | None = None
    size: int = 0
    partial: bool = False

    @property
    def views(self) -> tuple[str, ...]:
        """The ways in which this side can be read, the first by default."""
        if self.messages:
            return ("Rendered", "JSON", "Raw") if self.raw else ("Rendered", "JSON")
        if self.tree is not None:
            return ("JSON", "Raw") if self.raw else ("JSON",)
        return ()


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception, or the message of a failed status."""

    type: str
    message: Text
    stack: Text | None


@dataclass(frozen=True, slots=True)
class DocumentView:
    """One retrieved document; `score` as text, empty when none was sent."""

    id: str
    score: str
    content: Text | None
    metadata: Markup | None


@dataclass(frozen=True, slots=True)
class PromptView:
    """The prompt that a call was made from."""

    name: str
    version: str
    template: Text | None
    variables: Markup | None


def text_head(text: str, limit: int = HEAD) -> Text:
    """Cut a text to what a page can hold, keeping count of the whole in bytes of UTF-8."""
    size = len(text.encode("utf-8", "replace"))
    return Text(text[:limit], size, len(text) > limit)


def input_side(step: Step, *, whole: bool = False) -> Side | None:
    """What went into the step: its messages, else its value, else a tool's arguments; None when nothing did."""
    content = step.content
    value = content.input
    if value is None and not content.input_messages and content.tool and content.tool.get("arguments") is not None:
        value = as_value(content.tool["arguments"])
    return _side(content.input_messages, value, whole=whole)


def output_side(step: Step, *, whole: bool = False) -> Side | None:
    """What came out: messages, value, a tool's result, or the text so far of a running step; None when nothing did."""
    content = step.content
    value = content.output
    if value is None and not content.output_messages and content.tool and content.tool.get("result") is not None:
        value = as_value(content.tool["result"])
    side = _side(content.output_messages, value, whole=whole)
    if side is None and step.partial_output:
        text = text_head(step.partial_output, 64_000)
        return Side(text=text, size=text.size, partial=True)
    return side


def side_text(step: Step, side: str) -> tuple[str, str] | None:
    """The whole of a side as text to download, with its file ending; None when there is nothing."""
    content = step.content
    value, messages = (
        (content.input, content.input_messages) if side == "input" else (content.output, content.output_messages)
    )
    if value is not None:
        return value.raw, "txt" if value.mime == "text/plain" else "json"
    if messages:
        return pretty_json(messages), "json"
    if content.tool:
        sent = content.tool.get("arguments" if side == "input" else "result")
        if sent is not None:
            made = as_value(sent)
            return made.raw, "txt" if made.mime == "text/plain" else "json"
    if side == "output" and step.partial_output:
        return step.partial_output, "txt"
    return None


def as_value(sent: object) -> Value:
    """Wrap a tool's arguments or result, which may be JSON written as text, as an input or output."""
    if isinstance(sent, str):
        parsed = _json_of(sent)
        if parsed is None:
            return Value("text/plain", sent, sent)
        return Value("application/json", parsed, sent)
    return Value("application/json", sent, pretty_json(sent))


def failures(step: Step) -> list[Failure]:
    """What went wrong in this step, exceptions first; the status message alone when nothing was raised."""
    found = [_failure(event) for event in step.events if event.name == "exception"]
    if not found and step.row.status == "error":
        message = step.row.status_message or "The step failed and said nothing more."
        found.append(Failure("", text_head(message), None))
    return found


def documents(step: Step, *, whole: bool = False) -> tuple[list[DocumentView], int]:
    """The retrieved documents, with the number of those left out until asked for."""
    sent = step.content.documents or []
    shown = sent if whole else sent[:DOCUMENTS]
    return [_document(entry) for entry in shown], len(sent) - len(shown)


def prompt(step: Step) -> PromptView | None:
    """The prompt's name, version, template and variables; None when the step names none."""
    sent = step.content.prompt
    if not sent:
        return None
    template, variables = sent.get("template"), sent.get("variables")
    return PromptView(
        name=str(sent.get("name") or ""),
        version=str(sent.get("version") or ""),
        template=_text_of(template) if template else None,
        variables=json_tree(variables, max_nodes=100) if variables else None,
    )


def chat(messages: Iterable[Message]) -> list[MessageView]:
    """Lay messages out as a conversation, with each tool's result inside the call that asked for it."""
    views: list[MessageView] = []
    calls: dict[str, Part] = {}
    for message in messages:
        role = str(message.get("role") or "")
        view = MessageView(
            role=role,
            known=role in _ROLES,
            name=str(message.get("name") or ""),
            finish_reason=str(message.get("finish_reason") or ""),
            parts=[],
        )
        sent = message.get("parts")
        for entry in sent if isinstance(sent, list) else [sent] if sent else []:
            part = _part(entry)
            if part.kind == "result" and part.call_id in calls and calls[part.call_id].result is None:
                calls[part.call_id].result = part
                continue
            if part.kind == "call" and part.call_id:
                calls[part.call_id] = part
            view.parts.append(part)
        if view.parts or not sent:
            views.append(view)
    return views


def _side(messages: list[Message] | None, value: Value | None, *, whole: bool) -> Side | None:
    if not messages and value is None:
        return None
    side = Side()
    if value is not None:
        raw = text_head(value.raw)
        side.size = raw.size
        side.raw = raw
    if messages:
        views = chat(messages)
        if not whole and len(views) > MESSAGES:
            side.skipped = len(views) - MESSAGES
            views = views[:1] + views[-(MESSAGES - 1) :]
        side.messages = views
        side.tree = json_tree(messages)
        side.size = side.size or len(json.dumps(messages, ensure_ascii=False, default=str).encode())
    elif value is not None and value.mime == "text/plain":
        side.text = side.raw
        side.raw = None
    elif value is not None:
        side.tree = json_tree(value.value)
    return side


def _part(entry: object) -> Part:
    if not isinstance(entry, Mapping):
        return Part("text", text=text_head(str(entry)))
    kind = entry.get("type")
    if kind in ("text", "reasoning"):
        return Part("text" if kind == "text" else "reasoning", text=_text_of(entry.get("content")))
    if kind == "tool_call":
        part = _payload("call", entry.get("arguments"))
        part.name, part.call_id = str(entry.get("name") or ""), str(entry.get("id") or "")
        return part
    if kind == "tool_call_response":
        part = _payload("result", entry.get("response", entry.get("result")))
        part.name, part.call_id = str(entry.get("name") or ""), str(entry.get("id") or "")
        return part
    if kind in ("blob", "uri"):
        mime = str(entry.get("mime_type") or "unknown type")
        if kind == "uri":
            return Part("media", text=text_head(str(entry.get("uri") or ""), 2_000), name=mime)
        data = str(entry.get("data") or entry.get("content") or "")
        return Part("media", name=mime, text=Text("", len(data) * 3 // 4, cut=True))
    return Part("other", tree=json_tree(entry, max_nodes=120))


def _payload(kind: str, sent: object) -> Part:
    if sent is None or sent == "":
        return Part(kind)
    if isinstance(sent, str):
        parsed = _json_of(sent)
        if parsed is None:
            return Part(kind, text=text_head(sent))
        sent = parsed
    return Part(kind, tree=json_tree(sent, max_nodes=200))


def _text_of(sent: object) -> Text:
    return text_head(sent if isinstance(sent, str) else pretty_json(sent))


def _json_of(text: str) -> dict[str, Any] | list[Any] | None:
    """An object or a list written as JSON text; None for any other text, or one too long to take apart."""
    if text[:1] not in ("{", "[") or len(text) > 1_000_000:
        return None
    try:
        parsed: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, (dict, list)) else None


def _failure(event: Event) -> Failure:
    sent = event.attributes
    stack = sent.get("exception.stacktrace")
    return Failure(
        type=str(sent.get("exception.type") or ""),
        message=text_head(str(sent.get("exception.message") or ""), 4_000),
        stack=text_head(str(stack)) if stack else None,
    )


def _document(entry: Mapping[str, Any]) -> DocumentView:
    score = entry.get("score")
    content = entry.get("content")
    metadata = entry.get("metadata")
    return DocumentView(
        id=str(entry.get("id") or ""),
        score=f"{score:.3f}" if isinstance(score, float) else "" if score is None else str(score),
        content=None if content is None else text_head(content if isinstance(content, str) else pretty_json(content)),
        metadata=json_tree(metadata, max_nodes=60) if metadata else None,
    )
