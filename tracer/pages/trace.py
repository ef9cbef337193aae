"""One trace: the head that says what happened, the tree of its steps, and the chosen step in full."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import msgspec
from fastapi import APIRouter, Request, Response
from markupsafe import Markup
from sqlalchemy import Connection

from tracer.errors import BadRequest, NotFound
from tracer.guard import embedded
from tracer.pages import reading as content
from tracer.pages.addresses import origin
from tracer.pages.conversation import call_before
from tracer.pages.json_view import json_tree
from tracer.pages.outgoing import MOST_STEPS, as_markdown
from tracer.pages.page import PAGE_HEADERS, caller_of, reading, render, trace_at, unix_now, wants_block
from tracer.pages.skeletons import Kept, SkeletonCache
from tracer.pages.tree_rows import RowView, first_rows, skeleton, total_of
from tracer.pages.wrong import Wrong, WrongView, last_failed, wrong_in
from tracer.prices import PriceBook
from tracer.prices.rates import CostLine
from tracer.queries.added import names_used, scores_of
from tracer.queries.outline import MISSING, Outline, outline
from tracer.queries.rows import ProjectRow, ScoreRow, SpanRow, Step, TraceRow
from tracer.queries.steps import call_number, is_missing, steps_of
from tracer.queries.steps import step as load_step
from tracer.queries.within import find_within
from tracer.settings import Settings
from tracer.units import Nanos, format_duration

_AS_TEXT = PAGE_HEADERS | {"Content-Security-Policy": "default-src 'none'; sandbox"}

MOST_AT_ONCE = 100
"""Steps of a trace whose skeleton its page brings; a larger one's is asked for while the scripts are read."""

MOST_QUERY = 200
"""Characters of what is searched in a trace."""

router = APIRouter(include_in_schema=False, prefix="/p/{slug}/traces/{trace_id}")


@dataclass(frozen=True, slots=True)
class TracePage:
    """A trace and the first screen of its tree."""

    project: ProjectRow
    trace: TraceRow
    rows: Sequence[RowView]
    row_count: int
    ticks: Sequence[str]
    step: StepView | None
    missing: str | None = None
    """The id of the chosen step when it is one that has not arrived."""
    score_names: Sequence[str] = ()
    """Names of scores that the project gave lately."""
    wrong: WrongView | None = None
    """What went wrong, when something did."""
    skeleton: str | None = None
    """All rows as JSON, when they are few: what the page's script would ask for next."""


@dataclass(frozen=True, slots=True)
class Bill:
    """How a call's cost comes about; `why` says so when there are no lines."""

    lines: Sequence[CostLine] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class StepView:
    """The chosen step, in the shapes that its page draws."""

    project: ProjectRow
    trace: TraceRow
    step: Step
    whole: bool
    """Everything was asked for, not just what fits a first look."""
    took: int | None
    share: str
    """How much of the trace's time it took, in words; empty when that says nothing."""
    failures: Sequence[content.Failure]
    prompt: content.PromptView | None
    input: content.Side | None
    output: content.Side | None
    documents: Sequence[content.DocumentView]
    more_documents: int
    embeddings: Sequence[tuple[content.Text | None, str]]
    bill: Bill
    scores: Sequence[ScoreRow]
    """Those given to this step; at the top of the tree, those of the whole trace too."""
    curl: str
    """The command that fetches this step from the interface for programs."""
    python: str
    """The lines that do so with our client for Python."""
    since: SpanRow | None
    """The model call before, whose conversation this one goes on with."""
    since_call: tuple[int, int]
    """Which model call of the trace that is, from 1, and how many there are."""
    previous: str | None
    next: str | None

    @property
    def tables(self) -> list[tuple[str, Mapping[str, object]]]:
        """What the step carries beside its content, under the names that its page gives it."""
        scope = self.step.scope
        found = [
            ("Metadata", self.step.metadata),
            ("Attributes", self.step.attributes),
            ("Resource", self.step.resource),
            ("Instrumentation", scope),
        ]
        return [(name, table) for name, table in found if table]

    def tree_of(self, value: object) -> Markup:
        """Any JSON value as a tree that folds."""
        return json_tree(value, max_nodes=5_000 if self.whole else 300)


@router.get("")
def show_trace(request: Request, slug: str, trace_id: str, span: str | None = None) -> Response:
    """The whole page; for htmx its head alone, which is what changes while a trace runs."""
    with reading(request) as conn:
        project, trace = trace_at(conn, request, slug, trace_id)
        if wants_block(request):
            wrong = _told(conn, trace, _wrong(request, conn, trace), None)
            bare = TracePage(project=project, trace=trace, rows=(), row_count=0, ticks=(), step=None, wrong=wrong)
            return render(request, "traces/trace.html", bare, block="head")
        rows = outline(conn, trace=trace, with_missing=True)
        names = names_used(conn, project_id=project.id)
        chosen = _chosen(trace, rows, span)
        now = unix_now()
        step, missing = None, None
        if chosen is not None and rows.flags[chosen] & MISSING:
            missing = rows.ids[chosen].hex()
        elif chosen is not None:
            step = _step_view(
                project,
                trace,
                load_step(conn, trace=trace, span_id=rows.ids[chosen].hex(), alone=True),
                _Surroundings(request, conn),
                previous=rows.ids[chosen - 1].hex() if chosen else None,
                following=rows.ids[chosen + 1].hex() if chosen + 1 < len(rows) else None,
            )
        wrong = _told(conn, trace, wrong_in(trace, rows), step)
    page = TracePage(
        project=project,
        trace=trace,
        rows=first_rows(rows, selected=chosen, now=now),
        row_count=rows.steps,
        ticks=_ticks(total_of(rows, now)),
        step=step,
        missing=missing,
        score_names=names,
        wrong=wrong,
        skeleton=msgspec.json.encode(skeleton(trace, rows)).decode() if len(rows) <= MOST_AT_ONCE else None,
    )
    answer = render(request, "traces/trace.html", page, headers=_framing(request))
    _skeletons(request).make(trace, rows)  # the page's script asks for it next
    return answer


@router.get("/steps/{span_id}")
def show_step(request: Request, slug: str, trace_id: str, span_id: str, whole: bool = False) -> Response:
    """The chosen step alone, as the trace page's right side holds it."""
    with reading(request) as conn:
        project, trace = trace_at(conn, request, slug, trace_id)
        if is_missing(conn, trace=trace, span_id=span_id):
            bare = TracePage(project, trace, rows=(), row_count=0, ticks=(), step=None, missing=span_id)
            return render(request, "traces/_missing.html", bare, block="step")
        found = load_step(conn, trace=trace, span_id=span_id, alone=True)
        view = _step_view(project, trace, found, _Surroundings(request, conn), whole=whole)
    return render(request, "traces/_step.html", view, block="step")


@router.get("/steps/{span_id}/markdown")
def show_markdown(request: Request, slug: str, trace_id: str, span_id: str) -> Response:
    """A step and all below it as Markdown, to be pasted to a model."""
    with reading(request) as conn:
        _, trace = trace_at(conn, request, slug, trace_id)
        rows = outline(conn, trace=trace, with_missing=True)
        top = _chosen(trace, rows, span_id)
        if top is None or rows.ids[top].hex() != span_id:
            raise NotFound(f"There is no step {span_id[:40]!r} in this trace.", field="span_id")
        wanted = range(top, min(rows.end[top], top + MOST_STEPS))
        found = steps_of(conn, trace=trace, span_ids=[rows.ids[row] for row in wanted])
        levels = {rows.ids[row].hex(): rows.depth[row] - rows.depth[top] for row in wanted}
        told = ((levels[step.row.span_id], step) for step in found)
        text = "".join(as_markdown(trace, told, rows.end[top] - wanted.stop))
    return Response(text.encode("utf-8", "replace"), media_type="text/plain; charset=utf-8", headers=_AS_TEXT)


@router.get("/search")
def search(request: Request, slug: str, trace_id: str, q: str, after: str | None = None) -> Response:
    """Which steps have a text in their names, attributes, prompts, outputs, errors or logs; a part at a time."""
    if not 0 < len(q) <= MOST_QUERY:
        raise BadRequest(f"q takes 1 to {MOST_QUERY} characters.", field="q")
    with reading(request) as conn:
        _, trace = trace_at(conn, request, slug, trace_id)
        found = find_within(conn, trace=trace, text=q, after=_place(after))
    body = {
        "ids": [span_id.hex() for span_id in found.span_ids],
        "after": None if found.after is None else f"{found.after[0]}.{found.after[1]}",
        "read": found.read,
    }
    return Response(msgspec.json.encode(body), media_type="application/json", headers=PAGE_HEADERS)


@router.get("/steps/{span_id}/{side}")
def show_side(
    request: Request,
    slug: str,
    trace_id: str,
    span_id: str,
    side: Literal["input", "output"],
    download: bool = False,
) -> Response:
    """One side of a step as plain text, whole, exactly as it was sent. It is never anything but text to a browser."""
    with reading(request) as conn:
        _, trace = trace_at(conn, request, slug, trace_id)
        found = load_step(conn, trace=trace, span_id=span_id, alone=True)
    text = content.side_text(found, side)
    if text is None:
        raise NotFound(f"This step has no {side}.")
    body, ending = text
    how = "attachment" if download else "inline"
    headers = _AS_TEXT | {"Content-Disposition": f'{how}; filename="{found.row.span_id}-{side}.{ending}"'}
    return Response(body.encode("utf-8", "replace"), media_type="text/plain; charset=utf-8", headers=headers)


@router.get("/skeleton")
def show_skeleton(request: Request, slug: str, trace_id: str, unless: int | None = None) -> Response:
    """All rows of the tree, as columns; nothing (204) when the trace still has the version that `unless` names."""
    with reading(request) as conn:
        _, trace = trace_at(conn, request, slug, trace_id)
        if unless == trace.version:
            return Response(status_code=204, headers=PAGE_HEADERS)
        body = _skeleton(request, conn, trace).body
    headers = PAGE_HEADERS | {"Vary": f"{PAGE_HEADERS['Vary']}, Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
    else:
        body = gzip.decompress(body)
    return Response(body, media_type="application/json", headers=headers)


def _framing(request: Request) -> dict[str, str]:
    """Whoever came by a link may read the trace in another page's frame, where that page's origin is allowed to."""
    origins = cast(Settings, request.app.state.settings).embed_origins
    return embedded(origins) if origins and caller_of(request).kind in ("link", "owner") else {}


def _skeletons(request: Request) -> SkeletonCache:
    return cast(SkeletonCache, request.app.state.skeletons)


def _skeleton(request: Request, conn: Connection, trace: TraceRow) -> Kept:
    kept = _skeletons(request).find(trace)
    return kept or _skeletons(request).make(trace, outline(conn, trace=trace, with_missing=True))


def _wrong(request: Request, conn: Connection, trace: TraceRow) -> Wrong | None:
    """What went wrong; while a trace grows its page has just asked for the skeleton of this state."""
    return _skeleton(request, conn, trace).wrong if trace.error_count else None


def _told(conn: Connection, trace: TraceRow, found: Wrong | None, chosen: StepView | None) -> WrongView | None:
    """What went wrong with what the step said, which is read unless it is the chosen one."""
    if found is None:
        return None
    if chosen is not None and chosen.step.row.span_id == found.span_id:
        failures = chosen.failures
    else:
        failures = content.failures(load_step(conn, trace=trace, span_id=found.span_id, alone=True))
    return WrongView(found, failures[0] if failures else None)


def _chosen(trace: TraceRow, rows: Outline, span: str | None) -> int | None:
    """The step asked for; else, in a failed trace, the one that its head names; else the top of the tree."""
    if span is not None and len(span) == 16:
        try:
            return rows.ids.index(bytes.fromhex(span))
        except ValueError:
            pass  # no step of this trace has it
    failed = last_failed(rows) if trace.status == "error" else None
    if failed is not None:
        return failed
    return next((row for row, flags in enumerate(rows.flags) if not flags & MISSING), None)


def _step_view(
    project: ProjectRow,
    trace: TraceRow,
    found: Step,
    around: _Surroundings,
    *,
    whole: bool = False,
    previous: str | None = None,
    following: str | None = None,
) -> StepView:
    documents, more = content.documents(found, whole=whole)
    row = found.row
    took = row.duration
    if row.status == "running":
        took = Nanos(max(0, unix_now() - row.start_time))
    since, seen = call_before(around.conn, trace, found)
    return StepView(
        project=project,
        trace=trace,
        step=found,
        whole=whole,
        took=took,
        share="" if trace.status == "running" else _share(row, trace),
        failures=content.failures(found),
        prompt=content.prompt(found),
        input=content.input_side(found, whole=whole, seen=seen),
        output=content.output_side(found, whole=whole),
        documents=documents,
        more_documents=more,
        embeddings=content.embeddings(found),
        bill=around.bill(row),
        scores=around.scores(trace, row),
        curl=around.curl(row),
        python=around.python(row),
        since=since,
        since_call=call_number(around.conn, trace=trace, row=since) if since is not None else (0, 0),
        previous=previous,
        next=following,
    )


@dataclass(frozen=True, slots=True)
class _Surroundings:
    """What the view of a step needs beside the step: the trace's other calls, and prices."""

    request: Request
    conn: Connection

    def scores(self, trace: TraceRow, row: SpanRow) -> list[ScoreRow]:
        """The scores of a step; with a root's stand those of the whole trace."""
        found = scores_of(self.conn, trace=trace, span_id=row.span_id)
        return found if row.parent_id is not None else [*scores_of(self.conn, trace=trace, span_id=""), *found]

    def curl(self, row: SpanRow) -> str:
        """The command that fetches a step; who had to sign in needs a key."""
        key = ' -H "Authorization: Bearer $STEPSCOPE_API_KEY"' if caller_of(self.request).signed_in else ""
        return f"curl -s{key} '{origin(self.request)}/api/v1/traces/{row.trace_id}/spans/{row.span_id}'"

    def python(self, row: SpanRow) -> str:
        """Lines of Python that fetch a step; the client finds a key in STEPSCOPE_API_KEY."""
        return (
            "from stepscope.client import Client\n\n"
            f"with Client({origin(self.request)!r}) as client:\n"
            f"    step = client.span({row.trace_id!r}, {row.span_id!r})\n"
        )

    def bill(self, row: SpanRow) -> Bill:
        """The arithmetic of a call's cost, as long as today's prices still give what was stored."""
        if row.cost is None:
            return Bill()
        if row.cost_source == "sent":
            return Bill(why="This cost came with the step, from the client.")
        if row.cost_source == "cache":
            return Bill(why="The app's own cache answered, so this call cost nothing.")
        prices = cast(PriceBook, self.request.app.state.prices)
        cost = prices.cost_of(row.model, row.provider, row.usage, row.start_time)
        if cost is None or cost.total != row.cost:
            return Bill(why="This cost was worked out when the step arrived, with the prices known then.")
        return Bill(cost.lines)


def _share(row: SpanRow, trace: TraceRow) -> str:
    if row.duration is None or row.status == "running" or not trace.duration or row.parent_id is None:
        return ""
    percent = row.duration * 100 / trace.duration
    if percent < 1:
        return "under 1 % of the trace"
    return f"{min(100, round(percent))} % of the trace"


def _place(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    pack, _, offset = text.partition(".")
    if not (text.isascii() and pack.isdigit() and offset.isdigit() and len(text) <= 30):
        raise BadRequest("after takes what an earlier answer gave.", field="after")
    return min(int(pack), 2**31 - 1), min(int(offset), 2**31 - 1)


def _ticks(total_us: int) -> list[str]:
    return [format_duration(total_us * 1_000 * quarter // 4) if quarter else "0" for quarter in range(4)]
