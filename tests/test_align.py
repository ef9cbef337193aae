"""Two trees put side by side: every step of both once, what belongs together in one line."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tests.test_pages import grown
from tracer.queries.align import Aligned, align
from tracer.queries.outline import Outline

Shape = list[tuple[int, str]]
"""Steps in tree order: (depth, name)."""


def tree(*steps: tuple[int, str]) -> Outline:
    return grown(*({"depth": depth, "name": name} for depth, name in steps))


def told(one: Outline, other: Outline) -> list[str]:
    """Each line as people would write it: `plan`, `+ check`, `- check`, `~ check` for what moved."""
    return [said(one, other, line) for line in align(one, other)]


def said(one: Outline, other: Outline, line: Aligned) -> str:
    if line.one < 0:
        return f"+ {other.name[line.other]}"
    if line.other < 0:
        return f"- {one.name[line.one]}"
    return f"{'~ ' if line.moved else ''}{other.name[line.other]}"


def test_s29_steps_of_two_traces_are_matched_by_name_kind_and_order() -> None:
    one = tree((0, "answer"), (1, "look"), (1, "plan"), (2, "call"), (1, "draft"))
    other = tree((0, "answer"), (1, "check"), (1, "look"), (1, "plan"), (2, "call"), (2, "call"), (1, "send"))
    assert told(one, other) == ["answer", "+ check", "look", "plan", "call", "+ call", "- draft", "+ send"]


def test_s29_the_roots_of_two_different_chains_are_compared_with_each_other() -> None:
    assert told(tree((0, "old"), (1, "x")), tree((0, "new"), (1, "x"))) == ["new", "x"]


def test_s29_of_repeated_steps_those_whose_insides_look_alike_belong_together() -> None:
    one = tree((0, "run"), (1, "turn"), (2, "search"), (1, "turn"), (2, "write"))
    other = tree((0, "run"), (1, "turn"), (2, "write"))
    assert told(one, other) == ["run", "- turn", "- search", "turn", "write"]


def test_s29_a_step_put_around_others_does_not_hide_them() -> None:
    one = tree((0, "run"), (1, "plan"), (1, "call"), (2, "fetch"))
    other = tree((0, "run"), (1, "agent"), (2, "plan"), (2, "call"), (3, "fetch"))
    assert told(one, other) == ["run", "+ agent", "~ plan", "~ call", "fetch"]
    assert told(other, one) == ["run", "- agent", "~ plan", "~ call", "fetch"]


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    depth = 0
    found: Shape = []
    for _ in range(draw(st.integers(0, 14))):
        found.append((depth, draw(st.sampled_from("abc"))))
        depth = draw(st.integers(0, depth + 1))
    return found


@given(shapes(), shapes())
def test_s29_every_step_of_both_is_in_one_line_in_order(before: Shape, after: Shape) -> None:
    one, other = tree(*before), tree(*after)
    lines = align(one, other)
    assert sorted(line.one for line in lines if line.one >= 0) == list(range(len(one)))
    assert [line.other for line in lines if line.other >= 0] == list(range(len(other)))
    assert all(line.one < 0 or line.other < 0 or one.kind[line.one] == other.kind[line.other] for line in lines)
    level = -1
    for line in lines:
        assert 0 <= line.depth <= level + 1
        level = line.depth


@given(shapes())
def test_s29_a_trace_differs_in_nothing_from_itself(shape: Shape) -> None:
    lines = align(tree(*shape), tree(*shape))
    assert all(line.one == line.other and not line.moved for line in lines)


def test_s29_ten_thousand_steps_of_any_shape_are_aligned() -> None:
    random = Random(7)
    wide = [(0, "run"), *((1, random.choice("abcdef")) for _ in range(10_000))]
    nested = [(0, "run"), *((1 + number % 5, random.choice("abc")) for number in range(10_000))]
    deep = [(number, "step") for number in range(10_000)]
    for steps in (wide, nested, deep):
        changed = [step for step in steps if random.random() > 0.02]
        changed[0] = steps[0]
        one = tree_quickly(steps)
        other = tree_quickly(changed if steps is not deep else steps[:-7])
        lines = align(one, other)
        assert sum(line.one >= 0 and line.other >= 0 for line in lines) > 0.8 * len(other)


def tree_quickly(steps: Shape) -> Outline:
    """What alignment reads of an outline, without the builder's squares."""
    bare = grown()
    return Outline(
        **{
            name: getattr(bare, name) for name in bare.__struct_fields__ if name not in ("depth", "name", "kind", "ids")
        },
        ids=[bytes(8)] * len(steps),
        depth=[depth for depth, _ in steps],
        name=[name for _, name in steps],
        kind=[1] * len(steps),
    )
