"""The price book: what a model call costs, from the user's own table and the price data."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tracer.otlp.dialects.reading import Usage
from tracer.prices import names
from tracer.prices.own import OwnPrices, read_own_prices
from tracer.prices.rates import Cost, Eras, cost_at
from tracer.units import UnixNanos

MAX_KNOWN: Final = 4_096
"""Pairs of provider and model remembered: their names come from outside, and there is no end to those."""


class PriceBook:
    """Prices of models over time. One book may be asked by several threads at once.

    `own` is the user's table (`tracer.prices.own` describes it); a file that is not there is an empty table. Raises
    BadSetting, with one sentence naming line and field, when the file can't be used. It is read once: after a change
    make a new book. Making one is cheap; the price data are loaded with the first price that is asked of them.
    """

    def __init__(self, own: Path | None = None) -> None:
        self._own = read_own_prices(own) if own is not None else OwnPrices()
        self._known: dict[tuple[str | None, str], Eras] = {}
        self._named: dict[tuple[str | None, str], Eras] = {}

    def cost_of(self, model: str | None, provider: str | None, usage: Usage | None, at: UnixNanos | int) -> Cost | None:
        """Price a call that started at `at`; None when its price or its usage is not known.

        `model` and `provider` are taken as clients send them: in any case, with prefixes, dates and regions. Prices
        are those of the call's day, as far back as the data go. 0 means that the price is known to be 0.
        """
        if usage is None or model is None:
            return None
        eras = self._known.get((provider, model))
        if eras is None:
            eras = self._look_up(model, provider)
        return cost_at(eras, usage, at)

    def names_own(self, model: str | None, provider: str | None, at: UnixNanos | int | None = None) -> bool:
        """True when the user's own table names this model (with `at`: has a price for it at that instant).

        A cost that the client sent is taken before the computed one, unless this is True.
        """
        if model is None or len(model) > names.MAX_NAME:
            return False
        key = (provider, model)
        eras = self._named.get(key)
        if eras is None:
            eras = self._own.eras_of(model, _shorter(provider))
            _remember(self._named, key, eras)
        return any(at is None or era.holds(at) for era in eras)

    def load(self) -> None:
        """Load the price data now (about half a second, once a process), so that the first call need not wait."""
        import tracer.prices.library  # noqa: F401

    def _look_up(self, model: str, provider: str | None) -> Eras:
        eras: Eras = ()
        if model.strip() and len(model) <= names.MAX_NAME:
            eras = self._own.eras_of(model, _shorter(provider))
            if all(era.start is not None for era in eras):
                # Imported here, as it takes long: not when the server starts, and never when no model is called.
                from tracer.prices.library import eras_of

                eras += eras_of(model, _shorter(provider))
            _remember(self._known, (provider, model), eras)
        return eras


def _shorter(provider: str | None) -> str | None:
    """No provider rather than one of a length that no provider's name has."""
    return provider if provider is None or 0 < len(provider.strip()) <= names.MAX_NAME else None


def _remember(cache: dict[tuple[str | None, str], Eras], key: tuple[str | None, str], eras: Eras) -> None:
    if len(cache) >= MAX_KNOWN:
        cache.clear()
    cache[key] = eras
