"""The fields of the search language, in one table: parser, conditions, help, completion and docs go by it."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import Enum

from tracer.otlp.dialects.reading import Kind
from tracer.store.models import Status

ABANDONED = "abandoned"
STATUSES = (Status.ok.name, Status.error.name, Status.unset.name, Status.running.name, ABANDONED)
KINDS = tuple(one.name for one in Kind)


class Takes(Enum):
    """What stands after a field's name."""

    text = "text, `*` for any characters, `a,b` for either"
    choice = "one of a few words"
    duration = "a length of time: `300ms`, `1.5s`, `2m`, `1h`"
    money = "dollars: `0.05` or `$0.05`"
    count = "a whole number; `4k` and `1.5m` are thousands and millions"
    any = "text as above, or `>`, `<` and a number"
    words = 'words as they are searched for everywhere: `refund`, `"a phrase"`, `begin*`'
    group = "terms in parentheses"

    @property
    def compared(self) -> bool:
        """True for what is compared by size."""
        return self in (Takes.duration, Takes.money, Takes.count, Takes.any)


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `example` is a whole term; `finds` says what it finds among traces."""

    name: str
    takes: Takes
    finds: str
    example: str
    of_step: bool = False
    """Among traces it asks for one of the steps; else for the trace's own value."""
    of_spans: str | None = ""
    """Among spans, and in `step:(…)`, what it asks for; "" for the span's own value. None: only traces have it."""
    keyed: bool = False
    """The name is followed by a dot and a key."""
    choices: tuple[str, ...] = ()
    step_choices: tuple[str, ...] = ()
    """Those of the choices that ask for a step."""
    trace_choices: tuple[str, ...] = ()
    """Those of the choices that only traces have."""
    also: tuple[str, ...] = field(default=(), kw_only=True)
    """Names that people try for it."""


FIELDS: tuple[Field, ...] = (
    Field(
        "status",
        Takes.choice,
        "traces that ended so; `running` lives, `abandoned` has not been heard of for long",
        "status:error",
        choices=STATUSES,
        also=("state", "level", "result"),
    ),
    Field("name", Takes.text, "traces of that name: the root step's, or what people named it", "name:draft*"),
    Field(
        "kind", Takes.choice, "traces with a step of that kind", "kind:retriever", True, choices=KINDS, also=("type",)
    ),
    Field(
        "model", Takes.text, "traces with a step by that model", "model:gpt-4o*", True, also=("models", "llm", "engine")
    ),
    Field(
        "provider",
        Takes.text,
        "traces with a step by that provider",
        "provider:anthropic",
        True,
        also=("vendor", "system"),
    ),
    Field("tool", Takes.text, "traces that ran that tool", "tool:search_web", True, "the span is a run of that tool"),
    Field("service", Takes.text, "traces with a step of that service", "service:api", True, also=("app", "services")),
    Field("user", Takes.text, "traces of that user", "user:ada@example.com", also=("user_id", "userid", "customer")),
    Field(
        "session",
        Takes.text,
        "traces of that conversation",
        "session:7f3a",
        also=("session_id", "conversation", "thread", "chat"),
    ),
    Field(
        "tag", Takes.text, "traces with that tag, theirs or one that people added", "tag:golden", also=("tags", "label")
    ),
    Field(
        "environment", Takes.text, "traces from there", "environment:production", also=("env", "stage", "deployment")
    ),
    Field("release", Takes.text, "traces of that release", "release:1.4.*", also=("version", "rev", "commit")),
    Field("project", Takes.text, "traces of that project, where several are looked through", "project:support"),
    Field(
        "latency",
        Takes.duration,
        "traces that took so long; one that runs has taken as long as it runs",
        "latency>2s",
        also=("duration", "time", "took", "elapsed", "duration_ms", "latency_ms"),
    ),
    Field(
        "ttft",
        Takes.duration,
        "traces whose slowest model call began to answer after so long",
        "ttft>1s",
        of_spans="the span's own time to the first token",
        also=("time_to_first_token", "first_token"),
    ),
    Field("tokens", Takes.count, "traces with so many tokens", "tokens>4k", also=("total_tokens", "token", "usage")),
    Field(
        "cost",
        Takes.money,
        "traces that cost so much; one of unknown cost is never found",
        "cost>0.05",
        also=("price", "usd"),
    ),
    Field("spans", Takes.count, "traces with so many steps", "spans>50", of_spans=None, also=("steps", "span_count")),
    Field(
        "errors",
        Takes.count,
        "traces with so many failed steps",
        "errors>0",
        of_spans=None,
        also=("error_count", "failures"),
    ),
    Field(
        "score",
        Takes.any,
        "traces with such a score: the mean of numbers, the most frequent of words",
        "score.helpful<0.5",
        of_spans="spans that were themselves scored so",
        keyed=True,
        also=("scores", "feedback", "eval"),
    ),
    Field(
        "metadata",
        Takes.any,
        "traces whose metadata has it under that key",
        "metadata.plan:pro",
        keyed=True,
        also=("meta", "props"),
    ),
    Field(
        "attr",
        Takes.any,
        "traces with a step that has it as an attribute, or that its resource has",
        "attr.http.status_code:500",
        True,
        keyed=True,
        also=("attribute", "attributes", "attrs", "resource"),
    ),
    Field(
        "has",
        Takes.choice,
        "traces that have any; `has:error` a failed step",
        "has:score",
        choices=("score", "error", "cost", "tokens", "model", "session", "user", "tag", "metadata", "note"),
        step_choices=("model",),
        trace_choices=("note",),
    ),
    Field(
        "is",
        Takes.choice,
        "traces that run, or have not been heard of for long; `is:root` asks for a step that nothing is above",
        "is:running",
        choices=("running", ABANDONED, "root"),
        step_choices=("root",),
    ),
    Field(
        "input",
        Takes.words,
        "words in what a step was given",
        'input:"refund policy"',
        True,
        also=("prompt", "request"),
    ),
    Field("output", Takes.words, "words in what a step gave back", "output:sorry", True, also=("answer", "response")),
    Field(
        "error",
        Takes.words,
        "words in a step's error and exceptions",
        'error:"timed out"',
        True,
        also=("exception", "message"),
    ),
    Field(
        "step",
        Takes.group,
        "traces with one step that meets all of it",
        "step:(kind:tool status:error)",
        True,
        also=("span",),
    ),
    Field(
        "child",
        Takes.group,
        "a step right below one that meets the step terms beside it",
        "kind:agent child:(kind:tool latency>5s)",
        True,
        "the span has a child that meets all of it",
        also=("below", "children"),
    ),
)

BY_NAME: dict[str, Field] = {one.name: one for one in FIELDS}
_MEANT: dict[str, str] = {said: one.name for one in FIELDS for said in one.also}


def meant(name: str) -> str | None:
    """The field that somebody may have meant who wrote `name`; None when there is none like it."""
    name = name[:40].lower().partition(".")[0]
    if name in BY_NAME:
        return name
    if name in _MEANT:
        return _MEANT[name]
    close = get_close_matches(name, [*BY_NAME, *_MEANT], n=1, cutoff=0.7)
    return _MEANT.get(close[0], close[0]) if close else None


def meant_choice(found: Field, word: str) -> str | None:
    """The choice of a field that somebody may have meant."""
    close = get_close_matches(word[:40].lower(), found.choices, n=1, cutoff=0.5)
    return close[0] if close else None
