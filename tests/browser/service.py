"""The service as a process of its own, and spans to send to it."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

from tests.client import Process

_open = build_opener(ProxyHandler({})).open

AnyValue = str | int | float | bool


@dataclass
class Sent:
    """One span to send; times in milliseconds from `Trace.start`. Without `took` it is a running step."""

    name: str
    parent: Sent | None = None
    at: float = 0
    took: float | None = 10
    kind: str = "chain"
    failed: str = ""
    attributes: dict[str, AnyValue] = field(default_factory=dict)
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    seq: int = 1


@dataclass
class Trace:
    """A trace id, and the instant (Unix nanoseconds) that its spans count from."""

    id: str = field(default_factory=lambda: secrets.token_hex(16))
    start: int = field(default_factory=time.time_ns)

    def otlp(self, spans: Sequence[Sent]) -> dict[str, object]:
        """These spans as an OTLP request."""
        return {"resourceSpans": [{"scopeSpans": [{"spans": [self._span(span) for span in spans]}]}]}

    def _span(self, span: Sent) -> dict[str, object]:
        begin = self.start + int(span.at * 1e6)
        attributes: dict[str, AnyValue] = {"stepscope.kind": span.kind, **span.attributes}
        if span.took is None:
            attributes["stepscope.seq"] = span.seq
        made: dict[str, object] = {
            "traceId": self.id,
            "spanId": span.id,
            "name": span.name,
            "startTimeUnixNano": str(begin),
            "endTimeUnixNano": "0" if span.took is None else str(begin + int(span.took * 1e6)),
            "attributes": [{"key": key, "value": _value(value)} for key, value in attributes.items()],
        }
        if span.parent is not None:
            made["parentSpanId"] = span.parent.id
        if span.failed:
            made["status"] = {"code": 2, "message": span.failed}
            made["events"] = [
                {
                    "name": "exception",
                    "timeUnixNano": str(begin),
                    "attributes": [
                        {"key": "exception.type", "value": {"stringValue": "ShopError"}},
                        {"key": "exception.message", "value": {"stringValue": span.failed}},
                        {"key": "exception.stacktrace", "value": {"stringValue": "Traceback\n  File shop.py, line 7"}},
                    ],
                }
            ]
        return made


def _value(value: AnyValue) -> dict[str, object]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}


class Service:
    """A running `stepscope serve` on a free port, with a data folder of its own."""

    def __init__(self, folder: Path, *flags: str, host: str = "127.0.0.1") -> None:
        self._folder, self._flags = folder, ("--host", host, *flags)
        self._process = Process(*self._flags, data=folder)
        self.url = self._process.url

    @property
    def said(self) -> list[str]:
        """The lines that the command printed."""
        return [line.strip() for line in self._process.out]

    def restart(self) -> None:
        """Stop it, and start it again at the same address."""
        port = self._process.port
        self.stop()
        self._process = Process(*self._flags, "--port", str(port), data=self._folder)
        assert self._process.url == self.url

    def post(self, path: str, body: object, *, headers: dict[str, str] | None = None) -> dict[str, object]:
        """Post JSON and return the answer."""
        request = Request(
            self.url + path,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"} | (headers or {}),
            method="POST",
        )
        with _open(request, timeout=60) as answer:
            found: dict[str, object] = json.load(answer)
            return found

    def send(self, trace: Trace, *spans: Sent, project: str = "shop") -> Trace:
        """Store spans of a trace; they are committed when this returns."""
        answer = self.post("/v1/traces", trace.otlp(spans), headers={"x-stepscope-project": project})
        assert not answer.get("partialSuccess"), answer
        return trace

    def silence(self, trace: Trace, *, minutes: int) -> None:
        """Let so much more time have passed since anything was heard of a trace."""
        with closing(sqlite3.connect(self._folder / "stepscope.db", timeout=20)) as connection, connection:
            changed = "UPDATE trace SET changed_at = changed_at - ? WHERE trace_id = ?"
            assert connection.execute(changed, (minutes * 60 * 10**9, bytes.fromhex(trace.id))).rowcount == 1

    def stop(self) -> None:
        """End the process as a person would, and expect it to go in good order."""
        try:
            assert self._process.stop() == 0, self._process.err
        finally:
            self._process.kill()
