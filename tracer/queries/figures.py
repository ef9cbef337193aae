"""Sums over rows that were read one by one, with exact percentiles, and the series they make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tracer.errors import BadRequest
from tracer.otlp.dialects.reading import Usage
from tracer.queries.metrics import MAX_POINTS, MONDAY
from tracer.queries.rows import Figures, Metrics, Percentiles, Point, Series
from tracer.store.models import Status
from tracer.units import Nanos, NanoUsd, UnixNanos

TOKENS = ("input_tokens", "output_tokens", "total_tokens", "cached_input_tokens", "cache_write_tokens")
TOKENS += ("reasoning_tokens",)
_failed, _running = int(Status.error), int(Status.running)


@dataclass(slots=True)
class Total:
    """What a number of rows adds up to."""

    count: int = 0
    errors: int = 0
    told: int = 0
    tokens: list[int] = field(default_factory=lambda: [0] * len(TOKENS))
    cost: int = 0
    priced: int = 0
    durations: list[int] = field(default_factory=list)
    first_tokens: list[int] = field(default_factory=list)

    def take(self, one: tuple[Any, ...], first_token: int | None = None) -> None:
        """Count one row: start, end, status, cost, TOKENS; and how long its first token took, in nanoseconds."""
        start, end, status, cost, given, out, total, cached, written, reasoning = one
        self.count += 1
        if status == _failed:
            self.errors += 1
        if end is not None and status != _running:
            self.durations.append(end - start if end > start else 0)
        if given is not None or out is not None or total is not None:
            self.told += 1
            sums = self.tokens
            sums[0] += given or 0
            sums[1] += out or 0
            sums[2] += total if total is not None else (given or 0) + (out or 0)
            sums[3] += cached or 0
            sums[4] += written or 0
            sums[5] += reasoning or 0
        if cost is not None:
            self.cost += cost
            self.priced += 1
        if first_token is not None:
            self.first_tokens.append(first_token)

    def add(self, other: Total) -> None:
        """Add what another one counted."""
        self.count += other.count
        self.errors += other.errors
        self.told += other.told
        self.tokens = [one + more for one, more in zip(self.tokens, other.tokens, strict=True)]
        self.cost += other.cost
        self.priced += other.priced
        self.durations += other.durations
        self.first_tokens += other.first_tokens

    def figures(self) -> Figures:
        """What it comes to."""
        usage = None
        if self.told:
            given, out, total, cached, written, reasoning = self.tokens
            usage = Usage(given, out, total, cached or None, written or None, reasoning or None)
        cost = NanoUsd(self.cost) if self.priced else None
        firsts = _percentiles(self.first_tokens)
        return Figures(self.count, self.errors, _percentiles(self.durations), usage, cost, firsts)


@dataclass(slots=True)
class Tally:
    """Rows counted by interval and, where they are `split`, by value. `interval` is in nanoseconds."""

    interval: Nanos
    split: bool
    _whole: dict[int, Total] = field(default_factory=dict)
    _parts: dict[tuple[str | None, int], Total] = field(default_factory=dict)

    def take(self, one: tuple[Any, ...], values: Iterable[str | None], first_token: int | None = None) -> None:
        """Count a row, as `Total.take` does, once in the whole and once for each of its values."""
        at = one[0] - (one[0] - MONDAY) % self.interval
        found = self._whole.get(at)
        if found is None:
            found = self._whole[at] = Total()
        found.take(one, first_token)
        if not self.split:
            return
        for value in values:
            found = self._parts.get((value, at))
            if found is None:
                found = self._parts[value, at] = Total()
            found.take(one, first_token)

    def metrics(self, since: UnixNanos, until: UnixNanos, searched_to: UnixNanos | None, *, limit: int) -> Metrics:
        """What was counted; at most `limit` values have a series of their own, the largest."""
        series = self._series(limit) if self.split else _single(self._whole)
        total = Total()
        for found in self._whole.values():
            total.add(found)
        return Metrics(since, until, self.interval, searched_to, total.figures(), series)

    def _series(self, limit: int) -> tuple[Series, ...]:
        counts: Counter[str | None] = Counter()
        for (value, _), found in self._parts.items():
            counts[value] += found.count
        ordered = sorted(counts, key=lambda value: (-counts[value], value or ""))
        places = {value: min(place, limit) for place, value in enumerate(ordered)}
        merged: dict[int, dict[int, Total]] = {}
        for (value, at), found in self._parts.items():
            merged.setdefault(places[value], {}).setdefault(at, Total()).add(found)
        done: list[Series] = []
        for place in sorted(merged):
            [one] = _single(merged[place])
            other = place == limit
            done.append(Series(None if other else ordered[place], other, one.totals, one.points))
        return tuple(done)


def check_range(since: int, until: int, interval: int, *, series: int) -> None:
    """Raise BadRequest for a time that is empty or has more than MAX_POINTS points in so many series."""
    if since >= until:
        raise BadRequest("`from` has to lie before `to`.", field="from")
    if (until - since) // interval * series > MAX_POINTS:
        raise BadRequest(
            f"These are more than {MAX_POINTS:,} points: ask for a longer interval, a shorter time or fewer series.",
            field="interval",
        )


def _single(sums: dict[int, Total]) -> tuple[Series, ...]:
    total = Total()
    points = [Point(UnixNanos(at), sums[at].figures()) for at in sorted(sums)]
    for found in sums.values():
        total.add(found)
    return (Series(None, False, total.figures(), tuple(points)),) if points else ()


def _percentiles(durations: list[int]) -> Percentiles | None:
    if not durations:
        return None
    durations.sort()
    count = len(durations)
    p50, p95, p99 = (Nanos(durations[-(-count * percent // 100) - 1]) for percent in (50, 95, 99))
    return Percentiles(Nanos(sum(durations) // count), p50, p95, p99)
