"""Steps as OTLP/JSON. Runs in the delivery thread; one text per span, so that a batch can be split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ._config import Config
from ._context import taken_metadata
from ._errors import Failure, stack_text
from ._foreign import Foreign, foreign_text
from ._masks import Masks
from ._messages import document_fields, message_list
from ._scores import Score, score_text
from ._steps import UNSET, Step
from ._text import JSON, PLAIN, clean, flat, quote, quoted_json, to_json, written
from ._values import CutText
from ._version import __version__ as VERSION

PARTIAL_LIMIT = 64 * 1024
"""Bytes of growing output that travel with a running step."""

Redact = Callable[[str, str], str]
"""Takes an attribute's name and its text, and returns the text that may leave."""

_PARAMETERS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "stop": "stop_sequences",
    "stop_sequences": "stop_sequences",
    "n": "choice.count",
    "stream": "stream",
    "encoding_formats": "encoding_formats",
    "reasoning_effort": "reasoning_effort",
}
_JSON_KEYS = frozenset({"gen_ai.tool.definitions", "llm.prompt_template.variables"})
_MAX_INT = 2**63


def resource_text(config: Config, pid: int) -> str:
    """Write who sends: the service, its release and environment, this SDK."""
    facts: list[tuple[str, object]] = [
        ("service.name", config.service),
        ("telemetry.sdk.name", "stepscope"),
        ("telemetry.sdk.language", "python"),
        ("telemetry.sdk.version", VERSION),
        ("process.pid", pid),
    ]
    if config.environment:
        facts.append(("deployment.environment.name", config.environment))
    if config.release:
        facts.append(("service.version", config.release))
    if config.project:
        facts.append(("stepscope.project", config.project))
    return f'{{"attributes":[{",".join(_attribute(key, value) for key, value in facts)}]}}'


OWN_SCOPE = ("stepscope", VERSION)


def request_bytes(
    resource: str, spans: Iterable[bytes], others: Mapping[tuple[str, str], list[bytes]] | None = None
) -> bytes:
    """Write one request's body: our steps, and the spans of other libraries by their name and version."""
    parts = [clean(f'{{"resourceSpans":[{{"resource":{resource},"scopeSpans":[').encode()]
    for (name, version), each in ((OWN_SCOPE, spans), *(others or {}).items()):
        start = len(parts)
        for span in each:
            parts += (span, b",")
        if len(parts) > start:
            scope = f'{{"scope":{{"name":{quote(name)},"version":{quote(version)}}},"spans":['
            parts.insert(start, clean(scope).encode())
            parts[-1] = b"]}"
            parts.append(b",")
    if len(parts) > 1:
        parts.pop()  # the comma
    parts.append(b"]}]}")
    return b"".join(parts)


_heads: dict[tuple[str, str], tuple[str, str]] = {}


def _head(step: Step) -> tuple[str, str]:
    """Return what is the same for every step of a name and kind: the name with the span kind, and the attributes."""
    found = _heads.get((step._name, step._kind))
    if found is None:
        parts: list[str] = []
        add = Adder(parts, None, None)
        add.text("stepscope.kind", step._kind)
        found = (
            f'"name":{quote(step._name)},"kind":{3 if step._kind in ("llm", "embedding") else 1},"startTimeUnixNano":"',
            parts[0],
        )
        if len(_heads) > 1000:  # names made at run time must not pile up
            _heads.clear()
        _heads[(step._name, step._kind)] = found
    return found


def span_bytes(step: Step, redact: Redact | None = None, masks: Masks | None = None) -> bytes:
    """Write one step: finished, or as it is now when it still runs."""
    if not step._end and not isinstance(step, Foreign):
        step._seq += 1
    if isinstance(step, Foreign):
        text = foreign_text(step, redact, masks)
    elif isinstance(step, Score):
        text = score_text(step, redact, masks)
    else:
        text = _span(step, redact, masks)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return clean(text).encode()


def _span(step: Step, redact: Redact | None, masks: Masks | None) -> str:
    end = step._end
    named, kind = _head(step)
    parts: list[str] = [kind]
    add = Adder(parts, redact, masks)
    if not end:
        add.value("stepscope.seq", step._seq)
    if step._input is not UNSET:
        add.side("input", step._input)
    if step._output is not UNSET:
        add.side("output", step._output)
    elif step._chunks is not None:
        said = "".join(step._chunks)
        if end:
            add.side("output", said)
        else:
            add.private("stepscope.output.partial", _tail(said))
    around = step._around
    tags, metadata = step._tags, step._metadata
    if around is not None:
        add.given("session.id", around.session)
        add.given("user.id", around.user)
        add.given("deployment.environment.name", around.environment)
        add.given("service.version", around.release)
        tags = tuple(dict.fromkeys(around.tags + tags))
        if around.metadata:
            metadata = {**around.metadata, **(metadata or {})}
    if tags:
        add.value("tag.tags", list(tags))
    if metadata:
        add.private("metadata", to_json(metadata if end else taken_metadata(metadata)))
    if step._extra is not None:
        for key, value in list(step._extra.items()):
            _extra(add, key, value)
    if step._kind == "tool" and (step._extra is None or "gen_ai.tool.name" not in step._extra):
        add.text("gen_ai.tool.name", step._name)
    failure = step._failure
    parent = f'"parentSpanId":"{step._parent:016x}",' if step._parent else ""
    text = (
        f'{{"traceId":"{step._trace:032x}","spanId":"{step._span:016x}",{parent}{named}{step._start}",'
        f'"endTimeUnixNano":"{end}",'
    )
    if failure is not None and failure.type:
        add.text("error.type", failure.type)
    text += f'"attributes":[{",".join(parts)}]'
    if failure is not None or step._events is not None:
        text += f',"events":[{_events(step, redact, masks)}]'
    if failure is not None:
        text += f',"status":{{"code":2,"message":{quote(add.hidden("exception.message", failure.message))}}}'
    elif end:
        text += ',"status":{"code":1}'
    return text + "}"


def _extra(add: Adder, key: str, value: object) -> None:
    if key == "gen_ai.input.messages":
        add.private(key, to_json(message_list(value, "user")))
    elif key == "gen_ai.output.messages":
        add.private(key, to_json(message_list(value, "assistant")))
    elif key == "documents":
        for name, part in document_fields(value):
            add.value(name, part)
    elif key == "parameters":
        if isinstance(value, dict):
            for name, part in value.items():
                add.value(f"gen_ai.request.{_PARAMETERS.get(name, name)}", part)
    elif key in _JSON_KEYS and not isinstance(value, str):
        add.private(key, to_json(value))
    else:
        add.value(key, value)


class Adder:
    """Writes attributes one after the other; texts pass the redaction first."""

    __slots__ = ("_masks", "_parts", "redact")

    def __init__(self, parts: list[str], redact: Redact | None, masks: Masks | None) -> None:
        self._parts = parts
        self.redact = redact
        self._masks = masks

    def quoted(self, text: object) -> str:
        """Write a text as JSON."""
        return quote(text if isinstance(text, str) else str(text))

    def hidden(self, key: str, text: str) -> str:
        """Return what may leave of a text: the program's own redaction comes before the masks."""
        if self.redact is not None:
            text = self.redact(key, text)
        masks = self._masks
        return masks.hide(text) if masks is not None and masks.suspect(text) else text

    def text(self, key: str, value: str) -> None:
        """Add a text that we made."""
        self._parts.append(f'{{"key":{quote(key)},"value":{{"stringValue":{quote(value)}}}}}')

    def private(self, key: str, value: str) -> None:
        """Add a text of the host's."""
        self.text(key, self.hidden(key, value))

    def given(self, key: str, value: str | None) -> None:
        """Add a text of the host's, where there is one."""
        if value is not None:
            self.private(key, value)

    def value(self, key: str, value: object) -> None:
        """Add a value of any type."""
        if value is None:
            return
        if self.redact is not None or (self._masks is not None and _suspect(self._masks, value)):
            value = _redacted(self.hidden, key, value)
        self._parts.append(_attribute(key, value))

    def side(self, key: str, value: object) -> None:
        """Add a step's input or output, with its media type and, where it was cut, its full length."""
        full: int | None = None
        kind = JSON
        quoted: str | None = None
        if self.redact is None and flat(value) and (self._masks is None or not self._masks.suspect_pairs(value)):
            quoted = quoted_json(value)
        if quoted is None:
            text, kind, full = written(value)
            quoted = quote(self.hidden(f"{key}.value", text))
        # The key is ours: no need to quote it.
        self._parts.append(
            f'{{"key":"{key}.value","value":{{"stringValue":{quoted}}}}},'
            f'{{"key":"{key}.mime_type","value":{{"stringValue":"{JSON if kind is JSON else PLAIN}"}}}}'
        )
        if full is not None:
            self._parts.append(f'{{"key":"stepscope.{key}.length","value":{{"intValue":"{full}"}}}}')


def _suspect(masks: Masks, value: object) -> bool:
    if isinstance(value, str):
        return masks.suspect(value)
    if isinstance(value, (bool, int, float)):
        return False
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return any(masks.suspect(str(part)) for part in value)
    return masks.suspect(str(value) if isinstance(value, CutText) else to_json(value))


def _redacted(redact: Redact, key: str, value: object) -> object:
    if isinstance(value, str):
        return redact(key, value)
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return [redact(key, str(part)) for part in value]
    return redact(key, str(value) if isinstance(value, CutText) else to_json(value))


def _attribute(key: str, value: object) -> str:
    return f'{{"key":{quote(key)},"value":{_any_value(value)}}}'


def _any_value(value: object) -> str:
    if isinstance(value, str):
        return f'{{"stringValue":{quote(value)}}}'
    if isinstance(value, bool):
        return '{"boolValue":true}' if value else '{"boolValue":false}'
    if isinstance(value, int) and -_MAX_INT <= value < _MAX_INT:
        return f'{{"intValue":"{value}"}}'
    if isinstance(value, float) and value - value == 0:
        return f'{{"doubleValue":{value!r}}}'
    if isinstance(value, list) and value and all(isinstance(part, (str, bool, int, float)) for part in value):
        return f'{{"arrayValue":{{"values":[{",".join(map(_any_value, value))}]}}}}'
    if isinstance(value, CutText):
        return f'{{"stringValue":{quote(str(value))}}}'
    if isinstance(value, (int, float)):
        return f'{{"stringValue":{quote(to_json(value).strip(chr(34)))}}}'
    return f'{{"stringValue":{quote(to_json(value))}}}'


def _events(step: Step, redact: Redact | None, masks: Masks | None) -> str:
    out: list[str] = []
    for when, name, facts in list(step._events or ()):
        parts: list[str] = []
        add = Adder(parts, redact, masks)
        if isinstance(facts, dict):
            for key, value in facts.items():
                add.value(str(key), value)
        out.append(_event(when, name, parts))
    failure = step._failure
    if failure is not None and failure.type:
        out.append(_event(step._end or step._start, "exception", _exception(failure, redact, masks)))
    return ",".join(out)


def _exception(failure: Failure, redact: Redact | None, masks: Masks | None) -> list[str]:
    parts: list[str] = []
    add = Adder(parts, redact, masks)
    add.text("exception.type", failure.type)
    add.private("exception.message", failure.message)
    add.private("exception.stacktrace", stack_text(failure))
    return parts


def _event(when: int, name: str, attributes: list[str]) -> str:
    return f'{{"timeUnixNano":"{when}","name":{quote(name)},"attributes":[{",".join(attributes)}]}}'


def _tail(text: str) -> str:
    """Return the last part of a text, at most `PARTIAL_LIMIT` bytes of UTF-8."""
    if len(text) > PARTIAL_LIMIT:
        text = text[-PARTIAL_LIMIT:]
    if len(text) * 4 <= PARTIAL_LIMIT or text.isascii():
        return text
    data = clean(text).encode()
    return data[-PARTIAL_LIMIT:].decode("utf-8", "ignore") if len(data) > PARTIAL_LIMIT else text
