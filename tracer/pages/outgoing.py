"""A step and all below it as Markdown that a model can be asked about: what happened, in order, with every text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tracer.otlp.dialects.reading import Message, Value
from tracer.pages.json_view import pretty_json
from tracer.pages.reading import failures
from tracer.pages.words import KINDS, name_of, token_words
from tracer.queries.rows import Step, TraceRow
from tracer.units import format_cost, format_count, format_duration

MOST_STEPS = 500
MOST_TEXT = 12_000
"""Characters of one text; what is left out is counted in words."""


def as_markdown(trace: TraceRow, steps: Iterable[tuple[int, Step]], left: int) -> Iterator[str]:
    """Write steps, given with their level (0 for the topmost), one after the other; `left` more are not among them."""
    yield f"# {name_of(trace.name)}\n\nTrace `{trace.trace_id}`, {trace.status}.\n"
    for level, step in steps:
        yield _step(level, step)
    if left:
        yield f"\n({format_count(left)} more steps are left out.)\n"


def _step(level: int, step: Step) -> str:
    row = step.row
    facts = [KINDS.get(row.kind, KINDS["other"])[1], row.status]
    if row.model:
        facts.append(row.model)
    if row.duration is not None:
        facts.append(format_duration(row.duration))
    if row.usage is not None and token_words(row.usage):
        facts.append(f"{token_words(row.usage)} tokens")
    if row.cost is not None:
        facts.append(format_cost(row.cost))
    parts = [f"\n{'#' * min(6, level + 2)} {name_of(row.name)}\n\n{', '.join(facts)}\n"]
    for failure in failures(step):
        head = f"{failure.type}: {failure.message.head}" if failure.type else failure.message.head
        parts.append(f"\n**Failed:** {head}\n")
        if failure.stack is not None:
            parts.append(_fenced(failure.stack.head, "text"))
    content = step.content
    parts += _side("Input", content.input_messages, content.input)
    for number, document in enumerate(content.documents or [], 1):
        score = f", score {document['score']}" if document.get("score") is not None else ""
        parts.append(f"\n**Document {number}{score}**\n" + _fenced(as_text(document.get("content")), "text"))
    parts += _side("Output", content.output_messages, content.output)
    return "".join(parts)


def _side(title: str, messages: list[Message] | None, value: Value | None) -> Iterator[str]:
    if messages:
        for message in messages:
            sent = message.get("parts")
            parts = [part_text(part) for part in sent] if isinstance(sent, list) else [(as_text(sent), "text")]
            blocks = "".join(_fenced(text, language) for text, language in parts)
            yield f"\n**{title}, {message.get('role') or 'message'}**\n{blocks}"
    elif value is not None:
        yield f"\n**{title}**\n" + _fenced(value.raw, "text" if value.mime == "text/plain" else "json")


def part_text(part: object) -> tuple[str, str]:
    """A part's text, and in which language it is."""
    if isinstance(part, dict) and part.get("type") in ("text", "reasoning"):
        return as_text(part.get("content")), "text"
    if isinstance(part, dict) and part.get("type") in ("blob", "uri"):
        return f"{part.get('mime_type') or 'a file'} {str(part.get('uri') or '')[:200]}", "text"
    return pretty_json(part), "json"


def as_text(sent: object) -> str:
    """What was sent as a text: itself, or as JSON."""
    return sent if isinstance(sent, str) else "" if sent is None else pretty_json(sent)


def _fenced(text: str, language: str) -> str:
    shown = text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}\n… {len(text) - MOST_TEXT:,} more characters"
    return fenced(shown, language)


def fenced(shown: str, language: str) -> str:
    """A block that the text itself cannot end."""
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"\n{fence}{language}\n{shown}\n{fence}\n"
