"""The price book: what a model call costs, from the user's own table and the price data."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from tracer.errors import BadSetting
from tracer.otlp.dialects.reading import Usage
from tracer.prices import names
from tracer.prices.own import FileVersion, OwnPrices, read_own_prices, version_of
from tracer.prices.rates import Cost, Eras, cost_at
from tracer.units import UnixNanos

logger = logging.getLogger(__name__)

MAX_KNOWN: Final = 4_096
"""Pairs of provider and model remembered: their names come from outside, and there is no end to those."""


LOOK_EVERY_S: Final = 2.0
"""How often it is looked whether the user's file has changed."""

_Known: TypeAlias = dict[tuple[str | None, str], Eras]


class _Table(msgspec.Struct, frozen=True):
    """The user's prices as read at one time, and what was looked up since."""

    own: OwnPrices
    version: FileVersion
    known: _Known = msgspec.field(default_factory=_Known)
    named: _Known = msgspec.field(default_factory=_Known)


class PriceBook:
    """Prices of models over time. One book may be asked by several threads at once.

    `own` is the user's table (`tracer.prices.own` describes it); a file that is not there is an empty table. Raises
    BadSetting, with one sentence naming line and field, when the file can't be used. A file that is changed is read
    again within seconds; one that can't be used then leaves the prices as they were. Making a book is cheap; the
    price data are loaded with the first price that is asked of them.
    """

    def __init__(self, own: Path | None = None) -> None:
        self._file = own
        version = version_of(own)
        self._table = _Table(read_own_prices(own) if own is not None else OwnPrices(), version)
        self._look_at = time.monotonic() + LOOK_EVERY_S if own is not None else math.inf
        self._problem: tuple[FileVersion, str] | None = None

    @property
    def file(self) -> Path | None:
        """Where the user's table is."""
        return self._file

    @property
    def problem(self) -> str | None:
        """Why the file as it is now can't be used, so that an older version of it holds; None when it can."""
        return self._problem[1] if self._problem is not None else None

    def cost_of(self, model: str | None, provider: str | None, usage: Usage | None, at: UnixNanos | int) -> Cost | None:
        """Price a call that started at `at`; None when its price or its usage is not known.

        `model` and `provider` are taken as clients send them: in any case, with prefixes, dates and regions. Prices
        are those of the call's day, as far back as the data go. 0 means that the price is known to be 0.
        """
        if usage is None or model is None:
            return None
        table = self._current()
        eras = table.known.get((provider, model))
        if eras is None:
            eras = _look_up(table, model, provider)
        return cost_at(eras, usage, at)

    def names_own(self, model: str | None, provider: str | None, at: UnixNanos | int | None = None) -> bool:
        """True when the user's own table names this model (with `at`: has a price for it at that instant).

        A cost that the client sent is taken before the computed one, unless this is True.
        """
        if model is None or len(model) > names.MAX_NAME:
            return False
        table = self._current()
        key = (provider, model)
        eras = table.named.get(key)
        if eras is None:
            eras = table.own.eras_of(model, _shorter(provider))
            _remember(table.named, key, eras)
        return any(at is None or era.holds(at) for era in eras)

    def load(self) -> None:
        """Load the price data now (about half a second, once a process), so that the first call need not wait."""
        import tracer.prices.library  # noqa: F401

    def look(self) -> None:
        """Read the user's file again if it has changed; `problem` says when it can't be used."""
        if self._file is None:
            return
        self._look_at = time.monotonic() + LOOK_EVERY_S
        version = version_of(self._file)
        if version == self._table.version:
            self._problem = None
        elif self._problem is None or self._problem[0] != version:
            try:
                self._table = _Table(read_own_prices(self._file), version)
            except BadSetting as problem:
                self._problem = (version, problem.message)
                logger.warning("%s The prices stay as they were.", problem.message)
            else:
                self._problem = None

    def _current(self) -> _Table:
        if time.monotonic() >= self._look_at:
            self.look()
        return self._table


def _look_up(table: _Table, model: str, provider: str | None) -> Eras:
    eras: Eras = ()
    if model.strip() and len(model) <= names.MAX_NAME:
        eras = table.own.eras_of(model, _shorter(provider))
        if all(era.start is not None for era in eras):
            # Imported here, as it takes long: not when the server starts, and never when no model is called.
            from tracer.prices.library import eras_of

            eras += eras_of(model, _shorter(provider))
        _remember(table.known, (provider, model), eras)
    return eras


def _shorter(provider: str | None) -> str | None:
    """No provider rather than one of a length that no provider's name has."""
    return provider if provider is None or 0 < len(provider.strip()) <= names.MAX_NAME else None


def _remember(cache: _Known, key: tuple[str | None, str], eras: Eras) -> None:
    if len(cache) >= MAX_KNOWN:
        cache.clear()
    cache[key] = eras
