"""A small scripted model behind the OpenAI protocol, for running the examples with no model and no network.

It serves `/v1/chat/completions` (also streamed, with tool calls and usage), `/v1/embeddings` and `/v1/models` on
127.0.0.1, says what `examples/script/` holds, and says it at the pace of a real model. Start one by hand with
`python -m examples.stand_in`; the examples start their own when `OPENAI_BASE_URL` is not set.
"""

import argparse
import hashlib
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from types import TracebackType
from typing import Self

from examples.script.base import Json
from examples.script.model import Model, Refused, embedding, field, pieces, understand

MAX_BODY = 16 * 1024 * 1024
"""The longest request it reads, in bytes."""


class Handler(BaseHTTPRequestHandler):
    """One connection to the stand-in."""

    protocol_version = "HTTP/1.1"
    server_version = "stand-in"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""

    def model(self) -> Model:
        """Give the model that speaks here."""
        assert isinstance(self.server, StandInServer)
        return self.server.model

    def do_GET(self) -> None:
        """List the one model."""
        if self.path.rstrip("/") == "/v1/models":
            self.send({"object": "list", "data": [{"id": "stand-in", "object": "model", "owned_by": "examples"}]})
        else:
            self.refuse(Refused(404, "not_found", f"There is no {self.path} here."))

    def do_POST(self) -> None:
        """Answer a chat or embeddings request."""
        begun = time.monotonic()
        try:
            body = self.read_body()
            if self.path == "/v1/chat/completions":
                self.chat(body, begun)
            elif self.path == "/v1/embeddings":
                self.embed(body, begun)
            else:
                raise Refused(404, "not_found", f"There is no {self.path} here.")
        except Refused as refused:
            self.refuse(refused)
        except ConnectionError:
            self.close_connection = True

    def read_body(self) -> dict[str, Json]:
        """Read the request's JSON object; raises Refused when it is none."""
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if not 0 <= length <= MAX_BODY:
            self.close_connection = True
            raise Refused(
                400, "invalid_request_error", f"A body of 0 to {MAX_BODY} bytes with its Content-Length is needed."
            )
        try:
            body: Json = json.loads(self.rfile.read(length))
        except ValueError as problem:
            raise Refused(400, "invalid_request_error", f"The body is not JSON: {problem}.") from None
        if not isinstance(body, dict) or not isinstance(body.get("model"), str):
            raise Refused(400, "invalid_request_error", "The body must be an object that names a 'model'.")
        return body

    def chat(self, body: dict[str, Json], begun: float) -> None:
        """Answer a chat request, whole or streamed."""
        retries = self.headers.get("x-retry-count", "0")
        asked = understand(body, int(retries) if retries.isdigit() else 0)
        texts = [json.dumps(message, ensure_ascii=False, sort_keys=True) for message in field(body, "messages")]
        length = sum(len(pieces(text)) for text in texts)
        model = self.model()
        reply = model.reply(asked, length)
        calls: list[Json] = []
        for number, call in enumerate(reply.calls):
            seed = hashlib.blake2b(f"{number}{call}{texts}".encode("utf-8", "replace"), digest_size=6).hexdigest()
            function: Json = {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)}
            calls.append({"id": f"call_{seed}", "type": "function", "function": function})
        spoken = pieces(reply.text) + pieces("".join(json.dumps(call.arguments) for call in reply.calls))
        limit = body.get("max_tokens") or body.get("max_completion_tokens")
        cut = isinstance(limit, int) and not calls and len(spoken) > limit
        if cut and isinstance(limit, int):
            spoken = spoken[:limit]
        cached = model.cached(texts)
        usage: Json = {
            "prompt_tokens": length,
            "completion_tokens": len(spoken),
            "total_tokens": length + len(spoken),
            "prompt_tokens_details": {"cached_tokens": min(cached, length)},
        }
        head: dict[str, Json] = {
            "id": "chatcmpl-" + hashlib.blake2b(f"{time.time_ns()}".encode(), digest_size=12).hexdigest(),
            "created": int(time.time()),
            "model": body["model"],
            "system_fingerprint": "stand-in",
        }
        finish = "tool_calls" if calls else "length" if cut else "stop"
        if body.get("stream") is True:
            options = body.get("stream_options")
            wants_usage = isinstance(options, dict) and options.get("include_usage") is True
            self.stream(head, spoken, calls, finish, usage if wants_usage else None, begun)
            return
        text = "".join(model.pace(spoken, begun))
        message: dict[str, Json] = {"role": "assistant", "content": None if calls else text}
        if calls:
            message["tool_calls"] = calls
        choice: Json = {"index": 0, "message": message, "finish_reason": finish}
        self.send({**head, "object": "chat.completion", "choices": [choice], "usage": usage})

    def stream(
        self, head: dict[str, Json], spoken: list[str], calls: list[Json], finish: str, usage: Json, begun: float
    ) -> None:
        """Send a reply piece by piece, as server-sent events."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        head = {**head, "object": "chat.completion.chunk"}

        def event(delta: dict[str, Json], reason: str | None = None) -> None:
            self.event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})

        event({"role": "assistant", "content": "" if not calls else None})
        for part in self.model().pace(spoken, begun):
            if not calls:
                event({"content": part})
        for number, call in enumerate(calls):
            if isinstance(call, dict):
                event({"tool_calls": [{"index": number, **call}]})
        event({}, finish)
        if usage is not None:
            self.event({**head, "choices": [], "usage": usage})
        self.chunk(b"data: [DONE]\n\n")
        self.chunk(b"")

    def embed(self, body: dict[str, Json], begun: float) -> None:
        """Answer an embeddings request for one text or a list of texts."""
        given = body.get("input")
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise Refused(400, "invalid_request_error", "'input' must be a text or a list of texts.")
        data: list[Json] = [
            {"object": "embedding", "index": number, "embedding": [*embedding(str(text))]}
            for number, text in enumerate(texts)
        ]
        count = sum(len(pieces(str(text))) for text in texts)
        self.model().wait_until(begun + (0.15 + count / 5_000) / self.model().speed)
        usage: Json = {"prompt_tokens": count, "total_tokens": count}
        self.send({"object": "list", "model": body["model"], "data": data, "usage": usage})

    def event(self, content: Json) -> None:
        """Send one server-sent event."""
        self.chunk(b"data: " + json.dumps(content, ensure_ascii=False).encode("utf-8", "replace") + b"\n\n")

    def chunk(self, data: bytes) -> None:
        """Send one chunk; an empty one ends the answer."""
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def send(self, content: Json, status: int = 200, retry_after: float | None = None) -> None:
        """Send a whole JSON answer."""
        data = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if retry_after is not None:
            self.send_header("Retry-After", f"{retry_after:g}")
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, refused: Refused) -> None:
        """Send an error as OpenAI's protocol has it."""
        error: Json = {"message": str(refused), "type": refused.code, "code": refused.code, "param": None}
        self.send({"error": error}, refused.status, refused.retry_after)


class StandInServer(ThreadingHTTPServer):
    """The listening socket and its model."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, port: int, model: Model) -> None:
        """Listen on 127.0.0.1; raises OSError when the port is taken."""
        super().__init__(("127.0.0.1", port), Handler)
        self.model = model

    def handle_error(self, request: socket | tuple[bytes, socket], client_address: object) -> None:
        """Let clients hang up without a word; report anything else."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class StandIn:
    """A stand-in model running in this process, until `close` or the end of the `with` block."""

    def __init__(self, *, port: int = 0, speed: float = 1.0) -> None:
        """Start it; port 0 takes a free one."""
        self._server = StandInServer(port, Model(speed))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="stand-in", daemon=True)
        self._thread.start()
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def close(self) -> None:
        """Stop listening; replies under way break off."""
        self._server.model.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        """Give the running stand-in."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop it."""
        self.close()


def main() -> int:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.stand_in", description="Serve the scripted stand-in model."
    )
    parser.add_argument("--port", type=int, default=8089, help="port on 127.0.0.1 (default 8089; 0: any free one)")
    parser.add_argument(
        "--speed", type=float, default=1.0, help="1 is human speed, about 26 tokens a second (default 1)"
    )
    options = parser.parse_args()
    if not options.speed > 0:
        parser.error("--speed must be above 0")
    try:
        model = StandIn(port=options.port, speed=options.speed)
    except OSError as problem:
        parser.error(f"cannot listen on port {options.port}: {problem.strerror}")
    with model:
        print(f"The stand-in model listens at {model.base_url}; Ctrl-C ends it.", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
