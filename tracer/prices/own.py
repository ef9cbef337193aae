"""The user's own prices: the file `prices.toml` in the data folder.

```toml
[[price]]
model = "my-model*"     # as the client sends it, in any case; `*` stands for any characters
provider = "acme"       # optional: only when this provider is named; `*` as above
input = 1.50            # dollars for a million tokens
output = 6.00           # optional for models that put out no tokens (embeddings)
cached_input = 0.15     # optional: what cached tokens cost; else what input costs
cache_write = 1.90      # optional: what tokens written to the cache cost; else what input costs
from = 2026-03-01       # optional: the day (UTC) from which on it holds; else always
```

The entry that names the model most exactly is taken: one without `*` before one with, then the one with more
characters beside `*`, then one that names a provider, then the later one in the file. Of several that name the same
model and provider, the one with the latest `from` that is not after the call's start. Where none holds yet, the next
best entry does, and after that the prices that come with the product.
"""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final, TypeAlias

from tracer.errors import BadSetting
from tracer.prices import names
from tracer.prices.rates import Era, Rates
from tracer.units import SECOND, UnixNanos

MAX_PRICE: Final = 1_000_000
"""Dollars for a million tokens."""

MAX_FILE: Final = 4 * 2**20
"""Bytes."""

FIELDS: Final = ("model", "provider", "input", "output", "cached_input", "cache_write", "from")


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """One entry of the table."""

    model: str
    """In small letters."""
    provider: str | None
    rates: Rates
    start: UnixNanos | None
    """From when on it holds, None for always."""
    place: int
    """Which entry of the file it is, counted from 0."""
    model_pattern: re.Pattern[str]
    provider_pattern: re.Pattern[str] | None

    def names(self, model: str, provider: str | None) -> bool:
        """True when the entry is about this model and provider, as a client sent them."""
        written = model.strip().lower()
        spelled = names.spellings(written)
        if not any(self.model_pattern.match(name) for name in spelled):
            return False
        if self.provider_pattern is None:
            return True
        said = [provider.strip().lower()] if provider is not None else []
        prefix = names.split_prefix(written)
        if prefix is not None:
            said.append(prefix[0])
        return any(self.provider_pattern.match(name) for name in said)

    @property
    def exactness(self) -> tuple[bool, int, bool]:
        """Larger for an entry that says more exactly what it is about."""
        return "*" not in self.model, len(self.model.replace("*", "")), self.provider is not None


class OwnPrices:
    """The user's table, as read once from its file; empty when there is no such file."""

    def __init__(self, entries: tuple[OwnPrice, ...] = ()) -> None:
        groups: dict[tuple[str, str | None], int] = {}
        for entry in entries:
            groups[entry.model, entry.provider] = entry.place

        def order(entry: OwnPrice) -> tuple[tuple[bool, int, bool], int, int, int]:
            start = entry.start if entry.start is not None else -(2**63)
            return entry.exactness, groups[entry.model, entry.provider], start, entry.place

        self._entries = tuple(sorted(entries, key=order, reverse=True))

    def eras_of(self, model: str, provider: str | None) -> tuple[Era, ...]:
        """The prices the table gives a model over time, the one to take first in front; empty when it names none."""
        return tuple(
            Era(((-1, entry.rates),), start=entry.start) for entry in self._entries if entry.names(model, provider)
        )


FileVersion: TypeAlias = tuple[int, int, int] | None
"""What tells one version of a file from the next; None while there is no file."""


def version_of(file: Path | None) -> FileVersion:
    """Which version of the file is there now."""
    try:
        found = file.stat() if file is not None else None
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns, found.st_size) if found is not None else None


def read_own_prices(file: Path) -> OwnPrices:
    """Read the user's table; a file that does not exist is an empty table.

    Raises BadSetting with one sentence that names the file, the entry, its line and the field.
    """
    return OwnPrices(read_entries(file, read_text(file)))


def read_text(file: Path) -> str:
    """The file as it is; empty when it does not exist. Raises BadSetting when it can't be read."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_FILE + 1)
    except FileNotFoundError:
        return ""
    except OSError as problem:
        raise BadSetting(f"The price table {file} cannot be read: {problem.strerror}.", field="prices") from None
    if len(raw) > MAX_FILE:
        raise BadSetting(f"The price table {file} is larger than {MAX_FILE // 2**20} MiB.", field="prices")
    try:
        return raw.decode()
    except UnicodeDecodeError as problem:
        raise BadSetting(f"The price table {file} is not TOML: {problem}.", field="prices") from None


def read_entries(file: Path, text: str) -> tuple[OwnPrice, ...]:
    """The entries of a table, in the order of the text; `file` is named in the BadSetting that this raises."""
    try:
        content = tomllib.loads(text, parse_float=Decimal)
    except (tomllib.TOMLDecodeError, RecursionError) as problem:
        raise BadSetting(f"The price table {file} is not TOML: {problem}.", field="prices") from None
    return Reader(file, text).entries(content)


class Reader:
    """Checks a parsed file, with its text at hand to say where a mistake is."""

    def __init__(self, file: Path, text: str) -> None:
        self.file = file
        self.lines = text.splitlines()

    def entries(self, content: Mapping[str, object]) -> tuple[OwnPrice, ...]:
        """Every entry of the file, checked. Raises BadSetting."""
        for key in content:
            if key != "price":
                raise BadSetting(
                    f"The price table {self.file} has {key!r} outside of a [[price]] entry"
                    f"{self._line(key, None)}: every price stands under a line [[price]].",
                    field=key,
                )
        entries = content.get("price", [])
        if not isinstance(entries, list):
            raise BadSetting(
                f"The price table {self.file} has [price] where [[price]] is needed{self._line('[price]', None)}.",
                field="price",
            )
        found: list[OwnPrice] = []
        seen: dict[tuple[str, str | None, UnixNanos | None], int] = {}
        for place, entry in enumerate(entries):
            if not isinstance(entry, dict):
                raise self.wrong(place, "price", "must be an entry with a model and its prices")
            price = self.entry(place, entry)
            first = seen.setdefault((price.model, price.provider, price.start), place)
            if first != place:
                raise self.wrong(place, "model", f"is the same, from the same day on, as in entry {first + 1}")
            found.append(price)
        return tuple(found)

    def entry(self, place: int, entry: Mapping[str, object]) -> OwnPrice:
        """One entry, checked. Raises BadSetting."""
        for field in entry:
            if field not in FIELDS:
                raise self.wrong(place, field, f"is no field of a price: there are {', '.join(FIELDS)}")
        model = self._word(place, entry, "model")
        if model is None:
            raise self.wrong(place, "model", "is missing")
        provider = self._word(place, entry, "provider")
        asked = self._price(place, entry, "input")
        if asked is None:
            raise self.wrong(place, "input", "is missing")
        return OwnPrice(
            model=model,
            provider=provider,
            rates=Rates(
                input=asked,
                output=self._price(place, entry, "output"),
                cached=self._price(place, entry, "cached_input"),
                write=self._price(place, entry, "cache_write"),
            ),
            start=self._day(place, entry),
            place=place,
            model_pattern=_pattern(model),
            provider_pattern=_pattern(provider) if provider is not None else None,
        )

    def _word(self, place: int, entry: Mapping[str, object], field: str) -> str | None:
        value = entry.get(field)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip() or len(value) > names.MAX_NAME:
            raise self.wrong(place, field, f"must be a text of 1 to {names.MAX_NAME} characters")
        return value.strip().lower()

    def _price(self, place: int, entry: Mapping[str, object], field: str) -> int | None:
        value = entry.get(field)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
            raise self.wrong(place, field, "must be a number of dollars for a million tokens, such as 1.50")
        # Not a number compares with nothing: it is asked for first.
        price = Decimal(value)
        if not price.is_finite() or not 0 <= price <= MAX_PRICE:
            raise self.wrong(place, field, f"must be between 0 and {MAX_PRICE:,} dollars for a million tokens")
        exponent = price.normalize().as_tuple().exponent
        if isinstance(exponent, int) and exponent < -9:
            raise self.wrong(place, field, "has more than nine decimals, and money is kept in billionths of a dollar")
        return int(price * SECOND)

    def _day(self, place: int, entry: Mapping[str, object]) -> UnixNanos | None:
        value = entry.get("from")
        if value is None:
            return None
        if isinstance(value, datetime) or not isinstance(value, date):
            raise self.wrong(place, "from", "must be a day such as 2026-03-01, without quotes")
        start = datetime(value.year, value.month, value.day, tzinfo=UTC)
        return UnixNanos((start - datetime(1970, 1, 1, tzinfo=UTC)).days * 86_400 * SECOND)

    def wrong(self, place: int, field: str, problem: str) -> BadSetting:
        """The problem in one sentence."""
        return BadSetting(
            f"The price table {self.file}, entry {place + 1}{self._line(field, place)}: {field} {problem}.", field=field
        )

    def _line(self, field: str, place: int | None) -> str:
        """` (line 7)`: where the field is, else where its entry begins; nothing when that can't be told."""
        heads = [number for number, line in enumerate(self.lines) if re.match(r"\s*\[\[\s*\"?price\"?\s*\]\]", line)]
        start, end, fallback = 0, len(self.lines), None
        if place is not None:
            if place >= len(heads):
                return ""
            start = fallback = heads[place]
            end = heads[place + 1] if place + 1 < len(heads) else len(self.lines)
        wanted = re.compile(rf"\s*[\"']?{re.escape(field)}[\"']?\s*(?:[=.\]]|$)")
        for number in range(start, end):
            if wanted.match(self.lines[number]):
                return f" (line {number + 1})"
        return f" (line {fallback + 1})" if fallback is not None else ""


def _pattern(text: str) -> re.Pattern[str]:
    """A pattern in which only `*` is special, and which is tried in time that grows with the name's length alone."""
    return re.compile(fnmatch.translate(text.replace("[", "[[]").replace("?", "[?]")))
