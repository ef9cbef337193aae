"""The metrics cube worked out again from the spans, slow and obvious: what its rows are held against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tracer.ingest.cube import COUNTED, CountedSpan, short
from tracer.store.cube import OTHER_LINE, Cell, Period, line_of, read_sums, totals_of
from tracer.store.histogram import bin_of, counts_of
from tracer.store.models import Status
from tracer.store.sql import Sql


@dataclass
class Content:
    """What a cell should hold, or holds."""

    span_count: int = 0
    sums: Counter[str] = field(default_factory=Counter)
    durations: Counter[int] = field(default_factory=Counter)
    """How many values each bin has."""
    first_tokens: Counter[int] = field(default_factory=Counter)


def cube_of(spans: Iterable[CountedSpan]) -> dict[Cell, Content]:
    """The cells that a set of stored spans adds up to, every line apart."""
    cells: dict[Cell, Content] = {}
    for project_id, values in spans:
        span = dict(zip(COUNTED, values, strict=True))
        if span["status"] == Status.running:
            continue
        line = line_of(short(span["name"]), short(span["model"]))
        for period in Period:
            start = span["start_time"] // period.length * period.length
            cell = Cell(project_id, int(period), start, line, span["kind"], span["status"])
            _count(cells.setdefault(cell, Content()), span)
    return cells


def _count(content: Content, span: dict[str, Any]) -> None:
    content.span_count += 1
    if span["end_time"] is not None:
        duration = max(0, span["end_time"] - span["start_time"])
        content.sums["duration"] += duration
        content.durations[bin_of(duration)] += 1
    first = span["time_to_first_token"]
    if first is not None:
        content.sums["first_tokens"] += max(0, first)
        content.sums["first_token_count"] += 1
        content.first_tokens[bin_of(max(0, first))] += 1
    given, made, total = span["input_tokens"], span["output_tokens"], span["total_tokens"]
    content.sums["told"] += sum(tokens is not None for tokens in (given, made, total))
    content.sums["total"] += (given or 0) + (made or 0) if total is None else total
    for name in ("input", "output", "cached_input", "cache_write", "reasoning"):
        content.sums[name] += span[f"{name}_tokens"] or 0
    if span["cost"] is not None:
        content.sums["cost"] += span["cost"]
        content.sums["cost_count"] += 1


def cube_differences(sql: Sql, project_id: int) -> Iterator[str]:
    """What is wrong with a project's cells, in sentences; nothing when they are what the spans add up to.

    Takes memory by the number of the project's cells, not of its spans.
    """
    found, kept_apart, folded = _stored(sql, project_id)
    wanted: dict[Cell, Content] = {}
    for cell, content in cube_of(_spans(sql, project_id)).items():
        if cell[:3] in folded and cell[:4] not in kept_apart:
            cell = cell._replace(line=OTHER_LINE)
        _merge(wanted.setdefault(cell, Content()), content)
    for cell in sorted({*found, *wanted}):
        # Counters are equal when they differ by zeros only.
        has, should = found.get(cell, Content()), wanted.get(cell, Content())
        if has != should:
            period = Period(cell.period).name
            yield (
                f"metrics of the {period} {cell.start}, line {cell.line.hex()}, kind {cell.kind}, "
                f"status {cell.status}: {has} is stored, the spans add up to {should}"
            )


def _spans(sql: Sql, project_id: int) -> Iterator[CountedSpan]:
    columns = ", ".join(f"span.{name}" for name in COUNTED)
    after = -1
    while True:
        pks = [
            row.id
            for row in sql.rows(
                "SELECT id FROM trace WHERE project_id = ? AND id > ? ORDER BY id LIMIT 500", [project_id, after]
            )
        ]
        if not pks:
            break
        after = pks[-1]
        for pk in pks:
            for row in sql.rows(f"SELECT {columns} FROM span WHERE trace_pk = ?", [pk]):
                yield project_id, tuple(row)
    # The spans of a large trace that is deleted are taken away as they go.
    for row in sql.rows(
        f"SELECT {columns} FROM remains JOIN span ON span.trace_pk = remains.trace_pk WHERE remains.project_id = ?",
        [project_id],
    ):
        yield project_id, tuple(row)


def _stored(
    sql: Sql, project_id: int
) -> tuple[dict[Cell, Content], set[tuple[int, int, int, bytes]], set[tuple[int, int, int]]]:
    """The stored cells with their shards summed; the lines kept apart; the periods with lines put together."""
    totals: dict[Cell, Any] = {}
    for row in sql.rows("SELECT * FROM metric_cell WHERE project_id = ?", [project_id]):
        cell = Cell(row.project_id, row.period, row.start, row.line, row.kind, row.status)
        if cell in totals:
            totals[cell].add(totals_of(row))
        else:
            totals[cell] = totals_of(row)
    found = {
        cell: Content(
            sums.span_count,
            Counter(read_sums(sums.sums)),
            _bins(sums.durations),
            _bins(sums.first_tokens),
        )
        for cell, sums in totals.items()
    }
    return found, {cell[:4] for cell in totals}, {cell[:3] for cell in totals if cell.line == OTHER_LINE}


def _bins(packed: int) -> Counter[int]:
    if packed < 0:
        return Counter({-1: packed.bit_length()})  # more was taken away than was there: unlike any other
    lowest, counts = counts_of(packed)
    return Counter({lowest + place: count for place, count in enumerate(counts) if count})


def _merge(into: Content, other: Content) -> None:
    into.span_count += other.span_count
    into.sums.update(other.sums)
    into.durations.update(other.durations)
    into.first_tokens.update(other.first_tokens)
