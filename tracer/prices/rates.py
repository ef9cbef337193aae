"""Prices of the token classes of one model, and the integer arithmetic from a call's usage to its cost."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from tracer.otlp.dialects.reading import Usage
from tracer.units import DAY, NanoUsd, UnixNanos

MILLION = 1_000_000

HALF = MILLION // 2

_Class: TypeAlias = tuple[str, int, int]
"""Label, tokens, and the price of a million of them in billionths of a dollar."""

# These are msgspec structs, not dataclasses: a frozen dataclass takes six times as long to make, and ingest makes one
# for each model call.


class CostLine(msgspec.Struct, frozen=True, gc=False):
    """One line of the bill: `tokens` × `per_million` / 1,000,000, rounded once, half up, is `cost`.

    `label` is `input`, `uncached input`, `cached input`, `cache write`, `audio input`, `cached audio input`,
    `output`, `reasoning`, `audio output` or `request` (a fee for each call: `tokens` is then 1).
    """

    label: str
    tokens: int
    per_million: NanoUsd
    cost: NanoUsd


class Cost(msgspec.Struct, frozen=True):
    """What one call costs, in billionths of a dollar."""

    input: NanoUsd
    """Input tokens of every class, and the fee of the call where there is one."""
    output: NanoUsd
    classes: tuple[_Class, ...]
    """(label, tokens, price of a million) of which the lines are made."""

    @property
    def total(self) -> NanoUsd:
        """Input and output together."""
        return NanoUsd(self.input + self.output)

    @property
    def lines(self) -> tuple[CostLine, ...]:
        """The bill: one line for each class that the call used; they add up to the total. Made when asked for."""
        return tuple(
            CostLine(label, tokens, NanoUsd(price), NanoUsd((tokens * price + HALF) // MILLION))
            for label, tokens, price in self.classes
            if tokens
        )


class Rates(msgspec.Struct, frozen=True, gc=False):
    """Billionths of a dollar for a million tokens of each class; None where the class has no price of its own.

    A class without a price of its own costs what the class around it costs (cached input what input costs). Output
    is the exception: None says that what the model puts out has no known price.
    """

    input: int
    output: int | None
    cached: int | None = None
    write: int | None = None
    audio_input: int | None = None
    cached_audio: int | None = None
    audio_output: int | None = None
    reasoning: int | None = None
    request: int = 0
    """For a million calls."""

    def cost_of(self, usage: Usage) -> Cost | None:
        """Price one call; None when its usage does not tell apart tokens whose prices differ."""
        sides = _sides(usage, self)
        if sides is None:
            return None
        asked, answered = sides
        if answered and self.output is None:
            return None
        heard = spoken = 0
        if usage.audio and not (self.audio_input is None and self.audio_output is None):
            split = self._audio(usage, asked, answered)
            if split is None:
                return None
            heard, spoken = split
        cached = usage.cached_input if self.cached is not None else 0
        written = usage.cache_write if self.write is not None else 0
        if cached or written or heard:
            into = self._split_input(asked, cached or 0, written or 0, heard)
        else:
            into = (("input", asked, self.input),)
        if self.request:
            into += (("request", 1, self.request),)
        spent = 0
        for _, tokens, price in into:
            spent += (tokens * price + HALF) // MILLION
        if not answered or self.output is None:
            return Cost(NanoUsd(spent), NanoUsd(0), into)
        if spoken or self.reasoning is not None:
            out = self._split_output(answered, usage.reasoning or 0, spoken)
        else:
            out = (("output", answered, self.output),)
        earned = 0
        for _, tokens, price in out:
            earned += (tokens * price + HALF) // MILLION
        return Cost(NanoUsd(spent), NanoUsd(earned), into + out)

    def _split_input(self, asked: int, cached: int, written: int, heard: int) -> tuple[_Class, ...]:
        """An input's tokens by class. No class is ever more than what the others leave of the input."""
        cached = cached if cached < asked else asked
        written = written if written < asked - cached else asked - cached
        plain = asked - cached - written
        sound: tuple[_Class, ...] = ()
        if heard:
            # Nobody says how much of the cached input was sound: it is the part that can't have been anything else.
            heard_cached = min(max(0, heard - plain), cached)
            heard = min(heard, plain)
            cached -= heard_cached
            plain -= heard
            sound = (
                ("audio input", heard, _or(self.audio_input, self.input)),
                ("cached audio input", heard_cached, _or(self.cached_audio, _or(self.cached, self.input))),
            )
        found: tuple[_Class, ...] = (("uncached input", plain, self.input),)
        if cached:
            found += (("cached input", cached, _or(self.cached, self.input)),)
        if written:
            found += (("cache write", written, _or(self.write, self.input)),)
        return found + sound

    def _split_output(self, answered: int, reasoning: int, spoken: int) -> tuple[_Class, ...]:
        """An output's tokens by class."""
        price = _or(self.output, 0)
        thought = min(reasoning, answered - spoken) if self.reasoning is not None else 0
        return (
            ("output", answered - spoken - thought, price),
            ("reasoning", thought, _or(self.reasoning, price)),
            ("audio output", spoken, _or(self.audio_output, price)),
        )

    def _audio(self, usage: Usage, asked: int, answered: int) -> tuple[int, int] | None:
        """How many of a call's audio tokens came in and went out; None when it makes a difference and isn't told."""
        audio = usage.audio or 0
        if usage.audio_output is not None:
            spoken = min(usage.audio_output, audio, answered)
            return min(audio - spoken, asked), spoken
        most_heard, most_spoken = min(audio, asked), min(audio, answered)
        if self.audio_output is None:
            return most_heard, 0
        if self.audio_input is None:
            return 0, most_spoken
        if most_heard + most_spoken > audio and most_heard and most_spoken:
            return None
        return most_heard, most_spoken


Bands: TypeAlias = tuple[tuple[int, Rates], ...]
"""Prices by size of the input: the first whose number is below the call's input tokens holds for all its tokens."""


class Era(msgspec.Struct, frozen=True):
    """A time during which prices hold; without `bands` nothing is known of that time."""

    bands: Bands
    start: UnixNanos | None = None
    """Since when, None for always."""
    hours: tuple[int, int] | None = None
    """From and until which nanosecond of each day in UTC (the second may be the next day's), None for all day."""

    def holds(self, at: int) -> bool:
        """True when the prices hold for a call that started at this instant."""
        if self.start is not None and at < self.start:
            return False
        if self.hours is None:
            return True
        start, end = self.hours
        now = at % DAY
        return start <= now < end if start <= end else now >= start or now < end


Eras: TypeAlias = tuple[Era, ...]
"""A model's prices over time: the first that holds is the one."""


def cost_at(eras: Eras, usage: Usage, at: int) -> Cost | None:
    """Price a call that started at `at`, in Unix nanoseconds; None when no price is known."""
    for era in eras:
        if (era.start is None and era.hours is None) or era.holds(at):
            bands = era.bands
            if not bands:
                return None
            if len(bands) > 1:
                asked = (_sides(usage, bands[-1][1]) or (0, 0))[0]
                for above, rates in bands:
                    if asked > above:
                        return rates.cost_of(usage)
            return bands[-1][1].cost_of(usage)
    return None


def _or(price: int | None, other: int) -> int:
    return other if price is None else price


def _sides(usage: Usage, rates: Rates) -> tuple[int, int] | None:
    """Tokens in and out; what only the total tells is worked out. None when they can't be told apart."""
    asked, answered, total = usage.input, usage.output, usage.total
    if asked is not None:
        if answered is None:
            answered = max(0, total - asked) if total is not None else 0
    elif answered is not None:
        asked = max(0, total - answered) if total is not None else 0
    elif total is not None and (rates.output is None or rates.output == rates.input):
        asked, answered = total, 0
    else:
        return None
    apart = (usage.cached_input or 0) + (usage.cache_write or 0)
    return (asked if asked > apart else apart), answered
