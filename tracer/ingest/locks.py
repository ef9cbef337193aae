"""Lets one process at a time write to a trace, and keeps clearing away from writing; on SQLite a transaction does.

Whoever needs several of these takes them in this order, so that no two processes wait for each other: the traces, the
projects' counters (rows of the process's shard, which another may have by chance), the cube's periods, the counts'
periods.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from zlib import crc32

from tracer.store.sql import Sql

LOCK_CLASS = 4748
EVERY_TRACE = 4748_0001


class Periods(IntEnum):
    """Tables by periods; the number is the class of their locks."""

    cube = 4749
    alike = 4752


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


def lock_periods(sql: Sql, of: Periods, periods: Iterable[tuple[int, int, int]], *, alone: bool) -> None:
    """Keep clearing away from periods, (project, period, start), until the commit; with `alone` every other writer.

    Once a transaction for each table, with all its periods: they are locked in order.
    """
    if not sql.sqlite:
        kind = "" if alone else "_shared"
        keys = sorted({crc32(repr(tuple(map(int, period))).encode()) - 2**31 for period in periods})
        sql.run(f"SELECT pg_advisory_xact_lock{kind}(?, p) FROM unnest(?::int[]) p", [+of, keys])
