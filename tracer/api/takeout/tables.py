"""Traces and spans as rows of a table: its columns, their types, and where each value comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from tracer.api import shape
from tracer.api.takeout.pieces import Piece
from tracer.prices import PriceBook
from tracer.queries.rows import Step

Of = Literal["traces", "spans"]
Type = Literal["text", "whole", "number", "moment", "texts"]
"""`moment` is RFC 3339 in the shapes of the REST interface; `texts` is a list."""

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, the type of its values (None anywhere), and how a shaped row gives it."""

    name: str
    type: Type
    value: Callable[[Mapping[str, Any]], Any]


def _plain(type: Type, *names: str) -> list[Column]:
    return [Column(name, type, lambda row, name=name: row[name]) for name in names]


def _tokens(*names: str) -> list[Column]:
    return [Column(f"{name}_tokens", "whole", lambda row, name=name: (row["tokens"] or {}).get(name)) for name in names]


def _json(*names: str) -> list[Column]:
    return [
        Column(name, "text", lambda row, name=name: _encode(row[name]).decode() if row[name] else None)
        for name in names
    ]


_TOKENS = ("input", "output", "total", "cached_input", "cache_write", "reasoning", "audio")

TRACE_COLUMNS: tuple[Column, ...] = (
    *_plain("text", "trace_id", "project", "name"),
    *_plain("moment", "start_time", "end_time"),
    *_plain("number", "duration_ms"),
    *_plain("text", "status"),
    *_plain("whole", "span_count", "error_count", "llm_call_count"),
    *_tokens(*_TOKENS),
    *_plain("number", "cost_usd"),
    *_plain("text", "cost_source"),
    *_plain("texts", "models"),
    *_plain("text", "session_id", "user_id", "environment", "release"),
    *_plain("texts", "services", "tags"),
    *_json("metadata"),
    *_plain("text", "input_preview", "output_preview", "note"),
    *_json("scores", "partial"),
)

SPAN_COLUMNS: tuple[Column, ...] = (
    *_plain("text", "project", "trace_id", "span_id", "parent_id", "name", "kind"),
    *_plain("moment", "start_time", "end_time"),
    *_plain("number", "duration_ms"),
    *_plain("text", "status", "status_message", "model", "provider"),
    *_tokens(*_TOKENS),
    *_plain("number", "cost_usd"),
    *_plain("text", "cost_source"),
    *_plain("number", "time_to_first_token_ms"),
    *_plain("text", "input_text", "output_text"),
    *_plain("texts", "finish_reasons"),
    *_plain("text", "session_id", "user_id", "environment", "release", "service"),
    *_plain("texts", "tags"),
    *_json("metadata", "attributes"),
    *_plain("text", "dialect"),
)


def columns_of(of: Of) -> tuple[Column, ...]:
    """The columns of a table of traces or of spans."""
    return TRACE_COLUMNS if of == "traces" else SPAN_COLUMNS


def rows_of(found: Sequence[Piece], of: Of, prices: PriceBook) -> Iterator[list[Any]]:
    """The rows of some pieces, a value for each column."""
    columns = columns_of(of)
    for piece in found:
        if of == "traces":
            shaped = shape.trace(piece.row)
            yield [column.value(shaped) for column in columns]
            continue
        for one in piece.spans:
            step = one.read()
            shaped = shape.step(step, prices) | {
                "project": piece.row.project,
                "input_text": _text(step, "input"),
                "output_text": _text(step, "output"),
            }
            yield [column.value(shaped) for column in columns]


def _text(step: Step, side: Literal["input", "output"]) -> str | None:
    """A side as text: as it was sent where it was one value, else its messages as JSON."""
    content = step.content
    value, messages = (
        (content.input, content.input_messages) if side == "input" else (content.output, content.output_messages)
    )
    if value is not None:
        return value.raw
    return _encode(messages).decode() if messages else None
