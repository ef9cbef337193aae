"""How the service is doing: the index's lag, sizes, rates."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from tracer.api import schemas
from tracer.api.answers import JsonAnswer
from tracer.api.traces import REFUSALS
from tracer.search.status import database_bytes, index_status
from tracer.store.sql import Sql

router = APIRouter(prefix="/api/v1", tags=["status"], responses=REFUSALS)


@router.get("/status", response_model=schemas.ServiceStatus)
def status(request: Request) -> Response:
    """How far the search index is behind, how large the database is, how much comes in."""
    state = request.app.state
    with state.store.reading() as connection:
        sql = Sql(connection)
        index = index_status(sql, on=state.settings.search == "on")
        size = database_bytes(sql)
    return JsonAnswer(
        {
            "index": {
                "state": index.state,
                "lag_spans": index.lag_spans,
                "lag_seconds": round(index.lag_seconds, 3),
                "documents": index.documents,
            },
            "sizes": {"database_bytes": size, "index_bytes": index.bytes},
            "rates": {"spans_per_second": round(state.writer.spans_per_second, 3)},
        }
    )
