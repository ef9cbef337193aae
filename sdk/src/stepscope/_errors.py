"""Exceptions: what is kept of them at the call, and the text made of it in the delivery thread.

Nothing here keeps an exception, a traceback or a frame alive: only names and line numbers are taken.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import NamedTuple

FRAME_LIMIT = 60
"""Frames kept of one exception: the outermost and the innermost halves."""
CHAIN_LIMIT = 8
"""Exceptions kept of one chain of causes, and of one group."""
MESSAGE_LIMIT = 10_000
"""Characters kept of one message."""

_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"
_OWN_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep


class Frame(NamedTuple):
    """One line of a stack."""

    file: str
    line: int
    function: str


class Failure(NamedTuple):
    """One exception, taken apart."""

    type: str
    message: str
    notes: tuple[str, ...] = ()
    frames: tuple[Frame, ...] = ()
    skipped: int = 0
    """Frames left out between the two halves of `frames`."""
    before: Failure | None = None
    """The exception that this one was raised from, or while handling."""
    link: str = ""
    group: tuple[Failure, ...] = ()


def take_failure(error: BaseException) -> Failure:
    """Take an exception apart, with its causes, its notes and, for a group, its members."""
    return _take(error, set(), 0)


def _take(error: BaseException, seen: set[int], depth: int) -> Failure:
    seen.add(id(error))
    frames, skipped = _frames(error.__traceback__)
    notes: object = getattr(error, "__notes__", ())
    members: object = getattr(error, "exceptions", ())
    before: Failure | None = None
    link = ""
    earlier = error.__cause__
    if earlier is not None:
        link = _CAUSE
    elif not error.__suppress_context__:
        earlier, link = error.__context__, _CONTEXT
    if earlier is not None and id(earlier) not in seen and len(seen) < CHAIN_LIMIT:
        before = _take(earlier, seen, depth)
    group: tuple[Failure, ...] = ()
    if isinstance(members, tuple) and depth < 3:
        found = [member for member in members[:CHAIN_LIMIT] if isinstance(member, BaseException)]
        group = tuple(_take(member, set(seen), depth + 1) for member in found if id(member) not in seen)
    return Failure(
        type=type_name(error),
        message=message_of(error),
        notes=tuple(str(note)[:MESSAGE_LIMIT] for note in notes[:20]) if isinstance(notes, list) else (),
        frames=frames,
        skipped=skipped,
        before=before,
        link=link if before is not None else "",
        group=group,
    )


def type_name(error: BaseException) -> str:
    """Name an exception's type as Python's own tracebacks do: built-in ones without their module."""
    kind = type(error)
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def message_of(error: BaseException) -> str:
    """Return an exception's message, whatever its `__str__` does."""
    try:
        text = str(error)
    except Exception as broken:
        return f"<its message could not be read: {type(broken).__name__}>"
    return text if len(text) <= MESSAGE_LIMIT else f"{text[:MESSAGE_LIMIT]}… [cut: {len(text):,} characters in all]"


def _frames(traceback: TracebackType | None) -> tuple[tuple[Frame, ...], int]:
    found: list[Frame] = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if not code.co_filename.startswith(_OWN_FOLDER):
            found.append(Frame(code.co_filename, traceback.tb_lineno, code.co_name))
        traceback = traceback.tb_next
    if len(found) <= FRAME_LIMIT:
        return tuple(found), 0
    half = FRAME_LIMIT // 2
    return (*found[:half], *found[-half:]), len(found) - FRAME_LIMIT


def stack_text(failure: Failure) -> str:
    """Write a failure as Python would print it, with the source lines that can be read."""
    import linecache

    parts: list[str] = []
    if failure.before is not None:
        parts += [stack_text(failure.before), failure.link]
    if failure.frames:
        parts.append("Traceback (most recent call last):\n")
    for number, frame in enumerate(failure.frames):
        if failure.skipped and number == FRAME_LIMIT // 2:
            parts.append(f"  … {failure.skipped:,} frames are not kept\n")
        parts.append(f'  File "{frame.file}", line {frame.line}, in {frame.function}\n')
        source = linecache.getline(frame.file, frame.line).strip()
        if source:
            parts.append(f"    {source[:500]}\n")
    parts.append(f"{failure.type}: {failure.message}\n" if failure.message else f"{failure.type}\n")
    parts += [f"{note}\n" for note in failure.notes]
    for number, member in enumerate(failure.group, 1):
        inner = stack_text(member).replace("\n", "\n  ").rstrip()
        parts.append(f"  --- member {number} of the group ---\n  {inner}\n")
    return "".join(parts)
