"""What may be typed next at a place in a search: names of fields, their choices, or values of the project's own."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tracer.search.fields import BY_NAME, FIELDS, Field, Takes

_TOKEN = re.compile(r'(?:"(?:[^"\\]|\\.)*"?|[^\s()"])*')
_NAMED = re.compile(r"(-*)([A-Za-z_][\w-]*)(?:\.((?:\"[^\"]*\"?|[^\s()\"*,:<>=!])*))?(:|>=|<=|>|<|=)?(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Completion:
    """One way to go on: `text` replaces the characters from `start` up to `end`."""

    start: int
    end: int
    text: str
    says: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What stands at a place in a search. `start` and `end` are the characters that a completion replaces.

    With `field` a value of it is being typed (with `key` set, of that key; `key` None and a keyed field: its key), else
    a field's name or a word.
    """

    start: int
    end: int
    beginning: str
    field: Field | None = None
    key: str | None = None


def wanted(text: str, at: int) -> Wanted:
    """What is being typed at character `at` of a search."""
    at = max(0, min(at, len(text)))
    place = 0
    while place <= at:
        found = _TOKEN.match(text, place)
        end = found.end() if found else place
        if place <= at <= end:
            return _of_token(text[place:at], place, end)
        place = end + 1
    return Wanted(at, at, "")


def _of_token(typed: str, start: int, end: int) -> Wanted:
    found = _NAMED.fullmatch(typed)
    if found is None:
        return Wanted(start, end, typed)
    minus, name, key, sign, value = found.groups()
    after_minus = start + len(minus)
    field = BY_NAME.get(name.lower())
    if field is None or (sign is None and key is None):
        return Wanted(after_minus, end, typed[len(minus) :])
    if field.keyed and key is not None and sign is None:
        return Wanted(after_minus + len(name) + 1, end, key.strip('"'), field)
    if sign is None or value is None:
        return Wanted(after_minus, end, typed[len(minus) :])
    last = value.rsplit(",", 1)[-1]
    return Wanted(start + len(typed) - len(last), end, last.strip('"'), field, (key or "").strip('"'))


def completions(text: str, at: int) -> list[Completion]:
    """Names of fields and choices that begin as what is being typed; values of the project are not among them."""
    found = wanted(text, at)
    beginning = found.beginning.lower()
    if found.field is None:
        return [
            Completion(found.start, found.end, one.name + _after(one), one.finds)
            for one in FIELDS
            if one.name.startswith(beginning)
        ]
    return [
        Completion(found.start, found.end, word, found.field.finds)
        for word in found.field.choices
        if word.startswith(beginning)
    ]


def _after(field: Field) -> str:
    if field.keyed:
        return "."
    if field.takes is Takes.group:
        return ":("
    return ">" if field.takes in (Takes.duration, Takes.money, Takes.count) else ":"
