"""The user's own prices: the table, a form for one entry, and computing stored costs anew.

Plain forms, so that all of it works without script; with it the progress moves.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from tracer.errors import BadRequest, BadSetting, Conflict, TracerError
from tracer.ingest.reread import Rereader, Standing, Wanted
from tracer.pages.addresses import url
from tracer.pages.page import caller_of, reading, render
from tracer.prices import PriceBook
from tracer.prices.edit import check_entry, day_of, dollars, put_entry, read_table, remove_entry, told
from tracer.prices.own import OwnPrice
from tracer.queries.prices import models_without_price
from tracer.units import UnixNanos

router = APIRouter(include_in_schema=False)

HERE = "/settings/prices"
TYPED_LIMIT = 500
"""Characters of a field that are shown again."""

NOTES = {
    "saved": "Saved. It holds for steps that end from now on.",
    "removed": "Removed. Steps that end from now on are computed without it.",
    "busy": "Costs are being computed already.",
}


@dataclass(frozen=True, slots=True)
class PriceLine:
    """One entry as the table shows it."""

    place: int
    model: str
    provider: str | None
    prices: Sequence[str | None]
    day: str | None


@dataclass(frozen=True, slots=True)
class PricesPage:
    """The table, the form and what is wrong with what was typed."""

    file: str
    lines: Sequence[PriceLine]
    digest: str
    broken: str | None
    """Why the file can't be used as it is."""
    editing: int | None
    """The entry that the form changes; None for a new one."""
    typed: Mapping[str, str]
    problem: str | None
    wrong_field: str | None
    note: str | None
    unpriced: Sequence[str]
    standing: Standing

    @property
    def share(self) -> int:
        """Percent of the stored calls that are done."""
        return 100 * self.standing.done // self.standing.total if self.standing.total else 0


@router.get(HERE)
def show_prices(request: Request, edit: int | None = None, model: str = "", note: str = "") -> Response:
    """The page; for htmx how far computing is, alone."""
    return _page(request, editing=edit, typed={"model": model[:TYPED_LIMIT]} if model else {}, note=NOTES.get(note))


@router.post(HERE)
def save_price(
    request: Request,
    seen: Annotated[str, Form()] = "",
    entry: Annotated[str, Form()] = "",
    model: Annotated[str, Form()] = "",
    provider: Annotated[str, Form()] = "",
    input: Annotated[str, Form()] = "",
    output: Annotated[str, Form()] = "",
    cached_input: Annotated[str, Form()] = "",
    cache_write: Annotated[str, Form()] = "",
    start: Annotated[str, Form(alias="from")] = "",
) -> Response:
    """Add an entry, or change one."""
    typed = {
        "model": model,
        "provider": provider,
        "input": input,
        "output": output,
        "cached_input": cached_input,
        "cache_write": cache_write,
        "from": start,
    }
    place = _place(entry) if entry else None
    book = _book(request)
    try:
        put_entry(_file(book), check_entry(typed), place=place, seen=seen)
    except (BadSetting, Conflict, TracerError) as problem:
        return _page(request, editing=place, typed=typed, refused=problem)
    book.look()
    return _back(request, "saved")


@router.post(f"{HERE}/remove")
def remove_price(request: Request, seen: Annotated[str, Form()] = "", entry: Annotated[str, Form()] = "") -> Response:
    """Take an entry out of the table."""
    book = _book(request)
    try:
        remove_entry(_file(book), _place(entry), seen=seen)
    except TracerError as problem:
        return _page(request, refused=problem)
    book.look()
    return _back(request, "removed")


@router.post(f"{HERE}/recompute")
def recompute(request: Request) -> Response:
    """Compute what every stored model call cost anew, with the prices as they are now."""
    rereader = cast(Rereader, request.app.state.rereader)
    try:
        begun = rereader.ask(Wanted(prices=True))
    except TracerError as problem:
        return _page(request, refused=problem)
    return _back(request, None if begun else "busy", fragment="#recompute")


def _page(
    request: Request,
    *,
    editing: int | None = None,
    typed: Mapping[str, str] | None = None,
    note: str | None = None,
    refused: TracerError | None = None,
) -> Response:
    book = _book(request)
    book.look()
    broken, digest, entries = None, "", tuple[OwnPrice, ...]()
    try:
        table = read_table(_file(book))
        digest, entries = table.digest, table.entries
    except BadSetting as problem:
        broken = problem.message
    if editing is not None and not 0 <= editing < len(entries):
        editing = None
    if editing is not None and not typed:
        typed = told(entries[editing])
    page = PricesPage(
        file=str(_file(book)),
        lines=[_line(place, entry) for place, entry in enumerate(entries)],
        digest=digest,
        broken=broken,
        editing=editing,
        typed={field: text[:TYPED_LIMIT] for field, text in (typed or {}).items()},
        problem=refused.message if refused is not None else None,
        wrong_field=refused.field if refused is not None else None,
        note=note,
        unpriced=_unpriced(request, book),
        standing=cast(Rereader, request.app.state.rereader).standing,
    )
    status = 200 if refused is None else 422 if isinstance(refused, BadSetting) else refused.status
    return render(request, "prices/prices.html", page, block="progress", status=status)


def _unpriced(request: Request, book: PriceBook) -> Sequence[str]:
    with reading(request) as conn:
        found = models_without_price(conn, scope=caller_of(request).scope, until=UnixNanos(time.time_ns()))
    return [model for model in found if not book.names_own(model, None)]


def _line(place: int, entry: OwnPrice) -> PriceLine:
    rates = entry.rates
    shown = [
        None if price is None else dollars(price) for price in (rates.input, rates.output, rates.cached, rates.write)
    ]
    return PriceLine(place, entry.model, entry.provider, shown, day_of(entry))


def _back(request: Request, note: str | None, *, fragment: str = "") -> Response:
    return RedirectResponse(url(request, HERE, {"note": note}) + fragment, status_code=303)


def _place(entry: str) -> int:
    if not (entry.isascii() and entry.isdigit() and len(entry) < 10):
        raise BadRequest("entry takes an entry's number.", field="entry")
    return int(entry)


def _book(request: Request) -> PriceBook:
    return cast(PriceBook, request.app.state.prices)


def _file(book: PriceBook) -> Path:
    if book.file is None:
        raise BadRequest("This server has no data folder to keep a price table in.")
    return book.file
