"""Keeps the metrics cube: what spans add to its cells, or take away, in the transaction that writes the spans.

Only finished steps count, each in the hour and the day (UTC) in which it began. A commit works out the differences of
its cells, reads its own shard's rows of them, and writes the sums.

A period whose rarer lines were put together (`fold.py`) has a row of OTHER_LINE. In it, a line is kept apart if and
only if a row of it is there; the spans of every other line belong to OTHER_LINE.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tracer.ingest.columns import held
from tracer.ingest.locks import Periods, lock_periods
from tracer.ingest.prepare import PreparedSpan
from tracer.store.cube import (
    CONTENT,
    OTHER_LINE,
    TEXT_LIMIT,
    Cell,
    Period,
    Totals,
    line_of,
    pack_sums,
    totals_of,
)
from tracer.store.histogram import histogram_of
from tracer.store.models import Status
from tracer.store.spans import NO_USAGE
from tracer.store.sql import CHUNK, Sql, chunked
from tracer.units import DAY, HOUR

COUNTED = (
    "name",
    "model",
    "kind",
    "status",
    "start_time",
    "end_time",
    "time_to_first_token",
    "cost",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)
"""The columns of a span that the cube counts."""

CountedSpan = tuple[int, Sequence[Any]]
"""A project's row number and the values of COUNTED."""

SHARD_LOCKS = 4750
MAX_SHARDS = 64
SPANS_AT_ONCE = 5_000
_KEY = ("project_id", "period", "start", "line", "kind", "status", "shard")
_COLUMNS = (*_KEY, "name", "model", *CONTENT)
_RUNNING = int(Status.running)

PeriodKey = tuple[int, int, int]
"""(project id, period, start)."""


@dataclass(slots=True)
class Difference:
    """What spans change: by cell, and the names of the lines that they are of."""

    cells: dict[Cell, Totals] = field(default_factory=dict)
    lines: dict[bytes, tuple[str | None, str | None]] = field(default_factory=lambda: {OTHER_LINE: (None, None)})

    def count(self, spans: Iterable[CountedSpan], sign: int) -> None:
        """Add what the spans add up to, or with `sign` -1 take it away."""
        groups: dict[tuple[Any, ...], list[Sequence[Any]]] = {}
        for project_id, values in spans:
            name, model, kind, status, start = values[:5]
            if status != _RUNNING:
                key = (project_id, start // HOUR, name, model, kind, status)
                found = groups.get(key)
                if found is None:
                    groups[key] = [values]
                else:
                    found.append(values)
        for (project_id, hour, name, model, kind, status), members in groups.items():
            shown, of_model = short(name), short(model)
            line = line_of(shown, of_model)
            self.lines[line] = (shown, of_model)
            totals = _totals(members)
            start = hour * HOUR
            for period, begin in ((Period.hour, start), (Period.day, start - start % DAY)):
                self.of(Cell(project_id, int(period), begin, line, kind, status)).add(totals, sign)

    def of(self, cell: Cell) -> Totals:
        """What is changed of one cell."""
        found = self.cells.get(cell)
        if found is None:
            found = self.cells[cell] = Totals()
        return found

    @property
    def periods(self) -> list[PeriodKey]:
        """The periods that change, in order."""
        return sorted({cell[:3] for cell in self.cells})


def short(text: str | None) -> str | None:
    """A name or a model as the cube holds it: cut with a mark at TEXT_LIMIT characters."""
    return text if text is None or len(text) <= TEXT_LIMIT else text[: TEXT_LIMIT - 1] + "…"


def _totals(spans: Sequence[Sequence[Any]]) -> Totals:
    """What spans of one cell add up to."""
    count = len(spans)
    starts, ends, firsts, *figures = list(zip(*spans, strict=True))[4:]
    lengths = [max(0, end - start) for start, end in zip(starts, ends, strict=True) if end is not None]
    first_tokens = [max(0, first) for first in firsts if first is not None]
    sums = {"duration": sum(lengths)}
    if any(column.count(None) < count for column in (firsts, *figures)):
        costs, given, made, totals, cached, written, reasoned = figures
        sums |= {
            "first_tokens": sum(first_tokens),
            "first_token_count": len(first_tokens),
            "told": sum([count - column.count(None) for column in (given, made, totals)]),
            "input": _sum(given),
            "output": _sum(made),
            "total": _sum(totals)
            + sum(
                [(one or 0) + (two or 0) for one, two, both in zip(given, made, totals, strict=True) if both is None]
            ),
            "cached_input": _sum(cached),
            "cache_write": _sum(written),
            "reasoning": _sum(reasoned),
            "cost": _sum(costs),
            "cost_count": count - costs.count(None),
        }
    return Totals(count, pack_sums(sums), histogram_of(lengths), histogram_of(first_tokens))


def _sum(column: Iterable[int | None]) -> int:
    return sum([value for value in column if value is not None])


def add(sql: Sql, spans: Iterable[CountedSpan], *, instead_of: Iterable[CountedSpan] = ()) -> list[PeriodKey]:
    """Count spans that were written, and return the periods that changed.

    `instead_of` are the rows that some of the spans have replaced.
    """
    difference = Difference()
    difference.count(spans, 1)
    difference.count(instead_of, -1)
    if difference.cells:
        lock_periods(sql, Periods.cube, difference.periods, alone=False)
        _write(sql, difference, clear=False)
    return difference.periods


def moved(sql: Sql, traces: Iterable[int], *, from_id: int, into_id: int) -> Difference:
    """What changes when traces (row numbers) go from one project to another; for `move`."""
    difference = Difference()
    for part in _stored(sql, traces):
        difference.count(((from_id, row[1:]) for row in part), -1)
        difference.count(((into_id, row[1:]) for row in part), 1)
    return difference


def move(sql: Sql, difference: Difference) -> list[PeriodKey]:
    """Carry out what `moved` found, and return the periods that changed. Call it once in a transaction."""
    _take_away(sql, difference)
    return difference.periods


def subtract(sql: Sql, traces: Iterable[int]) -> None:
    """Take away what the stored spans of traces (row numbers) had added; for their deletion, before the rows go.

    Call it once in a transaction, with all its traces, as with `take_away`.
    """
    difference = Difference()
    for part in _stored(sql, traces):
        difference.count(((row[0], row[1:]) for row in part), -1)
    _take_away(sql, difference)


def _stored(sql: Sql, traces: Iterable[int]) -> Iterator[list[Any]]:
    """The spans of traces: the project's row number and the values of COUNTED, some thousands at a time.

    Together, whatever trace they are of: spans of one line share the work.
    """
    columns = ", ".join(f"span.{name}" for name in COUNTED)
    for pks in chunked(sorted(set(traces)), CHUNK):
        rows = sql.stream(
            f"SELECT trace.project_id, {columns} FROM trace JOIN span ON span.trace_pk = trace.id "
            f"WHERE trace.id IN ({', '.join('?' * len(pks))})",
            pks,
        )
        yield from chunked(rows, SPANS_AT_ONCE)


def take_away(sql: Sql, spans: Iterable[CountedSpan]) -> None:
    """Take away what some stored spans had added, for those who delete a trace in slices.

    On Postgres the periods are locked, in order, against other writers, so that nothing of a cell that comes to nothing
    stays behind, its name included; two calls in one transaction could wait for another process in a circle.
    """
    difference = Difference()
    difference.count(spans, -1)
    _take_away(sql, difference)


def _take_away(sql: Sql, difference: Difference) -> None:
    if difference.cells:
        lock_periods(sql, Periods.cube, difference.periods, alone=True)
        _write(sql, difference, clear=True)


def counted(project_id: int, span: PreparedSpan) -> CountedSpan:
    """A span that is being written as the cube counts it."""
    record, facts = span.record, span.facts
    usage, cost = facts.usage, span.price.total
    figures: tuple[int | None, ...] = _NO_FIGURES
    if usage is not None or cost is not None:
        usage = usage or NO_USAGE
        figures = (
            held(cost),
            usage.input,
            usage.output,
            usage.total,
            usage.cached_input,
            usage.cache_write,
            usage.reasoning,
        )
    return project_id, (
        record.name,
        facts.model,
        +facts.kind,
        +span.status,
        record.start_time,
        record.end_time or None,
        held(facts.time_to_first_token),
        *figures,
    )


_NO_FIGURES = (None,) * 7


def counted_row(project_id: int, row: Any) -> CountedSpan:
    """A stored row of the span table as the cube counts it."""
    return project_id, tuple([getattr(row, name) for name in COUNTED])


def take_shard(sql: Sql) -> int:
    """The shard that this transaction writes to: the first that no other has taken; never waits for one but the last.

    SQLite has one writer at a time, and so one shard.
    """
    if sql.sqlite:
        return 0
    for shard in range(MAX_SHARDS):
        if sql.rows("SELECT pg_try_advisory_xact_lock(?, ?)", [SHARD_LOCKS, shard])[0][0]:
            return shard
    sql.run("SELECT pg_advisory_xact_lock(?, ?)", [SHARD_LOCKS, MAX_SHARDS])
    return MAX_SHARDS


def read_rows(sql: Sql, lines: Iterable[tuple[int, int, int, bytes]]) -> Iterator[Any]:
    """The rows of lines, (project id, period, start, line), in all their kinds, statuses and shards."""
    return sql.rows_at("metric_cell", _KEY[:4], sorted(set(lines)), what=", ".join(_COLUMNS))


def write_rows(sql: Sql, rows: list[tuple[Any, ...]]) -> None:
    """Write whole rows, each instead of the one that was there."""
    sql.insert(
        "metric_cell",
        _COLUMNS,
        sorted(rows),
        then=f"ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET "
        + ", ".join(f"{name} = excluded.{name}" for name in CONTENT),
    )


def remove_cells(sql: Sql, cells: Iterable[Cell]) -> None:
    """Remove every row of cells."""
    sql.many(
        f"DELETE FROM metric_cell WHERE {' AND '.join(f'{name} = ?' for name in _KEY[:-1])}",
        [tuple(cell) for cell in sorted(cells)],
    )


def row_of(cell: Cell, shard: int, names: tuple[str | None, str | None], totals: Totals) -> tuple[Any, ...]:
    """A row of the table, for `write_rows`."""
    return (*cell, shard, *names, *totals.columns())


def _write(sql: Sql, difference: Difference, *, clear: bool) -> None:
    """Add the differences to this transaction's shard; with `clear` remove what has come to nothing."""
    shard = take_shard(sql)
    lines = {cell[:4] for cell in difference.cells} | {(*period, OTHER_LINE) for period in difference.periods}
    mine: dict[Cell, Totals] = {}
    elsewhere: dict[Cell, int] = {}
    stored: set[tuple[int, int, int, bytes]] = set()
    for row in read_rows(sql, lines):
        cell = Cell(*row[:6])
        stored.add(cell[:4])
        if row.shard == shard:
            mine[cell] = totals_of(row)
        else:
            elsewhere[cell] = elsewhere.get(cell, 0) + row.span_count
    changed: dict[Cell, Totals] = {}
    for cell, totals in difference.cells.items():
        if cell[:4] not in stored and (*cell[:3], OTHER_LINE) in stored:
            cell = cell._replace(line=OTHER_LINE)
        kept = changed.get(cell)
        if kept is None:
            kept = changed[cell] = mine.get(cell) or Totals()
        kept.add(totals)
    gone = {
        cell
        for cell, totals in changed.items()
        if clear and totals.span_count + elsewhere.get(cell, 0) == 0 and cell.line != OTHER_LINE
    }
    remove_cells(sql, gone)
    write_rows(
        sql,
        [
            row_of(cell, shard, difference.lines[cell.line], totals)
            for cell, totals in changed.items()
            if cell not in gone
        ],
    )
