"""Puts a trace's spans into tree order: each drawn once, whatever their parents say, without recursion."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Protocol

import msgspec


class Node(Protocol):
    """What the order needs of a span."""

    span_id: bytes
    parent_id: bytes | None
    start_time: int


class Placed(msgspec.Struct, frozen=True, gc=False):
    """A span's place: its number in the given list, its depth, its children's number, whether its parent is missing."""

    index: int
    depth: int
    child_count: int
    orphan: bool


Key = tuple[int, bytes, bytes | None]
"""A span's start, its id, its parent's id."""

_key = attrgetter("start_time", "span_id", "parent_id")


def tree_order(nodes: Sequence[Node]) -> list[Placed]:
    """Depth first, siblings by (start, span id); roots first, then spans whose parent is not there, then circles.

    A circle is entered at its first span, which stands at the top like an orphan.
    """
    return order_of(list(map(_key, nodes)))


def order_of(keys: Sequence[Key]) -> list[Placed]:
    """The same for spans of which no more is at hand."""
    by_id = {span_id: number for number, (_, span_id, _) in enumerate(keys)}
    in_order = sorted(range(len(keys)), key=keys.__getitem__)
    children: dict[int, list[int]] = {}
    roots: list[int] = []
    orphans: list[int] = []
    for number in in_order:
        parent_id = keys[number][2]
        parent = by_id.get(parent_id) if parent_id is not None else None
        if parent is not None and parent != number:
            children.setdefault(parent, []).append(number)
        else:
            (roots if parent_id is None else orphans).append(number)
    placed: list[Placed] = []
    seen: set[int] = set()

    def walk(top: int, orphan: bool) -> None:
        pending = [(top, 0)]
        while pending:
            number, depth = pending.pop()
            if number in seen:
                continue
            seen.add(number)
            below = children.get(number, [])
            placed.append(Placed(number, depth, len(below), orphan and number == top))
            pending += [(child, depth + 1) for child in reversed(below)]

    for number in roots:
        walk(number, False)
    for number in orphans:
        walk(number, True)
    for number in in_order:
        if number not in seen:
            walk(number, True)
    return placed
