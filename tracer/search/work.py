"""What is to be indexed: lines that a commit leaves in its own transaction, and that indexing deletes in its."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from tracer.store.sql import Sql

LINE_SPANS = 512
"""Steps of one line, at the least one trace's part of a commit."""

LARGE = 4 * LINE_SPANS
"""Steps of a trace from which they are noted by their ids."""

WHOLE = b""
"""Instead of span ids: every step of the trace."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[int, bytes]]).decode
_WIDTH = 8


class Outrun(Exception):
    """What was made is no longer true: another process indexed, or a trace is gone. It is made again."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line: of each trace, the ids of steps that came or changed, one after the other."""

    id: int
    spans: int
    traces: list[tuple[int, bytes]]


def note_work(sql: Sql, traces: Iterable[tuple[int, list[bytes]]], now: int) -> None:
    """Note the steps (by trace) that a commit wrote, in its transaction; `now` in Unix nanoseconds."""
    rows: list[tuple[Any, ...]] = []
    part: list[tuple[int, bytes]] = []
    spans = 0
    for pk, ids in traces:
        for start in range(0, len(ids), LINE_SPANS):
            some = ids[start : start + LINE_SPANS]
            part.append((pk, b"".join(some)))
            spans += len(some)
            if spans >= LINE_SPANS:
                rows.append((now, spans, _encode(part)))
                part, spans = list[tuple[int, bytes]](), 0
    if part:
        rows.append((now, spans, _encode(part)))
    sql.insert("search_work", ("at", "spans", "data"), rows)


def note_whole(sql: Sql, traces: Iterable[tuple[int, int]], now: int) -> None:
    """Note whole traces, given with how many steps they have; no line names more steps than a few thousand."""
    rows: list[tuple[Any, ...]] = []
    part: list[tuple[int, bytes]] = []
    spans = 0
    for pk, count in traces:
        if count > LARGE:
            note_steps(sql, pk, now)
            continue
        part.append((pk, WHOLE))
        spans += count
        if spans >= LINE_SPANS:
            rows.append((now, spans, _encode(part)))
            part, spans = list[tuple[int, bytes]](), 0
    if part:
        rows.append((now, spans, _encode(part)))
    sql.insert("search_work", ("at", "spans", "data"), rows)


def note_steps(sql: Sql, pk: int, now: int) -> None:
    """Note every step of a trace by its id, in lines of LINE_SPANS."""
    after = WHOLE
    while True:
        rows = sql.rows(
            "SELECT span_id FROM span WHERE trace_pk = ? AND span_id > ? ORDER BY span_id LIMIT ?",
            [pk, after, LINE_SPANS],
        )
        if not rows:
            return
        note_work(sql, [(pk, [row.span_id for row in rows])], now)
        after = rows[-1].span_id


def take_work(sql: Sql, *, spans: int) -> list[Line]:
    """The oldest lines, up to so many steps, at least one line."""
    lines: list[Line] = []
    total = 0
    for row in sql.rows("SELECT id, spans, data FROM search_work ORDER BY id LIMIT ?", [max(1, spans // 8)]):
        total += row.spans
        if lines and total > spans:
            break
        lines.append(Line(row.id, row.spans, _decode(row.data)))
    return lines


def wanted(lines: Iterable[Line]) -> dict[int, set[bytes] | None]:
    """The steps that lines name, by trace; None for all of a trace."""
    found: dict[int, set[bytes] | None] = {}
    for line in lines:
        for pk, ids in line.traces:
            if ids == WHOLE:
                found[pk] = None
                continue
            known = found.setdefault(pk, set())
            if known is not None:
                known.update(ids[start : start + _WIDTH] for start in range(0, len(ids), _WIDTH))
    return found
