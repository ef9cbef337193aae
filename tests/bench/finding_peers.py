"""The same questions asked of others: what the list of Phoenix and of MLflow asks its server, beside ours, in turns.

All hold the same spans. A question is what a peer's own page sends: Phoenix's are read from the scripts that come with
it, since they are part of no contract.
"""

from __future__ import annotations

import json
import math
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.bench.asking import Asker, Request, in_turns
from tests.bench.load import BATCH, MILLISECOND, Body, Chain, body
from tests.bench.peers import PEERS, Peer, spans_of, started, stored
from tests.bench.report import heading, lacking, machine
from tests.bench.server import running, send
from tests.bench.shapes import large_trace

ASKED = 12
RARE_WORD = "zephyrquartz"
EACH = 200
"""One of so many traces has the rare word."""

LARGE = 2_000
DEEP = 5_000
ROWS = 30
"""Of a page, with all of them: what Phoenix's list asks for."""

PATIENCE_S = 60
"""For one answer of a peer's; what it goes on working at afterwards slows what is asked next, so words come last."""

AGAIN = 150
"""Milliseconds up to which an answer is asked for again."""

WANTED = 5
"""How many times as long others are to take."""

FIRST, LATER, FAILED, LONG, SAID = "first page", "page after 5,000", "that failed", "that took over 4 s", "a rare word"
SMALL, GREAT = "a trace of 12 spans", f"a trace of {LARGE:,} spans"
Asked = Mapping[str, Sequence[Request]]


@dataclass(frozen=True)
class Load:
    """The bodies, and the ids of a trace of 12 spans and of a large one."""

    bodies: list[Body]
    small: str
    large: str


def make_load(spans: int) -> Load:
    """Traces a second apart until now, some with a rare word, and one large one."""
    chain, count = Chain(17), spans // 12
    start = time.time_ns() - count * 1_000 * MILLISECOND
    waiting: list[Span] = []
    bodies: list[Body] = []
    middle = ""
    for number in range(count):
        found = chain.trace(start + number * 1_000 * MILLISECOND)
        if number % EACH == EACH // 2:
            for pair in found[-1].attributes:
                if pair.key == "input.value":
                    pair.value.string_value += f" {RARE_WORD}"
        middle = found[0].trace_id.hex() if number == count // 2 else middle
        waiting += found
        while len(waiting) >= BATCH:
            bodies.append(body(waiting[:BATCH]))
            del waiting[:BATCH]
    large = large_trace(5, LARGE)
    waiting += large
    bodies += [body(waiting[at : at + BATCH]) for at in range(0, len(waiting), BATCH)]
    return Load(bodies, middle, large[0].trace_id.hex())


def report(*, spans: int) -> None:
    """Print, for each question, ours, theirs, and how many times as long the fastest of them takes."""
    load = make_load(spans)
    heading(f"Finding beside others, the same {spans:,} spans, median ms")
    machine()
    with ExitStack() as stack:
        ours = stack.enter_context(_ours(load))
        theirs: dict[str, tuple[Asker, Asked]] = {}
        for peer in PEERS:
            if peer.command:
                theirs[peer.name] = stack.enter_context(_peer(peer, load))
            else:
                lacking(peer.name, "not installed")
        names = list(theirs)
        print(f"  {'':26}{'Stepscope':>11}{''.join(f'{name:>11}' for name in names)}   times")
        for question, own in ours[1].items():
            known = [name for name in names if question in theirs[name][1]]
            turns = [partial(_ms, ours[0], own)]
            turns += [partial(_ms, theirs[name][0], theirs[name][1][question]) for name in known]
            mine, *others = (statistics.median(took) for took in in_turns(turns, times=ASKED, seconds=40))
            shown = dict(zip(known, others, strict=True))
            cells = "".join(_cell(shown.get(name)) for name in names)
            times = f"{min(others) / mine:8.1f}{'' if min(others) >= WANTED * mine else '  UNDER'}" if others else ""
            print(f"  {question:26}{mine:>11.1f}{cells}{times}", flush=True)
    machine()


def _ms(asker: Asker, asked: Sequence[Request]) -> float:
    """How long all of it takes, warm; without end where an answer is not there after PATIENCE_S.

    Asked twice, since the others have had the processor's caches for seconds; a slow answer does not feel that.
    """
    try:
        took = sum(asker.ask(one)[1] for one in asked)
        return sum(asker.ask(one)[1] for one in asked) if took < AGAIN else took
    except TimeoutError:
        return math.inf


def _cell(took: float | None) -> str:
    if took is None:
        return f"{'-':>11}"
    return f"{took:>11.1f}" if took < math.inf else f"{f'> {PATIENCE_S} s':>11}"


@contextmanager
def _ours(load: Load) -> Iterator[tuple[Asker, Asked]]:
    with (
        tempfile.TemporaryDirectory(prefix="stepscope-bench-") as folder,
        running(Path(folder)) as server,
        Asker(server.url) as asker,
    ):
        send(server, [load.bodies])
        while asker.read("/api/v1/status")["index"]["state"] != "caught_up":
            time.sleep(0.2)
        traces = partial(Request.of, "/api/v1/traces", project="bench", limit=ROWS)
        deep = asker.page_after(DEEP, project="bench")
        whole = partial(Request.of, bodies="false")
        yield (
            asker,
            {
                FIRST: [traces()],
                LATER: [traces(cursor=deep)],
                FAILED: [traces(q="status:error")],
                LONG: [traces(q="latency>4s")],
                SMALL: [whole(f"/api/v1/traces/{load.small}")],
                GREAT: [whole(f"/api/v1/traces/{load.large}")],
                SAID: [traces(q=RARE_WORD)],
            },
        )


@contextmanager
def _peer(peer: Peer, load: Load) -> Iterator[tuple[Asker, Asked]]:
    with tempfile.TemporaryDirectory(prefix="stepscope-bench-") as name, started(peer, Path(name)) as server:
        began, spans = time.perf_counter(), spans_of([load.bodies])
        send(server, [load.bodies])
        while stored(peer, Path(name), began, spans) < spans:
            time.sleep(0.5)
        with Asker(server.url, server.headers, patience=PATIENCE_S) as asker:
            if peer.name == "phoenix":
                yield asker, _of_phoenix(peer, asker, load)
            else:
                yield asker, _of_mlflow(asker, load, server.headers)


def _of_phoenix(peer: Peer, asker: Asker, load: Load) -> Asked:
    installed = Path(str(peer.command)).parents[1] / "lib"
    scripts = next(installed.glob("python3*/site-packages/phoenix/server/static/assets"))
    told = "".join(script.read_text() for script in sorted(scripts.glob("index-*.js")))

    def graph(text: str, **variables: object) -> Request:
        return Request("/graphql", {"query": text, "variables": variables})

    def own(operation: str, **variables: object) -> Request:
        start = told.index(f"query {operation}")
        return graph(told[start : told.index("`", start)], **variables)

    listed = _answer(asker, graph("query { projects(first: 50) { edges { node { id name } } } }"))
    project = next(one["node"]["id"] for one in listed["projects"]["edges"] if one["node"]["name"] == "bench")
    now = datetime.now(UTC)
    times = {"start": (now - timedelta(days=7)).isoformat(), "end": (now + timedelta(minutes=10)).isoformat()}
    newest = {"col": "startTime", "dir": "desc"}

    def table(wanted: str | None = None, after: str | None = None) -> list[Request]:
        return [
            own(
                "TracesTableQuery", id=project, after=after, first=ROWS, numDescendants=50, sort=newest,
                timeRange=times, traceFilterCondition=wanted,
            )
        ]  # fmt: skip

    walk = (
        "query W($id: ID!, $after: String, $t: TimeRange!) { node(id: $id) { ... on Project { spans(first: 1000, "
        'after: $after, filterCondition: "parent_span is None", timeRange: $t, sort: {col: startTime, dir: desc}) '
        "{ pageInfo { endCursor hasNextPage } } } } }"
    )
    deep: str | None = None
    for _ in range(DEEP // 1_000):
        info = _answer(asker, graph(walk, id=project, after=deep, t=times))["node"]["spans"]["pageInfo"]
        deep = info["endCursor"]
        if not info["hasNextPage"]:
            break
    said = own(
        "SpansTableSpansQuery", id=project, after=None, first=ROWS, filterCondition=f"'{RARE_WORD}' in input.value",
        rootSpansOnly=True, sort=newest, timeRange=times,
    )  # fmt: skip
    return {
        FIRST: table(),
        LATER: table(after=deep),
        FAILED: table("error_count > 0"),
        LONG: table("latency_ms > 4000"),
        SAID: [said],
        SMALL: [own("TraceDetailsQuery", id=project, traceId=load.small)],
        GREAT: [own("TraceDetailsQuery", id=project, traceId=load.large)],
    }


def _answer(asker: Asker, asked: Request) -> Any:
    return json.loads(asker.ask(asked)[0])["data"]


def _of_mlflow(asker: Asker, load: Load, headers: Mapping[str, str]) -> Asked:
    place = [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": headers["x-mlflow-experiment-id"]}}]
    since = f"attributes.timestamp_ms > {int((time.time() - 7 * 86_400) * 1_000)}"

    def search(wanted: str | None = None, token: str | None = None, most: int = ROWS) -> Request:
        asked: dict[str, object] = {"locations": place, "max_results": most, "order_by": ["timestamp_ms DESC"]}
        asked |= {"filter": f"{wanted} AND {since}" if wanted else since}
        return Request("/ajax-api/3.0/mlflow/traces/search", asked | ({"page_token": token} if token else {}))

    token: str | None = None
    for _ in range(DEEP // 500):
        found = json.loads(asker.ask(search(token=token, most=500))[0]).get("next_page_token")
        if not found:
            break
        token = found

    def whole(trace_id: str) -> list[Request]:
        path = "/ajax-api/3.0/mlflow"
        return [
            Request(f"{path}/traces/tr-{trace_id}"),
            Request.of(f"{path}/get-trace-artifact", request_id=f"tr-{trace_id}"),
        ]

    return {
        FIRST: [search()],
        LATER: [search(token=token)],
        FAILED: [search("trace.status = 'ERROR'")],
        LONG: [search("trace.execution_time_ms > 4000")],
        SAID: [search(f"trace.text ILIKE '%{RARE_WORD}%'")],
        SMALL: whole(load.small),
        GREAT: whole(load.large),
    }
