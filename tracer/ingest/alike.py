"""Keeps count of traces that are alike: by the hour and the day in which they began, what facets are counted from.

Traces of one project and period are alike when their name, models, services, tags, environment, release and status are
the same, a name and tags that people gave included. Only those count in which nothing runs: what runs has no final
values, and is few enough to be looked at by itself. The counts change by differences, in the transaction that changes
the traces. Every process that writes at the same time has rows of its own, its shard, which are summed on reading: a
row may hold less than zero, when another shard has what it takes away.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from typing import Any, TypeAlias

from tracer.ingest.cube import take_shard
from tracer.ingest.locks import Periods, lock_periods
from tracer.store.cube import Period
from tracer.store.sql import Sql
from tracer.units import HOUR

SAME = ("name", "models", "services", "tags", "environment", "release")
"""The columns that traces which are alike have in common, beside their status."""

COUNTED = ("project_id", "trace_id", "start_time", "status", "running_count", *SAME)
"""Of a trace's row, what its count follows from."""

KEY = ("project_id", "period", "start", "alike", "status")

Same: TypeAlias = tuple[str | None, ...]
"""The values of SAME."""

Notes: TypeAlias = Mapping[tuple[int, bytes], tuple[str | None, str | None]]
"""By (project, trace id): the name and the tags, a JSON list, that people gave the trace."""

Cell: TypeAlias = tuple[int, int, Same, int]
"""(project, start of the hour, what they have in common, status)."""

Place: TypeAlias = tuple[int, int, int]
"""(project, period, start)."""


def notes_of(sql: Sql, keys: Iterable[tuple[int, bytes]]) -> Notes:
    """What people named and tagged, of these traces, given as (project, trace id)."""
    wanted = set(keys)
    rows = sql.rows_in(
        "SELECT project_id, trace_id, name, tags FROM annotation "
        "WHERE (name IS NOT NULL OR tags IS NOT NULL) AND trace_id IN ({keys})",
        sorted({trace_id for _, trace_id in wanted}),
    )
    return {key: (row.name, row.tags) for row in rows if (key := (row.project_id, row.trace_id)) in wanted}


class Recount:
    """Collects what a transaction changes of the counts, and writes it."""

    def __init__(self) -> None:
        self._cells: Counter[Cell] = Counter()

    def add(self, project_id: int, columns: Any, note: tuple[str | None, str | None] | None, sign: int = 1) -> None:
        """Count a trace, given by the columns of COUNTED and what people gave it; with `sign` -1 take it away."""
        if not columns["running_count"]:
            start = columns["start_time"]
            same = _with_note(tuple([columns[name] for name in SAME]), note)
            self._cells[project_id, start - start % HOUR, same, columns["status"]] += sign

    def add_rows(self, rows: Iterable[Any], notes: Notes, sign: int = 1) -> None:
        """The same for rows that have the columns COUNTED."""
        for row in rows:
            self.add(row.project_id, row._mapping, notes.get((row.project_id, row.trace_id)), sign)

    def rows(self) -> dict[tuple[int, int, int, bytes, int], tuple[Same, int]]:
        """For each key (KEY) of the table what its traces have in common and the difference of their number."""
        found: dict[tuple[int, int, int, bytes, int], tuple[Same, int]] = {}
        for (project_id, hour, same, status), count in self._cells.items():
            if not count:
                continue
            for period in Period:
                key = (project_id, int(period), hour - hour % period.length, digest(same), int(status))
                found[key] = (same, found[key][1] + count if key in found else count)
        return {key: value for key, value in found.items() if value[1]}

    def write(self, sql: Sql, *, alone: bool = False) -> None:
        """Write what was collected.

        With `alone` nothing stays of what has come to nothing in several shards together, by holding off the other
        writers of the same periods: for deleting, after which a name must not be left. Call that once in a transaction.
        """
        rows = self.rows()
        if not rows:
            return
        places = sorted({key[:3] for key in rows})
        lock_periods(sql, Periods.alike, places, alone=alone)
        shard = take_shard(sql)
        columns = (*KEY, "shard", *SAME, "trace_count")
        sql.insert(
            "trace_alike",
            columns,
            [(*key, shard, *same, count) for key, (same, count) in sorted(rows.items())],
            then=f"ON CONFLICT ({', '.join(KEY)}, shard) DO UPDATE SET "
            "trace_count = trace_alike.trace_count + excluded.trace_count",
        )
        places_of_row = " AND ".join(f"{name} = ?" for name in (*KEY, "shard"))
        sql.many(
            f"DELETE FROM trace_alike WHERE {places_of_row} AND trace_count = 0",
            sorted((*key, shard) for key, (_, count) in rows.items() if count < 0),
        )
        if alone and not sql.sqlite:
            for place in places:
                _clear(sql, place)


def _with_note(same: Same, note: tuple[str | None, str | None] | None) -> Same:
    if note is None:
        return same
    name, tags = note
    given = list(same)
    if name:
        given[SAME.index("name")] = name
    if tags:
        at = SAME.index("tags")
        with suppress(ValueError):  # a damaged row: `stepscope verify` tells of it
            given[at] = json.dumps(list(dict.fromkeys([*json.loads(given[at] or "[]"), *json.loads(tags)])))
    return tuple(given)


@lru_cache(maxsize=4_096)
def digest(same: Same) -> bytes:
    """What stands for the values of SAME in a key."""
    return blake2b(json.dumps(same).encode(), digest_size=16).digest()


def renote(
    sql: Sql, key: tuple[int, bytes], before: tuple[str | None, str | None], after: tuple[str | None, str | None]
) -> None:
    """Count a trace anew that people named or tagged otherwise, where it is there."""
    if before == after:
        return
    recount = Recount()
    for row in sql.rows(
        f"SELECT {', '.join(COUNTED)} FROM trace WHERE trace_id = ? AND project_id = ?", [key[1], key[0]]
    ):
        recount.add(key[0], row._mapping, before, -1)
        recount.add(key[0], row._mapping, after)
    recount.write(sql)


def _clear(sql: Sql, place: Place) -> None:
    """Take out of a period what its shards have none of together."""
    here = "project_id = ? AND period = ? AND start = ?"
    sql.run(
        f"DELETE FROM trace_alike WHERE {here} AND (alike, status) IN (SELECT alike, status FROM trace_alike "
        f"WHERE {here} GROUP BY alike, status HAVING sum(trace_count) = 0)",
        [*place, *place],
    )


def alike_differences(sql: Sql, project_id: int) -> Iterator[str]:
    """What is wrong with a project's counts, in sentences; nothing when they are what its traces come to.

    Takes memory by the number of its cells, not of its traces.
    """
    found: Counter[tuple[Any, ...]] = Counter()
    for row in sql.stream(
        f"SELECT {', '.join(KEY)}, {', '.join(SAME)}, trace_count FROM trace_alike WHERE project_id = ?", [project_id]
    ):
        found[tuple(row)[:-1]] += row.trace_count
    wanted = Recount()
    after = -1
    while rows := sql.rows(
        f"SELECT id, {', '.join(COUNTED)} FROM trace WHERE project_id = ? AND id > ? ORDER BY id LIMIT 1000",
        [project_id, after],
    ):
        after = rows[-1].id
        wanted.add_rows(rows, notes_of(sql, ((row.project_id, row.trace_id) for row in rows)))
    should = {(*key, *same): count for key, (same, count) in wanted.rows().items()}
    for cell in sorted(found.keys() | should.keys(), key=repr):
        has, needs = found[cell], should.get(cell, 0)
        if has != needs:
            period = Period(cell[1]).name
            yield f"of the {period} {cell[2]} {has} traces like {cell[len(KEY) :]}, status {cell[4]}, not {needs}"
