"""Bounded snapshots of the host's values, taken at the call, on the host's thread.

What can't change (text, bytes, numbers) is held; what can is copied; both stop at fixed limits. `_text` makes text of
a snapshot later, in the delivery thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from sys import getsizeof
from typing import cast

from . import _guard

TEXT_LIMIT = 2 * 1024 * 1024
"""Bytes of text kept of one value, over all its parts."""
ITEM_LIMIT = 10_000
"""Parts kept of one value (items, keys, fields), over all its levels."""
DEPTH_LIMIT = 24
"""Levels kept of one value."""
BYTES_LIMIT = 1024 * 1024
"""Bytes kept of one binary value."""
SHORT_TEXT = 200
"""Characters that are kept of any text, also when no more is to be."""
SHORT_BYTES = 4096
"""Bytes kept of one binary value when a snapshot is shortened."""
REPR_LIMIT = 10_000
"""Characters kept of an object that only its `repr` describes."""

_ATOMS = frozenset({str, int, float, bool, type(None)})
_NUMBERS = frozenset({int, float, bool, type(None)})
_TEXT = frozenset({str})
_text_size = cast("Callable[[object], int]", str.__sizeof__)

Handler = Callable[["Walk", object, int], object]


class CutText:
    """The head of a text that was too long, and how many characters it had."""

    __slots__ = ("head", "length")

    def __init__(self, head: str, length: int) -> None:
        self.head = head
        self.length = length

    def __str__(self) -> str:
        return f"{self.head}… [cut: {self.length:,} characters in all]"


class Blob:
    """Bytes, or the head of them, and how many there were."""

    __slots__ = ("data", "length")

    def __init__(self, data: bytes, length: int) -> None:
        self.data = data
        self.length = length


def head(text: str, length: int) -> str:
    """Return at most so many characters of a text's beginning; where there is a gap near the end, up to there.

    A key that stands across the end would not be known as one any more, and so not be hidden.
    """
    if len(text) <= length:
        return text
    gap = max(text.rfind(" ", max(length - 500, 0), length), text.rfind("\n", max(length - 500, 0), length))
    return text[: gap if gap > 0 else length]


def take(value: object) -> tuple[object, int]:
    """Return a snapshot that later changes of `value` don't reach, and roughly the bytes that it holds."""
    kind = type(value)
    try:
        if kind is str:
            size = getsizeof(value)
            if size <= TEXT_LIMIT:
                return value, size
        elif kind in _NUMBERS:
            return value, 32
        elif kind is dict and isinstance(value, dict):
            size = _flat_size([*value], value)
            if size:
                return value.copy(), size
        elif kind in records:
            # A record whose fields are a flat dict is copied like one.
            held: object = getattr(value, "__dict__", None)
            fields = records[kind]
            if type(held) is dict and ([*held] == fields or held.keys() == {*fields}):
                size = _flat_size([], held)
                if size:
                    return held.copy(), size
        walk = Walk()
        taken = walk.take(value, 0)
        return taken, walk.size
    except Exception:
        _guard.failed(f"reading a value of type {kind.__name__}")
        return f"<{kind.__name__}: could not be read>", 100


def _flat_size(keys: list[object], pairs: dict[object, object]) -> int:
    """Return roughly the bytes that a small dict of texts and numbers holds; 0 for any other.

    `keys` are those of its keys that are not known to be short texts.
    """
    count = len(pairs)
    if not 0 < count <= 1000:
        return 0
    parts = [*keys, *pairs.values()]
    kinds = [*map(type, parts)]
    if kinds.count(str) == len(parts):
        text = sum(map(_text_size, parts))  # a third of what `getsizeof` costs
    elif _ATOMS.issuperset(kinds) and kinds[: len(keys)].count(str) == len(keys):
        text = sum(map(getsizeof, parts))
    else:
        return 0
    size = 100 * count + text
    return size if size <= TEXT_LIMIT else 0


def take_own(pairs: dict[str, object]) -> tuple[object, int]:
    """Do as `take` for a dict that nobody else holds: its values are replaced by their snapshots in place."""
    size = 64
    text = 0
    for name, value in pairs.items():
        kind = type(value)
        if kind is str:
            text += getsizeof(value)
        elif kind in _NUMBERS:
            size += 32
        elif len(pairs) == 1:
            taken, found = take(value)
            pairs[name] = taken
            return pairs, size + found
        else:
            return take(pairs)
    if text > TEXT_LIMIT or len(pairs) > 1000:
        return take(pairs)
    return pairs, size + text


class Walk:
    """One walk through one value, with what is left of the limits."""

    __slots__ = ("_items", "_path", "_text", "size")

    def __init__(self, text: int = TEXT_LIMIT, items: int = ITEM_LIMIT) -> None:
        self.size = 0
        self._text = text
        self._items = items
        self._path: set[int] = set()

    def take(self, value: object, depth: int) -> object:
        """Return a snapshot of a value that stands `depth` levels down."""
        kind = type(value)
        if kind is str:
            return self.text(value)
        if kind in _NUMBERS:
            self.size += 32
            return value
        self.size += 64
        # The common case, a flat dict or list, is copied without a line of Python per item.
        if kind is dict and isinstance(value, dict) and _TEXT.issuperset(map(type, value)):
            if _ATOMS.issuperset(map(type, value.values())):
                size = getsizeof(value) + sum(map(len, value)) + sum(map(getsizeof, value.values()))
                if self._fits(size, len(value)):
                    return value.copy()
        elif (
            kind is list
            and isinstance(value, list)
            and _ATOMS.issuperset(map(type, value))
            and self._fits(8 * len(value) + sum(map(getsizeof, value)), len(value))
        ):
            return value.copy()
        if depth >= DEPTH_LIMIT:
            return "… [deeper levels are not kept]"
        me = id(value)
        if me in self._path:
            return "… [the same object again]"
        self._path.add(me)
        try:
            return handler_of(kind)(self, value, depth + 1)
        except Exception as error:
            return f"<{kind.__name__}: could not be read ({type(error).__name__})>"
        finally:
            self._path.discard(me)

    def _fits(self, size: int, count: int) -> bool:
        if size > self._text or count > self._items:
            return False
        self._text -= size
        self._items -= count
        self.size += size
        return True

    def text(self, value: object) -> object:
        """Hold a text, or keep the head of it."""
        if not isinstance(value, str):
            return None
        size = getsizeof(value)
        left = self._text
        self._text = max(left - size, 0)
        if size <= left or len(value) <= SHORT_TEXT:
            self.size += size
            return value
        cut = CutText(head(value, max(left, SHORT_TEXT)), len(value))
        self.size += getsizeof(cut.head)
        return cut

    def words(self, text: str) -> str:
        """Keep a text that we made ourselves."""
        self.size += getsizeof(text)
        return text if len(text) <= REPR_LIMIT else f"{text[:REPR_LIMIT]}… [cut: {len(text):,} characters in all]"

    def pairs(self, pairs: Iterable[tuple[object, object]], count: int, depth: int) -> dict[str, object]:
        """Copy keys with values; `count` of them are there."""
        out: dict[str, object] = {}
        for key, value in pairs:
            if self._items <= 0:
                out["…"] = f"{count - len(out):,} more"
                break
            self._items -= 1
            name = key if type(key) is str else key_text(key)
            self.size += 100
            out[name if len(name) <= 1000 else f"{name[:1000]}…"] = self.take(value, depth)
        return out

    def items(self, values: Iterable[object], count: int, depth: int) -> list[object]:
        """Copy values; `count` of them are there."""
        out: list[object] = []
        for value in values:
            if self._items <= 0:
                out.append(f"… {count - len(out):,} more")
                break
            self._items -= 1
            self.size += 8
            out.append(self.take(value, depth))
        return out


def label(value: object) -> str:
    """Write a name; whatever it is, this never raises."""
    if type(value) is str:
        return value
    try:
        return "".join((str(value),))
    except Exception:
        return f"<{type(value).__name__}>"


def key_text(key: object) -> str:
    """Write a key that is no text."""
    if key is None or key is True or key is False:
        return {None: "null", True: "true", False: "false"}[key]
    if isinstance(key, str):
        return "".join((key,))
    try:
        return str(key)[:1000]
    except Exception:
        return f"<{type(key).__name__}>"


def take_text(walk: Walk, value: object, depth: int) -> object:
    """Handle subclasses of str."""
    return walk.text(str.__getitem__(value, slice(None)) if isinstance(value, str) else None)


def take_dict(walk: Walk, value: object, depth: int) -> object:
    """Handle dicts and their subclasses."""
    return walk.pairs(dict.items(value), dict.__len__(value), depth) if isinstance(value, dict) else None


def take_list(walk: Walk, value: object, depth: int) -> object:
    """Handle lists, tuples, sets, deques and their subclasses."""
    if isinstance(value, list):
        return walk.items(list.__iter__(value), list.__len__(value), depth)
    if isinstance(value, tuple):
        return walk.items(tuple.__iter__(value), tuple.__len__(value), depth)
    if isinstance(value, (set, frozenset, deque)):
        return walk.items(value.copy(), len(value), depth)
    return None


def take_bytes(walk: Walk, value: object, depth: int) -> object:
    """Handle binary values: hold bytes, copy what can change."""
    if isinstance(value, bytes) and len(value) <= BYTES_LIMIT:
        walk.size += len(value)
        return Blob(value, len(value))
    view = memoryview(value) if isinstance(value, (bytes, bytearray, memoryview)) else memoryview(b"")
    head = view[: BYTES_LIMIT // view.itemsize].tobytes() if view.nbytes > BYTES_LIMIT else view.tobytes()
    walk.size += len(head)
    return Blob(head, view.nbytes)


def take_cut(walk: Walk, value: object, depth: int) -> object:
    """Handle, where a snapshot is taken of a snapshot, texts that were cut."""
    return walk.text(str(value))


def take_blob(walk: Walk, value: object, depth: int) -> object:
    """Handle, where a snapshot is taken of a snapshot, binary values."""
    if not isinstance(value, Blob):
        return None
    walk.size += min(len(value.data), SHORT_BYTES)
    return Blob(value.data[:SHORT_BYTES], value.length)


def take_number(walk: Walk, value: object, depth: int) -> object:
    """Handle subclasses of int and float, without calling what they overrode."""
    walk.size += 32
    if isinstance(value, int):
        return int.__add__(value, 0)
    return float.__add__(value, 0.0) if isinstance(value, float) else None


_BASES: tuple[tuple[type, Handler], ...] = (
    (str, take_text),
    (dict, take_dict),
    (list, take_list),
    (tuple, take_list),
    (set, take_list),
    (frozenset, take_list),
    (deque, take_list),
    (bytes, take_bytes),
    (bytearray, take_bytes),
    (memoryview, take_bytes),
    (int, take_number),
    (float, take_number),
    (CutText, take_cut),
    (Blob, take_blob),
)
_handlers: dict[type, Handler] = {}
records: dict[type, list[str]] = {}
"""Record types that were met, and the fields that are kept of them, in their order."""


def handler_of(kind: type) -> Handler:
    """Find, once a type, what reads its values."""
    found = _handlers.get(kind)
    if found is None:
        # Not at import: only values beyond the plain ones need it.
        from . import _objects

        found = _objects.special(kind)
        if found is None:
            found = next((handler for base, handler in _BASES if issubclass(kind, base)), _objects.take_object)
        if len(_handlers) > 1000:  # types made at run time must not pile up
            _handlers.clear()
            records.clear()
        _handlers[kind] = found
    return found
