"""The rows of a trace's tree: as the page draws the first of them, and as columns for the module that draws the rest.

Both must come out the same: each figure below is made by the same steps in `web/static/skeleton.js` and `rows.js`.
"""

from __future__ import annotations

from dataclasses import dataclass

from tracer.pages.words import KINDS, NOT_THERE, name_of
from tracer.queries.outline import (
    CHILD_ERROR,
    ERROR,
    KIND_WORDS,
    MISSING,
    NO_PRICE,
    NO_USAGE,
    ORPHAN,
    REPEATED,
    RUNNING,
    STATUSES,
    SUMMED,
    Outline,
)
from tracer.queries.rows import TraceRow
from tracer.units import UnixNanos, format_cost, format_count, format_duration

FIRST_ROWS = 60
MAX_INDENT = 12
"""Levels that are drawn further right; deeper rows stay there and say their level."""
WHOLE = 10_000
"""The lane's width: bars are placed in hundredths of a percent."""
NARROWEST = 60
"""A bar's least width, so that it can be seen."""
HOT_SHARE = 5
"""A step that took a fifth of the trace or more is written heavier."""
MANY = 5
"""More neighbours than this with the same name and kind stand folded into one row."""


@dataclass(frozen=True, slots=True)
class RowView:
    """One row of the tree, ready to draw. `x`, `width`, `head` and `tail` are per cent of the lane, as text."""

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
    folded: bool
    times: int
    """How many neighbours of the same name begin here; 0 for an ordinary step."""
    selected: bool
    status: str
    mark: str
    """`own`, `through` (failed, as a step below did), `below`, `running`, `abandoned` or nothing."""
    orphan: bool
    missing: bool
    """No step, but the place of a parent that has not arrived."""
    hot: bool
    model: str
    """The model; for steps folded into one row, how long they took."""
    x: str
    width: str
    head: str
    tail: str
    tail_x: str
    duration: str
    tokens: str
    cost: str
    figures: str
    """Tokens and cost are `rolled` up from the steps below, or `twice`: counted in another step; else they are own."""
    lacks: str
    """Why a `+` stands behind a figure."""


def total_of(rows: Outline, now: UnixNanos) -> int:
    """How long the lane is, in microseconds; a running step reaches to `now`."""
    ends = (begin // 1_000 + length(rows, row, now) // 1_000 for row, begin in enumerate(rows.start))
    return max(0, max(ends, default=0))


def length(rows: Outline, row: int, now: UnixNanos) -> int:
    """A step's duration in nanoseconds; so far, when it runs; 0 when nobody knows."""
    known = rows.duration[row]
    if known >= 0:
        return known
    if rows.status[row] != RUNNING:
        return 0
    return max(0, (now - rows.first) // 1_000 - rows.start[row] // 1_000) * 1_000


def first_rows(rows: Outline, *, selected: int | None, now: UnixNanos) -> list[RowView]:
    """The rows that the page itself brings: the first of the tree, everything unfolded but long runs of one name."""
    total = total_of(rows, now)
    before: list[int] = []  # at each level the sibling before, its position, and how many there are
    position: list[int] = []
    sizes: list[int] = [_top_count(rows)]
    views: list[RowView] = []
    row = 0
    while row < len(rows) and len(views) < FIRST_ROWS:
        level = rows.depth[row]
        del before[level + 1 :], position[level + 1 :], sizes[level + 1 :]
        fresh = len(before) <= level
        if fresh:
            before.append(-1)
            position.append(0)
        position[level] += 1
        begins = fresh or not _alike(rows, before[level], row)
        run = _run(rows, row) if begins else []
        after = rows.end[run[-1]] if run else 0
        closed = bool(run) and not (selected is not None and row < selected < after)
        place = _Place(position[level], sizes[level], closed, selected)
        views.append(_group_view(rows, run, place, total, now) if closed else _view(rows, row, run, place, total, now))
        before[level] = run[-1] if closed else row
        if closed:
            position[level] += len(run) - 1
        else:
            sizes.append(rows.children[row])
        row = after if closed else row + 1
    return views


def _top_count(rows: Outline) -> int:
    row = found = 0
    while row < len(rows):
        row, found = rows.end[row], found + 1
    return found


def _alike(rows: Outline, one: int, other: int) -> bool:
    return rows.name[one] == rows.name[other] and rows.kind[one] == rows.kind[other]


def _run(rows: Outline, row: int) -> list[int]:
    """The neighbours alike that begin at `row`, when they are many; else none."""
    found: list[int] = []
    level, at = rows.depth[row], row
    while at < len(rows) and rows.depth[at] == level and _alike(rows, row, at):
        found.append(at)
        at = rows.end[at]
    return found if len(found) > MANY else []


@dataclass(frozen=True, slots=True)
class _Place:
    position: int
    siblings: int
    closed: bool
    selected: int | None


def _view(rows: Outline, row: int, run: list[int], place: _Place, total: int, now: UnixNanos) -> RowView:
    took = length(rows, row, now)
    status, model, flags = rows.status[row], rows.model[row], rows.flags[row]
    begin = rows.start[row] // 1_000
    x, width = _bar(begin, took // 1_000, total)
    first = rows.first_token[row]
    head = 0 if first < 0 else min(width, _share(first // 1_000, total))
    reach = _share(rows.reach[row] // 1_000, total)
    tail = max(0, min(WHOLE, reach) - x - width) if rows.duration[row] >= 0 else 0
    return _row(
        rows,
        row,
        place,
        times=len(run),
        folds=rows.children[row] > 0,
        mark=_mark(status, flags),
        status=STATUSES[status],
        hot=rows.depth[row] > 0 and total > 0 and took // 1_000 * HOT_SHARE >= total,
        model=name_of(model, 60) if model else "",
        bar=(x, width, head, tail),
        duration=format_duration(took) if rows.duration[row] >= 0 or status == RUNNING else "",
        spent=(rows.tokens[row], rows.cost[row], flags),
    )


def _group_view(rows: Outline, run: list[int], place: _Place, total: int, now: UnixNanos) -> RowView:
    """One row for many neighbours alike: how many, how long they took, how many failed, what they cost."""
    lengths = sorted(length(rows, row, now) for row in run)
    failed = sum(1 for row in run if _went_wrong(rows, row))
    running = any(rows.status[row] == RUNNING for row in run)
    begin = rows.start[run[0]] // 1_000
    end = max(rows.start[row] // 1_000 + length(rows, row, now) // 1_000 for row in run)
    x, width = _bar(begin, end - begin, total)
    spread = " · ".join(format_duration(lengths[at]) for at in (0, (len(run) - 1) // 2, len(run) - 1))
    tokens, cost, flags = -1, -1, SUMMED
    for row in run:
        if rows.tokens[row] >= 0:
            tokens = max(0, tokens) + rows.tokens[row]
        if rows.cost[row] >= 0:
            cost = max(0, cost) + rows.cost[row]
        flags |= rows.flags[row] & (NO_PRICE | NO_USAGE)
    return _row(
        rows,
        run[0],
        place,
        times=len(run),
        folds=True,
        mark="below" if failed else "running" if running else "",
        status="running" if running else "unset",
        hot=False,
        model=spread + (f" · {format_count(failed)} failed" if failed else ""),
        bar=(x, width, 0, 0),
        duration=f"≤ {format_duration(lengths[-1])}",
        spent=(tokens, cost, flags),
    )


def _row(
    rows: Outline,
    row: int,
    place: _Place,
    *,
    times: int,
    folds: bool,
    mark: str,
    status: str,
    hot: bool,
    model: str,
    bar: tuple[int, int, int, int],
    duration: str,
    spent: tuple[int, int, int],
) -> RowView:
    kind = KIND_WORDS[rows.kind[row]] if rows.kind[row] < len(KIND_WORDS) else "other"
    missing = bool(rows.flags[row] & MISSING)
    letter, kind_word = NOT_THERE if missing else KINDS[kind]
    level = rows.depth[row]
    x, width, head, tail = bar
    tokens, cost, flags = spent
    return RowView(
        id=rows.ids[row].hex(),
        name=name_of(rows.name[row]),
        kind=kind,
        letter=letter,
        kind_word=kind_word,
        level=level + 1,
        indent=min(level, MAX_INDENT),
        position=place.position,
        siblings=place.siblings,
        folds=folds,
        folded=place.closed,
        times=times,
        selected=row == place.selected,
        status=status,
        mark=mark,
        orphan=bool(rows.flags[row] & ORPHAN) and not place.closed,
        missing=missing,
        hot=hot,
        model=model,
        x=_percent(x),
        width=_percent(width),
        head=_percent(head) if head else "",
        tail=_percent(tail) if tail else "",
        tail_x=_percent(x + width),
        duration="" if missing else duration,
        tokens="" if tokens < 0 else format_count(tokens) + ("+" if flags & NO_USAGE else ""),
        cost=_cost(kind, tokens, cost, flags),
        figures="twice" if flags & REPEATED else "rolled" if flags & SUMMED else "",
        lacks=_lacks(tokens, cost, flags),
    )


def _cost(kind: str, tokens: int, cost: int, flags: int) -> str:
    """What a row says of money: `no price` for tokens whose price nobody knows, a `+` when a part lacks its price."""
    if cost >= 0:
        return format_cost(cost) + ("+" if flags & NO_PRICE else "")
    return "no price" if tokens > 0 and (kind in ("llm", "embedding") or flags & SUMMED) else ""


def _lacks(tokens: int, cost: int, flags: int) -> str:
    lacking = []
    if tokens >= 0 and flags & NO_USAGE:
        lacking.append("calls that said nothing of their tokens")
    if cost >= 0 and flags & NO_PRICE:
        lacking.append("calls without a price")
    return f"partial: there are {' and '.join(lacking)} in it" if lacking else ""


def _went_wrong(rows: Outline, row: int) -> bool:
    return rows.status[row] == ERROR or bool(rows.flags[row] & CHILD_ERROR)


def _mark(status: int, flags: int) -> str:
    if status == ERROR:
        return "through" if flags & CHILD_ERROR else "own"
    if status >= RUNNING:
        return STATUSES[status]
    return "below" if flags & CHILD_ERROR else ""


def _share(length_us: int, total_us: int) -> int:
    return int(length_us / total_us * WHOLE) if total_us > 0 else 0


def _bar(start_us: int, length_us: int, total_us: int) -> tuple[int, int]:
    begin, end = _share(start_us, total_us), _share(start_us + length_us, total_us) if total_us > 0 else WHOLE
    width = min(WHOLE, max(NARROWEST, end - begin))
    return min(begin, WHOLE - width), width


def _percent(hundredths: int) -> str:
    return f"{hundredths // 100}.{hundredths % 100:02d}%"


def skeleton(trace: TraceRow, rows: Outline) -> dict[str, object]:
    """All rows of a trace as columns, names and models once each: what the tree module draws from.

    `first` is the trace's first instant in microseconds since 1970; `start` and `first_token` count microseconds from
    it and from the step's own start, `duration` nanoseconds, `cost` billionths of a dollar; -1 stands for what is not
    known, or not yet. `ids` are 16 hex digits each, one after the other.
    """
    names: dict[str, int] = {}
    models: dict[str, int] = {}
    return {
        "trace": trace.trace_id,
        "version": trace.version,
        "first": rows.first // 1_000,
        "ids": b"".join(rows.ids).hex(),
        "depth": rows.depth,
        "start": [begin // 1_000 for begin in rows.start],
        "duration": rows.duration,
        "name": [names.setdefault(name, len(names)) for name in rows.name],
        "kind": rows.kind,
        "status": rows.status,
        "model": [models.setdefault(model, len(models)) if model else -1 for model in rows.model],
        "tokens": rows.tokens,
        "cost": rows.cost,
        "first_token": [first // 1_000 if first >= 0 else -1 for first in rows.first_token],
        "flags": rows.flags,
        "names": [name_of(name) for name in names],
        "models": [name_of(model, 60) for model in models],
        "kinds": KIND_WORDS,
        "statuses": STATUSES,
    }
