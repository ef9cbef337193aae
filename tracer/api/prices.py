"""The user's own price table over REST. The page `/settings/prices` changes it entry by entry."""

from __future__ import annotations

from typing import Any, cast

from fastapi import APIRouter, Request, Response

from tracer.api import schemas
from tracer.api.answers import JsonAnswer
from tracer.api.traces import REFUSALS
from tracer.errors import BadRequest, BadSetting
from tracer.prices import PriceBook
from tracer.prices.edit import PRICES, check_entry, day_of, dollars, put_table, read_table, renumbered
from tracer.prices.own import OwnPrice

router = APIRouter(prefix="/api/v1", tags=["prices"], responses=REFUSALS)


@router.get("/prices", response_model=schemas.OwnPrices)
def get_prices(request: Request) -> Response:
    """Your own prices, as `prices.toml` in the data folder has them."""
    book: PriceBook = request.app.state.prices
    try:
        entries = read_table(book.file).entries if book.file is not None else ()
    except BadSetting as problem:
        raise BadRequest(problem.message, field=problem.field) from None
    return JsonAnswer({"items": [_shown(entry) for entry in entries]})


@router.put("/prices", response_model=schemas.OwnPrices)
def put_prices(request: Request, table: schemas.OwnPrices) -> Response:
    """Replace the whole table. New prices hold for steps that end from now on; stored costs stay as they are."""
    book: PriceBook = request.app.state.prices
    if book.file is None:
        raise BadRequest("This server has no data folder to keep a price table in.")
    entries: list[OwnPrice] = []
    for place, item in enumerate(table.items):
        try:
            typed = item.model_dump(by_alias=True)
            entries.append(check_entry({field: _text(value) for field, value in typed.items() if value is not None}))
        except BadSetting as problem:
            raise BadRequest(f"Entry {place + 1}: {problem.message}", field=problem.field) from None
    try:
        put_table(book.file, renumbered(entries))
    except BadSetting as problem:
        raise BadRequest(problem.message, field=problem.field) from None
    book.look()
    return get_prices(request)


def _text(value: object) -> str:
    return str(value)


def _shown(entry: OwnPrice) -> dict[str, Any]:
    rates = entry.rates
    prices = (rates.input, rates.output, rates.cached, rates.write)
    return {
        "model": entry.model,
        "provider": entry.provider,
        **{
            field: None if price is None else float(cast(str, dollars(price)))
            for field, price in zip(PRICES, prices, strict=True)
        },
        "from": day_of(entry),
    }
