"""Two texts word by word: what stayed, what went and what came; two conversations message by message.

Shortest edit scripts (Myers) by lines, and within changed lines by words. The work is bounded: texts that have little
in common are shown as one gone and one come, which is also how they read best.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tracer.pages.json_view import pretty_json
from tracer.pages.reading import as_value
from tracer.queries.edits import Work, edits
from tracer.queries.rows import Step

State = Literal["same", "gone", "come", "skip"]

MOST_TEXT = 60_000
"""Characters of one text that are compared."""
MOST_BLOCKS = 400
"""Messages of one side that are compared, the newest."""
AROUND = 2
"""Lines shown around a change."""
LONG = 160
"""Characters of an unchanged stretch shown at each of its ends."""

_WORDS = re.compile(r"\w+|\s+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text; for `skip` the text says how much was left out."""

    state: State
    text: str


@dataclass(frozen=True, slots=True)
class Block:
    """One message, or the whole of a side that has none. `state` is `same`, `gone`, `come`, `changed` or `skip`."""

    label: str
    state: str
    pieces: list[Piece]


@dataclass(slots=True)
class SideDifference:
    """One side of two steps."""

    title: str
    blocks: list[Block]
    same: bool
    cut: bool
    """A text was too long to be compared whole."""


@dataclass(slots=True)
class _Texts:
    blocks: list[tuple[str, str]] = field(default_factory=list)
    cut: bool = False

    def add(self, label: str, text: str) -> None:
        self.cut = self.cut or len(text) > MOST_TEXT
        self.blocks.append((label, text[:MOST_TEXT]))


def side_difference(title: str, one: Step | None, other: Step | None, work: Work) -> SideDifference | None:
    """Compare the `Input` or `Output` of two steps; None when neither has one."""
    before, after = _texts(one, title), _texts(other, title)
    if not before.blocks and not after.blocks:
        return None
    same = before.blocks == after.blocks
    blocks = _blocks(before.blocks, after.blocks, work)
    return SideDifference(title, blocks, same and not before.cut, before.cut or after.cut)


def _texts(step: Step | None, title: str) -> _Texts:
    found = _Texts()
    if step is None:
        return found
    content, is_input = step.content, title == "Input"
    messages = content.input_messages if is_input else content.output_messages
    value = content.input if is_input else content.output
    tool = (content.tool or {}).get("arguments" if is_input else "result")
    for message in (messages or [])[-MOST_BLOCKS:]:
        role = str(message.get("role") or "message")
        parts = message.get("parts")
        for part in parts if isinstance(parts, list) else [parts]:
            found.add(role, _part(part))
    if not messages:
        if value is None and tool is not None:
            value = as_value(tool)
        if value is not None:
            found.add("", value.raw if value.mime == "text/plain" else pretty_json(value.value))
    if not is_input:
        for document in (content.documents or [])[:MOST_BLOCKS]:
            found.add(f"document {document.get('id') or ''}".strip(), _text(document.get("content")))
        if not found.blocks and step.partial_output:
            found.add("", step.partial_output)
    return found


def _part(part: object) -> str:
    if isinstance(part, dict):
        if part.get("type") in ("text", "reasoning"):
            return _text(part.get("content"))
        if part.get("type") == "tool_call":
            return f"{part.get('name') or 'tool'} {_text(part.get('arguments'))}"
        if part.get("type") == "tool_call_response":
            return _text(part.get("response", part.get("result")))
    return _text(part)


def _text(sent: object) -> str:
    return sent if isinstance(sent, str) else "" if sent is None else pretty_json(sent)


def _blocks(before: list[tuple[str, str]], after: list[tuple[str, str]], work: Work) -> list[Block]:
    found: list[Block] = []
    for first, last, begin, end, same in _stretches(before, after, work):
        if same:
            found += _unchanged(before[first:last])
            continue
        gone, come = before[first:last], after[begin:end]
        paired = 0
        while paired < min(len(gone), len(come)) and gone[paired][0] == come[paired][0]:
            label = come[paired][0]
            found.append(Block(label, "changed", compare_texts(gone[paired][1], come[paired][1], work)))
            paired += 1
        found += [Block(label, "gone", [Piece("gone", text)]) for label, text in gone[paired:]]
        found += [Block(label, "come", [Piece("come", text)]) for label, text in come[paired:]]
    return found


def _unchanged(blocks: list[tuple[str, str]]) -> list[Block]:
    """Blocks that are the same on both sides: the first line of one, the number of many."""
    if len(blocks) > 1:
        return [Block("", "skip", [Piece("skip", f"{len(blocks)} messages the same")])]
    return [Block(label, "same", _shortened(text, at_start=True, at_end=True)) for label, text in blocks]


def compare_texts(one: str, other: str, work: Work) -> list[Piece]:
    """Two texts as stretches that stayed, went and came, in order."""
    before, after = one.splitlines(keepends=True), other.splitlines(keepends=True)
    pieces: list[Piece] = []
    stretches = list(_stretches(before, after, work))
    for number, (first, last, begin, end, same) in enumerate(stretches):
        if same:
            text = "".join(before[first:last])
            pieces += _shortened(text, at_start=number == 0, at_end=number == len(stretches) - 1)
        else:
            pieces += _by_words("".join(before[first:last]), "".join(after[begin:end]), work)
    return pieces


def _by_words(one: str, other: str, work: Work) -> list[Piece]:
    if not one or not other:
        return _pieces((("gone", one), ("come", other)))
    before, after = _WORDS.findall(one), _WORDS.findall(other)
    if edits(before, after, work) is None:
        return _pieces((("gone", one), ("come", other)))
    found: list[tuple[State, str]] = []
    gone = come = ""
    for first, last, begin, end, same in _stretches(before, after, work):
        text = "".join(before[first:last])
        # A space between two changed words is no more the same than they are.
        if same and (not text.isspace() or "\n" in text or not (gone or come)):
            found.extend((("gone", gone), ("come", come), ("same", text)))
            gone = come = ""
        else:
            gone += text
            come += "".join(after[begin:end])
    found.extend((("gone", gone), ("come", come)))
    pieces: list[Piece] = []
    for state, text in found:
        pieces += _shortened(text, at_start=False, at_end=False) if state == "same" else _pieces([(state, text)])
    return pieces


def _pieces(parts: Iterable[tuple[State, str]]) -> list[Piece]:
    return [Piece(state, text) for state, text in parts if text]


def _shortened(text: str, *, at_start: bool, at_end: bool) -> list[Piece]:
    """An unchanged stretch: what lies beside changes, and how much between was left out."""
    lines = text.splitlines(keepends=True)
    ahead, behind = (0 if at_start else AROUND), (0 if at_end else AROUND)
    if at_start and at_end:
        ahead = AROUND
    if len(lines) > ahead + behind + 2:
        left = len(lines) - ahead - behind
        parts: list[tuple[State, str]] = [("same", "".join(lines[:ahead])), ("skip", f"{left:,} lines the same")]
        return _pieces([*parts, ("same", "".join(lines[len(lines) - behind :]))])
    if len(text) > 3 * LONG:
        begin = text[:LONG] if not at_start or at_end else ""
        end = text[-LONG:] if not at_end else ""
        left = len(text) - len(begin) - len(end)
        return _pieces([("same", begin), ("skip", f"{left:,} characters the same"), ("same", end)])
    return _pieces([("same", text)])


def _stretches(
    one: Sequence[Hashable], other: Sequence[Hashable], work: Work
) -> Iterable[tuple[int, int, int, int, bool]]:
    """(first, last, begin, end, same) for each stretch of both, in order; all of it changed when they are far apart."""
    found = edits(one, other, work)
    at = to = 0
    for first, begin, length in [*(found or []), (len(one), len(other), 0)]:
        if first > at or begin > to:
            yield at, first, to, begin, False
        if length:
            yield first, first + length, begin, begin + length, True
        at, to = first + length, begin + length
