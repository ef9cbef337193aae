"""Lets one process at a time write to a trace."""

from __future__ import annotations

from collections.abc import Iterable

from tracer.store.sql import Sql

LOCK_CLASS = 4748
EVERY_TRACE = 4748_0001
TRACES_LOCKED_ONE_BY_ONE = 1_000
"""Postgres as it comes has room for 6,400 locks of all processes together."""


def lock_traces(sql: Sql, trace_ids: Iterable[bytes]) -> None:
    """Hold these traces until the transaction ends; a commit with very many of them holds off every other writer."""
    if sql.sqlite:
        return  # it has one writer at a time anyway
    buckets = sorted({int.from_bytes(trace_id[:4], signed=True) for trace_id in trace_ids})
    if len(buckets) > TRACES_LOCKED_ONE_BY_ONE:
        sql.run("SELECT pg_advisory_xact_lock(?)", [EVERY_TRACE])
    elif buckets:
        sql.run("SELECT pg_advisory_xact_lock_shared(?)", [EVERY_TRACE])
        # In order, so that no two processes wait for each other.
        sql.run("SELECT pg_advisory_xact_lock(?, b) FROM unnest(?::int[]) b", [LOCK_CLASS, buckets])
