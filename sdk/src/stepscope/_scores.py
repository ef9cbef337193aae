"""Scores: what a person or a program thinks of a trace or a step, sent the way steps are."""

from __future__ import annotations

import math

from . import _guard, _otel, _runtime
from ._context import current
from ._masks import Masks
from ._sinks import NOWHERE
from ._steps import Step
from ._values import label

SOURCES = ("user", "reviewer", "code", "model")
NAME_LIMIT, VALUE_LIMIT, COMMENT_LIMIT = 100, 200, 10_000
"""Characters."""


class Score(Step):
    """One score on its way."""

    __slots__ = ("facts",)

    def __init__(self, facts: dict[str, object]) -> None:
        self.facts = facts
        self._end = 1
        self._trace = int(str(facts["trace_id"]), 16)
        self._size = 1000 + 2 * sum(len(value) for value in facts.values() if isinstance(value, str))


def score(
    name: str,
    value: bool | float | str,
    *,
    trace_id: str | None = None,
    span_id: str | None = None,
    comment: str | None = None,
    source: str = "code",
    id: str | None = None,
) -> None:
    """Score a trace, or with `span_id` one of its steps; without ids, the trace of the step that runs here.

    `value` is a number, a yes or no, or a label; `source` says who judges: `user`, `reviewer`, `code`, `model`. The
    same `id`, else the same name from the same source on the same step, replaces. Never raises.

        stepscope.score("helpful", True, trace_id=trace_id, source="user", comment="Spot on.")
    """
    try:
        facts = _facts(name, value, trace_id, span_id, comment, source, id)
        if facts is not None:
            sink = _runtime.sink or _runtime.start()
            if sink is not NOWHERE:
                sink.finish(Score(facts))
    except Exception:
        _guard.failed("scoring")


def _facts(
    name: object, value: object, trace_id: object, span_id: object, comment: object, source: object, own_id: object
) -> dict[str, object] | None:
    if trace_id is None:
        nearest, _ = _otel.choose(current.get())
        if nearest is None:
            return _wrong("nothing runs here, and no trace_id was given")
        trace_id = f"{nearest.trace_number if isinstance(nearest, Step) else nearest.trace:032x}"
    if not _hex(trace_id, 32) or (span_id is not None and not _hex(span_id, 16)):
        return _wrong("ids are 32 (trace_id) and 16 (span_id) hex digits")
    if source not in SOURCES:
        return _wrong(f"its source is one of {', '.join(SOURCES)}")
    if isinstance(value, bool):
        kept: object = bool(value)
    elif isinstance(value, (int, float)):
        kept = float(value)
        if not math.isfinite(kept):
            return _wrong("its value is no finite number")
    elif isinstance(value, str):
        kept = value[:VALUE_LIMIT]
    else:
        return _wrong("its value is a number, a yes or no, or a text")
    called = label(name).strip()[:NAME_LIMIT]
    if not called:
        return _wrong("it has no name")
    facts: dict[str, object] = {"trace_id": str(trace_id).lower(), "name": called, "value": kept, "source": source}
    for key, given, limit in (("span_id", span_id, 16), ("comment", comment, COMMENT_LIMIT), ("id", own_id, 200)):
        if given is not None:
            facts[key] = label(given)[:limit]
    return facts


def _wrong(why: str) -> None:
    _guard.warn("score", f"stepscope: a score was not taken: {why}.")


def _hex(value: object, length: int) -> bool:
    return (
        isinstance(value, str)
        and len(value) == length
        and set(value.lower()) <= set("0123456789abcdef")
        and set(value) != {"0"}
    )


def score_text(found: Score, redact: object, masks: Masks | None) -> str:
    """Write a score as JSON; its words pass the redaction and the masks."""
    from ._encode import Adder
    from ._text import to_json

    add = Adder([], redact if callable(redact) else None, masks)
    facts = dict(found.facts)
    for key in ("comment", "value"):
        said = facts.get(key)
        if isinstance(said, str):
            facts[key] = add.hidden(f"score.{key}", said)
    return to_json(facts)
