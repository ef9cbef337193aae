"""How far the index is."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from tracer.store.sql import Sql
from tracer.units import SECOND

IndexState = Literal["off", "caught_up", "behind"]


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """The search index now. The lag is what is stored but not yet found; `bytes` are those of the index alone."""

    state: IndexState
    lag_spans: int
    lag_seconds: float
    documents: int
    segments: int
    bytes: int


def index_status(sql: Sql, *, on: bool) -> IndexStatus:
    """How far the index is; `on` says whether this service writes it."""
    work = sql.rows("SELECT coalesce(sum(spans), 0) AS spans, min(at) AS oldest FROM search_work")[0]
    held = sql.rows(
        "SELECT count(*) AS segments, coalesce(sum(documents), 0) AS documents, coalesce(sum(bytes), 0) AS bytes "
        "FROM search_segment"
    )[0]
    lag = 0.0 if work.oldest is None else max(0.0, (time.time_ns() - work.oldest) / SECOND)
    state: IndexState = "off" if not on else "caught_up" if work.oldest is None else "behind"
    return IndexStatus(state, int(work.spans), lag, int(held.documents), held.segments, int(held.bytes))


def database_bytes(sql: Sql) -> int:
    """The size of the whole database in bytes, free pages included."""
    if sql.sqlite:
        pages = sql.rows("SELECT page_count AS pages FROM pragma_page_count()")[0].pages
        return pages * sql.rows("SELECT page_size AS size FROM pragma_page_size()")[0].size
    return sql.rows("SELECT pg_database_size(current_database()) AS size")[0].size


def index_bytes(sql: Sql) -> int:
    """Bytes that the index takes in the database, with its tables' and pages' own; SQLite counts what it stores.

    For the figures of a bench: on SQLite it reads the whole index.
    """
    if not sql.sqlite:
        names = ("search_segment", "search_block", "search_seen", "search_work", "search_state")
        sizes = " + ".join(f"pg_total_relation_size('{name}')" for name in names)
        return sql.rows(f"SELECT {sizes} AS size")[0].size
    held = sql.rows(
        "SELECT (SELECT coalesce(sum(length(data) + length(first_term) + 24), 0) FROM search_block) + "
        "(SELECT coalesce(sum(length(data) + 16), 0) FROM search_seen) + "
        "(SELECT coalesce(sum(length(runs) + 48), 0) FROM search_segment) AS size"
    )
    return held[0].size
