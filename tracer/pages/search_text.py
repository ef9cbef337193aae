"""Searches that a page writes: what a link adds to a search, takes from it, or says of its own."""

from __future__ import annotations

from collections.abc import Sequence

from tracer.errors import BadSearch
from tracer.queries.metrics import Only
from tracer.search.parse import read_search
from tracer.search.tree import Is, Node, Pattern, Step, all_of, conjuncts, negated, said, show


def term(field: str, value: str) -> Node:
    """A field that has to be just this value; an empty one is none that anything has."""
    return Is(field, (Pattern((value,)),))


def lacking(field: str) -> Node:
    """A field that has no value at all."""
    return negated(Is(field, (Pattern(("", "")),)))


def toggled(q: str, wanted: Node) -> str:
    """The search with a term added, in place of its opposite; or taken away where it is there already."""
    there = conjuncts(_read(q))
    kept = [one for one in there if one not in (wanted, negated(wanted))]
    return show(all_of(kept if wanted in there else [*kept, wanted]))


def asks_for(q: str, wanted: Node) -> bool:
    """Whether the search has the term among those that have to be met together."""
    return wanted in conjuncts(_read(q))


def behind(of: str, by: str | None, value: str | None, only: Only) -> str | None:
    """The search for the traces behind a series of metrics; None where no search can say it."""
    if of == "traces":
        if by is None:
            return ""
        return show(lacking(by) if value is None else term(by, value))
    terms: list[Node] = []
    asked = {"name": only.name, "model": only.model, "kind": only.kind}
    if by is not None:
        if value is None:
            terms.append(lacking(by))
        else:
            asked[by] = value
    terms += [term(field, text) for field, text in asked.items() if text is not None]
    return show(of_one_step(terms))


def said_in(q: str) -> list[dict[str, str | bool]]:
    """The words that a search asks for, the longest first, as scripts take them; not those that must not be there."""
    found = sorted(said(_read(q)), key=lambda one: (-len(one.text), one.text))
    return [{"text": one.text, "beginning": one.beginning} for one in found]


def of_one_step(terms: Sequence[Node]) -> Node | None:
    """That one same step meets them all."""
    inside = all_of(terms)
    return None if inside is None else Step(inside)


def _read(q: str) -> Node | None:
    try:
        return read_search(q)
    except BadSearch:
        return None
