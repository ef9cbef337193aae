"""How many projects the names in what is sent may make: beyond that it goes to `default`."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, func, select

from tracer.ingest.prepare import DEFAULT_PROJECT, named_in, project_name
from tracer.otlp.decode import Rejections
from tracer.otlp.records import LogRecord, SpanRecord
from tracer.store.engine import Store
from tracer.store.models import access_key, project
from tracer.store.patience import Patience
from tracer.store.projects import every_name
from tracer.store.sql import chunked

NOBODY: frozenset[str] = frozenset()


class NewProjects:
    """Says which names come too late to make a project. Callable from any thread.

    `limit` is how many projects there may be that have no key, as those have that were made by hand. Several processes
    on one database may let in a few more, those that are named at the same moment.
    """

    def __init__(self, store: Store, limit: int) -> None:
        self._patience = Patience(store)
        self._limit = limit
        self._lock = threading.Lock()
        self._known = {DEFAULT_PROJECT}
        self._coming: set[str] = set()
        """Let in, and perhaps not committed yet."""

    def too_many(self, names: Iterable[str]) -> frozenset[str]:
        """Those of the names whose projects are not there and are not made any more. Raises Unavailable."""
        unknown = set(names) - self._known
        if not unknown:
            return NOBODY
        with self._lock:
            wanted = unknown | self._coming
            there, made = self._patience.ask(
                lambda connection: (_there(connection, wanted), _made_by_names(connection))
            )
            self._known |= there
            self._coming -= there
            fresh = sorted(unknown - there - self._coming)
            if not fresh:
                return NOBODY
            room = max(0, self._limit - made - len(self._coming))
            self._coming.update(fresh[:room])
            return frozenset(fresh[room:])

    def hold(
        self, records: Sequence[SpanRecord | LogRecord], asked: str | None, rejected: Rejections
    ) -> frozenset[str]:
        """The names of some records, or the one `asked` for, that make no project; their sender is told how many."""
        name = project_name(asked) if asked is not None and asked.strip() else None
        if name is not None:
            moved = self.too_many([name]) if records else NOBODY
            count = len(records) if moved else 0
        else:
            # Records share their resources: each is asked once for its project.
            of_resource = {id(record.resource): named_in(record.resource) for record in records}
            names = [of_resource[id(record.resource)] or named_in(record.attributes) for record in records]
            moved = self.too_many({one for one in names if one is not None})
            count = sum(one in moved for one in names) if moved else 0
        if count:
            rejected.notes.append(
                f"{count} named a project that is not there, and names may make no more than {self._limit} "
                f"(STEPSCOPE_NEW_PROJECTS); they were stored in {DEFAULT_PROJECT!r}"
            )
        return moved


def _there(connection: Connection, names: Iterable[str]) -> set[str]:
    found: set[str] = set()
    there = every_name()
    for some in chunked(sorted(names), 500):
        found.update(connection.execute(select(there.c.name).where(there.c.name.in_(some))).scalars())
    return found


def _made_by_names(connection: Connection) -> int:
    """How many projects there are beside `default` and those with a key."""
    with_key = select(access_key.c.project_id)
    there = (project.c.id.not_in(with_key), project.c.name != DEFAULT_PROJECT, project.c.gone.is_(None))
    count = select(func.count()).where(*there)
    return int(connection.execute(count.select_from(project)).scalar_one())
