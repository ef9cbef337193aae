"""What a trace's scores come to: one line for each name and source."""

from __future__ import annotations

from dataclasses import dataclass

from tracer.store.sql import Sql


@dataclass(frozen=True, slots=True)
class ScoreSum:
    """The scores of one name and source in a trace: the mean of numbers, the most frequent of words."""

    name: str
    value: float | bool | str
    source: str
    count: int


def score_sums(sql: Sql, ids: list[bytes]) -> dict[tuple[int, bytes], list[ScoreSum]]:
    """For each trace, by (project, id), one line a name and source: numbers' mean, the most frequent of words."""
    found: dict[tuple[int, bytes], dict[tuple[str, str], list[_Alike]]] = {}
    for row in sql.rows_in(
        "SELECT project_id, trace_id, name, source, words, boolean, count(*) AS times, avg(number) AS number "
        "FROM score WHERE trace_id IN ({keys}) GROUP BY project_id, trace_id, name, source, words, boolean",
        ids,
    ):
        by = found.setdefault((row.project_id, row.trace_id), {})
        by.setdefault((row.name, row.source), []).append(_Alike(row.times, row.words, row.number, bool(row.boolean)))
    return {
        key: [_summed(name, source, alike) for (name, source), alike in sorted(by.items())] for key, by in found.items()
    }


@dataclass(frozen=True, slots=True)
class _Alike:
    """Scores of one name and source that say the same word, or that are all numbers."""

    times: int
    words: str | None
    number: float | None
    boolean: bool


def _summed(name: str, source: str, alike: list[_Alike]) -> ScoreSum:
    count = sum(one.times for one in alike)
    if any(one.words is not None for one in alike):
        most = max(alike, key=lambda one: (one.times, one.words or ""))
        return ScoreSum(name, most.words if most.words is not None else _number(most.number), source, count)
    if count == 1 and alike[0].boolean:
        return ScoreSum(name, bool(alike[0].number), source, count)
    return ScoreSum(name, sum(_number(one.number) * one.times for one in alike) / count, source, count)


def _number(value: float | None) -> float:
    return 0.0 if value is None else float(value)
