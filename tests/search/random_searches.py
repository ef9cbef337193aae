"""Searches of any form, out of values that the stored traces have and some that none has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hypothesis import strategies as st

from tracer.search.fields import FIELDS, Takes
from tracer.search.query import term
from tracer.search.tree import (
    EVERYWHERE,
    SIDES,
    Child,
    Compares,
    Is,
    Node,
    Operator,
    Pattern,
    Says,
    Step,
    all_of,
    any_of,
    negated,
)

WORDS = ("refund", "policy", "refund policy", "getUserById", "user", "timed out", "Refu", "退款", "nowhere")
KEYS = ("plan", "user.tier", "http.status_code", "deep.er.key", "missing", "helpful", "tone", "odd key")
VALUES = (
    "ada",
    "grace",
    "draft answer",
    "search",
    "gpt-4o",
    "gpt-4o-mini",
    "openai",
    "pro",
    "2 * 3",
    "500",
    "",
    'a"b\\',
    "ü",
)
AMOUNTS = {
    Takes.duration: (0, 1, 300_000_000, 1_000_000_000, 2_500_000_000, 7_200_000_000_000),
    Takes.money: (0, 1, 50_000_000, 2_000_000_000),
    Takes.count: (0, 1, 2, 5, 12, 4_000, 1_500_000),
    Takes.any: (0, 1, 0.5, -1, 500, 1e300, 1e-07),
}


@st.composite
def leaves(
    draw: st.DrawFn, values: Mapping[str, Sequence[str]], keys: Mapping[str, Sequence[str]], *, words: bool, step: bool
) -> Node:
    taken = [
        one
        for one in FIELDS
        if one.takes is not Takes.group
        and (words or one.takes is not Takes.words)
        and not (step and one.of_spans is None)
    ]
    field = draw(st.sampled_from([*taken, *([None] * 5 if words else [])]))
    if field is None or field.takes is Takes.words:
        text, beginning = draw(st.sampled_from(values.get("words", WORDS))), draw(st.booleans())
        assert term(text) is not None
        return Says(text, beginning, EVERYWHERE if field is None else SIDES[field.name])
    key = draw(st.sampled_from(keys.get(field.name, KEYS))) if field.keyed else ""
    if field.takes in (Takes.duration, Takes.money, Takes.count) or (field.takes is Takes.any and draw(st.booleans())):
        signs: list[Operator] = [">", ">=", "<", "<="]
        if field.takes is not Takes.any:
            signs.append("=")
        return Compares(field.name, draw(st.sampled_from(signs)), draw(st.sampled_from(AMOUNTS[field.takes])), key)
    if field.takes is Takes.choice:
        usable = [one for one in field.choices if not (step and one in field.trace_choices)]
        chosen = draw(st.lists(st.sampled_from(usable), min_size=1, max_size=2, unique=True))
        return Is(field.name, tuple(Pattern((one,)) for one in chosen), key)
    patterns = draw(st.lists(_patterns(values.get(field.name, VALUES)), min_size=1, max_size=2, unique=True))
    return Is(field.name, tuple(patterns), key)


@st.composite
def _patterns(draw: st.DrawFn, values: Sequence[str]) -> Pattern:
    text = draw(st.sampled_from(values))
    match draw(st.integers(0, 5)):
        case 0:
            return Pattern((text[: draw(st.integers(0, 4))], ""))
        case 1:
            return Pattern(("", text[draw(st.integers(0, 2)) :]))
        case 2:
            return Pattern((text[:1], text[2:3], text[4:])) if text[2:3] else Pattern((text,))
        case _:
            return Pattern((text,))


@st.composite
def searches(
    draw: st.DrawFn,
    values: Mapping[str, Sequence[str]] = {},
    keys: Mapping[str, Sequence[str]] = {},
    *,
    words: bool = True,
    step: bool = False,
    depth: int = 3,
) -> Node:
    """A tree in the form that reading gives."""
    form = draw(st.integers(0, 9)) if depth else 0
    if form < 4:
        return draw(leaves(values, keys, words=words, step=step))

    def inside(*, step: bool = step) -> Node:
        return draw(searches(values, keys, words=words, step=step, depth=depth - 1))

    if form == 4:
        return negated(inside())
    if form == 8:
        return Step(inside(step=True))
    if form == 9:
        return Child(inside(step=True))
    several = [inside() for _ in range(draw(st.integers(2, 3)))]
    joined = any_of(several) if form == 5 else all_of(several)
    assert joined is not None
    return joined
