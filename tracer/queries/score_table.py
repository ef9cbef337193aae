"""What a project's scores come to in a time: by name and source how many, how they spread, how they went."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from tracer.errors import NotFound
from tracer.queries.rows import ScoreLine, ScoreTable
from tracer.queries.scope import Scope
from tracer.store.models import score
from tracer.units import Nanos, UnixNanos

ROWS_READ = 50_000
WORK_LIMIT_S = 0.2
AT_ONCE = 2_000
BINS = 10
BARS = 30
WORDS = 8
"""Different words of which each is counted."""


@dataclass(slots=True)
class _Line:
    numbers: list[float] = field(default_factory=list)
    yes: int = 0
    no: int = 0
    words: Counter[str] = field(default_factory=Counter)
    sums: dict[int, list[float]] = field(default_factory=dict)
    traces: set[bytes] = field(default_factory=set)


def score_table(
    conn: Connection,
    *,
    scope: Scope,
    project_id: int,
    since: UnixNanos,
    until: UnixNanos,
    seconds: float = WORK_LIMIT_S,
) -> ScoreTable:
    """The scores of a project that were given in [since, until), by name and source, the most frequent first.

    At most ROWS_READ are read, the newest, for at most `seconds`; `searched_to` says how far that went when it is not
    all. Raises NotFound for a project out of sight.
    """
    if not scope.allows(project_id):
        raise NotFound("There is no such project.", field="project")
    bar = max(1, -(-(until - since) // BARS))
    given = score.c
    query = (
        select(given.name, given.source, given.number, given.words, given.boolean, given.created_at, given.trace_id)
        .where(*in_time(project_id, since, until))
        .order_by(given.created_at.desc(), given.id.desc())
        .limit(ROWS_READ + AT_ONCE)
    )
    lines: dict[tuple[str, str], _Line] = {}
    end = time.monotonic() + seconds
    read, searched_to = 0, None
    with conn.execute(query, execution_options={"stream_results": True, "max_row_buffer": AT_ONCE}) as rows:
        for part in rows.partitions(AT_ONCE):
            for row in part:
                _take(lines.setdefault((row.name, row.source), _Line()), row, (row.created_at - since) // bar)
            read += len(part)
            if len(part) == AT_ONCE and (read >= ROWS_READ or time.monotonic() > end):
                searched_to = UnixNanos(part[-1].created_at)
                break
    made = [_made(name, source, line) for (name, source), line in lines.items()]
    made.sort(key=lambda line: (-line.count, line.name, line.source))
    return ScoreTable(Nanos(bar), searched_to, tuple(made))


def in_time(project_id: int, since: UnixNanos, until: UnixNanos) -> list[ColumnElement[bool]]:
    """The scores of a project that were given in a time."""
    return [score.c.project_id == project_id, score.c.created_at >= since, score.c.created_at < until]


def _take(line: _Line, row: Any, place: int) -> None:
    line.traces.add(row.trace_id)
    if row.words is not None:
        line.words[row.words] += 1
        return
    number = float(row.number)
    if row.boolean:
        line.yes += bool(number)
        line.no += not number
    else:
        line.numbers.append(number)
    found = line.sums.setdefault(place, [0.0, 0.0])
    found[0] += number
    found[1] += 1


def _made(name: str, source: str, line: _Line) -> ScoreLine:
    numbers = line.numbers
    # Between 0 and 1, where most judges stay, else as far as they go.
    low = min(0.0, *numbers) if numbers else 0.0
    high = max(1.0, *numbers) if numbers else 1.0
    bins = [0] * BINS
    for number in numbers:
        bins[min(BINS - 1, int((number - low) / (high - low) * BINS))] += 1
    counted = len(numbers) + line.yes + line.no
    mean = (sum(numbers) + line.yes) / counted if counted else None
    means = tuple((place, total / count) for place, (total, count) in sorted(line.sums.items()))
    return ScoreLine(
        name,
        source,
        counted + sum(line.words.values()),
        len(line.traces),
        mean,
        low,
        high,
        tuple(bins) if numbers else (),
        line.yes,
        line.no,
        tuple(line.words.most_common(WORDS)),
        max(0, len(line.words) - WORDS),
        means,
    )
