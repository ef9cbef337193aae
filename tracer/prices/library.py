"""Prices out of the data that the `genai-prices` package ships. Nothing here opens a connection or starts a thread.

The data are 1.6 MB of Python, so this module is imported only when the first price is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from genai_prices.data import providers as PROVIDERS
from genai_prices.types import (
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

from tracer.prices import names
from tracer.prices.rates import Bands, Era, Eras, Rates
from tracer.units import HOUR, MICROSECOND, MINUTE, SECOND, UnixNanos

_BY_ID: Final = {provider.id: provider for provider in PROVIDERS}
_BY_WORD: Final = {names.squeezed(provider.id): provider for provider in PROVIDERS}


def eras_of(model: str, provider: str | None) -> Eras:
    """What the data say of a model's prices over time; empty when they don't know it.

    `model` and `provider` are as a client sent them, in any case. What a provider sells of another maker's models
    (Azure, Bedrock, Vertex AI) is looked up there.
    """
    model = model.strip().lower()
    for spelled in dict.fromkeys((model, names.undated(model))):
        for seller, name in _sellers(spelled, provider):
            found = seller.find_model(name, all_providers=PROVIDERS)
            if found is not None:
                return _eras(found)
    return ()


def _sellers(model: str, provider: str | None) -> Iterator[tuple[Provider, str]]:
    """Every (provider, model's name there) that a sent pair may stand for, most exact first."""
    host = None
    if provider is not None:
        if names.is_local(provider):
            return
        host = _provider(provider.strip().lower())
    if host is not None and host.id not in names.GENERIC:
        for name in names.spellings(model):
            yield host, name
        if names.is_bedrock(model):
            yield _BY_ID["aws"], model
        return
    if names.has_size_tag(model):
        return
    if names.is_variant(model):
        yield _BY_ID["openrouter"], model.removeprefix("openrouter/")
        return
    model = names.bare(model)
    if names.is_bedrock(model):
        yield _BY_ID["aws"], model
    prefix = names.split_prefix(model)
    if prefix is not None:
        if names.is_local(prefix[0]):
            return
        named = _exactly(prefix[0]) if prefix[0] not in names.GIVE_AWAY else None
        if named is not None:
            for name in names.spellings(prefix[1]):
                if _sold_by_maker(named, name):
                    yield named, name
            return
    known = host is not None or provider is None or provider.strip().lower() in names.GENERIC
    for seller in _makers(model, host):
        if (known or seller.id in names.CLOSED) and _sold_by_maker(seller, model):
            yield seller, model


def _makers(model: str, host: Provider | None) -> Iterator[Provider]:
    """The providers that a model's name alone points to."""
    if host is not None:
        yield host
    for start, maker in names.FAMILIES:
        if model.startswith(start):
            yield _BY_ID[maker]
    for provider in PROVIDERS:
        if provider.model_match is not None and provider.model_match.is_match(model):
            yield provider


def _sold_by_maker(seller: Provider, model: str) -> bool:
    return not any(seller.id == maker and part in model for maker, part in names.OTHERS_SELL)


def _provider(name: str) -> Provider | None:
    """The provider that a client means by `Anthropic`, `az.ai.openai`, `xai.chat` or `gcp.vertex_ai`."""
    if name in _BY_ID:
        return _BY_ID[name]
    if "azure" in name or name.startswith("az."):
        return _BY_ID["azure"]
    found = _exactly(name)
    if found is not None:
        return found
    for provider in PROVIDERS:
        if provider.provider_match is not None and provider.provider_match.is_match(name):
            return provider
    first, dot, _ = name.partition(".")
    return _exactly(first) if dot else None


def _exactly(name: str) -> Provider | None:
    """The provider of this very name, whatever its punctuation and with or without `ai` at its end."""
    word = names.squeezed(name)
    for tried in (word, word.removesuffix("ai")):
        found = _BY_WORD.get(tried) or _BY_ID.get(names.ALIASES.get(tried, ""))
        if found is not None:
            return found
    return None


def _eras(model: ModelInfo) -> Eras:
    free = model.id.endswith(":free")
    if isinstance(model.prices, ModelPrice):
        return (Era(_bands(model.prices, free)),)
    eras = [_era(price, free) for price in reversed(model.prices)]
    if model.prices:
        eras.append(Era(_bands(model.prices[0].prices, free)))
    return tuple(eras)


def _era(price: ConditionalPrice, free: bool) -> Era:
    bands = _bands(price.prices, free)
    match price.constraint:
        case StartDateConstraint(start_date=day):
            start = datetime(day.year, day.month, day.day, tzinfo=UTC)
            return Era(bands, start=UnixNanos(int(start.timestamp()) * SECOND))
        case TimeOfDateConstraint(start_time=start, end_time=end):
            return Era(bands, hours=(_of_day(start), _of_day(end)))
        case _:
            return Era(bands)


def _of_day(clock: time) -> int:
    """Nanoseconds since midnight in UTC; a time without a zone is in UTC."""
    if clock.tzinfo is not None:
        clock = datetime.combine(datetime(2000, 1, 1), clock).astimezone(UTC).time()
    return clock.hour * HOUR + clock.minute * MINUTE + clock.second * SECOND + clock.microsecond * MICROSECOND


def _bands(prices: ModelPrice, free: bool) -> Bands:
    """The prices of the token classes that usage tells apart, by size of the input; empty when there are none.

    Images and video in the input are priced as text, as their tokens are not told apart in usage. Where they are
    what the model puts out, at a price of their own, its output has no known price.
    """
    if not any(price is not None for price in prices.__dict__.values()):
        return ((-1, Rates(0, 0)),) if free else ()
    if prices.input_mtok is None:
        return ()
    told = prices.output_image_mtok is None and prices.output_video_mtok is None
    starts = {-1}
    for price in prices.__dict__.values():
        if isinstance(price, TieredPrices):
            starts.update(tier.start for tier in price.tiers)
    return tuple(
        (
            above,
            Rates(
                input=_nanos(prices.input_mtok, above) or 0,
                output=_nanos(prices.output_mtok, above) if told else None,
                cached=_nanos(prices.cache_read_mtok, above),
                write=_nanos(prices.cache_write_mtok, above),
                audio_input=_nanos(prices.input_audio_mtok, above),
                cached_audio=_nanos(prices.cache_audio_read_mtok, above),
                audio_output=_nanos(prices.output_audio_mtok, above),
                reasoning=_nanos(prices.output_reasoning_mtok, above),
                request=1_000 * (_nanos(prices.requests_kcount, above) or 0),
            ),
        )
        for above in sorted(starts, reverse=True)
    )


def _nanos(price: Decimal | TieredPrices | None, above: int) -> int | None:
    """A price in dollars as billionths of a dollar, for inputs just over `above` tokens."""
    if price is None:
        return None
    if isinstance(price, TieredPrices):
        reached = [tier.price for tier in price.tiers if tier.start <= above]
        price = reached[-1] if reached else price.base
    return int((price * SECOND).to_integral_value(ROUND_HALF_EVEN))
