"""Two traces side by side: which steps are the same, what came and went, and how their texts differ."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from tracer.errors import BadRequest, NotFound
from tracer.pages.addresses import url
from tracer.pages.differences import SideDifference, side_difference
from tracer.pages.page import PAGE_HEADERS, abandoned_after, caller_of, reading, render, trace_at
from tracer.pages.reading import Failure, failures
from tracer.pages.words import name_of, token_total
from tracer.queries.align import CHANGED, REMOVED, SAME, Aligned, align, state_of
from tracer.queries.edits import Work
from tracer.queries.outline import CHILD_ERROR, ERROR, KIND_WORDS, RUNNING, STATUSES, Outline, outline
from tracer.queries.rows import ProjectRow, Step, TraceRow
from tracer.queries.runs import run_before, runs
from tracer.queries.same_texts import texts_differ
from tracer.queries.steps import step as load_step
from tracer.queries.traces import newest_traces
from tracer.units import format_cost, format_count, format_duration

PREVIOUS = "previous"
"""In the place of a trace's id: the run of the same chain before the other one, of the same input if there is one."""
AWAITED = 4
"""The state of a step that the newer trace, which still runs, has not reached yet."""
RUNS = 20
CANDIDATES = 50
MOST_PAIRS = 60

_PAIR = re.compile(r"([0-9a-f]{16})\.([0-9a-f]{16})")

router = APIRouter(include_in_schema=False, prefix="/p/{slug}/compare")


@dataclass(frozen=True, slots=True)
class Delta:
    """A figure now, and how it differs from what it was: `+310 ms`, `−12 %`, or nothing."""

    before: str
    after: str
    change: str
    percent: str
    more: bool


@dataclass(frozen=True, slots=True)
class ComparePage:
    """Two traces: `one` is what `other` is compared with."""

    project: ProjectRow
    one: TraceRow
    other: TraceRow
    facts: Sequence[tuple[str, Delta]]


@dataclass(frozen=True, slots=True)
class ChoosePage:
    """What a trace can be compared with."""

    project: ProjectRow
    other: TraceRow
    runs: Sequence[TraceRow]
    traces: Sequence[TraceRow]
    next_cursor: str | None
    span: str | None
    first_run: bool


@dataclass(frozen=True, slots=True)
class PairView:
    """Two steps that belong together, or one that only one trace has."""

    project: ProjectRow
    one_trace: TraceRow
    other_trace: TraceRow
    one: Step | None
    other: Step | None
    facts: Sequence[tuple[str, Delta]]
    parameters: Sequence[tuple[str, str, str]]
    failures: Sequence[tuple[str, Failure]]
    sides: Sequence[SideDifference]

    @property
    def step(self) -> Step:
        """The step that there is, the newer one of two."""
        found = self.other or self.one
        if found is None:
            raise NotFound("There is no such step.")
        return found


@router.get("")
def compare(
    request: Request,
    slug: str,
    a: str | None = None,
    b: str | None = None,
    span: str | None = None,
    after: str | None = None,
) -> Response:
    """Two traces side by side; without `a`, what `b` can be compared with; `a=previous` goes to the run before."""
    with reading(request) as conn:
        if b is None:
            raise BadRequest("b takes the id of the trace to compare.", field="b")
        project, other = trace_at(conn, request, slug, b)
        scope, silence = caller_of(request).scope, abandoned_after(request)
        if a == PREVIOUS:
            earlier = run_before(conn, scope=scope, like=other, abandoned_after=silence)
            if earlier is not None:
                query = {"a": earlier.trace_id, "b": other.trace_id, "span": span}
                return RedirectResponse(url(request, "/p/{slug}/compare", query, slug=slug), 303, headers=PAGE_HEADERS)
        if a is None or a == PREVIOUS:
            page = newest_traces(
                conn, scope=scope, project_id=project.id, after=after, limit=CANDIDATES, abandoned_after=silence
            )
            alike = runs(conn, scope=scope, like=other, before=False, limit=RUNS + 1, abandoned_after=silence)
            choose = ChoosePage(
                project=project,
                other=other,
                runs=[] if after else [run for run in alike if run.received != other.received][:RUNS],
                traces=[trace for trace in page.items if trace.received != other.received],
                next_cursor=page.next_cursor,
                span=span,
                first_run=a == PREVIOUS,
            )
            return render(request, "compare/choose.html", choose)
        _, one = trace_at(conn, request, slug, a)
    view = ComparePage(project, one, other, _trace_facts(one, other))
    return render(request, "compare/compare.html", view, block="head")


@router.get("/rows")
def show_rows(request: Request, slug: str, a: str, b: str, unless: str | None = None) -> Response:
    """Every line of the comparison, as columns; nothing (204) when both traces are as at `unless`, a `version`."""
    with reading(request) as conn:
        _, one = trace_at(conn, request, slug, a)
        _, other = trace_at(conn, request, slug, b)
        version = f"{one.version}.{one.status}.{other.version}.{other.status}"
        if version == unless:
            return Response(status_code=204, headers=PAGE_HEADERS)
        before, after = outline(conn, trace=one), outline(conn, trace=other)
    lines = columns(before, after, align(before, after), growing=other.status == STATUSES[RUNNING])
    body = gzip.compress(msgspec.json.encode(lines | {"version": version}), 1, mtime=0)
    headers = PAGE_HEADERS | {"Vary": f"{PAGE_HEADERS['Vary']}, Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
    else:
        body = gzip.decompress(body)
    return Response(body, media_type="application/json", headers=headers)


@router.get("/texts")
def show_texts(request: Request, slug: str, a: str, b: str, pairs: str) -> Response:
    """For pairs of steps (`id.id`, by commas) whether their texts differ; as many as were read in time."""
    named = [_PAIR.fullmatch(pair) for pair in pairs.split(",")]
    wanted = [(match[1], match[2]) for match in named if match is not None]
    if len(named) > MOST_PAIRS or len(wanted) < len(named):
        raise BadRequest(f"pairs takes up to {MOST_PAIRS} pairs of span ids.", field="pairs")
    with reading(request) as conn:
        _, one = trace_at(conn, request, slug, a)
        _, other = trace_at(conn, request, slug, b)
        ids = [(bytes.fromhex(first), bytes.fromhex(second)) for first, second in wanted]
        found = texts_differ(conn, one, other, ids)
    if not found:
        raise NotFound("There is no such pair of steps.", field="pairs")
    return Response(msgspec.json.encode(found), media_type="application/json", headers=PAGE_HEADERS)


@router.get("/pair")
def show_pair(
    request: Request, slug: str, a: str, b: str, one: str | None = None, other: str | None = None
) -> Response:
    """What differs between two steps, their texts word by word; or one step that has no counterpart."""
    if not one and not other:
        raise BadRequest("one or other takes the id of a step.", field="one")
    with reading(request) as conn:
        project, before = trace_at(conn, request, slug, a)
        _, after = trace_at(conn, request, slug, b)
        first = load_step(conn, trace=before, span_id=one, alone=True) if one else None
        second = load_step(conn, trace=after, span_id=other, alone=True) if other else None
    work = Work()
    sides = [side_difference(title, first, second, work) for title in ("Input", "Output")]
    view = PairView(
        project=project,
        one_trace=before,
        other_trace=after,
        one=first,
        other=second,
        facts=_step_facts(first, second),
        parameters=_parameters(first, second),
        failures=[
            (words, failure)
            for words, step in (("before", first), ("now", second))
            if step is not None
            for failure in failures(step)[:3]
        ],
        sides=[side for side in sides if side is not None],
    )
    return render(request, "compare/_pair.html", view, block="pair")


def columns(one: Outline, other: Outline, lines: Sequence[Aligned], *, growing: bool = False) -> dict[str, object]:
    """The lines for the module that draws them; -1 and an empty id stand for what is not known or not there.

    While the newer trace is `growing`, a step that it lacks is not gone but AWAITED, and one that runs is not changed.
    """
    names: dict[str, int] = {}
    made: dict[str, Any] = {
        key: []
        for key in ("ids", "depth", "state", "moved", "name", "kind", "status", "own", "was", "took", "tokens", "cost")
    }
    for line in lines:
        before, after = line.one, line.other
        rows, row = (other, after) if after >= 0 else (one, before)
        made["ids"].append([one.ids[before].hex() if before >= 0 else "", other.ids[after].hex() if after >= 0 else ""])
        made["depth"].append(line.depth)
        made["state"].append(_state(one, other, line, growing=growing))
        made["moved"].append(int(line.moved))
        made["name"].append(names.setdefault(rows.name[row], len(names)))
        made["kind"].append(rows.kind[row])
        made["status"].append(rows.status[row])
        made["own"].append(int(rows.status[row] == ERROR and not rows.flags[row] & CHILD_ERROR))
        made["was"].append(one.status[before] if before >= 0 else -1)
        for key, of in (("took", "duration"), ("tokens", "tokens"), ("cost", "cost")):
            made[key].append(
                [
                    getattr(one, of)[before] if before >= 0 else -1,
                    getattr(other, of)[after] if after >= 0 else -1,
                ]
            )
    return made | {"names": [name_of(name) for name in names], "kinds": KIND_WORDS, "statuses": STATUSES}


def _state(one: Outline, other: Outline, line: Aligned, *, growing: bool) -> int:
    state = state_of(one, other, line)
    if growing and state == REMOVED:
        return AWAITED
    return SAME if state == CHANGED and other.status[line.other] == RUNNING else state


def _trace_facts(one: TraceRow, other: TraceRow) -> list[tuple[str, Delta]]:
    return [
        ("Duration", _delta(one.duration, other.duration, format_duration)),
        ("Steps", _delta(one.span_count, other.span_count, format_count)),
        ("Tokens", _delta(token_total(one.tokens), token_total(other.tokens), format_count)),
        ("Cost", _delta(one.cost, other.cost, format_cost)),
    ]


def _step_facts(one: Step | None, other: Step | None) -> list[tuple[str, Delta]]:
    before, after = _figures(one), _figures(other)
    found = [
        (name, _delta(before[number], after[number], write)) for number, (name, write) in enumerate(_FIGURES.items())
    ]
    return [(name, delta) for name, delta in found if delta.before or delta.after]


_FIGURES: dict[str, Callable[[Any], str]] = {
    "duration": format_duration,
    "first token": format_duration,
    "tokens in": format_count,
    "tokens out": format_count,
    "cost": format_cost,
}


def _figures(step: Step | None) -> tuple[int | None, ...]:
    if step is None:
        return (None,) * len(_FIGURES)
    row, usage = step.row, step.row.usage
    inside, outside = (usage.input, usage.output) if usage else (None, None)
    return row.duration, row.time_to_first_token, inside, outside, row.cost


def _delta(before: int | None, after: int | None, write: Callable[[Any], str]) -> Delta:
    change = percent = ""
    if before is not None and after is not None and before != after:
        size = after - before
        change = ("+" if size > 0 else "−") + write(abs(size))
        if before > 0 and abs(size) * 1_000 >= before:
            share = size * 100 / before
            percent = f"{'+' if share > 0 else '−'}{abs(share):.{0 if abs(share) >= 10 else 1}f} %"
            if share >= 900:
                percent = f"×{format_count(after // before)}"
    return Delta(
        before="" if before is None else write(before),
        after="" if after is None else write(after),
        change=change,
        percent=percent,
        more=before is not None and after is not None and after > before,
    )


def _parameters(one: Step | None, other: Step | None) -> list[tuple[str, str, str]]:
    """What the two were told to do differently: model, parameters, status, prompt version."""
    if one is None or other is None:
        return []
    before, after = _told(one), _told(other)
    keys = [*before, *(key for key in after if key not in before)]
    return [(key, before.get(key, "–"), after.get(key, "–")) for key in keys if before.get(key) != after.get(key)][:30]


def _told(step: Step) -> dict[str, str]:
    found: dict[str, object] = {"name": step.row.name, "status": step.row.status, "model": step.row.model}
    prompt = step.content.prompt or {}
    found |= {"prompt": prompt.get("name"), "prompt version": prompt.get("version")}
    found |= dict(step.content.parameters)
    found["finished by"] = ", ".join(map(str, step.content.finish_reasons)) or None
    return {key: name_of(str(value), 80) for key, value in found.items() if value is not None}
