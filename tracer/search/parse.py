"""Reads a search: text to tree, without a database, in time that grows with the text alone."""

from __future__ import annotations

import re

from tracer.errors import BadSearch
from tracer.otlp.text import clean
from tracer.search.amounts import read_amount
from tracer.search.documents import Side
from tracer.search.fields import BY_NAME, Field, Takes, meant, meant_choice
from tracer.search.query import MAX_LENGTH, term
from tracer.search.tree import (
    EVERYWHERE,
    SIDES,
    Child,
    Compares,
    Is,
    Node,
    Operator,
    Pattern,
    Says,
    Step,
    all_of,
    any_of,
    negated,
)

MAX_TERMS = 32
MAX_VALUES = 100
"""Values in all lists `a,b` together."""

MAX_STARS = 8
"""Of one value."""

MAX_DEPTH = 12
"""Parentheses within parentheses."""

_SPACE = re.compile(r"\s+")
_KEYWORD = re.compile(r"(OR|AND|NOT)(?=[\s()\"]|$)")
_FIELD = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*)(\.|:|!=|>=|<=|=>|=<|>|<|=)")
_COMPARED = re.compile(r">=|<=|=>|=<|>|<|=")
_KEY = re.compile(r"[^\s\"()*,:<>=!\\]+")
_AFTER_KEY = re.compile(r":|!=|>=|<=|=>|=<|>|<|=")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED = re.compile(r'\\(["\\])')
_WORD = re.compile(r'[^\s()"]+')
_BARE = re.compile(r'[^\s(),"*]+')
_OPERATORS: dict[str, Operator] = {
    ">": ">",
    ">=": ">=",
    "=>": ">=",
    "<": "<",
    "<=": "<=",
    "=<": "<=",
    "=": "=",
    ":": "=",
}


def read_search(text: str, *, spans: bool = False) -> Node | None:
    """What a search asks for; None when it asks for nothing, so that everything is found.

    With `spans` it is one among spans, which lack what only traces have. Raises BadSearch, which says where it went
    wrong and what was expected.
    """
    if len(text) > MAX_LENGTH:
        raise BadSearch(f"a search has at most {MAX_LENGTH:,} characters", offset=MAX_LENGTH)
    return _Reader(clean(text), spans).whole()


class _Reader:
    """Reads from left to right; `_at` is the next character."""

    def __init__(self, text: str, spans: bool) -> None:
        self._text = text
        self._of_step = spans
        """Whether what is read asks for a step's own values."""
        self._at = 0
        self._terms = 0
        self._values = 0
        self._wordless: int | None = None
        """Where the first word stood in which there is nothing to look for."""

    def whole(self) -> Node | None:
        found = self._list(0)
        if self._at < len(self._text):
            raise self._bad("there is no ( that this ) closes", self._at)
        if found is None and self._wordless is not None and self._text[self._wordless :].strip() != "*":
            raise self._bad("there is no word here: letters, digits or symbols beyond ASCII", self._wordless)
        return found

    def _bad(self, problem: str, offset: int) -> BadSearch:
        return BadSearch(f"{problem}.", offset=offset)

    def _space(self) -> None:
        found = _SPACE.match(self._text, self._at)
        if found:
            self._at = found.end()

    def _ends(self) -> bool:
        return self._at >= len(self._text) or self._text[self._at] == ")"

    def _list(self, depth: int) -> Node | None:
        """Terms side by side, and OR between such, up to a ) or the end."""
        either: list[Node] = []
        both: list[Node] = []
        said: tuple[str, int] | None = None
        """The OR or AND after which a term has to come, and where it stands."""
        while True:
            self._space()
            if self._ends():
                break
            start = self._at
            found = _KEYWORD.match(self._text, start)
            if found and found[1] != "NOT":
                if not both or said:
                    raise self._bad(f"{found[1]} stands between two terms; put it in quotes to find the word", start)
                said = (found[1], start)
                self._at = found.end()
                if found[1] == "OR":
                    either.append(self._joined(both))
                    both = []
                continue
            one = self._term(depth)
            if one is not None:
                both.append(one)
                said = None
        if said:
            raise self._bad(f"a term is expected after {said[0]}", said[1] + len(said[0]))
        joined = all_of(both)
        return any_of([*either, joined]) if joined is not None else any_of(either)

    def _joined(self, terms: list[Node]) -> Node:
        joined = all_of(terms)
        if joined is None:
            raise ValueError("no terms")
        return joined

    def _term(self, depth: int) -> Node | None:
        """One term with what negates it; None for a word in which there is nothing to look for."""
        start, opposite = self._at, False
        while not self._ends():
            found = _KEYWORD.match(self._text, self._at)
            if found and found[1] == "NOT":
                self._at = found.end()
                self._space()
            elif (
                self._text[self._at] == "-"
                and self._at + 1 < len(self._text)
                and _starts_term(self._text[self._at + 1])
            ):
                self._at += 1
            else:
                break
            opposite = not opposite
        if self._ends():
            raise self._bad("a term is expected after NOT", self._at)
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise self._bad(f"a search has at most {MAX_TERMS} terms", start)
        one = self._atom(depth)
        if one is None and opposite:
            raise self._bad("there is no word after this to look for", start)
        return negated(one) if opposite and one is not None else one

    def _atom(self, depth: int) -> Node | None:
        if self._text[self._at] == "(":
            return self._group(depth)
        if self._text[self._at] == '"':
            return self._phrase()
        found = _FIELD.match(self._text, self._at)
        if found and not self._text.startswith(("//", ":"), found.end()):
            return self._field(found, depth)
        return self._word()

    def _group(self, depth: int) -> Node:
        """What is in parentheses; `_at` is at the first of them."""
        start = self._at
        if depth >= MAX_DEPTH:
            raise self._bad(f"at most {MAX_DEPTH} parentheses stand within each other", start)
        self._at += 1
        inside = self._list(depth + 1)
        if self._at >= len(self._text):
            raise self._bad("this ( is never closed", start)
        self._at += 1
        if inside is None:
            raise self._bad("there is no term between these parentheses", start)
        return inside

    def _quoted(self) -> str:
        found = _QUOTED.match(self._text, self._at)
        if found is None:
            raise self._bad("this quote is never closed", self._at)
        self._at = found.end()
        return _ESCAPED.sub(r"\1", found[1])

    def _phrase(self) -> Node | None:
        start = self._at
        text = self._quoted()
        star = self._text.startswith("*", self._at)
        self._at += star
        return self._says(text, star, EVERYWHERE, start)

    def _word(self) -> Node | None:
        start = self._at
        found = _WORD.match(self._text, start)
        if found is None:
            raise self._bad("a term is expected", start)
        self._at = found.end()
        if self._text.startswith('"', self._at):
            raise self._bad("quotes stand around a whole phrase: put a space before this one", self._at)
        return self._says(found[0].rstrip("*"), found[0].endswith("*"), EVERYWHERE, start)

    def _says(self, text: str, star: bool, sides: frozenset[Side], start: int) -> Node | None:
        inside = text.find("*")
        if inside >= 0 and self._text[start] != '"':
            raise self._bad("a star stands at the end of a word; in quotes it is a character", start + inside)
        if term(text) is None:
            self._wordless = start if self._wordless is None else self._wordless
            return None
        return Says(text, star, sides)

    def _field(self, found: re.Match[str], depth: int) -> Node | None:
        start, name, sign = self._at, found[1], found[2]
        field = BY_NAME.get(name.lower())
        if field is None or (sign == "." and not field.keyed):
            return self._unknown(name, found.end(), sign)
        if self._of_step and field.of_spans is None:
            raise self._bad(f"{field.name} is asked of traces, and a span has none", start)
        self._at = found.end()
        key = ""
        if field.keyed:
            if sign != ".":
                raise self._bad(f"{field.name} takes a key, as in {field.example}", start)
            key = self._key(field)
            after = _AFTER_KEY.match(self._text, self._at)
            if after is None:
                raise self._bad(
                    f"a : with a value is expected, or > or < with a number, as in {field.example}", self._at
                )
            sign = after[0]
            self._at = after.end()
        if sign == "!=":
            raise self._bad(f"what is not is written with a minus in front: -{name}:…", self._at - 2)
        return self._value(field, key, sign, start, depth)

    def _unknown(self, name: str, end: int, sign: str) -> Node | None:
        """What looks like a field and is none: with nothing after it, it is a word."""
        start = self._at
        rest = self._text[end : end + 1]
        if sign == "." or (sign == ":" and (not rest or rest.isspace() or rest == ")")):
            known = BY_NAME.get(name.lower())
            if sign == "." and known is not None and _looks_keyed(self._text, end):
                raise self._bad(f"{known.name} takes no key: write {known.example}", start)
            if not (sign == "." and _looks_keyed(self._text, end)):
                return self._word()
        like = meant(name)
        hint = f"did you mean {like}, as in {BY_NAME[like].example}? Else put" if like else "put"
        raise self._bad(f"there is no field {name[:40]!r}: {hint} it in quotes to find it as text", start)

    def _key(self, field: Field) -> str:
        start = self._at
        if self._text.startswith('"', start):
            key = self._quoted()
        else:
            found = _KEY.match(self._text, start)
            key = found[0] if found else ""
            self._at += len(key)
        if not key:
            raise self._bad(f"a key is expected after {field.name}., as in {field.example}", start)
        return key

    def _value(self, field: Field, key: str, sign: str, start: int, depth: int) -> Node | None:
        """What stands after a field's sign."""
        if field.takes is Takes.group:
            if sign != ":" or not self._text.startswith("(", self._at):
                raise self._bad(f"{field.name} takes terms in parentheses, as in {field.example}", self._at)
            outside, self._of_step = self._of_step, True
            inside = self._group(depth)
            self._of_step = outside
            return Step(inside) if field.name == "step" else Child(inside)
        if sign == ":" and field.takes.compared:
            compared = _COMPARED.match(self._text, self._at)
            if compared:
                sign = compared[0]
                self._at = compared.end()
        operator = _OPERATORS.get(sign, "=")
        if operator != "=" and not field.takes.compared:
            raise self._bad(f"{field.name} takes a colon, as in {field.example}", start + len(field.name))
        at = self._at
        if operator != "=" or field.takes in (Takes.duration, Takes.money, Takes.count):
            found = _BARE.match(self._text, at)
            try:
                amount = read_amount(found[0] if found else "", field.takes)
            except ValueError as problem:
                raise self._bad(f"{field.name} is compared with {problem}", at) from None
            self._at = at + len(found[0]) if found else at
            self._closed(field)
            return Compares(field.name, operator, amount, key)
        if field.takes is Takes.words:
            return self._said(field)
        patterns: dict[Pattern, None] = {}
        while True:
            at = self._at
            patterns[self._choice(field, self._pattern(field), at)] = None
            if not self._text.startswith(",", self._at):
                break
            self._at += 1
        self._closed(field)
        return Is(field.name, tuple(patterns), key)

    def _said(self, field: Field) -> Node | None:
        """The words after `input:` and the like; several with commas are either."""
        found: list[Node] = []
        while True:
            start = self._at
            pattern = self._pattern(field)
            *parts, last = pattern.parts
            if len(parts) > 1 or (parts and last):
                raise self._bad("a star stands at the end of a word; in quotes it is a character", start)
            text = parts[0] if parts else last
            if term(text) is None:
                raise self._bad("there is no word here: letters, digits or symbols beyond ASCII", start)
            found.append(Says(text, bool(parts), SIDES[field.name]))
            if not self._text.startswith(",", self._at):
                break
            self._at += 1
        self._closed(field)
        return any_of(found)

    def _pattern(self, field: Field) -> Pattern:
        """One value: bare or in quotes, with stars between."""
        start = self._at
        parts = [""]
        while True:
            if self._text.startswith('"', self._at):
                parts[-1] += self._quoted()
            elif self._text.startswith("*", self._at):
                self._at += 1
                if len(parts) < 2 or parts[-1]:
                    parts.append("")
            else:
                found = _BARE.match(self._text, self._at)
                if found is None:
                    break
                parts[-1] += found[0]
                self._at = found.end()
        if self._at == start:
            raise self._bad(f"a value is expected right after {field.name}:, as in {field.example}", start)
        self._values += 1
        if self._values > MAX_VALUES or len(parts) > MAX_STARS + 1:
            raise self._bad(f"a search has at most {MAX_VALUES} values, and a value at most {MAX_STARS} stars", start)
        return Pattern(tuple(parts))

    def _choice(self, field: Field, pattern: Pattern, at: int) -> Pattern:
        """A value of a field that has few of them, in small letters."""
        if field.takes is not Takes.choice:
            return pattern
        word = (pattern.exact or "").lower()
        if word in field.choices:
            if self._of_step and word in field.trace_choices:
                raise self._bad(f"{field.name}:{word} is asked of traces, and a span has none", at)
            return Pattern((word,))
        like = meant_choice(field, word)
        hint = f"did you mean {field.name}:{like}? It" if like else "it"
        raise self._bad(
            f"{field.name} has no {self._text[at : self._at][:40]!r}: {hint} is one of {', '.join(field.choices)}", at
        )

    def _closed(self, field: Field) -> None:
        """A value ends at a space or a ), so that nobody wonders where it ended."""
        if not self._ends() and not self._text[self._at].isspace():
            raise self._bad(f"the value of {field.name} ends here: put it in quotes if this belongs to it", self._at)


def _starts_term(character: str) -> bool:
    return not (character.isspace() or character == ")")


def _looks_keyed(text: str, at: int) -> bool:
    """Whether `name.` is followed by a key and a sign, as in `metadata.plan:`, and not by more of a sentence."""
    found = _KEY.match(text, at)
    after = _AFTER_KEY.match(text, found.end()) if found else None
    return after is not None and after.end() < len(text) and not text[after.end()].isspace()
