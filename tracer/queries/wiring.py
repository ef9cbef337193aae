"""A chain as its last runs show it: which steps there are, by name and kind, and which calls which."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import Connection, select

from tracer.queries.rows import TraceRow
from tracer.queries.runs import runs
from tracer.queries.scope import Scope
from tracer.store.models import span
from tracer.units import Nanos

RUNS = 20
MOST_OF_ONE = 20_000
"""Steps of one run that are read."""
MOST_STEPS = 40_000
"""Steps that are read in all: a fifth of a second."""
MOST_NODES = 300
SOMEWHERE = 1 << 30
"""The level of a step above which something was not read."""

Key = tuple[str, int]
"""A step's name and kind."""


@dataclass(slots=True)
class Node:
    """All steps of one name and kind; `depth` is the least level and `first` the least time from a run's beginning."""

    name: str
    kind: int
    depth: int
    first: Nanos
    runs: int = 0
    steps: int = 0


@dataclass(slots=True)
class Wiring:
    """What was seen in `runs` runs; of `cut` of them only a part was read, and `left` names are not among the nodes."""

    runs: int = 0
    cut: int = 0
    left: int = 0
    nodes: list[Node] = field(default_factory=list)
    edges: list[tuple[int, int, int]] = field(default_factory=list)
    """(from, to, calls), as places in `nodes`."""


def wiring(conn: Connection, *, scope: Scope, like: TraceRow, abandoned_after: int = 10) -> Wiring:
    """The chain of which `like` is a run, from its other last runs; the work is bounded whatever their size."""
    found = Wiring()
    nodes: dict[Key, Node] = {}
    edges: dict[tuple[Key, Key], int] = {}
    left = MOST_STEPS
    others = runs(conn, scope=scope, like=like, before=False, limit=RUNS + 1, abandoned_after=abandoned_after)
    for run in [run for run in others if run.received != like.received][:RUNS]:
        most = min(MOST_OF_ONE, left)
        if most <= 0:
            break
        rows = _steps(conn, run, most)
        left -= len(rows)
        found.runs += 1
        whole = len(rows) >= run.span_count
        found.cut += not whole
        _add(rows, nodes, edges, whole=whole)
    kept = sorted(nodes.items(), key=lambda item: (-item[1].runs, -item[1].steps, item[1].first))[:MOST_NODES]
    places = {key: place for place, (key, _) in enumerate(kept)}
    found.nodes = [node for _, node in kept]
    for node in found.nodes:
        node.depth = node.depth if node.depth < SOMEWHERE else 1
    found.left = len(nodes) - len(kept)
    found.edges = [
        (places[above], places[below], calls)
        for (above, below), calls in edges.items()
        if above in places and below in places
    ]
    return found


def _steps(conn: Connection, run: TraceRow, most: int) -> list[tuple[Any, ...]]:
    statement = select(span.c.span_id, span.c.parent_id, span.c.name, span.c.kind, span.c.start_time)
    cursor = conn.execute(statement.where(span.c.trace_pk == run.received).limit(most)).cursor
    return cast("list[tuple[Any, ...]]", cursor.fetchall()) if cursor is not None else []


def _add(
    rows: list[tuple[Any, ...]], nodes: dict[Key, Node], edges: dict[tuple[Key, Key], int], *, whole: bool
) -> None:
    """Count one run's steps and calls; of a run that is not `whole` nobody knows how deep a step without parent is."""
    by_id = {bytes(row[0]): row for row in rows}
    depths: dict[bytes, int] = {}
    if not whole:
        depths = {bytes(row[1]): SOMEWHERE for row in rows if row[1] is not None and bytes(row[1]) not in by_id}
    begin = min((row[4] for row in rows), default=0)
    seen: set[Key] = set()
    for span_id, row in by_id.items():
        depth = _depth(span_id, by_id, depths)
        key: Key = (row[2], row[3])
        node = nodes.get(key)
        first = Nanos(row[4] - begin)
        if node is None:
            node = nodes[key] = Node(row[2], row[3], depth, first)
        node.depth, node.first = min(node.depth, depth), min(node.first, first)
        node.steps += 1
        node.runs += key not in seen
        seen.add(key)
        parent = by_id.get(bytes(row[1])) if row[1] is not None else None
        if parent is not None and parent is not row:
            edge = ((parent[2], parent[3]), key)
            edges[edge] = edges.get(edge, 0) + 1


def _depth(span_id: bytes, by_id: dict[bytes, tuple[Any, ...]], depths: dict[bytes, int]) -> int:
    """A step's level; each step is visited once, and steps in a circle end where it closes."""
    path: list[bytes] = []
    passed: set[bytes] = set()
    at: bytes | None = span_id
    while at is not None and at in by_id and at not in depths and at not in passed:
        path.append(at)
        passed.add(at)
        parent = by_id[at][1]
        at = bytes(parent) if parent is not None else None
    depth = depths[at] + 1 if at is not None and at in depths else 0
    for step in reversed(path):
        depths[step] = depth
        depth += 1
    return depths[span_id]
