"""What a search asks of whom: of a trace, or of one of its steps.

After `for_traces` every part outside a `Step` asks for the trace, and every part inside for one same step.
"""

from __future__ import annotations

from tracer.search.fields import BY_NAME
from tracer.search.tree import All, Any, Child, Compares, Is, Leaf, Node, Not, Says, Step, all_of, any_of


def for_traces(node: Node) -> Node:
    """A search among traces: what asks for a step becomes a `Step`."""
    match node:
        case Says():
            return node
        case Is() | Compares():
            return _of_trace(node)
        case Not():
            return Not(for_traces(node.of))
        case Any():
            return Any(tuple(map(for_traces, node.of)))
        case All():
            return _together(node)
        case Step():
            return Step(for_steps(node.of))
        case Child():
            return Step(for_steps(node))


def for_steps(node: Node) -> Node:
    """A search among steps: everything is the step's own."""
    match node:
        case Not():
            return Not(for_steps(node.of))
        case Any():
            return Any(tuple(map(for_steps, node.of)))
        case All():
            return All(tuple(map(for_steps, node.of)))
        case Step():
            return for_steps(node.of)
        case Child():
            return Child(for_steps(node.of))
        case _:
            return node


def _together(node: All) -> Node:
    """Terms side by side. With `child:(…)` among them, those that ask for a step ask for its parent, one same step."""
    if not any(isinstance(one, Child) for one in node.of):
        return All(tuple(map(for_traces, node.of)))
    parent = [one for one in node.of if isinstance(one, Child) or _asks_for_step(one)]
    rest = [for_traces(one) for one in node.of if one not in parent]
    joined = all_of(map(for_steps, parent))
    return all_of([*rest, *([Step(joined)] if joined is not None else [])]) or node


def _asks_for_step(node: Node) -> bool:
    match node:
        case Is() | Compares():
            return isinstance(_of_trace(node), Step)
        case Any() | All():
            return all(map(_asks_for_step, node.of))
        case _:
            return False


def _of_trace(leaf: Leaf) -> Node:
    if isinstance(leaf, Says):
        return leaf
    field = BY_NAME[leaf.field]
    if field.of_step:
        return Step(leaf)
    if not isinstance(leaf, Is) or not field.step_choices:
        return leaf
    of_step = tuple(one for one in leaf.any if one.exact in field.step_choices)
    of_trace = tuple(one for one in leaf.any if one.exact not in field.step_choices)
    parts: list[Node] = []
    if of_trace:
        parts.append(Is(leaf.field, of_trace))
    if of_step:
        parts.append(Step(Is(leaf.field, of_step)))
    return any_of(parts) or leaf
