"""What is kept of a large step while memory is full: the heads of its texts, and how long they were.

It costs microseconds on the thread that made the step, where putting the step aside on disk would cost milliseconds.
"""

from __future__ import annotations

from ._steps import UNSET, Step
from ._values import CutText, Walk, head

LARGE = 16 * 1024
"""Bytes from which on a step is worth it: what is smaller is put aside on disk in the time that it took to make."""
KEPT = 2_000
"""Characters kept of a text."""
PARTS = 100
"""Parts kept of a value (items, keys, fields) over all its levels, of attributes and of events."""


def shorten(step: Step) -> bool:
    """Cut what a finished step holds, and its size with it; False for a span that another library made, or a score."""
    if type(step) is not Step:
        return False
    if step._output is UNSET and step._chunks is not None:
        step._output = _joined(step._chunks)
    step._chunks = None
    cutter = _Cutter()
    step._input = cutter.side(step._input)
    step._output = cutter.side(step._output)
    # New ones: who reads the old ones meanwhile is not disturbed.
    if step._extra is not None:
        step._extra = {name: cutter.part(value) for name, value in list(step._extra.items())[:PARTS]}
    if step._metadata is not None:
        step._metadata = {name: cutter.part(value) for name, value in list(step._metadata.items())[:PARTS]}
    if step._events is not None:
        step._events = [(when, name, cutter.part(facts)) for when, name, facts in step._events[:PARTS]]
    step._size = 2_700 + cutter.size  # of its own, and of an exception
    return True


class _Cutter:
    """Cuts the parts of one step, the later ones harder when the first were many."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0

    def side(self, value: object) -> object:
        """Cut an input or an output: its full length travels beside a text."""
        if type(value) is str and len(value) > KEPT:
            value = CutText(head(value, KEPT), len(value))
        elif isinstance(value, CutText):
            value = CutText(head(value.head, KEPT), value.length)
        elif value is not UNSET:
            return self.part(value)
        self.size += 2 * KEPT
        return value

    def part(self, value: object) -> object:
        """Cut any other value: what is cut in it says so in its words, as it does on the wire."""
        walk = _Walk(2 * KEPT, PARTS) if self.size < LARGE else _Walk(0, PARTS // 10)
        found = walk.take(value, 0)
        self.size += walk.size + 100
        return found


class _Walk(Walk):
    __slots__ = ()

    def text(self, value: object) -> object:
        found = super().text(value)
        return str(found) if isinstance(found, CutText) else found


def _joined(chunks: list[str]) -> object:
    length = sum(map(len, chunks))
    said = ""
    for chunk in chunks:
        said += chunk
        if len(said) > KEPT:
            break
    return said if len(said) == length else CutText(said, length)
