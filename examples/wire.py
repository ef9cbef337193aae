"""Sending requests to an OpenAI-compatible address, and reading JSON that others wrote."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from urllib.parse import urlsplit

from examples.script.base import Json

TIMEOUT = 120.0
"""Seconds to wait for the next byte of an answer."""


class ModelError(Exception):
    """The model's server refused; `status` is its HTTP status, 0 when it could not be reached."""

    def __init__(self, message: str, status: int = 0, retry_after: float = 1.0) -> None:
        """Keep what a caller needs for deciding whether to try again; `retry_after` is in seconds."""
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


@dataclass(frozen=True)
class Address:
    """Where the model listens, and how to be let in."""

    base_url: str
    api_key: str
    model: str
    """One model for everything, or "" for a model that suits the step."""


_address: Address | None = None


def connect(base_url: str, api_key: str = "", model: str = "") -> None:
    """Say which model the whole program talks to."""
    global _address
    _address = Address(base_url.rstrip("/"), api_key, model)


def address() -> Address:
    """Give the address in use; raises ModelError when none was named."""
    if _address is None:
        raise ModelError("no model to talk to: call llm.connect() first")
    return _address


def post(path: str, body: dict[str, Json], attempt: int = 0) -> HTTPResponse:
    """Send a request; raises ModelError with the server's own words."""
    to = address()
    headers = {"Content-Type": "application/json", "x-retry-count": str(attempt)}
    if to.api_key:
        headers["Authorization"] = f"Bearer {to.api_key}"
    url = urlsplit(to.base_url)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ModelError(f"{to.base_url!r} is not an http:// or https:// address")
    request = urllib.request.Request(to.base_url + path, json.dumps(body).encode(), headers)
    here = url.hostname in ("127.0.0.1", "localhost", "::1")
    # A proxy for the wide world has no business between this program and a model on the same machine.
    opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if here else []))
    try:
        answer: HTTPResponse = opener.open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as refused:
        with refused:
            wait = refused.headers.get("Retry-After", "")
            raise ModelError(problem_in(refused), refused.code, float(wait) if wait.isdigit() else 1.0) from None
    except (OSError, HTTPException) as problem:
        reason = problem.reason if isinstance(problem, urllib.error.URLError) else problem
        raise ModelError(f"no model answers at {to.base_url}: {reason}") from None
    return answer


def problem_in(refused: urllib.error.HTTPError) -> str:
    """Read the reason out of a refusal, in OpenAI's form or any other."""
    text = refused.read(10_000).decode("utf-8", "replace")
    try:
        message = text_in(part_of(an_object(text), "error"), "message")
    except ModelError:
        message = text.strip()[:300]
    return message or f"HTTP {refused.code} {refused.reason}"


def an_object(data: str | bytes) -> dict[str, Json]:
    """Read a JSON object; raises ModelError when it is something else."""
    try:
        content: Json = json.loads(data)
    except ValueError as problem:
        raise ModelError(f"the model's server sent something else than JSON: {problem}") from None
    if not isinstance(content, dict):
        raise ModelError("the model's server sent something else than a JSON object")
    return content


def part_of(content: Json, name: str, index: int | None = None) -> dict[str, Json]:
    """Read an object inside an object, or the one at `index` of a list in it; empty where there is none."""
    value = content.get(name) if isinstance(content, dict) else None
    if index is not None:
        value = value[index] if isinstance(value, list) and len(value) > index else None
    return value if isinstance(value, dict) else {}


def list_in(content: Json, name: str) -> list[Json]:
    """Read a list inside an object; empty where there is none."""
    value = content.get(name) if isinstance(content, dict) else None
    return value if isinstance(value, list) else []


def text_in(content: Json, name: str) -> str:
    """Read a text inside an object; empty where there is none."""
    value = content.get(name) if isinstance(content, dict) else None
    return value if isinstance(value, str) else ""


def count_in(content: Json, name: str) -> int | None:
    """Read a whole number inside an object; None where there is none."""
    value = content.get(name) if isinstance(content, dict) else None
    return value if isinstance(value, int) else None
