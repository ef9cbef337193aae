"""Opens a trace's page in a browser that has never seen the server: ours, Phoenix's and MLflow's, all in the same way.

What counts is what a reader sees: a step of the trace on the screen, and a page that answers again.
"""

from __future__ import annotations

import http.client
import json
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Error

from tests.bench.peers import PEERS, Peer, started
from tests.bench.report import heading, lacking, line

PATIENCE_MS = 120_000
STEP = re.compile(r"^(visit \d+|fetch \d)$")
"""Names that only steps of the trace have."""

WATCH = """
window.blocked = 0;
new PerformanceObserver(list => { for (const task of list.getEntries()) window.blocked += task.duration; })
  .observe({ type: "longtask", buffered: true });
"""
CALM = """() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() =>
  requestIdleCallback(() => done(performance.now())))))"""
DRAWN = """() => [...document.querySelectorAll("*")].filter(one => one.childElementCount === 0 &&
  /^(crawl|plan|visit \\d+|fetch \\d)$/.test(one.textContent.trim())).length"""


@dataclass(frozen=True)
class Opened:
    """One opening: milliseconds from the first request until a step is seen and until the page is at rest."""

    seen: float
    calm: float
    blocked: float
    """Milliseconds of tasks over 50 ms on the page's main thread."""
    elements: int
    steps: int
    """Names of steps in the page."""
    bytes: int
    """What came over the wire."""


def opened(browser: Browser, address: str) -> Opened:
    """Open an address with an empty cache. Raises Error when no step is seen within two minutes."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    try:
        page = context.new_page()
        page.add_init_script(WATCH)
        session = context.new_cdp_session(page)
        session.send("Network.enable")
        sizes: list[int] = []
        session.on("Network.loadingFinished", lambda event: sizes.append(int(event["encodedDataLength"])))
        began = time.perf_counter()
        page.goto(address, wait_until="commit", timeout=PATIENCE_MS)
        page.get_by_text(STEP).filter(visible=True).first.wait_for(timeout=PATIENCE_MS)
        seen = (time.perf_counter() - began) * 1_000
        page.evaluate(CALM)
        calm = (time.perf_counter() - began) * 1_000
        page.wait_for_timeout(1_000)  # late requests belong to the opening too
        return Opened(
            seen=seen,
            calm=calm,
            blocked=float(page.evaluate("window.blocked")),
            elements=int(page.evaluate("document.getElementsByTagName('*').length")),
            steps=int(page.evaluate(DRAWN)),
            bytes=sum(sizes),
        )
    finally:
        context.close()


def show(name: str, runs: list[Opened]) -> None:
    """Print the runs of one server."""
    line(f"{name}: a step is seen, ms", [run.seen for run in runs])
    line(f"{name}: the page is at rest, ms", [run.calm for run in runs])
    line(f"{name}: main thread blocked, ms", [run.blocked for run in runs])
    line(f"{name}: elements in the page", [run.elements for run in runs])
    line(f"{name}: names of steps in the page", [run.steps for run in runs])
    line(f"{name}: over the wire, kB", [run.bytes / 1_000 for run in runs])


def beside(
    browser: Browser, ours: dict[int, str], fill: Callable[[str, dict[str, str], int], str], *, runs: int
) -> None:
    """Open our traces (addresses by size) and the same sizes of others; `fill` sends one to a server, and names it."""
    found = {size: {"Stepscope": [opened(browser, address) for _ in range(runs)]} for size, address in ours.items()}
    for peer in PEERS:
        if not peer.command:
            lacking(peer.name, "not installed")
            continue
        with tempfile.TemporaryDirectory(prefix="stepscope-bench-") as folder, started(peer, Path(folder)) as server:
            stored = 0
            for size in ours:
                trace_id = fill(server.url, server.headers, size)
                stored += size
                _wait(peer, Path(folder), stored)
                address = server.url + _ADDRESSES[peer.name](server.url, server.headers, trace_id)
                try:
                    opened(browser, address)  # the first page of all starts what starts once
                    found[size][peer.name] = [opened(browser, address) for _ in range(runs)]
                except Error:
                    lacking(f"{peer.name}, {size:,} spans", f"no step within {PATIENCE_MS // 1_000} s")
    for size, servers in found.items():
        heading(f"Opening a trace of {size:,} spans with an empty cache, {runs} runs")
        for name, opens in servers.items():
            show(name, opens)
        for name, theirs in servers.items():
            if theirs and name != "Stepscope":
                ratios = [other.seen / own.seen for other, own in zip(theirs, servers["Stepscope"], strict=True)]
                line(f"{name}: a step is seen, theirs to ours", ratios, digits=1)


def _wait(peer: Peer, folder: Path, spans: int) -> None:
    until = time.monotonic() + 300
    while peer.count(folder) < spans:
        if time.monotonic() > until:
            raise RuntimeError(f"{peer.name} stored {peer.count(folder):,} of {spans:,} spans")
        time.sleep(0.2)


def _phoenix(url: str, headers: dict[str, str], trace_id: str) -> str:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    query = "query { projects(first: 50) { edges { node { id name } } } }"
    connection.request("POST", "/graphql", json.dumps({"query": query}), {"Content-Type": "application/json"})
    edges = json.loads(connection.getresponse().read())["data"]["projects"]["edges"]
    connection.close()
    project = next(edge["node"]["id"] for edge in edges if edge["node"]["name"] == "default")
    return f"/projects/{project}/traces/{trace_id}"


def _mlflow(url: str, headers: dict[str, str], trace_id: str) -> str:
    experiment = headers["x-mlflow-experiment-id"]
    return f"/#/experiments/{experiment}/traces?selectedEvaluationId=tr-{trace_id}"


_ADDRESSES: dict[str, Callable[[str, dict[str, str], str], str]] = {"phoenix": _phoenix, "mlflow": _mlflow}
"""Where each has the page of a trace."""
