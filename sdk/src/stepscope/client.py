"""Read what was recorded: traces, spans, conversations, scores and metrics of a server, as typed records.

from stepscope.client import Client

for trace in Client().traces("status:error", since="2026-11-01"):
    print(trace.name, trace.duration_ms, trace.cost_usd)

Other than the recorder it raises: `ApiError` with the server's own sentence, or when no server answers.
"""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload
from urllib.parse import quote, urlencode, urlsplit

from ._config import load
from ._http import read_retry_after
from ._records import (
    Figures,
    Metrics,
    Percentiles,
    Point,
    Project,
    Record,
    Score,
    ScoreSum,
    Series,
    Session,
    Span,
    Tokens,
    Trace,
    read,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ApiError",
    "Client",
    "Figures",
    "Metrics",
    "Pages",
    "Percentiles",
    "Point",
    "Project",
    "Score",
    "ScoreSum",
    "Series",
    "Session",
    "Span",
    "Tokens",
    "Trace",
]

R = TypeVar("R", bound=Record)

PAGE = 200
"""Records that one request asks for."""

TRIES = 4
"""How often a request is sent while the server asks for it again in a moment."""

LONGEST_WAIT = 10.0
_AGAIN = (429, 503)
_STALE = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)


class ApiError(Exception):
    """What the server refused, or that no server answered.

    The text is its own sentence; `status` is the HTTP status (0: no answer), `code` a stable word, `field` the
    parameter that it is about.
    """

    def __init__(self, message: str, *, status: int = 0, code: str = "unreachable", field: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.field = field


class Pages(Generic[R]):
    """Records one after the other; further pages are asked for as they are needed, at most `limit` records in all.

    Can be gone through again: that asks the server again.
    """

    def __init__(self, client: Client, kind: type[R], path: str, parameters: dict[str, Any], limit: int | None) -> None:
        self._client = client
        self._kind = kind
        self._path = path
        self._parameters = parameters
        self._limit = limit

    def __iter__(self) -> Iterator[R]:
        left, cursor = self._limit, None
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            page = self._client._get(self._path, {**self._parameters, "limit": size, "cursor": cursor})
            for told in page["items"]:
                yield read(self._kind, told)
            cursor = page["next_cursor"]
            if cursor is None:
                return
            if left is not None:
                left -= len(page["items"])

    def first(self) -> R | None:
        """The first record, None when there is none."""
        return next(iter(Pages(self._client, self._kind, self._path, self._parameters, 1)), None)

    def to_pandas(self) -> pd.DataFrame:
        """All of them as a data frame, a row each, tokens in a column for each class.

        Needs pandas; raises ImportError with a sentence without it.
        """
        try:
            import pandas
        except ImportError:
            raise ImportError("to_pandas() needs the package pandas: pip install pandas.") from None
        return pandas.DataFrame([record.row() for record in self])


class Client:
    """Reads from a server.

    `url` and `api_key` fall back to `STEPSCOPE_ENDPOINT` and `STEPSCOPE_API_KEY`, the address at last to
    `http://127.0.0.1:4747`. `project` is the one that is meant where a call names none (all that the key may see).
    `timeout` is in seconds. May be shared between threads; closes its connection as a context manager.
    """

    def __init__(
        self, url: str | None = None, api_key: str | None = None, *, project: str | None = None, timeout: float = 30.0
    ) -> None:
        config = load(endpoint=url, api_key=api_key)
        parts = urlsplit(config.endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{config.endpoint[:200]!r} is no http:// or https:// address")
        self.url = config.endpoint
        self.project = project
        self._timeout = timeout
        self._base = parts.path.rstrip("/")
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port or (443 if self._secure else 80)
        self._headers = {"Accept": "application/json", "User-Agent": "stepscope-python"}
        if config.api_key is not None:
            self._headers["Authorization"] = f"Bearer {config.api_key}"
        self._connection: http.client.HTTPConnection | None = None
        self._process = os.getpid()
        self._lock = threading.Lock()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_connection", None) is not None and self._process == os.getpid():
            self._let_go()

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        with self._lock:
            self._let_go()

    def projects(self) -> list[Project]:
        """Every project that the key may see, the one with the newest data first."""
        return [read(Project, told) for told in self._get("/api/v1/projects", {})["items"]]

    def traces(
        self,
        q: str = "",
        *,
        project: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        order: str = "-start_time",
        limit: int | None = None,
    ) -> Pages[Trace]:
        """Traces that a search finds, the newest first; `since` is inclusive, `until` exclusive.

        `order` is one of `-start_time`, `start_time`, `-duration`, `-cost`, `-tokens`, `received`. A datetime without
        a zone is local time; a text is RFC 3339.
        """
        return Pages(self, Trace, "/api/v1/traces", {**self._asked(q, project, since, until), "order": order}, limit)

    def trace(self, trace_id: str, *, project: str | None = None, bodies: bool = True) -> Trace:
        """One trace with all its spans; without `bodies` their inputs, outputs and attributes are left out."""
        path = f"/api/v1/traces/{quote(trace_id, safe='')}"
        return read(Trace, self._get(path, {"project": project or self.project, "bodies": str(bodies).lower()}))

    def span(self, trace_id: str, span_id: str, *, project: str | None = None) -> Span:
        """One span, whole."""
        path = f"/api/v1/traces/{quote(trace_id, safe='')}/spans/{quote(span_id, safe='')}"
        return read(Span, self._get(path, {"project": project or self.project}))

    def spans(
        self,
        q: str = "",
        *,
        project: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        order: str = "-start_time",
        bodies: bool = False,
        limit: int | None = None,
    ) -> Pages[Span]:
        """Spans across traces, the newest first: all that the search asks is asked of the span itself.

        `order` is `-start_time` or `start_time`; with `bodies` each has its input, output and attributes.
        """
        asked = {**self._asked(q, project, since, until), "order": order, "bodies": str(bodies).lower()}
        return Pages(self, Span, "/api/v1/spans", asked, limit)

    def sessions(
        self,
        q: str = "",
        *,
        user: str | None = None,
        project: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        limit: int | None = None,
    ) -> Pages[Session]:
        """A project's conversations, that with the newest trace first; those with a trace that a search finds."""
        asked = {**self._asked(q, project, since, until), "user": user}
        return Pages(self, Session, "/api/v1/sessions", asked, limit)

    def session(self, session_id: str, *, project: str | None = None) -> Session:
        """One conversation with all its turns, the first one first."""
        path, asked = f"/api/v1/sessions/{quote(session_id, safe='')}", {"project": project or self.project}
        told = self._get(path, {**asked, "limit": PAGE})
        turns, cursor = list(told["items"]), told["next_cursor"]
        while cursor is not None:
            page = self._get(path, {**asked, "limit": PAGE, "cursor": cursor})
            turns += page["items"]
            cursor = page["next_cursor"]
        return read(Session, {**told, "turns": turns})

    def metrics(
        self,
        q: str = "",
        *,
        by: str | None = None,
        of: str | None = None,
        interval: str | None = None,
        project: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        limit: int = 10,
    ) -> Metrics:
        """Counts, errors, durations, tokens and cost of a project over a time: the last day unless told otherwise.

        Of steps `by` name, kind, model or status; of traces by name, user, tag, environment, release, service or
        status. `interval` is such as `1h` or `1d`; `limit` series at most. With a search, of what it finds.
        """
        asked = {**self._asked(q, project, since, until), "by": by, "of": of, "interval": interval, "limit": limit}
        return read(Metrics, self._get("/api/v1/metrics", asked))

    def scores(
        self, *, trace_id: str | None = None, project: str | None = None, limit: int | None = None
    ) -> Pages[Score]:
        """Scores of traces and steps, the newest first."""
        asked = {"trace_id": trace_id, "project": project or self.project}
        return Pages(self, Score, "/api/v1/scores", asked, limit)

    def markdown(
        self, trace_id: str, *, budget: int | None = None, step: str | None = None, project: str | None = None
    ) -> str:
        """A trace, or one step of it, as Markdown for a model, within so many tokens."""
        path = f"/api/v1/traces/{quote(trace_id, safe='')}/markdown"
        data = self._ask(path, {"budget": budget, "step": step, "project": project or self.project})
        return data.decode("utf-8", "replace")

    def _asked(
        self, q: str, project: str | None, since: datetime | str | None, until: datetime | str | None
    ) -> dict[str, Any]:
        return {
            "q": q or None,
            "project": project or self.project,
            "from": _time(since),
            "to": _time(until),
        }

    def _get(self, path: str, parameters: dict[str, Any]) -> dict[str, Any]:
        data = self._ask(path, parameters)
        try:
            found = json.loads(data)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ApiError(f"What answers at {self.url} is no Stepscope server.", status=200, code="not_stepscope")
        return found

    def _ask(self, path: str, parameters: dict[str, Any]) -> bytes:
        given = {name: value for name, value in parameters.items() if value is not None}
        address = f"{self._base}{path}?{urlencode(given)}" if given else f"{self._base}{path}"
        for attempt in range(1, TRIES + 1):
            status, after, data = self._send(address)
            if status == 200:
                return data
            if status not in _AGAIN or attempt == TRIES:
                raise _refusal(status, data)
            time.sleep(min(LONGEST_WAIT, read_retry_after(after) or 0.5 * attempt))
        raise AssertionError

    def _send(self, address: str) -> tuple[int, str | None, bytes]:
        with self._lock:
            if self._process != os.getpid():
                # A fork shares its parent's connection: both would read each other's answers.
                self._connection, self._process = None, os.getpid()
            kept = self._connection is not None
            try:
                try:
                    return self._once(address)
                except _STALE:
                    if not kept:
                        raise
                    self._let_go()
                    return self._once(address)
            except (OSError, http.client.HTTPException) as problem:
                self._let_go()
                why = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
                raise ApiError(f"No answer from {self.url}: {why or type(problem).__name__}.") from None

    def _once(self, address: str) -> tuple[int, str | None, bytes]:
        if self._connection is None:
            kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
            self._connection = kind(self._host, self._port, timeout=self._timeout)
        self._connection.request("GET", address, headers=self._headers)
        answer = self._connection.getresponse()
        return answer.status, answer.getheader("Retry-After"), answer.read()

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


@overload
def _time(given: None) -> None: ...
@overload
def _time(given: datetime | str) -> str: ...
def _time(given: datetime | str | None) -> str | None:
    if isinstance(given, datetime):
        return given.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    return given


def _refusal(status: int, data: bytes) -> ApiError:
    try:
        error = json.loads(data)["error"]
        return ApiError(str(error["message"]), status=status, code=str(error["code"]), field=error.get("field"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return ApiError(f"The server answered {status}.", status=status, code="refused")
