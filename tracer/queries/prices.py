"""Models whose calls have no price, from the metrics cube."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import Connection

from tracer.queries.metrics import metrics
from tracer.queries.projects import projects
from tracer.queries.scope import Scope
from tracer.units import DAY, Nanos, UnixNanos

LOOKED_BACK = 30 * DAY
MOST_PROJECTS, MODELS_OF_EACH, MOST_MODELS = 20, 50, 20


def models_without_price(conn: Connection, *, scope: Scope, until: UnixNanos) -> Sequence[str]:
    """The models of the last 30 days none of whose steps has a cost although tokens were told; the most used first."""
    found: Counter[str] = Counter()
    priced: set[str] = set()
    for project in projects(conn, scope=scope)[:MOST_PROJECTS]:
        since = UnixNanos(until - LOOKED_BACK)
        series = metrics(
            conn,
            scope=scope,
            project_id=project.id,
            since=since,
            until=until,
            by="model",
            interval=Nanos(LOOKED_BACK),
            limit=MODELS_OF_EACH,
        ).series
        for one in series:
            if not one.other and one.value and one.totals.usage is not None:
                if one.totals.cost is None:
                    found[one.value] += one.totals.span_count
                else:
                    priced.add(one.value)
    return [model for model, _ in found.most_common() if model not in priced][:MOST_MODELS]
