"""Alive, and ready to work."""

from __future__ import annotations

import threading
import time

from fastapi import APIRouter, Request, Response

from tracer import __version__
from tracer.api import schemas
from tracer.api.answers import JsonAnswer
from tracer.errors import TracerError
from tracer.ingest.writer import Writer
from tracer.store.engine import Store
from tracer.store.migrate import revisions

router = APIRouter(tags=["health"])

REMEMBER_S = 1.0


class Readiness:
    """Asks the database at most once a second, however many ask us."""

    def __init__(self, store: Store, writer: Writer | None = None) -> None:
        self._store, self._writer = store, writer
        self._lock = threading.Lock()
        self._checked = float("-inf")
        self._problem: str | None = None

    def problem(self) -> str | None:
        """Why the service cannot work now; None when it can."""
        with self._lock:
            if time.monotonic() - self._checked > REMEMBER_S:
                self._problem = self._check()
                self._checked = time.monotonic()
            return self._problem

    def _check(self) -> str | None:
        try:
            with self._store.reading() as connection:
                pending = revisions(connection).pending
        except TracerError as problem:
            return problem.message
        if self._store.read_only:
            return "The database cannot be written: traces can be read, new spans are refused."
        if pending:
            return f"The database lacks the migrations {', '.join(pending)}."
        return self._writer.problem if self._writer is not None else None


@router.get("/healthz", response_model=schemas.Health)
async def healthz() -> Response:
    """The process is alive."""
    return JsonAnswer({"status": "ok", "version": __version__})


@router.get("/readyz", response_model=schemas.Readiness, responses={503: {"model": schemas.Readiness}})
def readyz(request: Request) -> Response:
    """The database can be reached, has this version's schema and takes spans; 503 with the reason otherwise."""
    problem = request.app.state.readiness.problem()
    if problem is None:
        return JsonAnswer({"status": "ok"})
    return JsonAnswer({"status": "degraded", "reason": problem}, 503, headers={"retry-after": "2"})
