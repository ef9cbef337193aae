"""Spans for the readers' tests: made by hand, or read from what real clients sent."""

from __future__ import annotations

import base64
import gzip
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracer.otlp.decode import decode_logs, decode_traces
from tracer.otlp.dialects import read_content, read_facts
from tracer.otlp.records import Event, LogRecord, Scope, SpanRecord

PAYLOADS = Path(__file__).parents[2] / "payloads"

TRACE, SPAN, PARENT = b"\x01" * 16, b"\x02" * 8, b"\x03" * 8
START = 1_700_000_000_000_000_000


def span(attributes: Mapping[str, Any] | None = None, *, name: str = "step", **fields: Any) -> SpanRecord:
    """A finished span of one second with these attributes."""
    made = SpanRecord(
        trace_id=TRACE,
        span_id=SPAN,
        parent_id=None,
        name=name,
        otlp_kind=1,
        start_time=START,
        end_time=START + 10**9,
        status_code=0,
        status_message="",
        attributes=dict(attributes or {}),
        events=[],
        links=[],
        resource={},
        scope=Scope("test"),
    )
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def log(
    event_name: str, body: Any = None, attributes: Mapping[str, Any] | None = None, *, time: int = START
) -> LogRecord:
    """A log record of that span."""
    return LogRecord(TRACE, SPAN, time, event_name, "", body, dict(attributes or {}), {}, Scope("test"))


def facts_of(one: SpanRecord, logs: Sequence[LogRecord] = ()) -> Any:
    """What ingest derives from a span, for tests that know what is in it."""
    return read_facts(one, logs)


def content_of(one: SpanRecord, logs: Sequence[LogRecord] = ()) -> Any:
    """What a span says, for tests that know what is in it."""
    return read_content(one, logs)


def said(message: dict[str, Any]) -> str:
    """The text parts of a message, joined."""
    return " ".join(part["content"] for part in message["parts"] if part["type"] == "text")


@dataclass
class Scenario:
    """One run of a real client: its spans and logs, and what truly happened."""

    name: str
    truth: dict[str, Any]
    spans: dict[str, SpanRecord]
    logs: dict[str, list[LogRecord]]


def scenarios() -> list[str]:
    """The names of all recorded scenarios."""
    found = PAYLOADS.glob("*/*.expect.json")
    return sorted(f"{path.parent.name}/{path.name.removesuffix('.expect.json')}" for path in found)


def scenario(name: str) -> Scenario:
    """A recorded scenario, decoded."""
    client, _, run = name.partition("/")
    folder = PAYLOADS / client
    truth = json.loads((folder / f"{run}.expect.json").read_text())
    spans: dict[str, SpanRecord] = {}
    logs: dict[str, list[LogRecord]] = defaultdict(list)
    for request in truth["capture"]["requests"]:
        body, as_json = (folder / request["file"]).read_bytes(), "json" in request["content_type"]
        if "logs" in request["path"]:
            for record in decode_logs(body, json=as_json).logs:
                logs[record.span_id.hex() if record.span_id else ""].append(record)
        else:
            spans |= {record.span_id.hex(): record for record in decode_traces(body, json=as_json).spans}
    return Scenario(name, truth, spans, logs)


def recorded(client: str) -> list[SpanRecord]:
    """The spans of a client that we ran ourselves, in the order it sent them."""
    sent = json.loads((PAYLOADS / "recorded" / f"{client}.json").read_text())
    return [_recorded(entry) for entry in sent["spans"]]


def sent_by(client: str) -> list[SpanRecord]:
    """The spans that another service's client sent us."""
    requests = json.loads((PAYLOADS / "clients" / f"{client}.json").read_text())["requests"]
    found: list[SpanRecord] = []
    for request in requests:
        if request["method"] == "POST" and request["path"].endswith("/v1/traces"):
            body = base64.b64decode(request["body"])
            packed = request["headers"].get("content-encoding") == "gzip"
            found += decode_traces(gzip.decompress(body) if packed else body, json=False).spans
    return found


def everything() -> Iterator[tuple[SpanRecord, list[LogRecord]]]:
    """Every span there is, with its logs."""
    for name in scenarios():
        run = scenario(name)
        for identity, record in run.spans.items():
            yield record, run.logs.get(identity, [])
    for path in sorted((PAYLOADS / "recorded").glob("*.json")):
        for record in recorded(path.stem):
            yield record, []
    for path in sorted((PAYLOADS / "clients").glob("*.json")):
        for record in sent_by(path.stem):
            yield record, []


def _recorded(entry: dict[str, Any]) -> SpanRecord:
    return span(
        entry["attributes"],
        name=entry["name"],
        span_id=bytes.fromhex(entry["span_id"]),
        parent_id=bytes.fromhex(entry["parent_id"]) if entry["parent_id"] else None,
        start_time=entry["start_time"],
        end_time=entry["end_time"],
        status_code=entry["status"],
        scope=Scope(entry["scope"]),
        events=[Event(event["name"], event["time"], event["attributes"]) for event in entry["events"]],
    )
