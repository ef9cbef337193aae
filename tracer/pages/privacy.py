"""A project's rules for what comes in, a text to try them on, and erasing what it has of a user or a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from tracer.access.audit import tell
from tracer.errors import BadRequest, NotFound, TracerError
from tracer.ingest.deleter import Deleter
from tracer.ingest.keeping import Keeping, read_days, read_size, read_tag_days, write_size, write_tag_days
from tracer.ingest.masks import ALL
from tracer.ingest.privacy import Privacy, rules_in, store_rules
from tracer.ingest.receipts import Receipt, in_words, receipts_of
from tracer.ingest.reclaim import share_of
from tracer.ingest.retention import count_due
from tracer.ingest.rules import Rules, check_rules, read_patterns
from tracer.otlp.text import clean
from tracer.pages.addresses import url
from tracer.pages.page import caller_of, reading, render
from tracer.queries.projects import project_by_name, projects
from tracer.queries.rows import ProjectRow
from tracer.store.engine import Store
from tracer.store.sql import Sql

router = APIRouter(include_in_schema=False)

HERE = "/settings/privacy"
FIELDS = {"patterns", "keys", "retention_days", "retention_tags", "max_size", "text", "id"}
"""Those of the forms: a problem with one of them is told there."""

TYPED_LIMIT = 40_000
ID_LIMIT = 1_000
SHORT_WAIT_S = 1.0
LAST_ID = 2**63 - 1
SHOWN_RECEIPTS = 5
MOST_COUNTED = 100_000
NOTES = {"saved": "Saved. What is hidden is hidden from now on; what is kept no longer goes from now on."}
MASKS = {
    "keys": ("Keys", "of providers, clouds and code hosts, tokens, private keys"),
    "secrets": ("Secrets", "the values of password, api_key, token and the like in JSON"),
    "emails": ("E-mail addresses", ""),
    "cards": ("Card numbers", "13 to 19 digits with a right check digit"),
}


@dataclass(frozen=True, slots=True)
class PrivacyPage:
    """The forms for one project; `rules` is what is stored, `typed` what is shown."""

    project: ProjectRow | None
    projects: Sequence[ProjectRow]
    rules: Rules
    typed: Mapping[str, str]
    chosen: Sequence[str]
    content: bool
    tried: str | None
    """What the rules leave of the text."""
    receipt: Receipt | None
    went: Sequence[tuple[Receipt, str]]
    """What went by a rule lately, with what it was in words."""
    size: int
    """Bytes that the project takes."""
    would_go: int | None
    """Traces that rules which are tried would delete for their age; MOST_COUNTED stands for more."""
    too_much: int | None
    """Bytes that they would allow."""
    server_days: int | None
    """Days after which the server deletes whatever a project's rules say."""
    problem: str | None
    wrong_field: str | None
    note: str | None

    @property
    def many(self) -> bool:
        """True where more would go than were counted."""
        return self.would_go == MOST_COUNTED

    @property
    def masks(self) -> Mapping[str, tuple[str, str]]:
        """The built-in masks, in words."""
        return MASKS


@router.get(HERE)
def show_privacy(
    request: Request,
    project: Annotated[str, Query(max_length=400)] = "",
    note: str = "",
    erased: Annotated[int | None, Query(ge=1, le=LAST_ID)] = None,
) -> Response:
    """The page, for one project; for htmx how far erasing is, alone."""
    return _page(request, project, note=NOTES.get(note), erased=erased)


@router.post(HERE)
def save_rules(
    request: Request,
    project: Annotated[str, Form()] = "",
    masks: Annotated[list[str] | None, Form()] = None,
    patterns: Annotated[str, Form()] = "",
    keys: Annotated[str, Form()] = "",
    content: Annotated[str, Form()] = "yes",
    retention_days: Annotated[str, Form()] = "",
    retention_tags: Annotated[str, Form()] = "",
    max_size: Annotated[str, Form()] = "",
    text: Annotated[str, Form()] = "",
    do: Annotated[str, Form()] = "save",
) -> Response:
    """Save the rules; or (`do` is try) show what they would leave of a text, and save nothing."""
    typed = {
        "patterns": patterns,
        "keys": keys,
        "retention_days": retention_days,
        "retention_tags": retention_tags,
        "max_size": max_size,
        "text": text,
    }
    shown = {"typed": typed, "chosen": masks or [], "content": content != "no"}
    try:
        rules = check_rules(
            Rules(
                masks=tuple(masks or ()),
                patterns=tuple(read_patterns(patterns)),
                keys=tuple(line for line in keys.splitlines() if line.strip()),
                content=content != "no",
                retention_days=read_days(retention_days, field="retention_days"),
                retention_tags=tuple(read_tag_days(retention_tags)),
                max_size=read_size(max_size),
            )
        )
        if do == "try":
            left = rules.mask(clean(text)[:TYPED_LIMIT]) if rules.content else ""
            return _page(request, project, tried=left, keeping=rules.keeping, **shown)
        with cast(Store, request.app.state.store).writing() as connection:
            found = project_by_name(connection, scope=caller_of(request).scope, name=project)
            store_rules(connection, found.id, rules)
    except NotFound:
        raise
    except TracerError as problem:
        return _page(request, project, refused=problem, **shown)
    cast(Privacy, request.app.state.privacy).forget()
    cast(Deleter, request.app.state.deleter).look_again()
    tell(request, project=found.name)
    return RedirectResponse(url(request, HERE, {"project": found.name, "note": "saved"}), status_code=303)


@router.post(f"{HERE}/erase")
def erase(
    request: Request,
    project: Annotated[str, Form()] = "",
    what: Annotated[str, Form()] = "user",
    id: Annotated[str, Form()] = "",
) -> Response:
    """Delete what a project has of a user or a session, for good; the receipt is on the page."""
    with reading(request) as conn:
        found = project_by_name(conn, scope=caller_of(request).scope, name=project)
    wanted = clean(id)
    if not 0 < len(wanted.strip()) <= ID_LIMIT:
        return _page(request, project, refused=BadRequest("Say whose traces are to be erased.", field="id"))
    deleter = cast(Deleter, request.app.state.deleter)
    session = what == "session"
    asked = deleter.ask(
        project_id=found.id, user_id=None if session else wanted, session_id=wanted if session else None
    )
    receipt = deleter.wait(asked.id, seconds=SHORT_WAIT_S)
    tell(request, project=found.name, target=f"{'session' if session else 'user'} {wanted}")
    there = url(request, HERE, {"project": found.name, "erased": str(receipt.id)})
    return RedirectResponse(f"{there}#erase", status_code=303)


def _page(
    request: Request,
    name: str,
    *,
    typed: Mapping[str, str] | None = None,
    chosen: Sequence[str] | None = None,
    content: bool | None = None,
    tried: str | None = None,
    keeping: Keeping | None = None,
    note: str | None = None,
    erased: int | None = None,
    refused: TracerError | None = None,
) -> Response:
    scope = caller_of(request).scope
    store = cast(Store, request.app.state.store)
    rules, went = Rules(), list[Receipt]()
    with reading(request) as conn:
        known = projects(conn, scope=scope)
        found = project_by_name(conn, scope=scope, name=name) if name else (known[0] if known else None)
        if found is not None:
            rules = rules_in(conn, found.id)
            went = receipts_of(Sql(conn), [found.id], limit=SHOWN_RECEIPTS, by_rule=True)
    receipt = cast(Deleter, request.app.state.deleter).receipt(erased) if erased is not None else None
    if receipt is not None and (found is None or receipt.project_id != found.id):
        raise NotFound("There is no such receipt in this project.")
    stored = {
        "patterns": "\n".join(f"{one.name}: {one.text}" for one in rules.patterns),
        "keys": "\n".join(rules.keys),
        "retention_days": "" if rules.retention_days is None else str(rules.retention_days),
        "retention_tags": write_tag_days(rules.retention_tags),
        "max_size": "" if rules.max_size is None else write_size(rules.max_size),
        "text": "",
    }
    page = PrivacyPage(
        project=found,
        projects=known,
        rules=rules,
        typed={field: text[:TYPED_LIMIT] for field, text in (typed or stored).items()},
        chosen=[mask for mask in ALL if mask in (rules.masks if chosen is None else chosen)],
        content=rules.content if content is None else content,
        tried=tried,
        receipt=receipt,
        went=[(one, in_words(one)) for one in went],
        size=0 if found is None else share_of(store, found.id).size,
        would_go=None if found is None or keeping is None else count_due(store, found.id, keeping, most=MOST_COUNTED),
        too_much=None if keeping is None else keeping.max_size,
        server_days=request.app.state.settings.retention_days,
        problem=None if refused is None else refused.message,
        wrong_field=None if refused is None or refused.field not in FIELDS else refused.field,
        note=note,
    )
    status = 200 if refused is None else refused.status
    return render(
        request, "settings/privacy.html", page, block="erasing", status=status, headers={"Cache-Control": "no-store"}
    )
