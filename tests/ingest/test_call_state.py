"""Calls counted as they arrive are the calls counted all at once."""

from __future__ import annotations

from typing import TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from tracer.ingest.call_state import CallState, CallStates
from tracer.ingest.calls import Call, count_calls
from tracer.otlp.dialects.reading import CALL_KINDS, Kind, Usage

Arrival: TypeAlias = tuple[int, int | None, Kind, bool, Call | None]
KINDS = (Kind.chain, Kind.llm, Kind.llm, Kind.embedding, Kind.tool, Kind.agent)


def span_id(number: int) -> bytes:
    return number.to_bytes(8)


@st.composite
def arrivals(draw: st.DrawFn) -> list[list[Arrival]]:
    """Batches of (span, parent, kind, running, call): each span perhaps first as a running one."""
    events: list[Arrival] = []
    for number in range(1, draw(st.integers(1, 9)) + 1):
        parent = draw(st.one_of(st.none(), st.integers(1, 10)))
        kind = draw(st.sampled_from(KINDS))
        parent_id = None if parent is None else span_id(parent)
        call = Call(
            span_id(number),
            parent_id,
            int(kind),
            draw(st.integers(1, 3)),
            draw(st.booleans()),
            draw(st.sampled_from([None, None, "r1", "r2"])),
            draw(st.sampled_from([None, Usage(10, 5), Usage(7, None), Usage(total=3)])),
            cost := draw(st.sampled_from([None, 40])),
            None if cost is None else draw(st.sampled_from(["computed", "sent"])),
        )
        finished = (number, parent, kind, False, call if kind in CALL_KINDS else None)
        if draw(st.booleans()):
            events.append((number, parent, draw(st.sampled_from(KINDS)), True, None))
            if draw(st.booleans()):
                continue
        events.append(finished)
    order = draw(st.permutations(events))
    seen: set[int] = set()
    kept = []
    for event in order:
        if event[3] and event[0] in seen:
            continue  # a running version after the finished one changes nothing
        if not event[3]:
            seen.add(event[0])
        kept.append(event)
    batches: list[list[Arrival]] = []
    start = 0
    for cut in sorted(draw(st.lists(st.integers(0, len(kept)), max_size=4))):
        batches.append(kept[start:cut])
        start = cut
    return [*batches, kept[start:]]


@given(arrivals())
def test_counting_as_calls_arrive_gives_what_counting_all_at_once_gives(
    batches: list[list[Arrival]],
) -> None:
    state = CallState()
    edges: dict[bytes, tuple[bytes | None, int]] = {}
    calls: dict[bytes, Call] = {}
    for batch in batches:
        placed = {
            span_id(number): (None if parent is None else span_id(parent), int(kind))
            for number, parent, kind, _, _ in batch
        }
        fresh = {call.span_id: call for *_, call in batch if call is not None}
        edges |= placed
        calls |= fresh
        state.add(placed.items(), fresh.values())

        assert state.totals() == count_calls(calls.values(), edges)


def test_a_state_is_used_only_at_the_version_it_was_made_for() -> None:
    states = CallStates()
    states.put(1, 5, CallState())

    assert states.take(1, 6) is None
    assert states.take(1, 5) is None
    states.put(1, 7, CallState())
    assert states.take(1, 7) is not None
