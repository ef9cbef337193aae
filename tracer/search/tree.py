"""What a search asks for, as a tree without any database; printing it and reading what was printed gives it again.

`all_of`, `any_of` and `negated` keep trees in one form: lists have at least two members and hold none of their own
kind, and nothing is negated twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from tracer.search.documents import Side
from tracer.search.fields import BY_NAME, Takes
from tracer.search.query import Term, term
from tracer.units import HOUR, MILLISECOND, MINUTE, SECOND

EVERYWHERE = frozenset(Side)
SIDES = {"input": frozenset({Side.INPUT}), "output": frozenset({Side.OUTPUT}), "error": frozenset({Side.ERROR})}
_NAMES = {sides: name for name, sides in SIDES.items()}

Operator: TypeAlias = Literal[">", ">=", "<", "<=", "="]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text with `*` between its parts: one part alone has to be the whole text."""

    parts: tuple[str, ...]

    @property
    def exact(self) -> str | None:
        """The text, when it has no `*`."""
        return self.parts[0] if len(self.parts) == 1 else None

    def meets(self, text: str) -> bool:
        """Whether a text is of this form; in time that grows with the text alone."""
        first, *rest = self.parts
        if not rest:
            return text == first
        last = rest.pop()
        if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
            return False
        at, end = len(first), len(text) - len(last)
        for part in rest:
            found = text.find(part, at, end)
            if found < 0:
                return False
            at = found + len(part)
        return True


@dataclass(frozen=True, slots=True)
class Says:
    """Words in a row, or the beginning of the last of them, in one of the sides."""

    text: str
    beginning: bool = False
    sides: frozenset[Side] = EVERYWHERE

    @property
    def term(self) -> Term:
        """What the index is asked for. Raises ValueError when there is nothing in it to look for."""
        found = _term(self.text, self.beginning, self.sides)
        if found is None:
            raise ValueError(f"no word in {self.text!r}")
        return found


@lru_cache(maxsize=256)
def _term(text: str, beginning: bool, sides: frozenset[Side]) -> Term | None:
    return term(text, beginning=beginning, sides=sides)


@dataclass(frozen=True, slots=True)
class Is:
    """A field, with its key where it takes one, is of one of these forms."""

    field: str
    any: tuple[Pattern, ...]
    key: str = ""


@dataclass(frozen=True, slots=True)
class Compares:
    """A field compared with an amount: nanoseconds, billionths of a dollar, a count, or any number."""

    field: str
    operator: Operator
    amount: int | float
    key: str = ""


@dataclass(frozen=True, slots=True)
class Not:
    """What is inside is not met."""

    of: Node


@dataclass(frozen=True, slots=True)
class All:
    """Every one is met."""

    of: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Any:
    """At least one is met."""

    of: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One same step meets what is inside."""

    of: Node


@dataclass(frozen=True, slots=True)
class Child:
    """A child of the step in question meets what is inside."""

    of: Node


Leaf: TypeAlias = Says | Is | Compares
Node: TypeAlias = Leaf | Not | All | Any | Step | Child


def all_of(nodes: Iterable[Node]) -> Node | None:
    """All of them; None when there is none."""
    flat: dict[Node, None] = {}
    for node in nodes:
        flat.update(dict.fromkeys(node.of if isinstance(node, All) else (node,)))
    return All(tuple(flat)) if len(flat) > 1 else next(iter(flat), None)


def any_of(nodes: Iterable[Node]) -> Node | None:
    """Any of them; None when there is none."""
    flat: dict[Node, None] = {}
    for node in nodes:
        flat.update(dict.fromkeys(node.of if isinstance(node, Any) else (node,)))
    return Any(tuple(flat)) if len(flat) > 1 else next(iter(flat), None)


def negated(node: Node) -> Node:
    """The opposite."""
    return node.of if isinstance(node, Not) else Not(node)


def conjuncts(node: Node | None) -> tuple[Node, ...]:
    """What has to be met together."""
    if node is None:
        return ()
    return node.of if isinstance(node, All) else (node,)


def leaves(node: Node | None) -> Iterable[Leaf]:
    """Every leaf of a tree."""
    waiting: list[Node] = [] if node is None else [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, (All, Any)):
            waiting += one.of
        elif isinstance(one, (Not, Step, Child)):
            waiting.append(one.of)
        else:
            yield one


def said(node: Node | None) -> list[Says]:
    """The words that what is found has, or may have; not those that it must not have."""
    found: dict[Says, None] = {}
    waiting: list[tuple[Node, bool]] = [] if node is None else [(node, True)]
    while waiting:
        one, wanted = waiting.pop()
        match one:
            case Says():
                if wanted:
                    found[one] = None
            case All() | Any():
                waiting += [(part, wanted) for part in one.of]
            case Not():
                waiting.append((one.of, not wanted))
            case Step() | Child():
                waiting.append((one.of, wanted))
            case _:
                pass
    return list(found)


_PLAIN = re.compile(r"[^\s\x00-\x1f\"()*,:<>=\\-][^\s\x00-\x1f\"()*,\\]*")
_PLAIN_KEY = re.compile(r"[^\s\x00-\x1f\"()*,:<>=!\\]+")
_PLAIN_WORD = re.compile(r"\w+(?:[-'./]\w+)*")
_RESERVED = ("OR", "AND", "NOT")


def show(node: Node | None) -> str:
    """A tree as the text that reads as it."""
    if node is None:
        return ""
    if isinstance(node, All):
        return " ".join(f"({show(one)})" if isinstance(one, Any) else show(one) for one in node.of)
    if isinstance(node, Any):
        return " OR ".join(show(one) for one in node.of)
    if isinstance(node, Not):
        return f"-({show(node.of)})" if isinstance(node.of, (All, Any)) else f"-{show(node.of)}"
    if isinstance(node, Step):
        return f"step:({show(node.of)})"
    if isinstance(node, Child):
        return f"child:({show(node.of)})"
    if isinstance(node, Says):
        side = f"{_NAMES[node.sides]}:" if node.sides in _NAMES else ""
        plain = _PLAIN_WORD.fullmatch(node.text) and node.text not in _RESERVED
        return f"{side}{node.text if plain else quote(node.text)}{'*' if node.beginning else ''}"
    name = node.field
    if node.key:
        name += f".{show_key(node.key)}"
    if isinstance(node, Is):
        return f"{name}:{','.join(map(show_pattern, node.any))}"
    operator = ":" if node.operator == "=" else node.operator
    return f"{name}{operator}{show_amount(node.field, node.amount)}"


def show_key(key: str) -> str:
    """A key as it is written."""
    return key if _PLAIN_KEY.fullmatch(key) else quote(key)


def show_pattern(pattern: Pattern) -> str:
    """A pattern as it is written."""
    parts = [part if not part or _PLAIN.fullmatch(part) else quote(part) for part in pattern.parts]
    return "*".join(parts) if len(parts) > 1 or parts[0] else '""'


def quote(text: str) -> str:
    """A text in quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def show_amount(field: str, amount: float) -> str:
    """An amount in the unit that people would take."""
    takes = BY_NAME[field].takes
    if takes is Takes.duration:
        for unit, length in (("h", HOUR), ("m", MINUTE), ("s", SECOND), ("ms", MILLISECOND), ("us", 1_000)):
            if amount and amount % length == 0:
                return f"{int(amount) // length}{unit}"
        return f"{amount}ns"
    if takes is Takes.money:
        dollars, rest = divmod(int(amount), SECOND)
        return f"{dollars}.{rest:09d}".rstrip("0").rstrip(".")
    return repr(amount)
