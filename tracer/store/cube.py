"""The metrics cube's rows: for each hour and each day, what the finished steps of one kind add up to.

A cell is (project, period, start, line, kind, status); a line is a step name with a model. Of each cell every process
that writes at the same time has a row of its own, its shard; they are summed on reading. What a row holds are sums in
the plainest sense: whatever is added can be subtracted again, in any order, so that late, changed and deleted spans
leave it exact. A row may hold a difference below zero, when another shard has what it takes away.

At most `LINES_KEPT` lines of a period are kept apart for good; the rest is told as `OTHER_LINE`, without name and
model. See `tracer/ingest/fold.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

from sqlalchemy import Row

from tracer.store.histogram import read_histogram, write_histogram
from tracer.store.sql import Sql
from tracer.units import DAY, HOUR

LINES_KEPT = 1_000
OTHER_LINE = bytes(16)
"""Stands for the lines that are not kept apart."""

TEXT_LIMIT = 200
"""Characters of a name or a model by which the cube tells lines apart."""

SUM_BITS = 128
SUMS = (
    "duration",
    "first_tokens",
    "first_token_count",
    "told",
    "input",
    "output",
    "total",
    "cached_input",
    "cache_write",
    "reasoning",
    "cost",
    "cost_count",
)
"""What is summed: nanoseconds, tokens, billionths of a dollar; `told` is 0 when no step told of its tokens."""


class Period(IntEnum):
    """How long a cell's time is. The number is what the database holds: never renumber."""

    hour = 0
    day = 1

    @property
    def length(self) -> int:
        """In nanoseconds."""
        return DAY if self is Period.day else HOUR


class Cell(NamedTuple):
    """Which steps: those of one project that began in one period, in UTC, of one line, kind and status."""

    project_id: int
    period: int
    start: int
    line: bytes
    kind: int
    status: int


def line_of(name: str | None, model: str | None) -> bytes:
    """A line's key: a digest of its name and model."""
    return blake2b(f"{name}\0{'' if model is None else '=' + model}".encode(), digest_size=16).digest()


@dataclass(slots=True)
class Totals:
    """What a cell holds: a count, the sums packed side by side, and two histograms."""

    span_count: int = 0
    sums: int = 0
    durations: int = 0
    first_tokens: int = 0

    def add(self, other: Totals, sign: int = 1) -> None:
        """Add another cell's content, or with `sign` -1 take it away."""
        self.span_count += sign * other.span_count
        self.sums += sign * other.sums
        self.durations += sign * other.durations
        self.first_tokens += sign * other.first_tokens

    def columns(self) -> tuple[int, bytes, bytes, bytes]:
        """The values of CONTENT."""
        sums = self.sums
        return (
            self.span_count,
            sums.to_bytes(sums.bit_length() // 8 + 1, "little", signed=True),
            write_histogram(self.durations),
            write_histogram(self.first_tokens),
        )


CONTENT = ("span_count", "sums", "durations", "first_tokens")


def totals_of(row: Any) -> Totals:
    """What a row of the table holds."""
    return Totals(
        row.span_count,
        int.from_bytes(row.sums, "little", signed=True),
        read_histogram(row.durations),
        read_histogram(row.first_tokens),
    )


def pack_sums(values: dict[str, int]) -> int:
    """The named sums as one integer."""
    return sum(values.get(name, 0) << SUM_BITS * place for place, name in enumerate(SUMS))


def read_sums(packed: int) -> dict[str, int]:
    """The sums by name; each may be below zero."""
    values = dict.fromkeys(SUMS, 0)
    for name in SUMS:
        if not packed:
            break
        low = packed & (1 << SUM_BITS) - 1
        values[name] = low - (1 << SUM_BITS) if low >> SUM_BITS - 1 else low
        packed = packed - values[name] >> SUM_BITS
    return values


CellRange = tuple[int, int, int, int]
"""(project id, period, first start, the start that is no longer in it)."""

_IN_RANGE = "FROM metric_cell WHERE project_id = ? AND period = ? AND start >= ? AND start < ?"


def count_rows(sql: Sql, cells: CellRange) -> int:
    """How many rows a range has."""
    return sql.rows(f"SELECT COUNT(*) AS n {_IN_RANGE}", cells)[0].n


def start_of_newest(sql: Sql, cells: CellRange, count: int) -> int:
    """The start from which on a range has so many rows at the most; the range must have more."""
    found = sql.rows(f"SELECT start {_IN_RANGE} ORDER BY start DESC LIMIT 1 OFFSET ?", [*cells, count])
    return found[0].start + Period(cells[1]).length


def spans_by(sql: Sql, by: Literal["name", "model"], cells: CellRange) -> list[tuple[str | None, int]]:
    """The names or models of a range with their spans, those left out that are put together."""
    rows = sql.rows(
        f"SELECT {by} AS value, SUM(span_count) AS n {_IN_RANGE} AND line <> ? GROUP BY {by}", [*cells, OTHER_LINE]
    )
    return [(row.value, int(row.n)) for row in rows]


def newest_first(sql: Sql, cells: CellRange) -> Iterator[Row[Any]]:
    """A range's rows, read as they are asked for: start, kind, status, name, model, in `other`, and CONTENT."""
    return sql.stream(
        f"SELECT start, kind, status, name, model, line = ? AS other, {', '.join(CONTENT)} {_IN_RANGE} "
        "ORDER BY start DESC",
        [OTHER_LINE, *cells],
    )
