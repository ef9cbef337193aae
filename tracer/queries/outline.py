"""A trace's tree as columns: one read, one pass, no object for a span, so that 100,000 steps are drawn in a second."""

from __future__ import annotations

from operator import itemgetter
from typing import Any, cast

import msgspec
from sqlalchemy import Connection, select

from tracer.otlp.dialects.reading import CALL_KINDS, Kind
from tracer.queries.rows import TraceRow
from tracer.store.models import Status, span

ORPHAN, CHILD_ERROR = 1, 2
NO_PRICE, NO_USAGE = 4, 8
"""A model call at this step or below it has no price, or said nothing of its tokens."""
SUMMED, REPEATED = 16, 32
"""The figures are the sum over the calls below; they are counted in another step that reports the same call."""
LACKS_PRICE, LACKS_USAGE = 64, 128
"""This step itself is a call that lacks them."""
MISSING = 256
"""No step, but the place of one that others name as their parent and that has not arrived."""
MISSING_NAME = "missing parent"

STATUSES = ("ok", "error", "unset", "running", "abandoned")
OK, ERROR, UNSET, RUNNING, ABANDONED = range(5)
KIND_WORDS = tuple(kind.name for kind in Kind)
"""Place in it is the kind's number."""

_COLUMNS = (
    span.c.start_time,
    span.c.span_id,
    span.c.parent_id,
    span.c.end_time,
    span.c.name,
    span.c.kind,
    span.c.status,
    span.c.model,
    span.c.input_tokens,
    span.c.output_tokens,
    span.c.total_tokens,
    span.c.cost,
    span.c.time_to_first_token,
    span.c.response_id,
)
_CALLS = frozenset(int(kind) for kind in CALL_KINDS)
_BOUNDARIES = frozenset({int(Kind.agent), int(Kind.tool)})
_STATUS = {int(Status.unset): UNSET, int(Status.ok): OK, int(Status.error): ERROR}


class Outline(msgspec.Struct, frozen=True, gc=False):
    """Every step of a trace in tree order, one entry a step in each list; -1 for what is not known, or not yet.

    `start` counts nanoseconds from `first` (Unix nanoseconds), `duration` nanoseconds, `first_token` nanoseconds from
    the step's start, `cost` billionths of a dollar. Tokens and cost of a step with calls below it are their sum, each
    call counted once, as in the trace's own totals.
    """

    first: int
    ids: list[bytes]
    depth: list[int]
    end: list[int]
    """The row after the last one below the step."""
    children: list[int]
    start: list[int]
    duration: list[int]
    reach: list[int]
    """When the last step at or below it ended, from `first`."""
    name: list[str]
    kind: list[int]
    status: list[int]
    model: list[str | None]
    tokens: list[int]
    cost: list[int]
    first_token: list[int]
    flags: list[int]

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.ids)

    @property
    def steps(self) -> int:
        """How many of the rows are steps."""
        return sum(1 for flags in self.flags if not flags & MISSING)


def outline(conn: Connection, *, trace: TraceRow, with_missing: bool = False) -> Outline:
    """Read a trace's tree: depth first, siblings by (start, span id), after the roots what has lost its parent.

    `with_missing` puts those steps under places kept for their parents: rows marked MISSING that have the parent's id.
    """
    statement = select(*_COLUMNS).where(span.c.trace_pk == trace.received).order_by(span.c.span_id)
    # Plain tuples from the driver: making 100,000 Row objects takes longer than everything else here.
    cursor = conn.execute(statement).cursor
    spans = cast("list[tuple[Any, ...]]", cursor.fetchall()) if cursor is not None else []
    spans.sort(key=itemgetter(0))  # those of one start stay in the order of their ids
    places = _missing(spans) if with_missing else []
    spans += places
    order, depth, parent, orphans = _places(spans)
    size = len(order)
    first = spans[0][0] if spans else 0
    running = RUNNING if trace.status == STATUSES[RUNNING] else ABANDONED
    rows = [spans[number] for number in order]
    status = [_STATUS.get(row[6], running) for row in rows]
    start = [row[0] - first for row in rows]
    duration = [
        -1 if row[3] is None or state >= RUNNING else max(0, row[3] - row[0])
        for row, state in zip(rows, status, strict=True)
    ]
    end = list(range(1, size + 1))
    reach = [begin + max(0, took) for begin, took in zip(start, duration, strict=True)]
    children = [0] * size
    flags = [0] * size
    for row in orphans:
        flags[row] = ORPHAN
    for row in range(size - 1, -1, -1):
        above = parent[row]
        if above < 0:
            continue
        children[above] += 1
        if end[row] > end[above]:
            end[above] = end[row]
        if reach[row] > reach[above]:
            reach[above] = reach[row]
        if status[row] == ERROR or flags[row] & CHILD_ERROR:
            flags[above] |= CHILD_ERROR
    kept = {row[1] for row in places}
    for row in range(size) if kept else ():
        if rows[row][1] in kept:
            flags[row] |= MISSING
            duration[row] = reach[row] - start[row]
    tokens = [_known(_tokens(row)) for row in rows]
    cost = [_known(row[11]) for row in rows]
    _sum_up(rows, parent, status, tokens, cost, flags)
    return Outline(
        first=first,
        ids=[row[1] for row in rows],
        depth=depth,
        end=end,
        children=children,
        start=start,
        duration=duration,
        reach=reach,
        name=[row[4] for row in rows],
        kind=[row[5] for row in rows],
        status=status,
        model=[row[7] for row in rows],
        tokens=tokens,
        cost=cost,
        first_token=[_known(row[12]) for row in rows],
        flags=flags,
    )


def _missing(spans: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """A row for each parent that has not arrived, which begins when the first step that names it begins."""
    there = {row[1] for row in spans}
    first: dict[bytes, int] = {}
    for row in spans:
        if row[2] is not None and row[2] not in there:
            first.setdefault(row[2], row[0])
    rest = (None,) * (len(_COLUMNS) - 7)
    return [
        (start, span_id, None, None, MISSING_NAME, int(Kind.other), int(Status.unset), *rest)
        for span_id, start in first.items()
    ]


def _tokens(row: tuple[Any, ...]) -> int | None:
    if row[10] is not None:
        return row[10]
    if row[8] is None and row[9] is None:
        return None
    return (row[8] or 0) + (row[9] or 0)


def _known(number: int | None) -> int:
    return -1 if number is None else max(0, number)


def _places(spans: list[tuple[Any, ...]]) -> tuple[list[int], list[int], list[int], list[int]]:
    """Put spans, which come by (start, span id), into tree order.

    Returns for each row the span's number, its depth and its parent's row (-1 at the top), and the rows whose parent
    is missing. `tracer.queries.tree` has the same order for spans one by one.
    """
    by_id = {row[1]: number for number, row in enumerate(spans)}
    below: dict[int, list[int]] = {}
    roots: list[int] = []
    lost: list[int] = []
    for number, row in enumerate(spans):
        parent_id = row[2]
        if parent_id is None:
            roots.append(number)
            continue
        above = by_id.get(parent_id)
        if above is None or above == number:
            lost.append(number)
        elif above in below:
            below[above].append(number)
        else:
            below[above] = [number]
    order: list[int] = []
    depth: list[int] = []
    parent: list[int] = []
    orphans: list[int] = []
    seen = bytearray(len(spans))

    def walk(top: int) -> None:
        pending = [(top, 0, -1)]
        while pending:
            number, level, above = pending.pop()
            if seen[number]:
                continue
            seen[number] = 1
            row = len(order)
            order.append(number)
            depth.append(level)
            parent.append(above)
            own = below.get(number)
            if own is not None:
                level += 1
                pending += [(child, level, row) for child in reversed(own)]

    for number in roots:
        walk(number)
    for number in lost:
        orphans.append(len(order))
        walk(number)
    if len(order) < len(spans):
        for number in range(len(spans)):
            if not seen[number]:
                orphans.append(len(order))
                walk(number)
    return order, depth, parent, orphans


def _sum_up(
    rows: list[tuple[Any, ...]],
    parent: list[int],
    status: list[int],
    tokens: list[int],
    cost: list[int],
    flags: list[int],
) -> None:
    """Turn own figures into those of the step with all below it, each call once, and mark what they lack.

    The rule of what counts is that of `tracer.ingest.calls`; a test compares the sums.
    """
    calls = [row for row, found in enumerate(rows) if found[5] in _CALLS and status[row] < RUNNING]
    if not calls:
        return
    is_call = bytearray(len(rows))
    for row in calls:
        is_call[row] = 1
    # The nearest finished call above, unless an agent or a tool lies between; and the nearest that told its tokens.
    call_above = [-1] * len(rows)
    told_above = [-1] * len(rows)
    for row, above in enumerate(parent):
        if above < 0:
            continue
        if is_call[above]:
            call_above[row] = above
            told_above[row] = above if tokens[above] >= 0 else told_above[above]
        elif rows[above][5] not in _BOUNDARIES:
            call_above[row], told_above[row] = call_above[above], told_above[above]
    first_told: dict[str, int] = {}
    told_below = bytearray(len(rows))
    for row in sorted(calls, key=lambda row: rows[row][:2]):
        if tokens[row] < 0:
            continue
        if rows[row][13]:
            first_told.setdefault(rows[row][13], row)
        at = call_above[row]
        while at >= 0 and not told_below[at]:
            told_below[at] = 1
            at = call_above[at]
    spent: dict[int, tuple[int, int]] = {}
    for row in calls:
        response, other = rows[row][13], told_above[row]
        if tokens[row] < 0:
            told = told_below[row] or other >= 0 or response in first_told
            if status[row] != ERROR and not told:
                flags[row] |= NO_USAGE | LACKS_USAGE
            continue
        theirs = rows[other][13] if other >= 0 else None
        same = other >= 0 and not (response and theirs and response != theirs)
        if same or (response and first_told[response] != row):
            flags[row] |= REPEATED
            continue
        spent[row] = (tokens[row], cost[row])
        if cost[row] < 0:
            flags[row] |= NO_PRICE | LACKS_PRICE
    _roll(parent, spent, tokens, cost, flags)


def _roll(
    parent: list[int], spent: dict[int, tuple[int, int]], tokens: list[int], cost: list[int], flags: list[int]
) -> None:
    """Add what calls spent to every step above them, from the leaves up."""
    size = len(parent)
    summed = [-1] * size
    money = [-1] * size
    below = bytearray(size)
    for row in range(size - 1, -1, -1):
        own = spent.get(row)
        if own is not None:
            summed[row] = own[0] + max(0, summed[row])
            if own[1] >= 0:
                money[row] = own[1] + max(0, money[row])
        above = parent[row]
        if above >= 0:
            flags[above] |= flags[row] & (NO_PRICE | NO_USAGE)
            if summed[row] >= 0:
                summed[above] = summed[row] + max(0, summed[above])
                below[above] = 1
            if money[row] >= 0:
                money[above] = money[row] + max(0, money[above])
        if summed[row] >= 0:
            tokens[row], cost[row] = summed[row], money[row]
            flags[row] &= ~REPEATED
            if below[row]:
                flags[row] |= SUMMED
