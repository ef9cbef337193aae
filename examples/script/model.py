"""The stand-in model itself: how it reads a request, counts its tokens, and how fast it talks."""

import hashlib
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from examples.script import answer
from examples.script.base import Asked, Json, Reply, words

TOKENS_PER_SECOND = 26.0
WINDOW = 8_192
"""The longest conversation it takes, in tokens, as small models do."""
DIMENSIONS = 256
CACHE_BLOCK = 64
"""Input that began the same way before is reported as cached, in blocks of so many tokens."""
PIECES = re.compile(r"\s*(?:[\u3040-\u30ff\u4e00-\u9fff]|[^\W_]{1,6}|_+|[^\w\s])|\s+")


class Refused(Exception):
    """A request that cannot be answered, with the status and the code that OpenAI's protocol has for it."""

    def __init__(self, status: int, code: str, message: str, retry_after: float | None = None) -> None:
        """Keep what the answer needs; `retry_after` is in seconds."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after


def pieces(text: str) -> list[str]:
    """Split a text into what stands for tokens here; joined, they give the text back."""
    return PIECES.findall(text)


def embedding(text: str) -> list[float]:
    """Place a text among others: texts that share words point the same way; the length is 1."""
    vector = [0.0] * DIMENSIONS
    for word in words(text) or {text}:
        digest = hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest()
        for byte in range(0, 8, 2):
            vector[digest[byte] % DIMENSIONS] += 1.0 if digest[byte + 1] % 2 else -1.0
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return [value / length for value in vector]


def field(body: dict[str, Json], name: str) -> list[dict[str, Json]]:
    """Read a list of objects from a request; raises Refused when it is something else."""
    value = body.get(name)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Refused(400, "invalid_request_error", f"'{name}' must be a list of objects.")
    return [item for item in value if isinstance(item, dict)]


def said(message: dict[str, Json]) -> str:
    """Read the text of a message, given as a string or as parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))


def understand(body: dict[str, Json], attempt: int) -> Asked:
    """Read a chat request; raises Refused when it is none."""
    messages = field(body, "messages")
    if not messages:
        raise Refused(400, "invalid_request_error", "'messages' is empty.")
    tools = []
    for tool in field(body, "tools") if body.get("tools") else []:
        function = tool.get("function")
        tools.append(str(function.get("name")) if isinstance(function, dict) else "")
    asked_at = [n for n, message in enumerate(messages) if message.get("role") == "user"]
    since = messages[asked_at[-1] + 1 :] if asked_at else []
    return Asked(
        system="\n".join(said(message) for message in messages if message.get("role") in ("system", "developer")),
        user=said(messages[asked_at[-1]]) if asked_at else "",
        results=tuple(said(message) for message in since if message.get("role") == "tool"),
        tools=tuple(tools),
        turn=len(asked_at),
        attempt=attempt,
    )


class Model:
    """The stand-in model: what it says, how fast, and how it counts."""

    def __init__(self, speed: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        """Make a model; `speed` 2 talks twice as fast as a person would meet it. `clock` gives seconds."""
        self.speed = speed
        self.clock = clock
        self.closing = threading.Event()
        self._seen: set[bytes] = set()

    def wait_until(self, moment: float) -> None:
        """Wait for a moment of its clock; raises ConnectionAbortedError when the server closes meanwhile."""
        left = moment - self.clock()
        if self.closing.wait(max(left, 0)):
            raise ConnectionAbortedError("the stand-in model is closing")

    def reply(self, asked: Asked, length: int) -> Reply:
        """Give the reply; raises Refused where the script says so, or when the conversation is too long."""
        if length > WINDOW:
            problem = f"This model's maximum context length is {WINDOW} tokens, and your messages hold {length} tokens."
            raise Refused(400, "context_length_exceeded", problem)
        reply = answer(asked)
        if reply.status != 200:
            code = "rate_limit_exceeded" if reply.status == 429 else "server_error"
            raise Refused(reply.status, code, reply.problem, reply.retry_after)
        if reply.calls and not asked.tools:
            raise Refused(400, "invalid_request_error", "The script wants a tool here, and the request offers none.")
        return reply

    def cached(self, texts: Sequence[str]) -> int:
        """Count the tokens at the start of a conversation that were seen before, and remember the conversation."""
        digest = hashlib.blake2b()
        count = known = 0
        for text in texts:
            digest.update(text.encode("utf-8", "replace") + b"\0")
            count += len(pieces(text))
            if digest.digest() in self._seen:
                known = count
            self._seen.add(digest.digest())
        return known // CACHE_BLOCK * CACHE_BLOCK

    def pace(self, parts: Sequence[str], begun: float) -> Iterator[str]:
        """Give the parts at the model's pace; what is due at the same time comes together."""
        rate = TOKENS_PER_SECOND * self.speed
        first = begun + (0.25 + 0.02 * (sum(map(len, parts)) % 16)) / self.speed
        due = ""
        for number, part in enumerate(parts):
            due += part
            moment = first + number / rate
            if moment > self.clock() + 0.002:
                self.wait_until(moment)
                yield due
                due = ""
        if due:
            yield due
