"""JSON as a tree that folds, in plain HTML: `<details>` for what has children, a line for what has none."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from markupsafe import Markup, escape

MAX_NODES = 600
MAX_DEPTH = 40
MAX_TEXT = 4_000
OPEN_DEPTH = 2
"""Branches down to this depth stand open at first."""
OPEN_CHILDREN = 40
"""Branches with more children than this start folded."""

INLINE = 76
"""Values no longer than this stand on one line."""


@dataclass(slots=True)
class _Branch:
    rest: Iterator[tuple[str | None, object]]
    close: str


def json_tree(value: object, *, max_nodes: int = MAX_NODES, max_text: int = MAX_TEXT) -> Markup:
    """Draw any JSON value. What goes beyond the limits is counted in words, never left out in silence.

    Works without recursion, so that nesting of any depth costs no more than its size.
    """
    out: list[str] = ['<div class="json">']
    branches = [_Branch(iter([(None, value)]), "")]
    nodes = 0
    while branches:
        branch = branches[-1]
        entry = next(branch.rest, None)
        if entry is None:
            out.append(branch.close)
            branches.pop()
            continue
        if nodes >= max_nodes:
            left = 1 + sum(1 for open_branch in branches for _ in open_branch.rest)
            out.append(f'<div class="cut">and at least {left:,} more, in the raw view</div>')
            out.extend(open_branch.close for open_branch in reversed(branches))
            break
        nodes += 1
        key, item = entry
        label = "" if key is None else f"{_key(key)}: "
        children = _children(item)
        if children is None:
            out.append(f"<div>{label}{_leaf(item, max_text)}</div>")
            continue
        line = _one_line(item)
        if line is not None:
            out.append(f"<div>{label}{line}</div>")
            continue
        size, opening, closing, entries = children
        if size == 0 or len(branches) > MAX_DEPTH:
            inside = "" if size == 0 else f'<span class="cut"> {size:,} inside, in the raw view </span>'
            out.append(f'<div>{label}<span class="p">{opening}</span>{inside}<span class="p">{closing}</span></div>')
            continue
        opened = " open" if len(branches) <= OPEN_DEPTH and size <= OPEN_CHILDREN else ""
        head = f'{label}<span class="p">{opening}</span><span class="count">{size:,} {_noun(opening, size)}</span>'
        out.append(f'<details{opened}><summary>{head}</summary><div class="in">')
        branches.append(_Branch(entries, f'</div><span class="p">{closing}</span></details>'))
    out.append("</div>")
    return Markup("".join(out))  # noqa: S704 - every part above is a literal or escaped


def pretty_json(value: object) -> str:
    """JSON as text with two spaces of indent; characters beyond ASCII as they are."""
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)


def _children(item: object) -> tuple[int, str, str, Iterator[tuple[str | None, object]]] | None:
    if isinstance(item, Mapping):
        return len(item), "{", "}", ((str(key), below) for key, below in item.items())
    if isinstance(item, Sequence) and not isinstance(item, str | bytes):
        return len(item), "[", "]", chain((None, below) for below in item)
    return None


def _one_line(item: object) -> str | None:
    """A small list or object of plain values, with small lists among them, on one line; None for anything larger."""
    if not isinstance(item, (Mapping, Sequence)) or not 0 < len(item) <= 8:
        return None
    below = item.values() if isinstance(item, Mapping) else item
    if any(isinstance(one, Mapping) and one for one in below) or not all(_is_small(one) for one in below):
        return None
    if len(json.dumps(item, ensure_ascii=False, default=str)) > INLINE:
        return None
    return _flat(item)


def _is_small(one: object) -> bool:
    if isinstance(one, str):
        return len(one) <= INLINE and "\n" not in one
    if isinstance(one, Sequence) and not isinstance(one, bytes):
        return len(one) <= 8 and not any(isinstance(inner, (Mapping, list, tuple)) for inner in one)
    return True


def _flat(item: object) -> str:
    if isinstance(item, Mapping):
        inside = ", ".join(f"{_key(str(key))}: {_flat(below)}" for key, below in item.items())
        return f'<span class="p">{{</span> {inside} <span class="p">}}</span>' if item else '<span class="p">{}</span>'
    if isinstance(item, Sequence) and not isinstance(item, str | bytes):
        return f'<span class="p">[</span>{", ".join(_flat(below) for below in item)}<span class="p">]</span>'
    return _leaf(item, INLINE)


def _key(key: str) -> str:
    return f'<span class="key"><bdi>{escape(key)}</bdi></span>'


def _noun(opening: str, size: int) -> str:
    if opening == "{":
        return "key" if size == 1 else "keys"
    return "item" if size == 1 else "items"


def _leaf(item: object, max_text: int) -> str:
    if isinstance(item, str):
        if len(item) > max_text:
            more = f'<span class="cut">… {len(item) - max_text:,} more characters, in the raw view</span>'
            return f'<span class="str">"<bdi>{escape(item[:max_text])}</bdi></span>{more}'
        return f'<span class="str">"<bdi>{escape(item)}</bdi>"</span>'
    if item is None:
        return '<span class="lit">null</span>'
    if isinstance(item, bool):
        return f'<span class="lit">{"true" if item else "false"}</span>'
    return f'<span class="num">{escape(str(item))}</span>'
