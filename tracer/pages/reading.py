"""A step's content in the shapes that its page draws: chat, text, JSON, documents, the exception.

Everything here is a pure function of the step. Texts are cut to a head that a page can hold, and say their true size;
the whole lies one link away.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from tracer.otlp.dialects import values
from tracer.otlp.dialects.reading import Message, Value
from tracer.pages.json_view import json_tree, pretty_json
from tracer.pages.prose import NO_MARKS, Marks, prose
from tracer.queries.rows import Event, Step

HEAD = 16_000
"""Characters of one text that a page shows at first."""
MESSAGES = 80
"""Messages of one conversation that a page shows at first: the newest, and the first of all."""
DOCUMENTS = 50
PROSE = 40_000
"""Characters of one side that are read as Markdown, the newest first: more would keep the reader waiting."""
MEDIA = 2_000_000
"""Characters of an image, a sound or a file written into a message (base64) up to which the page brings it."""

_IMAGE_TYPES = {"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"}
_SOUND_TYPES = {
    "audio/wav",
    "audio/x-wav",
    "audio/mpeg",
    "audio/mp3",
    "audio/ogg",
    "audio/webm",
    "audio/flac",
    "audio/mp4",
    "audio/aac",
}
_DATA = re.compile(r"data:([\w/+.-]+);base64,", re.ASCII)
_BASE64 = re.compile(r"[A-Za-z0-9+/=_\s-]*", re.ASCII)

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
    html: Markup | None = None
    """The text's head with its Markdown and its marks; None when it reads the same without."""
    image: str = ""
    """The data: address of an image that came in the message."""
    sound: str = ""
    """Likewise of a sound."""
    file: str = ""
    """Likewise of anything else: bytes to keep, which no browser opens."""
    tree: Markup | None = None
    name: str = ""
    call_id: str = ""
    result: Part | None = None
    """On a call: what came back for it."""

    @property
    def file_name(self) -> str:
        """A name under which a file that came in the message is kept: its type's word as the ending."""
        ending = self.name.lower().rpartition("/")[2].removeprefix("x-")
        return f"message.{ending if ending.isalnum() and len(ending) <= 8 else 'bin'}"


@dataclass(slots=True)
class MessageView:
    """One message of a chat; `role` as sent, `known` when it is one of the usual ones."""

    role: str
    known: bool
    name: str
    finish_reason: str
    parts: list[Part]
    seen: bool = False
    """The model call before this one had it already."""


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
    html: Markup | None = None
    """The text's head with its Markdown and its marks."""
    size: int = 0
    partial: bool = False
    seen: int = 0
    """Messages that the model call before this one had already."""

    @property
    def views(self) -> tuple[str, ...]:
        """The ways in which this side can be read, the first by default."""
        if self.messages:
            ways = ("Rendered", "JSON", "Raw") if self.raw else ("Rendered", "JSON")
            return ("Added", *ways) if self.seen and self.added else ways
        if self.tree is not None:
            return ("JSON", "Raw") if self.raw else ("JSON",)
        return ("Rendered", "Raw") if self.html is not None else ()

    @property
    def added(self) -> int:
        """Messages shown that are new in this call."""
        return sum(1 for view in self.messages if not view.seen)


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
    share: str
    """The score as per cent of 1, when it lies between 0 and 1."""
    content: Text | None
    metadata: Markup | None


@dataclass(frozen=True, slots=True)
class PromptView:
    """The prompt that a call was made from; in `html` the places of its variables are marked."""

    name: str
    version: str
    template: Text | None
    html: Markup | None
    variables: Markup | None


def text_head(text: str, limit: int = HEAD) -> Text:
    """Cut a text to what a page can hold, keeping count of the whole in bytes of UTF-8."""
    size = len(text.encode("utf-8", "replace"))
    return Text(text[:limit], size, len(text) > limit)


def input_side(step: Step, *, whole: bool = False, seen: int = 0) -> Side | None:
    """What went into the step: its messages, else its value, else a tool's arguments; None when nothing did.

    `seen` is how many of the messages the model call before had already.
    """
    content = step.content
    value = content.input
    if value is None and not content.input_messages and content.tool and content.tool.get("arguments") is not None:
        value = as_value(content.tool["arguments"])
    marks = Marks(content.prompt.get("variables")) if content.prompt else NO_MARKS
    return _side(content.input_messages, value, whole=whole, seen=seen, marks=marks)


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
    text = _text_of(template) if template else None
    return PromptView(
        name=str(sent.get("name") or ""),
        version=str(sent.get("version") or ""),
        template=text,
        html=Marks(variables).template(text.head) if text else None,
        variables=json_tree(variables, max_nodes=100) if variables else None,
    )


def chat(messages: Iterable[Message], *, seen: int = 0) -> list[MessageView]:
    """Lay messages out as a conversation, with each tool's result inside the call that asked for it.

    The first `seen` messages are marked so; a call whose result is new counts as new.
    """
    views: list[MessageView] = []
    calls: dict[str, tuple[Part, MessageView]] = {}
    for number, message in enumerate(messages):
        role = str(message.get("role") or "")
        view = MessageView(
            role=role,
            known=role in _ROLES,
            name=str(message.get("name") or ""),
            finish_reason=str(message.get("finish_reason") or ""),
            parts=[],
            seen=number < seen,
        )
        sent = message.get("parts")
        for entry in sent if isinstance(sent, list) else [sent] if sent else []:
            part = _part(entry)
            call, asking = calls.get(part.call_id, (None, None))
            if part.kind == "result" and call is not None and asking is not None and call.result is None:
                call.result = part
                asking.seen = asking.seen and view.seen
                continue
            if part.kind == "call" and part.call_id:
                calls[part.call_id] = (part, view)
            view.parts.append(part)
        if view.parts or not sent:
            views.append(view)
    return views


def shared_start(messages: list[Message], earlier: list[Message]) -> int:
    """How many messages two conversations have in common at their start."""
    for number, (one, other) in enumerate(zip(messages, earlier, strict=False)):
        if one is not other and (one.get("role"), one.get("parts")) != (other.get("role"), other.get("parts")):
            return number
    return min(len(messages), len(earlier))


def _side(
    messages: list[Message] | None, value: Value | None, *, whole: bool, seen: int = 0, marks: Marks = NO_MARKS
) -> Side | None:
    if not messages and value is None:
        return None
    side = Side()
    if value is not None:
        raw = text_head(value.raw)
        side.size = raw.size
        side.raw = raw
    if messages:
        views = chat(messages, seen=seen)
        side.seen = sum(1 for view in views if view.seen)
        if not whole and len(views) > MESSAGES:
            side.skipped = len(views) - MESSAGES
            views = views[:1] + views[-(MESSAGES - 1) :]
        _dress(views, marks)
        side.messages = views
        side.tree = json_tree(messages)
        side.size = side.size or len(json.dumps(messages, ensure_ascii=False, default=str).encode())
    elif value is not None and value.mime == "text/plain":
        side.text = text_head(value.raw)
        side.html = html_of(side.text, marks)
        if side.html is None:
            side.raw = None
    elif value is not None:
        side.tree = json_tree(value.value)
    return side


def _dress(views: list[MessageView], marks: Marks) -> None:
    """Give texts their Markdown and marks, the newest first, as far as the page's time goes."""
    left = PROSE
    for view in reversed(views):
        for part in view.parts:
            if part.text is None or part.kind not in ("text", "reasoning") or len(part.text.head) > left:
                continue
            part.html = html_of(part.text, marks)
            left -= len(part.text.head)


def html_of(text: Text, marks: Marks = NO_MARKS) -> Markup | None:
    """A text's head with its Markdown and its marks; None when it reads the same without."""
    made = prose(text.head, marks)
    if made is not None:
        return Markup('<div class="md" dir="auto">{}</div>').format(made)
    return Markup('<pre class="text prose"><bdi>{}</bdi></pre>').format(marks.text(text.head)) if marks else None


def _part(entry: object) -> Part:
    if not isinstance(entry, Mapping):
        return Part("text", text=text_head(str(entry)))
    kind = entry.get("type")
    if kind in ("text", "reasoning"):
        sent = entry.get("content")
        parsed = _json_of(sent) if isinstance(sent, str) else None
        if parsed is not None:
            return Part("other", tree=json_tree(parsed, max_nodes=200))
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
        return _media(entry)
    return Part("other", tree=json_tree(entry, max_nodes=120))


def _media(entry: Mapping[str, Any]) -> Part:
    """An image that came with the message is shown, a sound played, all else kept; what lies elsewhere is named."""
    mime = str(entry.get("mime_type") or entry.get("modality") or "unknown type")
    uri = str(entry.get("uri") or "")
    data = str(entry.get("data") or entry.get("content") or "")
    found = _DATA.match(uri)
    if found is not None:
        mime, data = found[1], uri[found.end() :]
    elif uri:
        return Part("media", text=text_head(uri, 2_000), name=mime)
    part = Part("media", name=mime, text=Text("", len(data) * 3 // 4, cut=True))
    known = mime.lower()
    if not 0 < len(data) <= MEDIA or not _BASE64.fullmatch(data):
        return part
    if known in _IMAGE_TYPES:
        part.image = f"data:{known};base64,{data}"
    elif known in _SOUND_TYPES:
        part.sound = f"data:{known};base64,{data}"
    else:
        part.file = f"data:application/octet-stream;base64,{data}"
    return part


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
    parsed: object = values.parse(text)
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
        share=f"{score * 100:.1f}%" if isinstance(score, int | float) and 0 <= score <= 1 else "",
    )


def embeddings(step: Step) -> list[tuple[Text | None, str]]:
    """What was embedded, and how many numbers each text became; vectors themselves are never shown."""
    found: list[tuple[Text | None, str]] = []
    for entry in step.content.embeddings[:DOCUMENTS]:
        text, dimensions = entry.get("text"), entry.get("dimensions")
        found.append(
            (
                None if text is None else text_head(text if isinstance(text, str) else pretty_json(text), 400),
                f"{dimensions:,}" if isinstance(dimensions, int) else "",
            )
        )
    return found
