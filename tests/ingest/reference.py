"""The roll-up rules once more, slow and obvious: a pure function of the set of spans that were sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Sent:
    """One version of a span as a client sends it. `seq` set means running; `end` None without it means no end came."""

    trace: int
    span: int
    parent: int | None
    name: str
    start: int
    end: int | None = None
    seq: int | None = None
    error: bool = False
    kind: str = "chain"
    tokens: tuple[int, int] | None = None
    response_id: str | None = None
    session: str | None = None
    user: str | None = None
    tags: frozenset[str] = frozenset()
    metadata: tuple[tuple[str, str], ...] = ()
    model: str | None = None
    text: str | None = None

    @property
    def running(self) -> bool:
        return self.seq is not None


@dataclass
class Expected:
    """A trace's roll-up."""

    name: str
    status: str
    start: int
    end: int | None
    span_count: int
    running_count: int
    error_count: int
    llm_call_count: int
    tokens: tuple[int | None, int | None]
    partial: tuple[tuple[str, ...], int] | None
    models: list[str]
    session: str | None
    user: str | None
    tags: list[str]
    metadata: dict[str, str]
    failed_in: str | None
    input_preview: str | None
    spans: dict[int, Sent] = field(default_factory=dict)


def stored(facts: Iterable[Sent]) -> dict[tuple[int, int], Sent]:
    """Which version of each span stays. Between finished versions the first wins; tests send only one."""
    kept: dict[tuple[int, int], Sent] = {}
    for fact in facts:
        known = kept.get((fact.trace, fact.span))
        if known is None or (known.running and (not fact.running or (fact.seq or 0) > (known.seq or 0))):
            kept[fact.trace, fact.span] = fact
    return kept


def surviving(events: Iterable[Sent | int]) -> list[Sent]:
    """The facts that count after deliveries (facts) and deletions (numbers of traces), in the order they happened.

    Deleting takes everything of a trace that is there, and refuses what comes for it afterwards; where nothing is
    there, it does nothing.
    """
    kept: list[Sent] = []
    deleted: set[int] = set()
    for event in events:
        if isinstance(event, Sent):
            if event.trace not in deleted:
                kept.append(event)
        elif any(fact.trace == event for fact in kept):
            deleted.add(event)
            kept = [fact for fact in kept if fact.trace != event]
    return kept


def expected(facts: Iterable[Sent]) -> dict[int, Expected]:
    """Every trace's roll-up, from nothing but the set of facts."""
    traces: dict[int, dict[int, Sent]] = {}
    for (trace, span), fact in stored(facts).items():
        traces.setdefault(trace, {})[span] = replace(fact, parent=None) if fact.parent == span else fact
    return {trace: _expected(spans) for trace, spans in traces.items()}


def _expected(spans: dict[int, Sent]) -> Expected:
    everything = sorted(spans.values(), key=lambda one: (one.start, one.span))
    finished = [one for one in everything if not one.running]
    tops = [one for one in everything if one.parent is None]
    orphans = [one for one in everything if one.parent is not None and one.parent not in spans]
    root = (tops or orphans or everything)[0]
    failed = [one for one in finished if one.error]
    own = dict(root.metadata)
    merged: dict[str, str] = {}
    for one in finished:
        for key, value in one.metadata:
            merged.setdefault(key, value)

    def first(name: str) -> str | None:
        values = [getattr(one, name) for one in (root, *finished)]
        return next((value for value in values if value is not None), None)

    calls = [one for one in finished if one.kind in ("llm", "embedding")]
    counted = [one for one in calls if _counts(one, calls, spans)]
    below = {one.span for one in calls for other in calls if one in _calls_above(other, calls, spans)}
    leaves = [one for one in calls if one.kind == "llm" and one.span not in below]
    ids = [one.response_id for one in leaves if one.response_id]
    lacking = [one for one in calls if not one.error and one.tokens is None and not _told(one, calls, spans)]
    reasons = tuple(word for word, found in (("no price", counted), ("no usage", lacking)) if found)
    live = len(finished) < len(everything)
    status = "running" if live else "error" if root.error else "ok"
    failed_in = failed[-1].name if root.error and not root.running and failed[-1].span != root.span else None
    return Expected(
        name=root.name,
        status=status,
        start=everything[0].start,
        end=None if live else max((one.end for one in finished if one.end is not None), default=None),
        span_count=len(everything),
        running_count=len(everything) - len(finished),
        error_count=len(failed),
        llm_call_count=len(leaves) - len(ids) + len(set(ids)),
        tokens=(
            sum(one.tokens[0] for one in counted if one.tokens) if counted else None,
            sum(one.tokens[1] for one in counted if one.tokens) if counted else None,
        ),
        partial=(reasons, len(counted) + len(lacking)) if reasons else None,
        models=sorted({one.model for one in finished if one.model}),
        session=first("session"),
        user=first("user"),
        tags=sorted({tag for one in (root, *finished) for tag in one.tags}),
        metadata={**merged, **own},
        failed_in=failed_in,
        input_preview=root.text,
        spans=spans,
    )


def _calls_above(one: Sent, calls: list[Sent], spans: dict[int, Sent]) -> list[Sent]:
    """The calls above, nearest first, up to an agent or a tool run."""
    above: list[Sent] = []
    seen = {one.span}
    at = one.parent
    while at is not None and at in spans and at not in seen:
        seen.add(at)
        step = spans[at]
        if step in calls:
            above.append(step)
        elif step.kind in ("agent", "tool"):
            break
        at = step.parent
    return above


def _told(one: Sent, calls: list[Sent], spans: dict[int, Sent]) -> bool:
    """Some other step tells the usage of this call: above, below, or by the same response id."""
    return any(
        other in _calls_above(one, calls, spans)
        or one in _calls_above(other, calls, spans)
        or (one.response_id is not None and other.response_id == one.response_id)
        for other in calls
        if other.tokens is not None and other is not one
    )


def _counts(one: Sent, calls: list[Sent], spans: dict[int, Sent]) -> bool:
    if one.tokens is None:
        return False
    for other in _calls_above(one, calls, spans):
        if other.tokens is not None:
            if not (one.response_id and other.response_id and one.response_id != other.response_id):
                return False
            break
    same = [
        other
        for other in calls
        if one.response_id and other.response_id == one.response_id and other.tokens is not None
    ]
    return not same or min(same, key=lambda other: (other.start, other.span)) is one
