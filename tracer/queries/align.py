"""Two trees of steps put side by side: which step of one is which of the other, what came and what went.

The trees are walked from the top: the steps below two that belong together are matched in their order, by name and
kind, those whose whole subtrees look alike rather than others. A step that was put around others, or taken away from
around them, does not hide them. The work is bounded: many neighbours are matched by the shortest edit script of their
names, and where even that is too far, the first of a name goes with the first of that name, and so on.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tracer.queries.edits import Work, edits
from tracer.queries.outline import ERROR, NO_PRICE, SUMMED, Outline

CELLS = 300_000
"""Pairs of neighbours that are weighed in one alignment; a tenth of a second."""
MANY_LEFT = 200
"""With more unmatched neighbours than this, nobody looks for them one level further up or down."""

SAME, CHANGED, ADDED, REMOVED = range(4)
STATES = ("same", "changed", "added", "removed")

Label = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Aligned:
    """One line of the comparison: a row of each outline, or -1 where one has none; `moved` when it is elsewhere now."""

    one: int
    other: int
    depth: int
    moved: bool = False


def align(one: Outline, other: Outline) -> list[Aligned]:
    """Align two traces; every row of both is in exactly one line, in the order of `other` with what went in between."""
    return _Alignment(one, other).lines()


def state_of(one: Outline, other: Outline, line: Aligned) -> int:
    """What the rows themselves tell, as SAME, CHANGED, ADDED or REMOVED; whether texts differ is found out later."""
    before, after = line.one, line.other
    if before < 0 or after < 0:
        return ADDED if before < 0 else REMOVED
    told = [
        (rows.name[row], rows.kind[row], rows.model[row], rows.status[row] == ERROR, _own(rows, row))
        for rows, row in ((one, before), (other, after))
    ]
    return SAME if told[0] == told[1] else CHANGED


def _own(rows: Outline, row: int) -> tuple[int, int]:
    """A call's own tokens, and whether it lacks a price; sums over what is below say nothing of the step itself."""
    if rows.flags[row] & SUMMED:
        return -1, 0
    return rows.tokens[row], rows.flags[row] & NO_PRICE


class _Tree:
    """What the alignment needs of one side."""

    def __init__(self, rows: Outline) -> None:
        size = len(rows)
        self.labels: list[Label] = list(zip(rows.name, rows.kind, strict=True))
        self.parent = [-1] * size
        self.children: list[list[int]] = [[] for _ in range(size + 1)]
        """The last entry is for the steps at the top: -1 finds it."""
        open_rows: list[int] = []
        for row, depth in enumerate(rows.depth):
            del open_rows[depth:]
            above = open_rows[-1] if open_rows else -1
            self.parent[row] = above
            self.children[above].append(row)
            open_rows.append(row)
        self.shape = [0] * size
        """Equal for subtrees of the same names and kinds."""
        for row in range(size - 1, -1, -1):
            self.shape[row] = hash((self.labels[row], *(self.shape[child] for child in self.children[row])))


class _Alignment:
    def __init__(self, one: Outline, other: Outline) -> None:
        self.one, self.other = _Tree(one), _Tree(other)
        self.to_other = [-1] * len(one)
        self.to_one = [-1] * len(other)
        self.cells = CELLS
        self.work = Work()
        self.pending: list[tuple[int, int]] = [(-1, -1)]
        while self.pending:
            self._match_below(*self.pending.pop())

    def _pair(self, row: int, counterpart: int) -> None:
        self.to_other[row], self.to_one[counterpart] = counterpart, row
        self.pending.append((row, counterpart))

    def _match_below(self, row: int, counterpart: int) -> None:
        """Match the children of two steps that belong together; -1 and -1 are what stands at the top."""
        theirs = self.other.children[counterpart]
        left = [child for child in self.one.children[row] if self.to_other[child] < 0]
        right = [child for child in theirs if self.to_one[child] < 0]
        if row < 0 and len(left) == len(right) == 1:
            self._pair(left[0], right[0])  # the two that were asked to be compared, whatever they are called
            return
        for at, to in self._matches(left, right):
            self._pair(at, to)
        left = [child for child in left if self.to_other[child] < 0]
        right = [child for child in right if self.to_one[child] < 0]
        if left and right and len(left) + len(right) <= MANY_LEFT:
            self._match_across(left, right)

    def _match_across(self, left: list[int], right: list[int]) -> None:
        """Find steps that were put under another, or taken out from under one."""
        for wrapper in right:
            inner = [child for child in self.other.children[wrapper] if self.to_one[child] < 0]
            for at, to in self._matches([row for row in left if self.to_other[row] < 0], inner):
                self._pair(at, to)
        for wrapper in left:
            if self.to_other[wrapper] >= 0:
                continue
            inner = [child for child in self.one.children[wrapper] if self.to_other[child] < 0]
            for at, to in self._matches(inner, [row for row in right if self.to_one[row] < 0]):
                self._pair(at, to)

    def _matches(self, left: list[int], right: list[int]) -> list[tuple[int, int]]:
        """Pairs in order on both sides."""
        found: list[tuple[int, int]] = []
        shape, shapes = self.one.shape, self.other.shape
        begin = 0
        while begin < min(len(left), len(right)) and shape[left[begin]] == shapes[right[begin]]:
            found.append((left[begin], right[begin]))
            begin += 1
        end, ends = len(left), len(right)
        while end > begin and ends > begin and shape[left[end - 1]] == shapes[right[ends - 1]]:
            end, ends = end - 1, ends - 1
            found.append((left[end], right[ends]))
        left, right = left[begin:end], right[begin:ends]
        cells = len(left) * len(right)
        if cells > self.cells:
            labels, others = [self.one.labels[row] for row in left], [self.other.labels[row] for row in right]
            common = edits(labels, others, self.work)
            if common is None:
                return found + self._in_turn(left, right)
            for first, begin, length in common:
                found += zip(left[first : first + length], right[begin : begin + length], strict=True)
            return found
        self.cells -= cells
        return found + self._weighed(left, right)

    def _weighed(self, left: list[int], right: list[int]) -> list[tuple[int, int]]:
        """The best match in order: a pair of one label counts 2, one more when all below looks alike too."""
        labels, others = [self.one.labels[row] for row in left], [self.other.labels[row] for row in right]
        shapes, other_shapes = [self.one.shape[row] for row in left], [self.other.shape[row] for row in right]
        width = len(right) + 1
        best = [[0] * width]
        for at, label in enumerate(labels):
            above, line = best[-1], [0] * width
            for to, other in enumerate(others):
                most = max(above[to + 1], line[to])
                if label == other:
                    most = max(most, above[to] + 2 + (shapes[at] == other_shapes[to]))
                line[to + 1] = most
            best.append(line)
        found: list[tuple[int, int]] = []
        at, to = len(left), len(right)
        while at and to:
            if best[at][to] == best[at - 1][to]:
                at -= 1
            elif best[at][to] == best[at][to - 1]:
                to -= 1
            else:
                at, to = at - 1, to - 1
                found.append((left[at], right[to]))
        return found

    def _in_turn(self, left: list[int], right: list[int]) -> list[tuple[int, int]]:
        """The nth of a label with the nth of that label, as far as their order allows."""
        places: defaultdict[Label, list[int]] = defaultdict(list)
        for to, row in enumerate(right):
            places[self.other.labels[row]].append(to)
        used: defaultdict[Label, int] = defaultdict(int)
        wanted: list[tuple[int, int]] = []
        for row in left:
            label = self.one.labels[row]
            nth, used[label] = used[label], used[label] + 1
            if nth < len(places[label]):
                wanted.append((row, places[label][nth]))
        return [(row, right[to]) for row, to in _rising(wanted)]

    def lines(self) -> list[Aligned]:
        """Both trees as one: the order of the second, with what only the first has where it stood."""
        below = self._merged()
        found: list[Aligned] = []
        pending = [(pair, 0) for pair in reversed(below.get((-1, -1), []))]
        while pending:
            pair, depth = pending.pop()
            row, counterpart = pair
            moved = False
            if row >= 0 and counterpart >= 0:
                above, theirs = self.one.parent[row], self.other.parent[counterpart]
                moved = (self.to_other[above] if above >= 0 else -1) != theirs
            found.append(Aligned(row, counterpart, depth, moved))
            pending += [(child, depth + 1) for child in reversed(below.get(pair, []))]
        return found

    def _merged(self) -> dict[tuple[int, int], list[tuple[int, int]]]:
        """What stands below each line."""
        below: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for counterpart in range(-1, len(self.to_one)):
            children = self.other.children[counterpart]
            if children:
                key = (-1 if counterpart < 0 else self.to_one[counterpart], counterpart)
                below[key] = [(self.to_one[child], child) for child in children]
        for row in range(-1, len(self.to_other)):
            gone = [child for child in self.one.children[row] if self.to_other[child] < 0]
            if not gone:
                continue
            counterpart = -1 if row < 0 else self.to_other[row]
            below[(row, counterpart)] = self._with_gone(row, below.get((row, counterpart), []))
        return below

    def _with_gone(self, row: int, children: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Put the children of `row` that went behind the neighbours that they came after."""
        after: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        here = {mine for mine, _ in children if mine >= 0}
        last = -1
        for child in self.one.children[row]:
            if self.to_other[child] < 0:
                after[last].append((child, -1))
            elif child in here:
                last = child
        merged = after[-1]
        for pair in children:
            merged.append(pair)
            if pair[0] >= 0:
                merged += after.get(pair[0], [])
        return merged


def _rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest part of the pairs whose second numbers rise."""
    ends: list[int] = []
    at_end: list[int] = []
    before = [-1] * len(pairs)
    for number, (_, to) in enumerate(pairs):
        place = bisect_left(ends, to)
        before[number] = at_end[place - 1] if place else -1
        if place == len(ends):
            ends.append(to)
            at_end.append(number)
        else:
            ends[place], at_end[place] = to, number
    found: list[tuple[int, int]] = []
    number = at_end[-1] if at_end else -1
    while number >= 0:
        found.append(pairs[number])
        number = before[number]
    return found[::-1]
