"""Traces in a database file or on a Postgres that a command opens itself, beside a server or without one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tracer.prices import PriceBook
from tracer.settings import Settings
from tracer.sources.database import opened
from tracer.sources.local import LocalReader
from tracer.sources.source import Answer, Ask, Batch, Taken

if TYPE_CHECKING:
    from tracer.sources.changes import LocalChanges


class LocalSource(LocalReader):
    """The database of the settings, to read and to write. With `make` it is made or brought up to date first."""

    def __init__(self, settings: Settings, *, make: bool = False) -> None:
        self._stack = ExitStack()
        if make:
            from tracer.store.migrate import migrate

            migrate(settings.database_url)
        prices = PriceBook(settings.data / "prices.toml")
        super().__init__(self._stack.enter_context(opened(settings)), settings, prices)
        self._changes: LocalChanges | None = None

    def close(self) -> None:
        """Write what is under way, and close the database."""
        if self._changes is not None:
            self._changes.close()
        self._stack.close()

    def take(self, batch: Batch, taken: Taken, *, project: str | None = None) -> None:
        """Store a batch; what is there already stays as it is."""
        self._changing().take(batch, taken, project=project)

    def settle(self, told: Callable[[int], None]) -> None:
        """Index what was taken in, unless a server on the same database does."""
        self._changing().settle(told)

    def score(self, facts: Answer) -> Answer:
        """Score a trace or a step."""
        return self._changing().score(facts)

    def delete_trace(self, trace_id: str, *, project: str | None = None) -> Answer:
        """Delete one trace for good."""
        return self._changing().delete_trace(trace_id, project=project)

    def delete_traces(self, ask: Ask) -> Answer:
        """Delete what a project has of a time for good."""
        return self._changing().delete_traces(self._wanted(ask))

    def _changing(self) -> LocalChanges:
        if self._changes is None:
            from tracer.sources.changes import LocalChanges  # what writes takes longest to load

            self._changes = LocalChanges(self._store, self._settings, self._prices)
        return self._changes
