"""Changes the user's price table in its file: one entry at a time, the rest of the text as it was."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from pathlib import Path
from typing import Final

from tracer.errors import BadRequest, BadSetting, Conflict, Unavailable
from tracer.prices.own import FIELDS, OwnPrice, Reader, read_entries, read_text
from tracer.prices.rates import Rates
from tracer.units import SECOND

PRICES: Final = ("input", "output", "cached_input", "cache_write")
_HEAD: Final = re.compile(r"\s*\[\[\s*\"?price\"?\s*\]\]")
MODE: Final = 0o600


@dataclass(frozen=True, slots=True)
class OwnTable:
    """The table as its file has it; `digest` names this version of it."""

    text: str
    entries: tuple[OwnPrice, ...]

    @property
    def digest(self) -> str:
        """What whoever changes the table says it was."""
        return sha256(self.text.encode()).hexdigest()[:16]


class _FormReader(Reader):
    """Checks an entry that was typed in, where the field is named beside the problem."""

    def wrong(self, place: int, field: str, problem: str) -> BadSetting:
        """The problem as a sentence of its own."""
        return BadSetting(f"{field} {problem}.", field=field)


def read_table(file: Path) -> OwnTable:
    """The table as it is now. Raises BadSetting when the file can't be used."""
    text = read_text(file)
    return OwnTable(text, read_entries(file, text))


def check_entry(typed: Mapping[str, str]) -> OwnPrice:
    """An entry as it was typed in, each field as text, empty for none.

    Raises BadSetting with a sentence that begins with the field.
    """
    entry: dict[str, object] = {}
    for field in FIELDS:
        text = typed.get(field, "").strip()
        if not text:
            continue
        if field in PRICES:
            try:
                entry[field] = Decimal(text.replace(",", ".") if "," in text and "." not in text else text)
            except InvalidOperation:
                entry[field] = text
        elif field == "from":
            try:
                entry[field] = date.fromisoformat(text)
            except ValueError:
                raise BadSetting("from must be a day such as 2026-03-01.", field="from") from None
        else:
            entry[field] = text
    return _FormReader(Path(), "").entry(0, entry)


def put_entry(file: Path, entry: OwnPrice, *, place: int | None, seen: str) -> None:
    """Write an entry in the place of another, or at the table's end; `seen` is the digest of what was looked at.

    Raises BadSetting for a model that has another entry from the same day on, Conflict when the file is not as it was.
    """
    table = _unchanged(file, seen)
    expected = list(table.entries)
    if place is None:
        expected.append(entry)
    else:
        _in_table(table, place)
        expected[place] = entry
    for at, other in enumerate(expected):
        same = (other.model, other.provider, other.start) == (entry.model, entry.provider, entry.start)
        if same and other is not entry:
            raise BadSetting(f"model has an entry from the same day on already: the {_ordinal(at)}.", field="model")
    _write(file, _edited(table, place, as_toml(entry)), expected)


def remove_entry(file: Path, place: int, *, seen: str) -> None:
    """Take an entry away. Raises Conflict when the file is not as it was seen."""
    table = _unchanged(file, seen)
    _in_table(table, place)
    expected = [entry for at, entry in enumerate(table.entries) if at != place]
    _write(file, _edited(table, place, ""), expected)


def put_table(file: Path, entries: Sequence[OwnPrice]) -> None:
    """Write the whole table anew."""
    _write(file, "\n".join(map(as_toml, entries)), list(entries))


def as_toml(entry: OwnPrice) -> str:
    """An entry as the file has it."""
    lines = ["[[price]]"]
    lines += [f"{field} = {text}" for field, text in _toml_fields(entry)]
    return "\n".join(lines) + "\n"


def told(entry: OwnPrice) -> dict[str, str]:
    """An entry's fields as a form shows them, empty for none."""
    rates = entry.rates
    prices = (rates.input, rates.output, rates.cached, rates.write)
    return {
        "model": entry.model,
        "provider": entry.provider or "",
        **{field: "" if price is None else dollars(price) for field, price in zip(PRICES, prices, strict=True)},
        "from": day_of(entry) or "",
    }


def day_of(entry: OwnPrice) -> str | None:
    """From which day on it holds, such as 2026-03-01; None for always."""
    return None if entry.start is None else datetime.fromtimestamp(entry.start // SECOND, UTC).date().isoformat()


def dollars(price: int) -> str:
    """A price in dollars, without an exponent and with two decimals at least."""
    text = f"{Decimal(price) / SECOND:.9f}".rstrip("0")
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals:0<2}"


def _toml_fields(entry: OwnPrice) -> list[tuple[str, str]]:
    shown = told(entry)
    # A JSON text is a TOML one, but for the character 7F.
    texts = {field: json.dumps(shown[field]).replace("\x7f", "\\u007f") for field in ("model", "provider")}
    return [(field, texts.get(field, text)) for field, text in shown.items() if text]


def _unchanged(file: Path, seen: str) -> OwnTable:
    table = read_table(file)
    if table.digest != seen:
        raise Conflict("The price table was changed meanwhile; nothing was written. Look at it and try again.")
    return table


def _in_table(table: OwnTable, place: int) -> None:
    if not 0 <= place < len(table.entries):
        raise BadRequest("There is no such entry in the price table.", field="entry")


def _edited(table: OwnTable, place: int | None, block: str) -> str | None:
    """The table's text with one entry's lines replaced, or with a block at its end; None when it can't be told."""
    if place is None:
        gap = "\n" if table.text.endswith("\n") else "\n\n"
        return f"{table.text}{gap}{block}" if table.text.strip() else table.text + block
    lines = table.text.splitlines(keepends=True)
    heads = [number for number, line in enumerate(lines) if _HEAD.match(line)]
    if len(heads) != len(table.entries):
        return None
    start = heads[place]
    end = heads[place + 1] if place + 1 < len(heads) else len(lines)
    # What stands between this entry and the next is the next one's.
    while end > start + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return "".join((*lines[:start], block, *lines[end:]))


def _write(file: Path, text: str | None, expected: Sequence[OwnPrice]) -> None:
    """Replace the file at once; by the whole table when the edited text does not say what it should."""
    if text is None or not _says(file, text, expected):
        text = "\n".join(map(as_toml, expected))
        read_entries(file, text)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        mode = file.stat().st_mode & 0o777 if file.exists() else MODE
        handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        made = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                made.chmod(mode)
                stream.write(text.encode())
                stream.flush()
                os.fsync(stream.fileno())
            made.replace(file)
        except BaseException:
            with suppress(OSError):
                made.unlink()
            raise
    except OSError as problem:
        raise Unavailable(f"The price table {file} cannot be written: {problem.strerror}.") from None


def _says(file: Path, text: str, expected: Sequence[OwnPrice]) -> bool:
    try:
        found = read_entries(file, text)
    except BadSetting:
        return False
    return [_meaning(entry) for entry in found] == [_meaning(entry) for entry in expected]


def _meaning(entry: OwnPrice) -> tuple[str, str | None, Rates, int | None]:
    return entry.model, entry.provider, entry.rates, entry.start


def renumbered(entries: Sequence[OwnPrice]) -> list[OwnPrice]:
    """Entries of a new table, each with its place."""
    return [replace(entry, place=place) for place, entry in enumerate(entries)]


def _ordinal(at: int) -> str:
    return f"{at + 1}{'th' if 10 <= (at + 1) % 100 <= 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get((at + 1) % 10, 'th')}"
