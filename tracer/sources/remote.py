"""Traces on a server, over its REST interface."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import zstandard
from google.protobuf import json_format
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tracer.errors import BadSetting, TracerError, Unavailable
from tracer.otlp.decode import decode_logs, decode_traces
from tracer.sources.source import Answer, Ask, Batch, Format, Of, Taken

CONNECT_S = 5.0
ANSWER_S = 60.0
PART = 1 << 18
TRIES = 8
"""How often a batch is sent that the server has no room for, and asks for in a moment."""

LONGEST_PAUSE_S = 10.0
LOOK_EVERY_S = 0.5
PARTIAL = "partial_success"
_AGAIN = (429, 502, 503, 504)
_STALE = (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError)
_PROBLEMS = (OSError, http.client.HTTPException)


class RemoteSource:
    """A server at an address such as `https://traces.example.org/stepscope`, with a key where it asks for one."""

    def __init__(self, url: str, key: str | None = None) -> None:
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise BadSetting(f"--url {url[:200]!r}: this is no http:// or https:// address.", field="url")
        self.name = url.rstrip("/")
        self._base = parts.path.rstrip("/")
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, port or (443 if self._secure else 80)
        self._headers = {"User-Agent": "stepscope", "Accept": "application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._connection: http.client.HTTPConnection | None = None

    def projects(self) -> Answer:
        """`GET /api/v1/projects`."""
        return self._json("/api/v1/projects")

    def traces(self, ask: Ask, *, order: str = "-start_time", limit: int = 50, cursor: str | None = None) -> Answer:
        """`GET /api/v1/traces`."""
        return self._json("/api/v1/traces", **_asked(ask), order=order, limit=limit, cursor=cursor)

    def trace(self, trace_id: str, *, project: str | None = None, bodies: bool = False) -> Answer:
        """`GET /api/v1/traces/{trace_id}`."""
        return self._json(f"/api/v1/traces/{quote(trace_id, safe='')}", project=project, bodies=str(bodies).lower())

    def step(self, trace_id: str, span_id: str, *, project: str | None = None) -> Answer:
        """`GET /api/v1/traces/{trace_id}/spans/{span_id}`."""
        return self._json(f"/api/v1/traces/{quote(trace_id, safe='')}/spans/{quote(span_id, safe='')}", project=project)

    def markdown(
        self,
        trace_id: str,
        *,
        project: str | None = None,
        budget: int | None = None,
        step: str | None = None,
        against: str | None = None,
    ) -> str:
        """`GET /api/v1/traces/{trace_id}/markdown`."""
        path = f"/api/v1/traces/{quote(trace_id, safe='')}/markdown"
        data = self._body("GET", _address(path, project=project, budget=budget, step=step, against=against))
        return data.decode("utf-8", "replace")

    def metrics(
        self, *, project: str | None, since: str | None, until: str | None, by: str | None, interval: str | None
    ) -> Answer:
        """`GET /api/v1/metrics`."""
        return self._json("/api/v1/metrics", project=project, by=by, interval=interval, **{"from": since, "to": until})

    def export(self, ask: Ask, *, format: Format, of: Of) -> Iterator[bytes]:
        """`GET /api/v1/export`, as it comes. Raises Unavailable when it breaks off."""
        address = _address("/api/v1/export", **_asked(ask), format=format, of=of)
        try:
            answer = self._send("GET", address)
            if answer.status != 200:
                raise _refusal(answer.status, answer.read())
            while True:
                part = answer.read1(PART)
                if not part:
                    break
                yield part
            if not answer.isclosed():
                raise http.client.IncompleteRead(b"")
        except _PROBLEMS as problem:
            raise self._unreached(problem, "The export broke off") from None
        finally:
            self.close()

    def take(self, batch: Batch, taken: Taken, *, project: str | None = None) -> None:
        """Post a batch, again and again while the server asks for it in a moment."""
        headers = {
            "Content-Type": "application/json" if batch.json else "application/x-protobuf",
            "Content-Encoding": "zstd",
        }
        if project is not None:
            headers["x-stepscope-project"] = quote(project) if not project.isascii() else project
        body = zstandard.ZstdCompressor(level=3).compress(batch.body)
        path = {"own": "/api/v1/import", "traces": "/v1/traces", "logs": "/v1/logs"}[batch.kind]
        answer = self._patiently(path, body, headers)
        if batch.kind == "own":
            told = json.loads(answer)
            taken.spans += told["spans"]
            taken.scores += told["scores"]
            _refused(taken, told["rejected"]["count"], told["rejected"]["message"])
        elif batch.kind == "traces":
            taken.spans += len(decode_traces(batch.body, json=batch.json).spans)
            partial = _partial(answer, batch, ExportTraceServiceResponse)
            _refused(taken, partial.rejected_spans, partial.error_message)
        else:
            taken.logs += len(decode_logs(batch.body, json=batch.json).logs)
            partial = _partial(answer, batch, ExportLogsServiceResponse)
            _refused(taken, partial.rejected_log_records, partial.error_message)

    def settle(self, told: Callable[[int], None]) -> None:
        """Nothing: the server indexes what it takes."""

    def score(self, facts: Answer) -> Answer:
        """`POST /api/v1/scores`."""
        body = json.dumps(facts).encode()
        return json.loads(self._body("POST", "/api/v1/scores", body, {"Content-Type": "application/json"}))

    def delete_trace(self, trace_id: str, *, project: str | None = None) -> Answer:
        """`DELETE /api/v1/traces/{trace_id}`, and its receipt when it is done."""
        return self._deleted(_address(f"/api/v1/traces/{quote(trace_id, safe='')}", project=project))

    def delete_traces(self, ask: Ask) -> Answer:
        """`DELETE /api/v1/traces`, and its receipt when it is done."""
        return self._deleted(_address("/api/v1/traces", **_asked(ask)))

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _deleted(self, address: str) -> Answer:
        receipt = json.loads(self._body("DELETE", address))
        while receipt["state"] not in ("done", "failed"):
            time.sleep(LOOK_EVERY_S)
            receipt = self._json(f"/api/v1/deletions/{receipt['id']}")
        return receipt

    def _json(self, path: str, **parameters: str | int | None) -> Answer:
        data = self._body("GET", _address(path, **parameters))
        try:
            found = json.loads(data)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise TracerError(f"What answers at {self.name} is no Stepscope server.")
        return found

    def _patiently(self, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        for attempt in range(TRIES):
            try:
                answer = self._send("POST", path, body, headers)
                data = answer.read()
            except _PROBLEMS as problem:
                raise self._unreached(problem) from None
            if answer.status == 200:
                return data
            if answer.status not in _AGAIN or attempt == TRIES - 1:
                raise _refusal(answer.status, data)
            asked = answer.getheader("Retry-After", "")
            time.sleep(min(LONGEST_PAUSE_S, float(asked) if asked.isdigit() else 0.5 * 2**attempt))
        raise AssertionError

    def _body(
        self, method: str, address: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        try:
            answer = self._send(method, address, body, headers)
            data = answer.read()
        except _PROBLEMS as problem:
            raise self._unreached(problem) from None
        if not 200 <= answer.status < 300:
            raise _refusal(answer.status, data)
        return data

    def _send(
        self, method: str, address: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> http.client.HTTPResponse:
        kept = self._connection is not None
        try:
            return self._once(method, address, body, headers)
        except _STALE:
            # A server may close an idle connection just when it is used again; what we send may be sent twice.
            self.close()
            if not kept:
                raise
            return self._once(method, address, body, headers)

    def _once(
        self, method: str, address: str, body: bytes | None, headers: Mapping[str, str] | None
    ) -> http.client.HTTPResponse:
        if self._connection is None:
            kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
            self._connection = kind(self._host, self._port, timeout=CONNECT_S)
            self._connection.connect()
        if self._connection.sock is not None:
            self._connection.sock.settimeout(ANSWER_S)
        try:
            self._connection.request(method, self._base + address, body, {**self._headers, **(headers or {})})
            return self._connection.getresponse()
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def _unreached(self, problem: Exception, what: str = "No answer") -> Unavailable:
        if isinstance(problem, ssl.SSLError):
            why = problem.reason or "its certificate is not good"
        elif isinstance(problem, socket.gaierror):
            why = "there is no host of this name"
        elif isinstance(problem, TimeoutError):
            why = "it took too long"
        elif isinstance(problem, OSError) and problem.strerror:
            why = problem.strerror
        else:
            why = "the connection was closed"
        self.close()
        return Unavailable(f"{what} at {self.name}: {why}.")


def _asked(ask: Ask) -> dict[str, str | None]:
    return {"q": ask.q or None, "project": ask.project, "from": ask.since, "to": ask.until}


def _address(path: str, **parameters: str | int | None) -> str:
    given = {name: value for name, value in parameters.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def _refusal(status: int, body: bytes) -> TracerError:
    """The server's own sentence, where it gave one."""
    message: Any = None
    try:
        found = json.loads(body)
        message = found.get("message") or found["error"]["message"]
    except (ValueError, KeyError, TypeError, AttributeError):
        message = None
    if not isinstance(message, str):
        message = f"The server answered {status}."
    if status == 401:
        message += " Put a key into STEPSCOPE_API_KEY."
    problem = TracerError(message)
    problem.status = status
    return problem


def _partial(answer: bytes, batch: Batch, form: type[Message]) -> Any:
    """The `partial_success` of an answer of OTLP."""
    found = json_format.Parse(answer, form(), ignore_unknown_fields=True) if batch.json else form.FromString(answer)
    return getattr(found, PARTIAL)


def _refused(taken: Taken, count: int, message: str) -> None:
    if count:
        taken.rejected[message or "the server gave no reason"] += count
