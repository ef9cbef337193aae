"""Prints how long traces take to open: `python -m tests.bench.pages [--sizes 12,2000,10000,100000] [--runs N]`.

A real service and a headless Chromium. Wall-clock times depend on what else the machine does; processor times do not,
so both are printed: of the service, and of the page's main thread. Medians of the runs. Beside them Phoenix and MLflow
in the same run, where `STEPSCOPE_BENCH_PEERS` names a folder that has them.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import secrets
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from tests.bench.opening import beside
from tests.bench.report import heading, line
from tests.bench.server import Server, running
from tests.browsers import arguments
from tools.provision import find_browser

BATCH = 1_000
MILLISECOND = 1_000_000
USABLE = "performance.getEntriesByName('stepscope-usable')[0]?.startTime"
FRAME = "new Promise(done => requestAnimationFrame(() => setTimeout(done)))"
SCROLL = """async () => {
  const box = document.getElementById("scroll");
  let task = 0, rows = 0, last = performance.now();
  const frames = [];
  const watch = new PerformanceObserver(list => {
    for (const one of list.getEntries()) task = Math.max(task, one.duration);
  });
  watch.observe({ type: "longtask" });
  for (let at = 0; at < 120; at++) {
    // Up and down through all of it, and in small steps, as a wheel does.
    box.scrollTop = at % 3 ? box.scrollTop + 140 : (box.scrollHeight * ((at * 17) % 60)) / 60;
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    frames.push(now - last);
    last = now;
    rows = Math.max(rows, document.querySelectorAll("#tree .row").length);
  }
  await new Promise(done => setTimeout(done, 100));
  for (const one of watch.takeRecords()) task = Math.max(task, one.duration);
  watch.disconnect();
  frames.sort((one, other) => one - other);
  return [frames[Math.floor(frames.length * 0.95)], task, rows];
}"""
LAST = """async () => {
  const tree = document.getElementById("tree"), scroll = document.getElementById("scroll");
  const began = performance.now();
  tree.dispatchEvent(new KeyboardEvent("keydown", { key: "End", bubbles: true }));
  for (;;) {
    const row = document.getElementById(tree.getAttribute("aria-activedescendant") ?? "");
    // Places on the screen may differ by parts of a pixel.
    const seen = row?.getBoundingClientRect().bottom <= scroll.getBoundingClientRect().bottom + 1;
    await new Promise(requestAnimationFrame);
    if (seen && scroll.scrollTop + scroll.clientHeight >= scroll.scrollHeight - 60) return performance.now() - began;
    if (performance.now() - began > 30_000) throw new Error("the last step never came into view");
  }
}"""
SCRIPTS = """() => performance.getEntriesByType("resource").filter(one => one.name.endsWith(".js"))
  .reduce((sum, one) => sum + one.encodedBodySize, 0) / 1000"""


def spans(trace_id: bytes, size: int) -> Iterator[Span]:
    """A crawl: a root, agents under it, and under each a model call and eight tools of changing names."""
    start = time.time_ns() - size * MILLISECOND - 60 * 1_000_000_000
    root, agent = secrets.token_bytes(8), b""
    yield _span(trace_id, root, b"", "crawl", "CHAIN", start, size)
    for number in range(1, size):
        nth = number % 10
        begin = start + number * MILLISECOND
        if nth == 1 or not agent:
            agent = secrets.token_bytes(8)
            yield _span(trace_id, agent, root, f"visit {number}", "AGENT", begin, 9)
        elif nth == 2:
            call = _span(trace_id, secrets.token_bytes(8), agent, "plan", "LLM", begin, 1)
            for key, text in (("llm.model_name", "gpt-4o-mini"), ("llm.provider", "openai")):
                call.attributes.add(key=key).value.string_value = text
            for key, tokens in (("llm.token_count.prompt", 900), ("llm.token_count.completion", 80)):
                call.attributes.add(key=key).value.int_value = tokens
            yield call
        else:
            yield _span(
                trace_id, secrets.token_bytes(8), agent, f"fetch {nth}", "TOOL", begin, 1, failed=number % 997 == 0
            )


def _span(
    trace_id: bytes,
    span_id: bytes,
    parent: bytes,
    name: str,
    kind: str,
    start: int,
    millis: int,
    *,
    failed: bool = False,
) -> Span:
    made = Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=parent,
        name=name,
        start_time_unix_nano=start,
        end_time_unix_nano=start + millis * MILLISECOND,
        status=Status(code=Status.STATUS_CODE_ERROR if failed else Status.STATUS_CODE_OK),
    )
    made.attributes.add(key="openinference.span.kind").value.string_value = kind
    made.attributes.add(key="input.value").value.string_value = f"{name} at {start}"
    return made


def fill(url: str, headers: dict[str, str], size: int) -> str:
    """Send a trace of `size` spans to a server that asks for these headers, and return its id."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=120)
    trace_id = secrets.token_bytes(16)
    waiting: list[Span] = []
    for span in spans(trace_id, size):
        waiting.append(span)
        if len(waiting) == BATCH:
            _post(connection, headers, waiting)
            waiting = []
    if waiting:
        _post(connection, headers, waiting)
    connection.close()
    return trace_id.hex()


def _post(connection: http.client.HTTPConnection, more: dict[str, str], waiting: list[Span]) -> None:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.extend(waiting)
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip", **more}
    connection.request("POST", "/v1/traces", gzip.compress(request.SerializeToString(), 1), headers)
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise RuntimeError(f"refused with {answer.status}")


def main_thread(session: CDPSession) -> float:
    """Processor seconds that the page's main thread has spent on tasks so far."""
    found = session.send("Performance.getMetrics")["metrics"]
    return next(float(one["value"]) for one in found if one["name"] == "TaskDuration")


def usable(page: Page) -> float:
    """Wait until the page's script has drawn the tree; return how long that took from the first request on, in ms."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        found = page.evaluate(USABLE)
        if found is not None:
            return float(found)
        page.wait_for_timeout(100)  # asking takes the machine from the page; the mark says when it was
    raise RuntimeError("the page never became usable")


def measure(server: Server, browser: Browser, trace_id: str) -> dict[str, float]:
    """Open a trace in a browser that has never seen the service, walk about in it, and open it again."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    cpu = server.cpu_seconds
    page.goto(f"{server.url}/p/default/traces/{trace_id}")
    found = {
        "usable, ms": usable(page),
        "  of it the page's main thread, ms": main_thread(session) * 1_000,
        "  of it the service's CPU, ms": (server.cpu_seconds - cpu) * 1_000,
    }
    page.evaluate(FRAME)
    found["End key to the last step in view, ms"] = float(page.evaluate(LAST))
    page.locator("#step article:not(.outline)").wait_for()
    frame, task, rows = page.evaluate(SCROLL)
    found["a frame while scrolling, p95, ms"] = frame
    found["longest task over 50 ms while scrolling, ms"] = task
    found["rows in the page, at most"] = rows
    found["choosing a step to its text, ms"] = _timed(page, "Home")
    found["all scripts of the page, gzipped kB"] = float(page.evaluate(SCRIPTS))
    page.reload()
    found["usable with scripts and styles kept, ms"] = usable(page)
    page.close()
    return found


def _timed(page: Page, key: str) -> float:
    """From a key to the step that it leads to, drawn in tree and pane."""
    return float(
        page.evaluate(
            """async key => {
              const tree = document.getElementById("tree");
              const began = performance.now();
              tree.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
              const chosen = tree.getAttribute("aria-activedescendant")?.slice(2);
              while (document.querySelector("#step article:not(.outline)")?.dataset.span !== chosen)
                await new Promise(done => setTimeout(done, 4));
              return performance.now() - began;
            }""",
            key,
        )
    )


def report(*, sizes: Sequence[int], peer_sizes: Sequence[int], runs: int) -> None:
    """Fill a service with a trace of each size and open each; those of `peer_sizes` beside others."""
    with tempfile.TemporaryDirectory(prefix="stepscope-bench-") as folder, running(Path(folder)) as server:
        traces = {size: fill(server.url, server.headers, size) for size in (*sizes, *peer_sizes)}
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(find_browser()), args=arguments())
            measure(server, browser, next(iter(traces.values())))  # the first page of all starts what starts once
            for size in sizes:
                found = [measure(server, browser, traces[size]) for _ in range(runs)]
                heading(f"A trace of {size:,} spans, {runs} runs")
                for name in found[0]:
                    line(name, [run[name] for run in found])
            addresses = {size: f"{server.url}/p/default/traces/{traces[size]}" for size in peer_sizes}
            beside(browser, addresses, fill, runs=runs)
            browser.close()


def main() -> None:
    """Measure the sizes that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pages", description=__doc__)
    parser.add_argument("--sizes", default="12,2000,10000,100000", help="spans of each trace (default: %(default)s)")
    parser.add_argument("--peer-sizes", default="12,2000", help="the same beside others (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each (default: %(default)s)")
    options = parser.parse_args()
    report(sizes=_sizes(options.sizes), peer_sizes=_sizes(options.peer_sizes), runs=options.runs)


def _sizes(text: str) -> list[int]:
    return [int(size) for size in text.split(",") if size]


if __name__ == "__main__":
    main()
