"""Prints how long traces take to open: `python -m tests.bench.pages [--sizes 12,2000,10000,100000] [--runs N]`.

A real service and a headless Chromium. Wall-clock times depend on what else the machine does; processor times do not,
so both are printed: of the service, and of the page's main thread. Medians of the runs.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import secrets
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from tests.bench.server import Server, running
from tests.browsers import arguments
from tools.provision import find_browser

BATCH = 1_000
MILLISECOND = 1_000_000
USABLE = "performance.getEntriesByName('stepscope-usable')[0]?.startTime"
FRAME = "new Promise(done => requestAnimationFrame(() => setTimeout(done)))"
SCROLL = """async () => {
  const box = document.getElementById("scroll");
  let worst = 0, rows = 0;
  for (let at = 0; at < 60; at++) {
    box.scrollTop = (box.scrollHeight * ((at * 17) % 60)) / 60;
    const before = performance.now();
    box.dispatchEvent(new Event("scroll"));
    worst = Math.max(worst, performance.now() - before);
    rows = Math.max(rows, document.querySelectorAll("#tree .row").length);
    await new Promise(requestAnimationFrame);
  }
  return [worst, rows];
}"""


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


def fill(server: Server, size: int) -> str:
    """Store a trace of `size` spans and return its id."""
    place = urlsplit(server.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=120)
    trace_id = secrets.token_bytes(16)
    waiting: list[Span] = []
    for span in spans(trace_id, size):
        waiting.append(span)
        if len(waiting) == BATCH:
            _post(connection, waiting)
            waiting = []
    if waiting:
        _post(connection, waiting)
    connection.close()
    return trace_id.hex()


def _post(connection: http.client.HTTPConnection, waiting: list[Span]) -> None:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.extend(waiting)
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
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
        page.wait_for_timeout(5)
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
    found["End key to the last step, ms"] = _timed(page, "End")
    worst, rows = page.evaluate(SCROLL)
    found["longest task while scrolling, ms"] = worst
    found["rows in the page, at most"] = rows
    found["choosing a step to its text, ms"] = _timed(page, "Home")
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


def main() -> None:
    """Fill a service with a trace of each size and open each."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pages", description=__doc__)
    parser.add_argument("--sizes", default="12,2000,10000,100000", help="spans of each trace (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stepscope-bench-") as folder, running(Path(folder)) as server:
        traces = {int(size): fill(server, int(size)) for size in options.sizes.split(",")}
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(find_browser()), args=arguments())
            measure(server, browser, next(iter(traces.values())))  # the first page of all starts what starts once
            for size, trace_id in traces.items():
                runs = [measure(server, browser, trace_id) for _ in range(options.runs)]
                print(f"A trace of {size:,} spans, {options.runs} runs")
                for name in runs[0]:
                    values = [run[name] for run in runs]
                    print(
                        f"  {name:42} {statistics.median(values):>8,.0f}   ({min(values):,.0f} to {max(values):,.0f})"
                    )
            browser.close()


if __name__ == "__main__":
    main()
