"""A real local server that takes what the SDK sends, takes it apart, and answers as a test tells it to."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def document(self) -> dict[str, Any]:
        """The body, unpacked."""
        raw = gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body
        return json.loads(raw)

    @property
    def spans(self) -> list[dict[str, Any]]:
        """The spans in it, as they are on the wire."""
        found = self.document["resourceSpans"]
        return [span for resource in found for scope in resource["scopeSpans"] for span in scope["spans"]]


@dataclass(frozen=True)
class Reply:
    """What the sink answers."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0


@dataclass(frozen=True)
class Span:
    """One version of one span, in plain values."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start: int
    end: int
    attributes: dict[str, Any]
    events: list[dict[str, Any]]
    status: dict[str, Any]
    resource: dict[str, Any]
    scope: str

    @property
    def running(self) -> bool:
        """Whether this version was sent while the step ran."""
        return self.end == 0

    def read(self, side: str) -> Any:
        """The step's input or output, its JSON read."""
        text = self.attributes.get(f"{side}.value")
        if self.attributes.get(f"{side}.mime_type") == "application/json":
            return json.loads(str(text))
        return text


def plain(value: dict[str, Any]) -> Any:
    """Turn an OTLP value into a plain one."""
    ((kind, inner),) = value.items()
    if kind == "intValue":
        return int(str(inner))
    if kind == "arrayValue":
        return [plain(part) for part in inner["values"]]
    return inner


def facts(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    """Turn OTLP attributes into a dict; a key that comes twice is a fault."""
    keys = [one["key"] for one in attributes]
    assert len(keys) == len(set(keys)), keys
    return {one["key"]: plain(one["value"]) for one in attributes}


class Sink:
    """The server; `reply` may be replaced by a function of the request's number and the request."""

    def __init__(self, port: int = 0) -> None:
        self.requests: list[Request] = []
        self.reply: Callable[[int, Request], Reply] = lambda number, request: Reply()
        self._came = threading.Condition()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.path, headers, body, time.monotonic())
                with sink._came:
                    number = len(sink.requests)
                    sink.requests.append(request)
                    reply = sink.reply(number, request)
                    sink._came.notify_all()
                if reply.delay:
                    sink.released.wait(reply.delay)
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # a client that gave up

        self.released = threading.Event()
        self._server = Server(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the server."""
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def accepted(self) -> list[Request]:
        """The requests in the order they came."""
        with self._came:
            return list(self.requests)

    def versions(self) -> list[Span]:
        """Every version of every span, in the order they came."""
        out: list[Span] = []
        for request in self.accepted():
            if not request.path.endswith("/v1/traces"):
                continue
            for resource in request.document["resourceSpans"]:
                about = facts(resource["resource"]["attributes"])
                for scope in resource["scopeSpans"]:
                    out += [read_span(span, about, scope["scope"]["name"]) for span in scope["spans"]]
        return out

    def spans(self) -> dict[str, Span]:
        """The finished spans by name."""
        return {span.name: span for span in self.finals()}

    def finals(self) -> list[Span]:
        """The finished spans in the order they came."""
        return [span for span in self.versions() if not span.running]

    def wait(self, true: Callable[[], bool], seconds: float = 10.0) -> None:
        """Wait until something is true of what came."""
        deadline = time.monotonic() + seconds
        with self._came:
            while not true():
                left = deadline - time.monotonic()
                assert left > 0, "what was awaited did not come"
                self._came.wait(min(left, 0.05))


def read_span(span: dict[str, Any], resource: dict[str, Any], scope: str) -> Span:
    """Read one OTLP/JSON span."""
    return Span(
        trace_id=span["traceId"],
        span_id=span["spanId"],
        parent_id=span.get("parentSpanId"),
        name=span["name"],
        start=int(span["startTimeUnixNano"]),
        end=int(span["endTimeUnixNano"]),
        attributes=facts(span["attributes"]),
        events=[{**event, "attributes": facts(event["attributes"])} for event in span.get("events", [])],
        status=span.get("status", {}),
        resource=resource,
        scope=scope,
    )


def waited_for(true: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until something is true of what the SDK says."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "what was awaited did not come"
        time.sleep(0.005)
