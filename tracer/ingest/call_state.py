"""Keeps a trace's calls counted as spans arrive: only what a new call is connected to is counted again.

Two calls can only matter to each other when one lies above the other or they share a response id. Such groups are
small (a wrapper and its call), so that a trace which arrives in 500 batches costs about what it costs in one. The
state is remembered between commits for the traces written last, and is valid while the trace's version is the one it
was made at; else it is made anew from the stored spans.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from tracer.ingest.calls import TOKEN_FIELDS, Call, CallTotals, call_above, count_calls, count_one

Edge = tuple[bytes | None, int]
"""A span's (parent id, kind)."""

EDGES_KEPT = 100_000
"""Spans whose place is remembered between commits, over all traces (about 25 MB)."""

TRACES_KEPT = 1_000
"""Traces of which anything is remembered: more than grow at the same time, where each has few spans."""


class CallState:
    """One trace's calls in their groups, with the sums of each group."""

    __slots__ = (
        "_calls", "_cost", "_group_of", "_llm_calls", "_members", "_next_group", "_open", "_parents", "_partial",
        "_priced", "_reasons", "_responses", "_sources", "_sums", "_tokens", "_told", "edges", "version",
    )  # fmt: skip

    # By hand: each new trace makes one, and a dataclass calls a function for each of its fields.
    def __init__(self) -> None:
        self.edges: dict[bytes, Edge] = {}
        self.version = 0
        self._parents: set[bytes] = set()
        self._open: dict[bytes, set[bytes]] = {}
        """For each span that is not stored, the calls below it whose way up ends there."""
        self._calls: dict[bytes, Call] = {}
        self._group_of: dict[bytes, int] = {}
        self._members: dict[int, set[bytes]] = {}
        self._sums: dict[int, CallTotals] = {}
        self._responses: dict[str, bytes] = {}
        self._next_group = self._llm_calls = self._cost = self._priced = self._partial = 0
        self._tokens: dict[str, int] = {}
        self._told: dict[str, int] = {}
        """How many groups told of each kind of token: a sum that nobody told of is None, not 0."""
        self._sources: dict[str, int] = {}
        self._reasons: dict[str, int] = {}

    def add(self, edges: Iterable[tuple[bytes, Edge]], calls: Iterable[Call]) -> None:
        """Add spans' places, and the finished calls among them or among those already placed."""
        arrived = dict(edges)
        fresh = {call.span_id: call for call in calls}
        # A running step that turns out to be a call, or of another kind, stands between calls already counted.
        between = bool(self.edges) and any(
            span_id in self._parents and (span_id in fresh or self.edges[span_id] != edge)
            for span_id, edge in arrived.items()
            if span_id in self.edges
        )
        self.edges |= arrived
        self._parents.update(parent for parent, _ in arrived.values() if parent is not None)
        self._calls |= fresh
        if between:
            self._regroup()
            return
        for span_id in arrived:
            # Calls below a span that comes after them may be joined to one above it.
            for below in self._open.pop(span_id, ()):
                fresh.setdefault(below, self._calls[below])
        self._group(fresh)

    def _regroup(self) -> None:
        for group in list(self._sums):
            self._take_back(group)
        self._group_of.clear()
        self._members.clear()
        self._responses.clear()
        self._open.clear()
        self._group(self._calls)

    def _group(self, calls: dict[bytes, Call]) -> None:
        """Put calls into the groups of what they are connected to, and count those groups again."""
        for span_id in calls:
            if span_id not in self._group_of:
                self._next_group += 1
                self._group_of[span_id] = self._next_group
                self._members[self._next_group] = {span_id}
        for call in calls.values():
            above, missing = call_above(call, self._calls, self.edges)
            if missing is not None:
                self._open.setdefault(missing, set()).add(call.span_id)
            if above is not None:
                self._join(call.span_id, above)
            if call.response_id:
                self._join(call.span_id, self._responses.setdefault(call.response_id, call.span_id))
        for group in {self._group_of[span_id] for span_id in calls}:
            if group in self._sums:
                self._take_back(group)
            self._put(group)

    def _join(self, one: bytes, other: bytes) -> None:
        """Make two calls' groups one, the larger taking in the smaller."""
        groups = {self._group_of[one], self._group_of[other]}
        if len(groups) == 1:
            return
        small, large = sorted(groups, key=lambda group: len(self._members[group]))
        for group in groups:
            if group in self._sums:
                self._take_back(group)
        moved = self._members.pop(small)
        self._members[large] |= moved
        for span_id in moved:
            self._group_of[span_id] = large

    def _put(self, group: int) -> None:
        calls = [self._calls[one] for one in self._members[group]]
        sums = self._sums[group] = count_one(calls[0]) if len(calls) == 1 else count_calls(calls, self.edges)
        self._change(sums, 1)

    def _take_back(self, group: int) -> None:
        self._change(self._sums.pop(group), -1)

    def _change(self, sums: CallTotals, sign: int) -> None:
        self._llm_calls += sign * sums.llm_call_count
        tokens, told = self._tokens, self._told
        for name, count in sums.tokens.items():
            tokens[name] = tokens.get(name, 0) + sign * count
            told[name] = told.get(name, 0) + sign
        if sums.cost is not None:
            self._cost += sign * sums.cost
            self._priced += sign
        for source in sums.cost_sources:
            self._sources[source] = self._sources.get(source, 0) + sign
        for reason in sums.reasons:
            self._reasons[reason] = self._reasons.get(reason, 0) + sign
        self._partial += sign * sums.partial_count

    def totals(self) -> CallTotals:
        """The sums over the whole trace."""
        return CallTotals(
            self._llm_calls,
            {name: self._tokens[name] for name in TOKEN_FIELDS if self._told.get(name)},
            self._cost if self._priced else None,
            tuple(sorted(source for source, count in self._sources.items() if count)),
            tuple(sorted(reason for reason, count in self._reasons.items() if count)),
            self._partial,
        )


class CallStates:
    """The states of the traces written last."""

    def __init__(self) -> None:
        self._states: OrderedDict[int, CallState] = OrderedDict()
        self._edges = 0

    def forget(self) -> None:
        """Drop everything: a transaction was rolled back."""
        self._states.clear()
        self._edges = 0

    def take(self, pk: int, version: int) -> CallState | None:
        """Take out the state that a trace had at `version`; None when it is not remembered."""
        state = self._states.pop(pk, None)
        if state is None:
            return None
        self._edges -= len(state.edges)
        return state if state.version == version else None

    def put(self, pk: int, version: int, state: CallState) -> None:
        """Remember a trace's state, and drop the ones that were used longest ago."""
        state.version = version
        self._states[pk] = state
        self._edges += len(state.edges)
        while (self._edges > EDGES_KEPT or len(self._states) > TRACES_KEPT) and self._states:
            _, dropped = self._states.popitem(last=False)
            self._edges -= len(dropped.edges)
