"""A project's rules for what comes in: what is hidden, whether content is kept at all, for how long and how much."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import re2

from tracer.errors import BadRequest
from tracer.ingest.keeping import Keeping, TagDays, check_keeping, keeping_of_row, tags_as_json
from tracer.ingest.masks import ALL, HIDE
from tracer.otlp.records import AnyValue, Attributes, Flag, LogRecord, Scope, SpanRecord
from tracer.otlp.text import clean

MOST_PATTERNS, PATTERN_LIMIT, NAME_LIMIT = 50, 500, 40
PATTERN_MEMORY = 1 << 20
DEPTH = 200
"""Levels of a nested value that are looked into; decoding takes no deeper ones."""

HIDDEN = "[masked]"
PROJECT_KEYS = frozenset({"stepscope.project", "openinference.project.name"})
KEY_LENGTH = 200

# Without content a text is kept only under a key that says what ran, not what was said.
_PLAIN_KEYS = re.compile(
    r"(?:^|[._])(?:model|models|model_name|system|provider|provider_name|kind|operation|type|status|finish_reasons?|version"
    r"|environment|release|service|framework|language|currency|code|level|severity|seq|sampled|streaming|stream)(?:\.name)?$"
    r"|^(?:service|telemetry|deployment|k8s|cloud|host|process\.runtime|os|container)\."
    r"|^(?:gen_ai\.(?:response\.id|conversation\.id|agent\.name|tool\.name|tool\.call\.id|operation\.name)"
    r"|(?:session|user|thread|conversation)[._]id|openinference\.project\.name|stepscope\.project|tool\.name|exception\.type"
    r"|(?:\w+\.)*tags)$",
    re.IGNORECASE,
)
# Numbers are kept, but under keys whose value is what was said.
_CONTENT_KEYS = re.compile(
    r"(?:input|output|content|message|prompt|completion|argument|result|document|query|answer|body|text|metadata|value)",
    re.IGNORECASE,
)
_COUNTS = re.compile(r"(?:token|usage|cost|price|count|length|duration|time|latency)", re.IGNORECASE)
PLAIN_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression of a project's own, in RE2's syntax; what it finds becomes `[masked NAME]`."""

    name: str
    text: str


@dataclass(frozen=True)
class Rules:
    """The rules of one project. Without any of them everything is stored as it comes."""

    masks: tuple[str, ...] = ()
    """Built-in ones, by name."""
    patterns: tuple[Pattern, ...] = ()
    keys: tuple[str, ...] = ()
    """Attributes whose whole value is hidden, by key; * stands for any characters."""
    content: bool = True
    """False: inputs, outputs, messages and the like are not stored, only what ran, when, and what it cost."""
    retention_days: int | None = None
    retention_tags: tuple[TagDays, ...] = ()
    max_size: int | None = None
    """Bytes that the project may hold."""

    @cached_property
    def keeping(self) -> Keeping:
        """How long and how much is kept."""
        return Keeping(self.retention_days, self.retention_tags, self.max_size)

    @property
    def hides(self) -> bool:
        """True when anything of a record may be changed."""
        return bool(self.masks or self.patterns or self.keys or not self.content)

    @cached_property
    def _compiled(self) -> list[tuple[Any, str]]:
        # In what is put in a backslash would mean something.
        return [(compiled(one), f"[masked {one.name}]".replace("\\", "\\\\")) for one in self.patterns]

    @cached_property
    def _hidden_keys(self) -> Any:
        parts = (".*".join(map(re2.escape, key.split("*"))) for key in self.keys)
        return re2.compile("(?is)" + "|".join(f"(?:{part})" for part in parts), _options()) if self.keys else None

    def mask(self, text: str) -> str:
        """The text with what the masks and patterns found replaced."""
        for name in self.masks:
            text = HIDE[name](text)
        for pattern, mark in self._compiled:
            text = pattern.sub(mark, text)
        return text

    def apply(self, record: SpanRecord | LogRecord, done: dict[int, Attributes]) -> None:
        """Change a record; `done` has the resources and scopes that were changed for records before it, by `id`."""
        resource = id(record.resource)
        if resource not in done:
            done[resource] = self._attributes(record.resource)
        record.resource = done[resource]
        if record.scope.attributes:
            scope = record.scope
            record.scope = Scope(scope.name, scope.version, self._attributes(scope.attributes))
        record.attributes = self._attributes(record.attributes)
        if isinstance(record, LogRecord):
            record.body = self._value(record.body, 0) if self.content else None
            return
        record.name = self.mask(record.name)
        record.status_message = self.mask(record.status_message) if self.content else ""
        for event in record.events:
            event.name, event.attributes = self.mask(event.name), self._attributes(event.attributes)
        for link in record.links:
            link.attributes = self._attributes(link.attributes)
        record.flags |= Flag.RULED

    def _attributes(self, attributes: Attributes) -> Attributes:
        hidden = self._hidden_keys
        found: Attributes = {}
        for key, value in attributes.items():
            if key in PROJECT_KEYS:
                found[key] = value  # whose rules these are
                continue
            if not self.content and not _is_plain(key, value):
                continue
            if hidden is not None and hidden.fullmatch(key):
                found[key] = HIDDEN
            else:
                found[key] = value if isinstance(value, bool | int | float) else self._value(value, 0)
        return found

    def _value(self, value: AnyValue, depth: int) -> AnyValue:
        if isinstance(value, str):
            return self.mask(value)
        if depth > DEPTH:
            return HIDDEN
        if isinstance(value, list):
            return [self._value(one, depth + 1) for one in value]
        if isinstance(value, dict):
            hidden = self._hidden_keys
            return {
                key: HIDDEN if hidden is not None and hidden.fullmatch(key) else self._value(one, depth + 1)
                for key, one in value.items()
            }
        if isinstance(value, bytes):
            # What is no text is kept; what is, could say the same things.
            try:
                text = value.decode()
            except UnicodeDecodeError:
                return value
            return self.mask(text).encode()
        return value

    def as_row(self) -> dict[str, Any]:
        """The rules as the database keeps them."""
        return {
            "masks": ",".join(self.masks),
            "patterns": json.dumps([[one.name, one.text] for one in self.patterns], ensure_ascii=False),
            "keys": json.dumps(list(self.keys), ensure_ascii=False),
            "content": int(self.content),
            "retention_days": self.retention_days,
            "retention_tags": tags_as_json(self.retention_tags),
            "max_size": self.max_size,
        }


NO_RULES = Rules()


def rules_of_row(row: Any) -> Rules:
    """The rules as `as_row` gave them."""
    keeping = keeping_of_row(row)
    return Rules(
        masks=tuple(name for name in row.masks.split(",") if name in ALL),
        patterns=tuple(Pattern(name, text) for name, text in json.loads(row.patterns)),
        keys=tuple(json.loads(row.keys)),
        content=bool(row.content),
        retention_days=keeping.days,
        retention_tags=keeping.tags,
        max_size=keeping.max_size,
    )


def compiled(pattern: Pattern) -> Any:
    """A pattern ready to search: in time that grows with the text, whatever the pattern is. Raises BadRequest."""
    try:
        return re2.compile(pattern.text, _options())
    except (re2.error, UnicodeError) as problem:
        said = problem.args[0] if problem.args else ""
        words = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        raise BadRequest(f"The pattern {pattern.name!r} cannot be used: {words}.", field="patterns") from None


def _options() -> Any:
    options = re2.Options()
    options.max_mem = PATTERN_MEMORY
    options.log_errors = False
    return options


def check_rules(rules: Rules) -> Rules:
    """The rules, cleaned; raises BadRequest, naming the field, for what cannot be used."""
    unknown = [name for name in rules.masks if name not in ALL]
    if unknown:
        raise BadRequest(f"There is no mask {unknown[0][:60]!r}: there are {', '.join(ALL)}.", field="masks")
    if len(rules.patterns) > MOST_PATTERNS or len(rules.keys) > MOST_PATTERNS:
        raise BadRequest(f"There may be {MOST_PATTERNS} patterns and as many keys at most.", field="patterns")
    patterns = tuple(Pattern(clean(one.name).strip(), clean(one.text)) for one in rules.patterns)
    for pattern in patterns:
        if not 0 < len(pattern.name) <= NAME_LIMIT:
            raise BadRequest(f"A pattern's name has 1 to {NAME_LIMIT} characters.", field="patterns")
        if not 0 < len(pattern.text) <= PATTERN_LIMIT:
            raise BadRequest(f"A pattern has 1 to {PATTERN_LIMIT} characters.", field="patterns")
        if compiled(pattern).search("") is not None:
            raise BadRequest(f"The pattern {pattern.name!r} finds nothing at all, everywhere.", field="patterns")
    keys = tuple(dict.fromkeys(clean(key).strip() for key in rules.keys))
    for key in keys:
        if not 0 < len(key) <= PATTERN_LIMIT or key.count("*") > 3 or not key.strip("*"):
            raise BadRequest("A key has 1 to 500 characters, up to 3 of them *, and not only these.", field="keys")
    keeping = check_keeping(rules.keeping)
    masks = tuple(name for name in ALL if name in rules.masks)
    return Rules(masks, patterns, keys, rules.content, keeping.days, keeping.tags, keeping.max_size)


def read_patterns(text: str) -> Iterator[Pattern]:
    """Patterns as people write them, one a line: `name: pattern`. Raises BadRequest."""
    for line in text.splitlines():
        if line.strip():
            name, colon, pattern = line.partition(":")
            if not colon or not name.strip():
                raise BadRequest("Each line takes a name, a colon and a pattern.", field="patterns")
            yield Pattern(name.strip(), pattern.strip())


def _is_plain(key: str, value: AnyValue) -> bool:
    """True for what says what ran and how long, not what was said."""
    if isinstance(value, bool | int | float):
        return _COUNTS.search(key) is not None or _CONTENT_KEYS.search(key) is None
    if len(key) > KEY_LENGTH or _PLAIN_KEYS.search(key) is None:
        return False
    if isinstance(value, str):
        return len(value) <= PLAIN_LENGTH
    return isinstance(value, list) and all(isinstance(one, str) and len(one) <= PLAIN_LENGTH for one in value)
