"""Rows as the REST contract shows them."""

from __future__ import annotations

from typing import Any

import msgspec

from tracer.otlp.dialects.reading import Usage, Value
from tracer.prices import PriceBook
from tracer.queries.projects import Described
from tracer.queries.rows import (
    Facets,
    Figures,
    Metrics,
    Partial,
    Percentiles,
    SavedView,
    ScoreRow,
    SharedRow,
    SpanRow,
    Step,
    TraceRow,
)
from tracer.store.scores import ScoreSum
from tracer.units import DAY, HOUR, MINUTE, millis, rfc3339, usd


def _time(instant: int | None) -> str | None:
    return None if instant is None else rfc3339(instant)


def _length(length: int | None) -> float | None:
    return None if length is None else millis(length)


def _money(cost: int | None) -> float | None:
    return None if cost is None else usd(cost)


class Tokens(msgspec.Struct, frozen=True, gc=False):
    """Token counts: input, output and total always; the classes only where the client told them."""

    input: int | None
    output: int | None
    total: int | None
    cached_input: int | msgspec.UnsetType = msgspec.UNSET
    cache_write: int | msgspec.UnsetType = msgspec.UNSET
    reasoning: int | msgspec.UnsetType = msgspec.UNSET
    audio: int | msgspec.UnsetType = msgspec.UNSET


class Parts(msgspec.Struct, frozen=True, gc=False):
    """What a cost is made of."""

    input_usd: float | None
    output_usd: float | None


class ListedSpan(msgspec.Struct, frozen=True, gc=False):
    """A span's columns as they stand in JSON.

    A large trace has many thousands: unlike dicts, the garbage collector need not look at them.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: str
    start_time: str
    end_time: str | None
    duration_ms: float | None
    status: str
    status_message: str | None
    model: str | None
    provider: str | None
    tokens: Tokens | None
    cost_usd: float | None
    cost: Parts | None
    cost_source: str | None
    saved_usd: float | None
    time_to_first_token_ms: float | None
    service: str | None
    dialect: str


_UNSET = msgspec.UNSET


def _parts(row: SpanRow) -> Parts | None:
    if row.input_cost is None and row.output_cost is None:
        return None
    return Parts(_money(row.input_cost), _money(row.output_cost))


def _tokens(usage: Usage | None) -> Tokens | None:
    if usage is None:
        return None
    total = usage.total
    if total is None and (usage.input is not None or usage.output is not None):
        total = (usage.input or 0) + (usage.output or 0)
    return Tokens(
        usage.input,
        usage.output,
        total,
        _UNSET if usage.cached_input is None else usage.cached_input,
        _UNSET if usage.cache_write is None else usage.cache_write,
        _UNSET if usage.reasoning is None else usage.reasoning,
        _UNSET if usage.audio is None else usage.audio,
    )


def tokens(usage: Usage | None) -> dict[str, int | None] | None:
    """Token counts as `Tokens` has them."""
    found = _tokens(usage)
    return None if found is None else msgspec.to_builtins(found)


def project(one: Described) -> dict[str, Any]:
    """A project with its totals."""
    row = one.row
    return {
        "name": row.name,
        "slug": row.slug,
        "trace_count": row.trace_count,
        "span_count": row.span_count,
        "first_seen": _time(row.first_seen),
        "last_seen": _time(row.last_seen),
        "other_names": list(one.other_names),
        "retention_days": one.kept_days,
    }


class ListedTrace(msgspec.Struct, frozen=True, gc=False):
    """A trace's summary as it stands in JSON."""

    trace_id: str
    project: str
    name: str
    start_time: str
    end_time: str | None
    duration_ms: float | None
    status: str
    span_count: int
    error_count: int
    llm_call_count: int
    tokens: Tokens | None
    cost_usd: float | None
    cost_source: str | None
    models: tuple[str, ...]
    session_id: str | None
    user_id: str | None
    environment: str | None
    release: str | None
    services: tuple[str, ...]
    tags: tuple[str, ...]
    metadata: dict[str, Any]
    input_preview: str | None
    output_preview: str | None
    note: str | None
    scores: tuple[ScoreSum, ...]
    partial: Partial | None


def listed_trace(row: TraceRow) -> ListedTrace:
    """A trace's summary."""
    return ListedTrace(
        row.trace_id,
        row.project,
        row.name,
        rfc3339(row.start_time),
        _time(row.end_time),
        _length(row.duration),
        row.status,
        row.span_count,
        row.error_count,
        row.llm_call_count,
        _tokens(row.tokens),
        _money(row.cost),
        row.cost_source,
        row.models,
        row.session_id,
        row.user_id,
        row.environment,
        row.release,
        row.services,
        row.tags,
        row.metadata,
        row.input_preview,
        row.output_preview,
        row.note,
        row.scores,
        row.partial,
    )


def trace(row: TraceRow) -> dict[str, Any]:
    """The same as a dict, all the way down."""
    return msgspec.to_builtins(listed_trace(row))


def shared(row: SharedRow, project: str) -> dict[str, Any]:
    """A session or a user with totals."""
    of_user = row.by == "user"
    own = {"user_id": row.key, "session_count": row.other_count}
    if not of_user:
        own = {"session_id": row.key, "user_id": row.other, "user_count": row.other_count}
    return own | {
        "project": project,
        "name": row.name,
        "input_preview": row.title,
        "first_start": rfc3339(row.first),
        "last_start": rfc3339(row.last),
        "end_time": rfc3339(row.until),
        "working_ms": _length(row.working),
        "trace_count": row.trace_count,
        "whole": row.whole,
        "failed_count": row.failed_count,
        "span_count": row.span_count,
        "error_count": row.error_count,
        "llm_call_count": row.llm_call_count,
        "tokens": tokens(row.tokens),
        "cost_usd": _money(row.cost),
        "partial_count": row.partial_count,
    }


def saved_view(row: SavedView) -> dict[str, Any]:
    """A search that somebody saved."""
    return {
        "id": row.id,
        "project": row.project,
        "name": row.name,
        "q": row.q,
        "order": row.order,
        "columns": list(row.columns),
        "author": row.author or None,
        "updated_at": rfc3339(row.updated_at),
    }


def facets(found: Facets) -> dict[str, Any]:
    """Counts by value and over time."""
    return {
        "traces": found.traces,
        "searched_to": _time(found.searched_to),
        "facets": [
            {
                "field": one.field,
                "values": [{"value": value.value, "count": value.count} for value in one.values],
                "more": one.more,
                "traces": one.traces,
            }
            for one in found.facets
        ],
        "interval_ms": millis(found.interval),
        "bars": [{"time": rfc3339(bar.time), "count": bar.count, "errors": bar.errors} for bar in found.bars],
    }


def score(row: ScoreRow) -> dict[str, Any]:
    """One score."""
    return {
        "id": row.id,
        "project": row.project,
        "trace_id": row.trace_id,
        "span_id": row.span_id,
        "name": row.name,
        "value": row.value,
        "comment": row.comment,
        "source": row.source,
        "author": row.author or None,
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    }


def _saved(row: SpanRow, prices: PriceBook) -> float | None:
    """What a call would have cost that the app's own cache answered; None for any other, and without a price."""
    if row.cost_source != "cache":
        return None
    cost = prices.cost_of(row.model, row.provider, row.usage, row.start_time)
    return None if cost is None else usd(cost.total)


def listed_span(row: SpanRow, prices: PriceBook) -> ListedSpan:
    """A span's columns, without bodies."""
    return ListedSpan(
        row.trace_id,
        row.span_id,
        row.parent_id,
        row.name,
        row.kind,
        rfc3339(row.start_time),
        _time(row.end_time),
        _length(row.duration),
        row.status,
        row.status_message,
        row.model,
        row.provider,
        _tokens(row.usage),
        _money(row.cost),
        _parts(row),
        row.cost_source,
        _saved(row, prices),
        _length(row.time_to_first_token),
        row.service,
        row.dialect,
    )


def span(row: SpanRow, prices: PriceBook) -> dict[str, Any]:
    """The same as a dict, all the way down."""
    return msgspec.to_builtins(listed_span(row, prices))


def _value(value: Value | None) -> dict[str, Any] | None:
    if value is None:
        return None
    length = {} if value.full_length is None else {"full_length": value.full_length}
    return {"mime": value.mime, "value": value.value, **length}


def step(found: Step, prices: PriceBook) -> dict[str, Any]:
    """A span, whole."""
    content = found.content
    return span(found.row, prices) | {
        "parameters": content.parameters,
        "input": _value(content.input),
        "output": _value(content.output),
        "input_messages": content.input_messages,
        "output_messages": content.output_messages,
        "tools": content.tools,
        "tool": content.tool,
        "documents": content.documents,
        "prompt": content.prompt,
        "finish_reasons": content.finish_reasons,
        "session_id": found.session_id,
        "user_id": found.user_id,
        "environment": found.environment,
        "release": found.release,
        "tags": list(found.tags),
        "metadata": found.metadata,
        "events": [
            {"name": event.name, "time": rfc3339(event.time), "attributes": event.attributes} for event in found.events
        ],
        "links": [dict(link) for link in found.links],
        "resource": found.resource,
        "scope": found.scope,
        "attributes": found.attributes,
        "partial_output": found.partial_output,
        "flags": list(found.flags),
    }


def metrics(found: Metrics) -> dict[str, Any]:
    """Series and totals of steps."""
    units = ((DAY, "d"), (HOUR, "h"), (MINUTE, "m"))
    length, unit = next((one for one in units if found.interval % one[0] == 0), (MINUTE, "m"))
    return {
        "interval": f"{found.interval // length}{unit}",
        "from": rfc3339(found.since),
        "to": rfc3339(found.until),
        "searched_to": _time(found.searched_to),
        "totals": _figures(found.totals),
        "series": [
            {
                "value": one.value,
                "other": one.other,
                "totals": _figures(one.totals),
                "points": [{"time": rfc3339(point.time), **_figures(point.figures)} for point in one.points],
            }
            for one in found.series
        ],
    }


def _figures(found: Figures) -> dict[str, Any]:
    return {
        "count": found.span_count,
        "errors": found.error_count,
        "duration_ms": _percentiles(found.duration),
        "time_to_first_token_ms": _percentiles(found.time_to_first_token),
        "tokens": tokens(found.usage),
        "cost_usd": _money(found.cost),
    }


def _percentiles(found: Percentiles | None) -> dict[str, float] | None:
    if found is None:
        return None
    return {name: millis(getattr(found, name)) for name in ("mean", "p50", "p95", "p99")}
