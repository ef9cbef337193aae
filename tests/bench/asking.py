"""Asks a server over one connection that stays open, and takes the time from each request to its whole answer."""

from __future__ import annotations

import http.client
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlencode, urlsplit

PATIENCE_S = 120


@dataclass(frozen=True)
class Request:
    """What is asked for; a body is sent as JSON."""

    path: str
    body: object = None

    @classmethod
    def of(cls, path: str, **parameters: object) -> Request:
        """A GET with parameters."""
        given = {name: value for name, value in parameters.items() if value is not None}
        return cls(f"{path}?{urlencode(given)}" if given else path)


class Asker:
    """One open connection to a server."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None, *, patience: float = PATIENCE_S) -> None:
        place = urlsplit(url)
        self._connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=patience)
        self._headers = dict(headers or {})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def ask(self, asked: Request) -> tuple[bytes, float]:
        """The answer and how long it took, in ms; raises RuntimeError when it is refused, TimeoutError when none comes.

        After a TimeoutError the next request goes out on a new connection.
        """
        body = None if asked.body is None else json.dumps(asked.body)
        headers = self._headers | ({} if body is None else {"Content-Type": "application/json"})
        method = "GET" if body is None else "POST"
        began = time.perf_counter()
        try:
            self._connection.request(method, asked.path, body, headers)
            answer = self._connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError):  # closed while nothing was asked: once more, afresh
            self._connection.close()
            began = time.perf_counter()
            self._connection.request(method, asked.path, body, headers)
            answer = self._connection.getresponse()
        except TimeoutError:
            self._connection.close()
            raise
        data = answer.read()
        took = (time.perf_counter() - began) * 1_000
        if answer.status != 200:
            raise RuntimeError(f"{asked.path} was refused: {answer.status} {data[:300]!r}")
        return data, took

    def read(self, path: str, **parameters: object) -> Any:
        """The JSON that is answered."""
        return json.loads(self.ask(Request.of(path, **parameters))[0])

    def page_after(self, traces: int, **parameters: object) -> str | None:
        """The cursor of the list's page after so many traces."""
        cursor: str | None = None
        for _ in range(max(1, traces // 1_000)):
            cursor = self.read("/api/v1/traces", limit=1_000, cursor=cursor, **parameters)["next_cursor"]
        return cursor


T = TypeVar("T")


def in_turns(asked: Sequence[Callable[[], T]], *, times: int, seconds: float = 30, warming: int = 1) -> list[list[T]]:
    """Ask several in turns, so that whatever else the machine does befalls all of them; the first ones do not count.

    Ends after `seconds`, but not before two turns that count.
    """
    took: list[list[T]] = [[] for _ in asked]
    end = time.perf_counter() + seconds
    for turn in range(times + warming):
        for one, values in zip(asked, took, strict=True):
            value = one()
            if turn >= warming:
                values.append(value)
        if turn > warming and time.perf_counter() > end:
            break
    return took


def p95(values: Sequence[float]) -> float:
    """The 95th percentile."""
    return statistics.quantiles(values, n=20)[-1] if len(values) > 1 else values[0]
