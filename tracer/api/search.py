"""What a search box needs over REST: the language's fields."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from tracer.api import schemas
from tracer.api.answers import JsonAnswer
from tracer.api.traces import REFUSALS
from tracer.search.fields import FIELDS

router = APIRouter(prefix="/api/v1", tags=["searching"], responses=REFUSALS)


@router.get("/fields", response_model=schemas.SearchFields)
def list_fields(request: Request) -> Response:
    """Every field of the search language: what it takes and finds, with an example."""
    return JsonAnswer(
        {
            "items": [
                {
                    "name": one.name,
                    "keyed": one.keyed,
                    "takes": one.takes.name,
                    "values": list(one.choices),
                    "finds": one.finds,
                    "of_step": one.of_step,
                    "of_spans": one.of_spans is not None,
                    "example": one.example,
                }
                for one in FIELDS
            ]
        }
    )
