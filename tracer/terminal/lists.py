"""The commands `traces` and `tail`: lists of traces, once and for as long as someone looks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import click
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from tracer.errors import BadSearch, NotFound, TracerError
from tracer.search.marks import around, places
from tracer.search.parse import read_search
from tracer.search.tree import Says, said
from tracer.sources.source import Answer, Ask, Source
from tracer.terminal import out

PAGE = 200
COLUMNS = ("started (UTC)", "status", "name", "duration", "steps", "tokens", "cost", "trace")
NUMBERS = ("duration", "steps", "tokens", "cost")
DROPPED = ("steps", "tokens", "cost", "started (UTC)", "duration", "status")
"""What a narrow terminal does without, the first first."""

LEAST_NAME, GAP, SIGN = 14, 2, 2
LEAST_SAID = 24
FOUND = "bold black on yellow"
EVERY_S = 1.0
PATIENCE = 5
"""How often in a row a server may not answer before `tail` gives up."""

UNFINISHED = ("running",)


def found(source: Source, ask: Ask, *, order: str, limit: int) -> Iterator[Answer]:
    """The first `limit` traces, page by page, also where a search needs several turns to find them."""
    cursor, left = None, limit
    while left > 0:
        page = source.traces(ask, order=order, limit=min(left, PAGE), cursor=cursor)
        yield from page["items"]
        left -= len(page["items"])
        cursor = page["next_cursor"]
        if cursor is None:
            return


def show_traces(source: Source, ask: Ask, *, order: str, limit: int, as_json: bool) -> None:
    """Print traces: a table on a terminal, tabs between columns in a pipe, or a JSON object a line."""
    traces = found(source, ask, order=order, limit=limit)
    if as_json:
        for trace in traces:
            out.print_json(trace)
    elif not out.on_terminal():
        for number, trace in enumerate(traces):
            if number == 0:
                click.echo("\t".join(COLUMNS))
            click.echo("\t".join(_cells(trace)))
    else:
        terminal, rows = out.console(), list(traces)
        if not rows:
            click.echo("No trace matches." if ask.q or ask.since or ask.until else "There are no traces yet.", err=True)
            return
        terminal.print(table_of(rows, terminal.width, _wanted(ask.q)), soft_wrap=False)


def tail(source: Source, ask: Ask, *, as_json: bool, every: float = EVERY_S) -> None:
    """Print the newest traces, then each one when it comes and when what became of it is known, until stopped."""
    follow = Follow(source, ask)
    failures = 0
    while True:
        try:
            news = list(follow.look())
            failures = 0
        except TracerError:
            failures += 1
            if failures >= PATIENCE:
                raise
            news = list[Answer]()
        for trace in news:
            _tell(trace, as_json)
        time.sleep(every)


class Follow:
    """Remembers which traces were seen in which state, and finds those that are new or went on."""

    FIRST = 10
    """So many traces are shown at the start."""

    PAGES = 20

    def __init__(self, source: Source, ask: Ask) -> None:
        self._source = source
        self._ask = ask
        self._seen: dict[str, str] = {}
        self._project: dict[str, str] = {}

    def look(self) -> Iterator[Answer]:
        """What is new since the last look, the oldest first."""
        first, news, met = not self._seen, list[Answer](), set[str]()
        cursor = None
        for _ in range(self.PAGES):
            page = self._source.traces(self._ask, limit=self.FIRST if first else PAGE // 2, cursor=cursor)
            known = 0
            for trace in page["items"]:
                key = trace["trace_id"]
                met.add(key)
                if self._seen.get(key) == trace["status"]:
                    known += 1
                else:
                    news.append(trace)
            cursor = page["next_cursor"]
            if first or cursor is None or known:
                break
        news += self._finished(met)
        for trace in reversed(news):
            self._seen[trace["trace_id"]] = trace["status"]
            self._project[trace["trace_id"]] = trace["project"]
            yield trace

    def _finished(self, met: set[str]) -> Iterator[Answer]:
        """Traces that were running when they were seen, and are not among the newest any more."""
        for key in [key for key, status in self._seen.items() if status in UNFINISHED and key not in met]:
            try:
                trace = self._source.trace(key, project=self._project[key])
            except NotFound:
                del self._seen[key]
                continue
            trace.pop("spans")
            if trace["status"] != self._seen[key]:
                yield trace


def _tell(trace: Answer, as_json: bool) -> None:
    if as_json:
        out.print_json(trace)
    elif not out.on_terminal():
        click.echo("\t".join(_cells(trace)))
    else:
        started, _, name, *figures, trace_id = _cells(trace)
        text = Text.assemble(
            (f"{started[11:]} ", "dim"),
            out.state(trace["status"]),
            "  ",
            (name, "bold"),
            "  ",
            " · ".join(part for part in figures if part),
            (f"  {trace_id}", "dim"),
        )
        out.console().print(text)


def table_of(traces: Sequence[Answer], width: int, wanted: Sequence[Says] = ()) -> Table:
    """The traces within a terminal's width: columns that have no room are left out, and names are cut.

    Words that were searched for are marked, and shown where the traces' input or output has them, if there is room.
    """
    cells = [_cells(trace) for trace in traces]
    widths = [max(len(name), *(len(row[place]) for row in cells)) for place, name in enumerate(COLUMNS)]
    widths[COLUMNS.index("status")] += SIGN
    name = COLUMNS.index("name")
    places = list(range(len(COLUMNS)))
    room = width - sum(widths[place] + GAP for place in places if place != name)
    for column in DROPPED:
        if room >= LEAST_NAME:
            break
        places.remove(COLUMNS.index(column))
        room += widths[COLUMNS.index(column)] + GAP
    widths[name] = max(LEAST_NAME, min(room, widths[name]))
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    for place in places:
        justify: JustifyMethod = "right" if COLUMNS[place] in NUMBERS else "left"
        table.add_column(COLUMNS[place], justify=justify, no_wrap=True, overflow="ellipsis", width=widths[place])
    left = width - sum(widths[place] + GAP for place in places)
    shows = bool(wanted) and left >= LEAST_SAID
    if shows:
        table.add_column("said", no_wrap=True, overflow="ellipsis", width=left)
    for trace in traces:
        styled = _styled(trace)
        _mark(styled[name], wanted)
        texts = [styled[place] for place in places]
        table.add_row(*texts, *([_said(trace, wanted, left)] if shows else []))
    return table


def _wanted(q: str) -> Sequence[Says]:
    """The words of a search; none where another version's server reads more than this one."""
    try:
        return said(read_search(q))
    except BadSearch:
        return ()


def _said(trace: Answer, wanted: Sequence[Says], width: int) -> Text:
    """What a trace says around the first of the words; empty where none is in what is known of it here."""
    for key in ("input_preview", "output_preview"):
        line = out.line(trace[key] or "")
        found = places(line, wanted)
        if found:
            text = Text(around(line, found[0], width)[0], "dim")
            _mark(text, wanted)
            return text
    return Text()


def _mark(text: Text, wanted: Sequence[Says]) -> None:
    for start, end in places(text.plain, wanted):
        text.stylize(FOUND, start, end)


def _cells(trace: Answer) -> tuple[str, ...]:
    return (
        out.moment(trace["start_time"]),
        trace["status"],
        out.line(trace["name"]) or "(unnamed)",
        out.duration(trace["duration_ms"]),
        f"{trace['span_count']:,}",
        out.tokens(trace["tokens"]),
        out.cost(trace["cost_usd"]),
        trace["trace_id"],
    )


def _styled(trace: Answer) -> tuple[Text, ...]:
    started, _, name, *figures, trace_id = _cells(trace)
    return (
        Text(started, "dim"),
        out.state(trace["status"]),
        Text(name, "bold"),
        *(Text(cell) for cell in figures),
        Text(trace_id, "dim"),
    )
