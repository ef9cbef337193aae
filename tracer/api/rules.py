"""A project's rules for what comes in, over REST: read, replaced, tried on a text."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from tracer.access.audit import tell
from tracer.api import schemas
from tracer.api.answers import JsonAnswer
from tracer.api.traces import REFUSALS, Reader
from tracer.ingest.keeping import TagDays
from tracer.ingest.privacy import rules_in, store_rules
from tracer.ingest.rules import Pattern, Rules, check_rules
from tracer.queries.projects import project_by_name, project_id_by_name

router = APIRouter(prefix="/api/v1", tags=["privacy"], responses=REFUSALS)

TEXT_LIMIT = 50_000
ProjectName = Annotated[str, Query(min_length=1, max_length=400, description="The project whose rules are meant.")]


class TrialIn(BaseModel):
    """A text to try rules on: those that are given, else the project's."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(max_length=TEXT_LIMIT)
    rules: schemas.Rules | None = None


@router.get("/rules", response_model=schemas.Rules)
def get_rules(request: Request, project: ProjectName) -> Response:
    """What of a project's spans is hidden on arrival, how long they are kept, and how many of them."""
    reader = Reader(request)
    with reader.store.reading() as conn:
        found = project_by_name(conn, scope=reader.scope, name=project)
        return JsonAnswer(_shape(rules_in(conn, found.id)))


@router.put("/rules", response_model=schemas.Rules)
def put_rules(request: Request, project: ProjectName, given: schemas.Rules) -> Response:
    """Replace a project's rules. Those for what is hidden hold for what comes from now on; what is stored stays.

    What is kept no longer, or is too much, goes from now on: `/api/v1/deletions` tells of it.
    """
    reader = Reader(request)
    rules = check_rules(_read(given))
    with reader.store.writing() as connection:
        found = project_by_name(connection, scope=reader.scope, name=project)
        store_rules(connection, found.id, rules)
    request.app.state.privacy.forget()
    request.app.state.deleter.look_again()
    tell(request, project=found.name, detail="rules for what comes in")
    return JsonAnswer(_shape(rules))


@router.post("/rules/trial", response_model=schemas.Trial)
def try_rules(request: Request, project: ProjectName, given: TrialIn) -> Response:
    """What would be left of a text. Nothing is stored."""
    reader = Reader(request)
    with reader.store.reading() as conn:
        stored = rules_in(conn, project_id_by_name(conn, scope=reader.scope, name=project))
    rules = stored if given.rules is None else check_rules(_read(given.rules))
    return JsonAnswer({"text": rules.mask(given.text) if rules.content else ""})


def _read(given: schemas.Rules) -> Rules:
    patterns = tuple(Pattern(one.name, one.pattern) for one in given.patterns)
    tags = tuple(TagDays(one.tag, one.days) for one in given.retention_tags)
    return Rules(
        tuple(given.masks), patterns, tuple(given.keys), given.content, given.retention_days, tags, given.max_size
    )


def _shape(rules: Rules) -> dict[str, object]:
    return {
        "masks": list(rules.masks),
        "patterns": [{"name": one.name, "pattern": one.text} for one in rules.patterns],
        "keys": list(rules.keys),
        "content": rules.content,
        "retention_days": rules.retention_days,
        "retention_tags": [{"tag": one.tag, "days": one.days} for one in rules.retention_tags],
        "max_size": rules.max_size,
    }
