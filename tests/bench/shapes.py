"""What the shape of the load costs: one trace in many batches; an agent whose every call repeats all that was said."""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.bench.load import Body, Chain, Words, body, make_span
from tests.bench.report import heading, line
from tests.bench.server import running, send

SPANS, BATCHES = 2_000, 500
CALLS = 50


def report(*, runs: int) -> None:
    """Print what one trace costs in one batch and in many, and what an agent's loop takes on disk."""
    heading(f"One trace of {SPANS:,} spans, server CPU in s")
    one: list[float] = []
    many: list[float] = []
    others: list[float] = []
    for number in range(runs):
        spans = large_trace(number)
        one.append(_cpu([body(spans)]))
        size = SPANS // BATCHES
        many.append(_cpu([body(spans[at : at + size]) for at in range(0, SPANS, size)]))
        for at, span in enumerate(spans):
            span.trace_id = (at // size + 1).to_bytes(16)
        others.append(_cpu([body(spans[at : at + size]) for at in range(0, SPANS, size)]))
    line("in one batch", one, digits=3)
    line(f"in {BATCHES} batches", many, digits=3)
    line(f"{BATCHES} batches of as many traces", others, digits=3)
    line("ratio of many batches to one", [a / b for a, b in zip(many, one, strict=True)], digits=1)
    line("ratio of one trace to as many", [a / b for a, b in zip(many, others, strict=True)], digits=2)
    heading(f"An agent of {CALLS} model calls, each with the whole history, bytes on disk")
    sent: list[float] = []
    stored: list[float] = []
    for number in range(runs):
        spans = agent_loop(number)
        sent.append(float(sum(len(pair.value.string_value) for span in spans for pair in span.attributes)))
        stored.append(_growth([body(spans)]))
    line("text in the spans", sent)
    line("stored", stored)


def large_trace(seed: int, size: int = SPANS) -> list[Span]:
    """Many chains under one trace id."""
    chain, spans = Chain(seed), list[Span]()
    start = time.time_ns()
    while len(spans) < size:
        spans += chain.trace(start + len(spans) * 1_000_000)
    for span in spans:
        span.trace_id = spans[0].trace_id
    return spans[:size]


def agent_loop(seed: int) -> list[Span]:
    """Model calls whose messages travel as one JSON text, as most instrumentations send them."""
    chance = random.Random(f"agent {seed}")  # no id is one of a chain's
    words = Words(chance)
    trace_id, root = chance.randbytes(16), chance.randbytes(8)
    start = time.time_ns()
    history = [{"role": "system", "content": words(600)}, {"role": "user", "content": words(200)}]
    spans: list[Span] = []
    for number in range(CALLS):
        answer = words(400)
        attributes: dict[str, object] = {
            "input.value": json.dumps({"messages": history}),
            "input.mime_type": "application/json",
            "output.value": answer,
            "llm.model_name": "gpt-4o-mini",
            "llm.token_count.prompt": 200 * (number + 1),
            "llm.token_count.completion": 90,
        }
        at = start + number * 1_000_000_000
        spans.append(make_span(chance, trace_id, root, f"call {number}", "LLM", at, at + 900_000_000, attributes))
        history += [{"role": "assistant", "content": answer}, {"role": "tool", "content": words(300)}]
    spans.append(make_span(chance, trace_id, b"", "agent", "AGENT", start, start + CALLS * 1_000_000_000, {}))
    spans[-1].span_id = root
    return spans


def _cpu(bodies: Sequence[Body]) -> float:
    with (
        tempfile.TemporaryDirectory(prefix="stepscope-bench-") as folder,
        running(Path(folder), "--search", "off") as server,
    ):
        send(server, [list(Chain(99).bodies(512))])  # what is read once is read
        before = server.cpu_seconds
        send(server, [bodies])
        return server.cpu_seconds - before


def _growth(bodies: Sequence[Body]) -> float:
    """Bytes that the database file grew by, its log written back to it."""
    with tempfile.TemporaryDirectory(prefix="stepscope-bench-") as folder:
        data = Path(folder)
        with running(data, "--search", "off") as server:
            send(server, [list(Chain(99).bodies(24))])
        before = size_of(data)
        with running(data, "--search", "off") as server:
            send(server, [bodies])
        return float(size_of(data) - before)


def size_of(data: Path) -> int:
    """Bytes of our files after the server has ended."""
    return sum(file.stat().st_size for file in data.glob("stepscope.db*"))
