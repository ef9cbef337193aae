"""The rows of a trace's tree: as the page draws the first of them, and as columns for the module that draws the rest.

Both must come out the same: each figure below is made by the same steps in `web/static/skeleton.js` and `rows.js`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracer.otlp.dialects.reading import Kind
from tracer.pages.words import KINDS, name_of, step_cost, token_total
from tracer.queries.rows import SpanRow, TraceRow
from tracer.units import Nanos, UnixNanos, format_count, format_duration

FIRST_ROWS = 60
MAX_INDENT = 12
"""Levels that are drawn further right; deeper rows stay there and say their level."""
WHOLE = 10_000
"""The lane's width: bars are placed in hundredths of a percent."""
NARROWEST = 60
"""A bar's least width, so that it can be seen."""
HOT_SHARE = 5
"""A step that took a fifth of the trace or more is written heavier."""

STATUSES = ("ok", "error", "unset", "running", "abandoned")
KIND_WORDS = tuple(kind.name for kind in Kind)

ORPHAN, CHILD_ERROR = 1, 2


@dataclass(frozen=True, slots=True)
class Extent:
    """A trace's place in time: its first instant, and its length so far, in microseconds."""

    start: UnixNanos
    total: int


@dataclass(frozen=True, slots=True)
class RowView:
    """One row of the tree, ready to draw. `x`, `width` and `head` are per cent of the lane, as text."""

    id: str
    name: str
    kind: str
    letter: str
    kind_word: str
    level: int
    indent: int
    position: int
    siblings: int
    folds: bool
    selected: bool
    status: str
    mark: str
    """`own`, `through` (failed, as a step below did), `below`, `running`, `abandoned` or nothing."""
    orphan: bool
    hot: bool
    model: str
    x: str
    width: str
    head: str
    duration: str
    tokens: str
    cost: str


def extent(rows: Sequence[SpanRow], now: UnixNanos) -> Extent:
    """Where the lane begins and how long it is; a running step reaches to `now`."""
    if not rows:
        return Extent(UnixNanos(0), 0)
    start = min(row.start_time for row in rows)
    end = max((row.start_time - start) // 1_000 + length(row, now) // 1_000 for row in rows)
    return Extent(start, max(0, end))


def length(row: SpanRow, now: UnixNanos) -> int:
    """A step's duration in nanoseconds; so far, when it runs; 0 when nobody knows."""
    if row.status == "running":
        return max(0, now - row.start_time)
    return max(0, row.duration or 0)


def first_rows(rows: Sequence[SpanRow], *, selected: str | None, now: UnixNanos) -> list[RowView]:
    """The rows that the page itself brings: the first of the tree, with everything unfolded."""
    whole = extent(rows, now)
    seen: list[int] = []
    sizes: list[int] = [sum(1 for row in rows if row.depth == 0)]
    views = []
    for row in rows[:FIRST_ROWS]:
        del seen[row.depth + 1 :], sizes[row.depth + 1 :]
        if len(seen) <= row.depth:
            seen.append(0)
        seen[row.depth] += 1
        views.append(_view(row, whole, seen[row.depth], sizes[row.depth], selected, now))
        sizes.append(row.child_count)
    return views


def _view(row: SpanRow, whole: Extent, position: int, siblings: int, selected: str | None, now: UnixNanos) -> RowView:
    letter, kind_word = KINDS.get(row.kind, KINDS["other"])
    took = length(row, now)
    at = (row.start_time - whole.start) // 1_000
    x, width = _bar(at, took // 1_000, whole.total)
    tokens = token_total(row.usage)
    head = 0 if row.time_to_first_token is None else min(width, _share(row.time_to_first_token // 1_000, whole.total))
    return RowView(
        id=row.span_id,
        name=name_of(row.name),
        kind=row.kind if row.kind in KINDS else "other",
        letter=letter,
        kind_word=kind_word,
        level=row.depth + 1,
        indent=min(row.depth, MAX_INDENT),
        position=position,
        siblings=siblings,
        folds=row.child_count > 0,
        selected=row.span_id == selected,
        status=row.status,
        mark=_mark(row),
        orphan=row.orphan,
        hot=row.depth > 0 and whole.total > 0 and took // 1_000 * HOT_SHARE >= whole.total,
        model=name_of(row.model, 60) if row.model else "",
        x=_percent(x),
        width=_percent(width),
        head=_percent(head) if head else "",
        duration=format_duration(took) if row.duration is not None or row.status == "running" else "",
        tokens="" if tokens is None else format_count(tokens),
        cost=step_cost(row.kind, row.usage, row.cost),
    )


def _mark(row: SpanRow) -> str:
    if row.status == "error":
        return "through" if row.child_error else "own"
    if row.status in ("running", "abandoned"):
        return row.status
    return "below" if row.child_error else ""


def _share(length_us: int, total_us: int) -> int:
    return int(length_us / total_us * WHOLE) if total_us > 0 else 0


def _bar(start_us: int, length_us: int, total_us: int) -> tuple[int, int]:
    width = min(WHOLE, max(NARROWEST, _share(length_us, total_us) if total_us > 0 else WHOLE))
    return min(_share(start_us, total_us), WHOLE - width), width


def _percent(hundredths: int) -> str:
    return f"{hundredths // 100}.{hundredths % 100:02d}%"


def skeleton(trace: TraceRow, rows: Sequence[SpanRow], *, now: UnixNanos) -> dict[str, object]:
    """All rows of a trace as columns, names and models once each: what the tree module draws from.

    `start` and `first_token` count microseconds from the trace's first instant and from the step's own start,
    `duration` nanoseconds, `cost` billionths of a dollar; -1 stands for what is not known, or not yet. `now` is this
    server's clock in microseconds from the first instant.
    """
    start = extent(rows, now).start
    names: dict[str, int] = {}
    models: dict[str, int] = {}
    status_number = {word: number for number, word in enumerate(STATUSES)}
    kind_number = {word: number for number, word in enumerate(KIND_WORDS)}
    return {
        "trace": trace.trace_id,
        "version": trace.version,
        "now": (now - start) // 1_000,
        "id": [row.span_id for row in rows],
        "depth": [row.depth for row in rows],
        "start": [(row.start_time - start) // 1_000 for row in rows],
        "duration": [_settled(row) for row in rows],
        "name": [names.setdefault(name_of(row.name), len(names)) for row in rows],
        "kind": [kind_number.get(row.kind, 0) for row in rows],
        "status": [status_number.get(row.status, 2) for row in rows],
        "model": [models.setdefault(name_of(row.model, 60), len(models)) if row.model else -1 for row in rows],
        "tokens": [_known(token_total(row.usage)) for row in rows],
        "cost": [_known(row.cost) for row in rows],
        "first_token": [_micros(row.time_to_first_token) for row in rows],
        "flags": [(ORPHAN if row.orphan else 0) | (CHILD_ERROR if row.child_error else 0) for row in rows],
        "names": list(names),
        "models": list(models),
        "kinds": list(KIND_WORDS),
        "statuses": list(STATUSES),
    }


def _settled(row: SpanRow) -> int:
    return -1 if row.duration is None or row.status == "running" else max(0, row.duration)


def _known(number: int | None) -> int:
    return -1 if number is None else max(0, number)


def _micros(length: Nanos | None) -> int:
    return -1 if length is None else max(0, length // 1_000)
