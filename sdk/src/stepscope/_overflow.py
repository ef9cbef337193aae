"""Steps that come faster than they can be written out: kept on disk as they are, and taken back in their order.

A tight loop shares the interpreter with the delivery thread; writing a step out costs more than making one, putting it
aside costs a tenth. The delivery thread does it while it can; where memory is full all the same, the thread that made
the last step does. Neither ever waits for the other: a file is written by one thread, and handed over whole.

The files have no name: nobody else can open them, and they are gone when the process is.
"""

from __future__ import annotations

import marshal
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from . import _guard
from ._context import Around
from ._encode import OWN_SCOPE
from ._foreign import Foreign
from ._scores import Score
from ._sinks import NOWHERE
from ._steps import UNSET, Step
from ._values import CutText

CHUNK = 4 * 1024 * 1024
"""Bytes of steps put aside at once, in one file."""
HOST_CHUNK = 512 * 1024
"""As many where a thread of the host's has to do it, less than a millisecond's work: added to the last file."""
PIECE = 256 * 1024
"""Bytes of steps between two chances for other threads: writing to the file lets them run."""
FILES = 256
"""Files that are open at a time, at most."""
AGAIN = 1.0
"""Seconds after a failure until the disk is tried again."""

# What a finished step is, beside what it is only while it runs.
_PLAIN = ("_trace", "_span", "_parent", "_start", "_end", "_name", "_kind", "_tags", "_metadata", "_extra", "_events")


SCORE = ("", "score")
"""Stands for a scope where a score was written out."""


class Out(NamedTuple):
    """A step, or a score, that is written out already."""

    span: bytes
    scope: tuple[str, str]


class _Chunk(NamedTuple):
    """One file of steps."""

    handle: int
    lengths: list[int]
    count: int


class Overflow:
    """The steps that were put aside. Any thread puts them there; one at a time takes them back."""

    def __init__(self, file: Callable[[], int], write: Callable[[Step], bytes | None]) -> None:
        """`file` opens a nameless file (OSError where it can't); `write` writes a step out."""
        self._file = file
        self._write = write
        self._chunks: deque[_Chunk] = deque()
        self._open: deque[Step | Out] = deque()
        self._closed = False
        self._failed_at: float | None = None
        self._hands: dict[int, list[Step]] = {}
        # Counted by whoever puts steps aside, hence under a lock, which is held for nothing but counting.
        self._counting = threading.RLock()
        self._moved = 0
        self._in = self._in_bytes = 0
        # Counted by the one who takes them back.
        self._out_of = self._out_bytes = 0
        self.freed = 0
        """Bytes of memory that they were counted with."""
        self.lost = 0
        """Steps that were in a thread's hands when everything ended."""

    def __len__(self) -> int:
        return self.waiting + len(self._open)

    @property
    def waiting(self) -> int:
        """Steps that wait in files."""
        return self._in - self._out_of

    @property
    def size(self) -> int:
        """Bytes of the files."""
        return self._in_bytes - self._out_bytes

    @property
    def usable(self) -> bool:
        """Whether it is worth trying: not in the midst of it, and not right after a failure."""
        failed = self._failed_at
        return not self.busy_here and (failed is None or time.monotonic() - failed >= AGAIN)

    @property
    def busy_here(self) -> bool:
        """Whether this very thread is putting steps aside: it is in a signal handler, or in a redaction hook."""
        return threading.get_ident() in self._hands

    def seen(self, ended: deque[Step]) -> int:
        """Count the steps that ever left `ended` for here, and those that are in it."""
        with self._counting:
            return self._moved + sum(map(len, list(self._hands.values()))) + len(ended)

    def absorb(self, ended: deque[Step], room: Callable[[], int], most: int) -> bool:
        """Move the steps that wait longest out of memory; False where the disk can't take them: then all is as before.

        `room` says how many bytes the disk may still take, `most` how many are put aside at once.
        """
        if room() < CHUNK:
            return False
        me = threading.get_ident()
        steps: list[Step] = []
        self._hands[me] = steps
        size = 0
        done = False
        try:
            with suppress(IndexError):  # another thread took the last one
                while size < most:
                    step = ended.popleft()
                    steps.append(step)
                    size += step._size
            # At once: while this thread writes, the others see that memory is free again.
            with self._counting:
                self.freed += size
            done = not steps or self.put(steps, room())
            return done
        finally:
            self._failed_at = None if done else time.monotonic()
            with self._counting:
                if done or self._closed:
                    self._moved += len(steps)
                    self.lost += 0 if done else len(steps)
                else:
                    ended.extendleft(reversed(steps))
                    self.freed -= size
                del self._hands[me]

    def put(self, steps: list[Step], room: int) -> bool:
        """Put steps aside in a file; False where the disk can't take them: nothing is kept of them then."""
        size = sum(step._size for step in steps)
        held: deque[_Chunk] = deque()
        added: list[int] | None = None
        try:
            # The last file leaves the row, and comes back, in one operation: an interrupt finds it there or here, never
            # in both, where its handle would be closed twice.
            with suppress(IndexError):
                held.extend(_last_of(self._chunks))
            if held and sum(held[0].lengths) + size > CHUNK:
                self._chunks.extend(_last_of(held))
            if not held and len(self._chunks) >= FILES:
                return False
            handle, lengths, count = held[0] if held else _Chunk(self._file(), [], 0)
            try:
                written = self._written(handle, steps, room, sum(lengths))
                if written is not None and not self._closed:
                    chunk = _Chunk(handle, lengths + written, count + len(steps))
                    if held:
                        held[0] = chunk
                    else:
                        held += (chunk,)
                    added = written
            finally:  # also when something else than the disk fails
                if not held:
                    os.close(handle)
            return added is not None
        except OSError as error:
            _guard.warn("overflow", f"stepscope: steps can't be put aside on disk ({error.strerror or error}).")
            return False
        finally:
            try:
                if added is not None:
                    with self._counting:
                        self._in += len(steps)
                        self._in_bytes += sum(added)
            finally:
                self._chunks.extend(held)
            if self._closed:  # meanwhile, and it was not in the row then
                lost = self._give_up()
                with self._counting:
                    self.lost += lost

    def _written(self, handle: int, steps: list[Step], room: int, at: int) -> list[int] | None:
        """Write steps to a file in pieces, from a place on; their lengths, or None where they need more than `room`."""
        lengths: list[int] = []
        os.lseek(handle, at, os.SEEK_SET)
        for piece in _pieces(steps):
            data = self._dumped(piece)
            lengths.append(len(data))
            if sum(lengths) > room:
                return None
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(handle, rest) :]
        return lengths

    def _dumped(self, steps: list[Step]) -> bytes:
        records = [_record(step) if type(step) is Step else self._out(step) for step in steps]
        try:
            return marshal.dumps(records)
        except ValueError:  # something in one of them is no plain value: that step is written out
            return marshal.dumps([self._plainly(step, record) for step, record in zip(steps, records, strict=True)])

    def take(self) -> Step | Out | None:
        """Take back the step that waits longest, or what was written of it; None where none waits."""
        if not self._open:
            self._read()
        return self._open.popleft() if self._open else None

    def close(self) -> int:
        """Give up what waits, and take nothing more; returns how many steps that were."""
        self._closed = True
        lost = len(self._open)
        self._open.clear()
        return lost + self._give_up()

    def _give_up(self) -> int:
        lost = 0
        with suppress(IndexError):
            while True:
                chunk = self._chunks.popleft()
                self._taken(chunk)
                lost += chunk.count
                with suppress(OSError):
                    os.close(chunk.handle)
        return lost

    def _taken(self, chunk: _Chunk) -> None:
        self._out_of += chunk.count
        self._out_bytes += sum(chunk.lengths)

    def _read(self) -> None:
        while self._chunks and not self._open:
            chunk = self._chunks.popleft()
            self._taken(chunk)
            try:
                os.lseek(chunk.handle, 0, os.SEEK_SET)
                for length in chunk.lengths:
                    data = bytearray()
                    while len(data) < length:
                        part = os.read(chunk.handle, length - len(data))
                        if not part:
                            break
                        data += part
                    records = marshal.loads(data)  # noqa: S302  (nobody but us could have written there)
                    self._open.extend(Out(*record) if len(record) == 2 else _step(record) for record in records)
            except Exception:
                # Counted by whoever takes them: as steps that could not be written.
                self._open.extend([Out(b"", OWN_SCOPE)] * (chunk.count - len(self._open)))
                _guard.failed("reading steps back from disk")
            finally:
                os.close(chunk.handle)

    def _plainly(self, step: Step, record: tuple[object, ...]) -> tuple[object, ...]:
        try:
            marshal.dumps([record])
        except ValueError:
            return self._out(step)
        return record

    def _out(self, step: Step) -> tuple[object, ...]:
        if isinstance(step, Score):
            return (self._write(step) or b"", SCORE)
        return (self._write(step) or b"", step.scope if isinstance(step, Foreign) else OWN_SCOPE)


def _last_of(row: deque[_Chunk]) -> Iterator[_Chunk]:
    """The last file of a row, taken out of it when it is asked for; IndexError then where there is none."""
    return islice(iter(row.pop, None), 1)


def _pieces(steps: list[Step]) -> Iterator[list[Step]]:
    """Split steps where together they exceed a piece."""
    piece: list[Step] = []
    size = 0
    for step in steps:
        piece.append(step)
        size += step._size
        if size >= PIECE:
            yield piece
            piece, size = list[Step](), 0
    if piece:
        yield piece


def _record(step: Step) -> tuple[object, ...]:
    around = step._around
    return (
        step._trace, step._span, step._parent, step._start, step._end, step._name, step._kind, step._tags,
        step._metadata, step._extra, step._events, step._failure, step._chunks,
        _packed(step._input),
        _packed(step._output),
        None if around is None else (around[0], around[1], around[2], dict(around[3]), around[4], around[5]),
    )  # fmt: skip


def _packed(value: object) -> object:
    # Plain values that no snapshot is stand for what no file can hold.
    if value is UNSET:
        return ...
    return (value.head, value.length) if type(value) is CutText else value


def _unpacked(value: object) -> object:
    if value is ...:
        return UNSET
    return CutText(*value) if type(value) is tuple else value


def _step(record: tuple[object, ...]) -> Step:
    """Make a step again that was put aside: all that is written of a finished one."""
    step = Step.__new__(Step)
    for name, value in zip(_PLAIN, record, strict=False):
        setattr(step, name, value)
    failure, chunks, given, made, around = record[len(_PLAIN) :]
    for name, value in (
        ("_failure", failure),
        ("_chunks", chunks),
        ("_input", _unpacked(given)),
        ("_output", _unpacked(made)),
        ("_around", Around(*around) if isinstance(around, tuple) else None),
        ("_size", 0),
        ("_sink", NOWHERE),
    ):
        setattr(step, name, value)
    return step
