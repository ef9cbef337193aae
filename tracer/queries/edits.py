"""The shortest way from one sequence to another (Myers), as far as there is time to look for it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

WORK = 400_000
"""Steps of the search for all the edit scripts of one answer."""
FAR = 600
"""An edit script longer than this is not looked for."""


@dataclass(slots=True)
class Work:
    """How much may still be done for one answer."""

    left: int = WORK


def edits(one: Sequence[Hashable], other: Sequence[Hashable], work: Work) -> list[tuple[int, int, int]] | None:
    """The stretches that two sequences have in common, as (first, begin, length), in order.

    None when they are further apart than may be looked for; what they share at both ends is then not worth showing.
    """
    start = 0
    shorter = min(len(one), len(other))
    while start < shorter and one[start] == other[start]:
        start += 1
    end = 0
    while end < shorter - start and one[-1 - end] == other[-1 - end]:
        end += 1
    middle = _shortest(one[start : len(one) - end], other[start : len(other) - end], work)
    if middle is None and start + end < shorter // 4:
        return None
    found: list[tuple[int, int, int]] = [(0, 0, start)] if start else []
    found += [(start + first, start + begin, length) for first, begin, length in middle or ()]
    if end:
        found.append((len(one) - end, len(other) - end, end))
    return found


def _shortest(one: Sequence[Hashable], other: Sequence[Hashable], work: Work) -> list[tuple[int, int, int]] | None:
    """Myers' greedy search; None when the script is too long or the page's work is done."""
    if not one or not other:
        return []
    size, width = len(one), len(other)
    furthest = {1: 0}
    history: list[dict[int, int]] = []
    for distance in range(min(FAR, size + width) + 1):
        work.left -= distance + 1
        if work.left < 0:
            return None
        history.append(furthest.copy())
        for diagonal in range(-distance, distance + 1, 2):
            down = diagonal == -distance or (
                diagonal != distance and furthest.get(diagonal - 1, -1) < furthest.get(diagonal + 1, -1)
            )
            at = furthest[diagonal + 1] if down else furthest[diagonal - 1] + 1
            to = at - diagonal
            while at < size and to < width and one[at] == other[to]:
                at += 1
                to += 1
            furthest[diagonal] = at
            if at >= size and to >= width:
                return _walked_back(history, distance, size, width)
    return None


def _walked_back(history: list[dict[int, int]], distance: int, size: int, width: int) -> list[tuple[int, int, int]]:
    found: list[tuple[int, int, int]] = []
    at, to = size, width
    for steps in range(distance, -1, -1):
        furthest, diagonal = history[steps], at - to
        down = diagonal == -steps or (
            diagonal != steps and furthest.get(diagonal - 1, -1) < furthest.get(diagonal + 1, -1)
        )
        before = diagonal + 1 if down else diagonal - 1
        start = furthest.get(before, 0) if steps else 0
        origin = start - before if steps else 0
        begin = (start if down else start + 1) if steps else 0
        if at > begin:
            found.append((begin, begin - diagonal, at - begin))
        at, to = start, origin
    return found[::-1]
