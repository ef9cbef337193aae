"""The command `trace`: one trace as a tree with times, tokens, cost and errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from tracer.sources.source import Answer, Source
from tracer.terminal import out

DEEPEST = 40
"""Levels that are drawn with lines; what lies deeper stands at this one."""

MESSAGE = 300
"""Characters of an error's message."""


def show_tree(source: Source, trace_id: str, *, project: str | None) -> None:
    """Print a trace's head and its tree, a line for each step and one for each error."""
    trace = source.trace(trace_id, project=project)
    terminal = out.console()
    for text in (*_head(trace), Text(), *tree_lines(trace["spans"])):
        terminal.print(text)


def _head(trace: Answer) -> Iterator[Text]:
    yield Text.assemble((out.line(trace["name"]) or "(unnamed)", "bold"), "  ", out.state(trace["status"]))
    facts = [
        f"started {out.moment(trace['start_time'])} UTC",
        out.duration(trace["duration_ms"]),
        f"{trace['span_count']:,} steps" + (f", {trace['error_count']:,} failed" if trace["error_count"] else ""),
        f"{out.tokens(trace['tokens'])} tokens" if out.tokens(trace["tokens"]) else "",
        out.cost(trace["cost_usd"]),
    ]
    yield Text(" · ".join(fact for fact in facts if fact))
    about = [f"trace {trace['trace_id']}", f"project {out.line(trace['project'])}"]
    about += [f"{word} {out.line(trace[f'{word}_id'])}" for word in ("session", "user") if trace[f"{word}_id"]]
    about += [f"tags {', '.join(map(out.line, trace['tags']))}"] if trace["tags"] else []
    about += [f"{out.line(one['name'])}: {out.line(one['value'])}" for one in trace["scores"]]
    yield Text(" · ".join(about), "dim")
    if trace["partial"] is not None:
        yield Text(f"The sums lack a part: {', '.join(trace['partial']['reasons'])}.", "dim")


def tree_lines(spans: Sequence[Answer]) -> Iterator[Text]:
    """The lines of a tree whose spans come in tree order."""
    depths = _depths(spans)
    last = _last_of_their_parents(depths)
    open_levels: list[bool] = []
    for number, span in enumerate(spans):
        depth = min(depths[number], DEEPEST)
        del open_levels[depth:]
        stem = "".join("   " if ended else "│  " for ended in open_levels[1:])
        branch = "" if depth == 0 else "└─ " if last[number] else "├─ "
        open_levels += [last[number]] * (depth + 1 - len(open_levels))
        yield Text.assemble((stem + branch, "dim"), *_step(span))
        if span["status"] == "error" and span["status_message"]:
            below = "" if depth == 0 else "   " if last[number] else "│  "
            message = out.line(span["status_message"])
            shown = message if len(message) <= MESSAGE else message[: MESSAGE - 1] + "…"
            yield Text.assemble((f"{stem}{below}  ", "dim"), (shown, "red"))


def _step(span: Answer) -> Iterator[Text | tuple[str, str] | str]:
    status = span["status"]
    yield (f"{out.SIGNS.get(status, '·')} ", out.STYLES.get(status, ""))
    yield (out.line(span["name"]) or "(unnamed)", "bold red" if status == "error" else "bold")
    facts = [
        span["kind"] if span["kind"] != "other" else "",
        out.line(span["model"]) if span["model"] else "",
        out.duration(span["duration_ms"]),
        f"{out.tokens(span['tokens'])} tokens" if out.tokens(span["tokens"]) else "",
        out.cost(span["cost_usd"]),
    ]
    yield "  " + " · ".join(fact for fact in facts if fact)
    yield (f"  {span['span_id']}", "dim")


def _depths(spans: Sequence[Answer]) -> list[int]:
    found: dict[str, int] = {}
    depths: list[int] = []
    for span in spans:
        above = found.get(span["parent_id"] or "")
        depth = 0 if above is None else above + 1
        found[span["span_id"]] = depth
        depths.append(depth)
    return depths


def _last_of_their_parents(depths: Sequence[int]) -> list[bool]:
    """For each row, whether no later row of the same depth follows before a shallower one."""
    last = [True] * len(depths)
    coming: list[bool] = []
    for number in range(len(depths) - 1, -1, -1):
        depth = depths[number]
        del coming[depth + 1 :]
        coming += [False] * (depth + 1 - len(coming))
        last[number] = not coming[depth]
        coming[depth] = True
    return last
