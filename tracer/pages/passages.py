"""The texts of a step in the order in which a reader wants them, and how each is shortened."""

from __future__ import annotations

from dataclasses import dataclass, field

from tracer.otlp.dialects.reading import Message, Value
from tracer.pages.outgoing import as_text, part_text
from tracer.pages.reading import failures
from tracer.queries.rows import Step


@dataclass(frozen=True, slots=True)
class Passage:
    """One text of a step; `size` counts its bytes. Of a stack trace the end says most, of all else the beginning."""

    title: str
    text: str
    language: str = "text"
    at_end: bool = False
    size: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", len(self.text.encode("utf-8", "replace")))

    def within(self, limit: int) -> str:
        """The text in at most some `limit` bytes: its beginning and its end, and between them how much is left out."""
        if self.size <= limit:
            return self.text
        scale = len(self.text) / self.size
        room = max(20, int((limit - 40) * scale))
        first = room // 4 if self.at_end else room * 3 // 4
        left_out = len(self.text) - room
        return (
            f"{self.text[:first]}\n… {left_out:,} characters left out …\n{self.text[len(self.text) - room + first :]}"
        )


def passages(step: Step, seen: set[int]) -> list[Passage]:
    """What a step failed with, was given, found and gave back.

    Messages of a model call that are in `seen` are counted instead of told again; those that are new are added to it.
    """
    found: list[Passage] = []
    for failure in failures(step):
        head = f"{failure.type}: {failure.message.head}" if failure.type else failure.message.head
        found.append(Passage("Failed", head))
        if failure.stack is not None:
            found.append(Passage("Stack", failure.stack.head, at_end=True))
    content = step.content
    found += _side("Input", content.input_messages, content.input, seen)
    for number, document in enumerate(content.documents or [], 1):
        score = f", score {document['score']}" if document.get("score") is not None else ""
        found.append(Passage(f"Document {number}{score}", as_text(document.get("content"))))
    found += _side("Output", content.output_messages, content.output, seen)
    if step.partial_output and not content.output:
        found.append(Passage("Output so far", step.partial_output, at_end=True))
    return [one for one in found if one.text]


def _side(title: str, messages: list[Message] | None, value: Value | None, seen: set[int]) -> list[Passage]:
    if not messages:
        if value is None:
            return []
        return [Passage(title, value.raw, "text" if value.mime == "text/plain" else "json")]
    found: list[Passage] = []
    again = 0
    for message in messages:
        sent = message.get("parts")
        parts = [part_text(part) for part in sent] if isinstance(sent, list) else [(as_text(sent), "text")]
        mark = hash((str(message.get("role")), *(text for text, _ in parts)))
        if mark in seen:
            again += 1
            continue
        seen.add(mark)
        found += [Passage(f"{title}, {message.get('role') or 'message'}", text, language) for text, language in parts]
    if again:
        words = "1 message that an earlier step had" if again == 1 else f"{again} messages that earlier steps had"
        found.insert(0, Passage(title, f"({words} too)"))
    return found
