"""Charts: plotly figures made of metrics. Colours are the page's, which knows whether it is light or dark.

Plotly is imported when the first chart is asked for: half of what it costs is its first figure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tracer.queries.rows import Figures, Metrics, Series
from tracer.units import (
    HOUR,
    MILLISECOND,
    SECOND,
    Nanos,
    NanoUsd,
    format_cost,
    format_count,
    format_duration,
)
from tracer.zone import local_text, zone_label

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Value = Callable[[Figures], float | None]
"""What a line shows of an interval; None where nothing told of it."""

NAME_LIMIT = 40
"""Characters of a series' name in a legend."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line, or one part of each bar: its name, its values, and which traces are behind it."""

    name: str
    value: Value
    series: Series
    place: int = 0
    """The number of its colour; that of the series, so that it has the same in every chart."""
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: `id` for its place in the page, a title, a sentence, and how a value is written."""

    id: str
    title: str
    about: str
    lines: list[Line] = field(default_factory=list)
    bars: bool = False
    shown: Callable[[float], str] = str
    scale: float = 1.0
    """What values are divided by to stand on the axis."""
    suffix: str = ""
    prefix: str = ""


def charts_of(found: Metrics, *, of: str, divided: bool, name: Callable[[Series], str]) -> list[Chart]:
    """The charts of a page. `divided` is whether the series are by something; `name` names one."""
    series = found.series
    what = "traces" if of == "traces" else "steps"
    named = [(place, name(one)[:NAME_LIMIT], one) for place, one in enumerate(series)]
    latency = Chart("latency", "Latency", "95th percentile" if divided else "How long they took", shown=_duration)
    rate = Chart("errors", "Errors", f"Share of {what} that failed", shown=_percent, scale=0.01, suffix=" %")
    count = Chart("count", "Throughput", f"{what.capitalize()} that began", bars=True, shown=_count)
    tokens = Chart("tokens", "Tokens", "Of model and embedding calls", bars=True, shown=_count)
    cost = Chart("cost", "Cost", "Of what has a known price", bars=True, shown=_cost, scale=SECOND, prefix="$")
    first = Chart(
        "first-token",
        "Time to first token",
        "95th percentile" if divided else "Of calls that streamed",
        shown=_duration,
    )
    if divided:
        for place, label, one in named:
            latency.lines.append(Line(label, _percentile("duration", "p95"), one, place))
            rate.lines.append(Line(label, _failed, one, place))
            count.lines.append(Line(label, lambda at: at.span_count, one, place))
            tokens.lines.append(Line(label, _tokens(lambda usage: usage.total or 0), one, place))
            cost.lines.append(Line(label, lambda at: at.cost, one, place))
            first.lines.append(Line(label, _percentile("time_to_first_token", "p95"), one, place))
    for one in () if divided else series:
        for place, percent in enumerate(("p50", "p95", "p99")):
            latency.lines.append(Line(percent, _percentile("duration", percent), one, place, percent == "p99"))
            first.lines.append(Line(percent, _percentile("time_to_first_token", percent), one, place, percent == "p99"))
        rate.lines.append(Line("failed", _failed, one))
        count.lines.append(Line(what, lambda at: at.span_count, one))
        cost.lines.append(Line("cost", lambda at: at.cost, one))
        for place, (label, number) in enumerate(_CLASSES):
            tokens.lines.append(Line(label, _tokens(number), one, place))
    return [latency, count, rate, tokens, cost, *([first] if of == "steps" else [])]


def figures(charts: Iterable[Chart], found: Metrics, *, search: Callable[[Series], str | None]) -> str:
    """The charts as JSON for the page: `[{id, data, layout}]`; `search` finds the traces behind a series."""
    made = [{"id": chart.id, **_figure(chart, found, search)} for chart in charts]
    return json.dumps(made, separators=(",", ":"))


def _figure(chart: Chart, found: Metrics, search: Callable[[Series], str | None]) -> dict[str, Any]:
    import plotly.graph_objects as go

    figure: Figure = go.Figure()
    scale = chart.scale
    if chart.shown is _duration:
        tallest = max((value for line in chart.lines for _, value in _values(line)), default=0)
        scale = SECOND if tallest >= SECOND else MILLISECOND
    drawn = [(line, values) for line in chart.lines if (values := _values(line))]
    if chart.id == "tokens":
        drawn = [(line, values) for line, values in drawn if any(value for _, value in values)]
    for line, values in drawn:
        points: dict[str, Any] = {
            "x": [local_text(at) for at, _ in values],
            "y": [value / scale for _, value in values],
            "text": [chart.shown(value) for _, value in values],
            "name": line.name,
            "hovertemplate": "%{text}",
            "meta": {"colour": line.place, "other": line.series.other, "q": search(line.series)},
        }
        if chart.bars:
            figure.add_bar(**points, textposition="none")
        else:
            dash = "dot" if line.dashed else "solid"
            figure.add_scatter(**points, mode="lines+markers", line={"dash": dash, "width": 1.5}, marker={"size": 4})
    suffix = chart.suffix or ({SECOND: " s", MILLISECOND: " ms"}[int(scale)] if chart.shown is _duration else "")
    figure.update_layout(
        template={},
        barmode="stack",
        bargap=0.15,
        hovermode="x unified",
        margin={"l": 56, "r": 8, "t": 8, "b": 68 if len(drawn) > 1 else 42},
        showlegend=len(drawn) > 1,
        legend={"orientation": "h", "y": -0.24, "x": 0, "yanchor": "top", "traceorder": "normal"},
        xaxis={
            "type": "date",
            "range": [local_text(found.since), local_text(found.until)],
            "hoverformat": f"%d %b %H:%M {zone_label(found.until)}" if found.interval < 24 * HOUR else "%a %d %b",
        },
        yaxis={
            "rangemode": "tozero",
            "tickprefix": chart.prefix,
            "ticksuffix": suffix,
            "nticks": 6,
            "fixedrange": True,
        },
        dragmode="zoom",
    )
    return json.loads(figure.to_json())


def _values(line: Line) -> list[tuple[int, float]]:
    """The line's points; an interval without a value has none."""
    found = ((point.time, line.value(point.figures)) for point in line.series.points)
    return [(at, value) for at, value in found if value is not None]


def _percentile(what: str, percent: str) -> Value:
    def value(at: Figures) -> float | None:
        found = getattr(at, what)
        return None if found is None else getattr(found, percent)

    return value


def _failed(at: Figures) -> float | None:
    return at.error_count / at.span_count if at.span_count else None


def _tokens(number: Callable[[Any], int]) -> Value:
    def value(at: Figures) -> float | None:
        return None if at.usage is None else number(at.usage)

    return value


_CLASSES: list[tuple[str, Callable[[Any], int]]] = [
    ("input", lambda usage: max(0, (usage.input or 0) - (usage.cached_input or 0) - (usage.cache_write or 0))),
    ("cached input", lambda usage: usage.cached_input or 0),
    ("cache write", lambda usage: usage.cache_write or 0),
    ("output", lambda usage: max(0, (usage.output or 0) - (usage.reasoning or 0))),
    ("reasoning", lambda usage: usage.reasoning or 0),
]
"""The classes that add up to all tokens."""


def _duration(value: float) -> str:
    return format_duration(Nanos(int(value)))


def _count(value: float) -> str:
    return format_count(int(value))


def _percent(value: float) -> str:
    return f"{value * 100:.1f} %"


def _cost(value: float) -> str:
    return format_cost(NanoUsd(int(value)))
