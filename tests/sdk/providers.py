"""A small local server that answers as a test scripts it: whole, as server-sent events, or with an error."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Said:
    """One answer: `body`, or `events` as (name, data), where data None is OpenAI's closing word."""

    body: Json = field(default_factory=dict)
    status: int = 200
    events: list[tuple[str, Json | None]] | None = None
    broken: bool = False
    """The connection breaks before the last event."""
    packed: bool = False


class Provider:
    """The server."""

    def __init__(self, answer: Callable[[str, Json], Said]) -> None:
        self.answer = answer
        self.asked: list[tuple[str, Json]] = []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                provider.asked.append((self.path, body))
                said = provider.answer(self.path, body)
                if said.events is None:
                    data = json.dumps(said.body).encode()
                    self.send_response(said.status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("x-request-id", "req-1")
                    if said.status >= 400:
                        self.send_header("retry-after-ms", "1")
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                if said.packed:
                    self.send_header("Content-Encoding", "gzip")
                self.end_headers()
                pieces = [sse(name, data) for name, data in said.events]
                if said.packed:
                    pieces = [gzip.compress(b"".join(pieces))]
                for piece in pieces:
                    half = len(piece) // 2
                    for part in (piece[:half], piece[half:]):  # events don't keep to the limits of packets
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                        self.wfile.flush()
                if said.broken:
                    self.close_connection = True
                    return
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def sse(name: str, data: Json | None) -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {'[DONE]' if data is None else json.dumps(data, ensure_ascii=False)}\n\n".encode()


def outcome(call: Callable[[], Any]) -> object:
    """What a program gets of a call, down to the last byte, in plain values that can be compared."""
    try:
        return told(call())
    except Exception as error:  # noqa: BLE001  (whatever it is, it is compared)
        return failed(error)


async def outcome_later(call: Callable[[], Awaitable[Any]]) -> object:
    """The same of an async call."""
    try:
        found = await call()
        if hasattr(found, "__aiter__"):
            return type(found), [told(each) async for each in found], await found.close()
        return told(found)
    except Exception as error:  # noqa: BLE001  (whatever it is, it is compared)
        return failed(error)


def told(found: Any) -> object:
    """Take a result apart."""
    if hasattr(found, "to_dict"):
        return type(found), found.to_dict(), getattr(found, "_request_id", None)
    if hasattr(found, "http_response"):
        return type(found), found.http_response.content, headers(found.http_response), told(found.parse())
    if hasattr(found, "response"):
        each = [told(one) for one in found]
        return type(found), each, headers(found.response), found.response.is_closed, found.response.num_bytes_downloaded
    return type(found), found


def failed(error: BaseException) -> object:
    """Take an exception apart."""
    response = getattr(error, "response", None)
    # A stream that failed midway has no whole content.
    about = None if response is None else (response.status_code, vars(response).get("_content"), headers(response))
    facts = {name: repr(value) for name, value in vars(error).items() if name not in ("request", "response")}
    return type(error), str(error), facts, about, type(error.__cause__), error.__suppress_context__


def headers(response: Any) -> list[tuple[str, str]]:
    """The answer's headers but for the time."""
    return [(name, value) for name, value in response.headers.multi_items() if name != "date"]
