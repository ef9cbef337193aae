"""What a conversation's turns say: a turn is a trace, and says what it was asked and what it answered.

Both are its root's, else its last model call's: the words that a person typed and read, not the JSON around them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from sqlalchemy import Connection

from tracer.otlp.dialects.previews import answered, asked
from tracer.otlp.dialects.reading import Kind
from tracer.pages import reading as content
from tracer.queries.rows import Step, TraceRow
from tracer.queries.steps import speaking_steps, steps_of

PATIENCE_S = 0.3
"""After so long the turns that are left show their previews."""
MOST_STEPS = 20_000
"""Steps of a trace that are looked through for its root."""
HEAD = 8_000
"""Characters of one side that are shown at first."""


@dataclass(frozen=True, slots=True)
class Said:
    """The words of one side of a turn; `html` is their Markdown, None when they read the same without."""

    text: content.Text
    html: Markup | None
    span_id: str | None
    """The step that has the whole; None for a preview."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One trace of a conversation."""

    number: int
    trace: TraceRow
    asked: Said | None
    answered: Said | None
    failures: Sequence[content.Failure]
    pause: int | None
    """Nanoseconds since the end of the turn before."""


def turns_of(conn: Connection, traces: Sequence[TraceRow], *, first: int) -> list[Turn]:
    """The turns of some traces, in their order; `first` is the number of the first of them."""
    until = time.monotonic() + PATIENCE_S
    ended: int | None = None
    turns: list[Turn] = []
    for number, trace in enumerate(traces, first):
        pause = None if ended is None else max(0, trace.start_time - ended)
        ended = trace.end_time or trace.start_time
        steps: list[Step] = []
        if trace.span_count <= MOST_STEPS and time.monotonic() < until:
            steps = list(steps_of(conn, trace=trace, span_ids=speaking_steps(conn, trace=trace)))
        question = next((said for step in steps if (said := _said(step, asked(step.content)))), None)
        reply = next((said for step in steps if (said := _said(step, _reply(step)))), None)
        if reply is None and trace.status == "running":
            reply = next((_said(step, step.partial_output) for step in steps if step.partial_output), None)
        failures = content.failures(steps[0]) if steps and trace.status == "error" else ()
        turns.append(
            Turn(
                number,
                trace,
                question or _preview(trace.input_preview),
                reply or _preview(trace.output_preview),
                failures,
                pause,
            )
        )
    return turns


def _reply(step: Step) -> str | None:
    return answered(step.content, Kind[step.row.kind])


def _said(step: Step, words: str | None) -> Said | None:
    if not words or not words.strip():
        return None
    text = content.text_head(words, HEAD)
    return Said(text, content.html_of(text), step.row.span_id)


def _preview(words: str | None) -> Said | None:
    return Said(content.text_head(words), None, None) if words else None
