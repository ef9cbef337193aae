"""The shapes that a script is written in: what was asked, what is replied, and a scene that joins the two."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

Json: TypeAlias = dict[str, "Json"] | list["Json"] | str | int | float | bool | None


@dataclass(frozen=True)
class Asked:
    """One request to the model, in the shape that scripts look at."""

    system: str
    """The system messages, joined."""
    user: str
    """The last user message."""
    results: tuple[str, ...] = ()
    """What the tools answered since the last user message, in order."""
    tools: tuple[str, ...] = ()
    """The names of the tools on offer."""
    turn: int = 1
    """How many user messages the conversation holds."""
    attempt: int = 0
    """How often the client has already tried this request (its `x-retry-count` header)."""


@dataclass(frozen=True)
class Call:
    """A tool the model wants called."""

    name: str
    arguments: dict[str, Json]


@dataclass(frozen=True)
class Reply:
    """What the model says: a text, tool calls, or a refusal with an HTTP status."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    status: int = 200
    problem: str = ""
    retry_after: float | None = None


Line: TypeAlias = Reply | str | Callable[[Asked], Reply | str]


@dataclass(frozen=True)
class Scene:
    """A reply and when it is due: `asked` is searched in the last user message, whatever the case.

    `lines[n]` is said after n tool results; the last line is kept for all later ones.
    """

    asked: str
    lines: Sequence[Line]
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", re.compile(self.asked, re.IGNORECASE | re.DOTALL))

    def reply(self, asked: Asked) -> Reply | None:
        """Give this scene's reply, or None when the request is not of this scene."""
        if not self.pattern.search(asked.user):
            return None
        line = self.lines[min(len(asked.results), len(self.lines) - 1)]
        said = line(asked) if callable(line) else line
        return Reply(text=said) if isinstance(said, str) else said


def first(scenes: Sequence[Scene], asked: Asked) -> Reply | None:
    """Give the reply of the first scene that fits."""
    return next((reply for scene in scenes if (reply := scene.reply(asked)) is not None), None)


def call(name: str, **arguments: Json) -> Reply:
    """Reply with one tool call."""
    return Reply(calls=(Call(name, arguments),))


def calls(*wanted: Call) -> Reply:
    """Reply with several tool calls at once."""
    return Reply(calls=wanted)


def tell(**fields: Json) -> str:
    """Write a reply that is a JSON object."""
    return json.dumps(fields, ensure_ascii=False)


def sentences(text: str) -> list[str]:
    """Split a text into its sentences, for any of the scripts used here."""
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+|(?<=[。！？])|\n+", text) if part.strip()]


def words(text: str) -> set[str]:
    """Give the words that carry meaning, cut to their first six letters so that endings matter less."""
    return {word[:6] for word in re.findall(r"\w{3,}", text.lower())} - COMMON


COMMON = frozenset(
    re.findall(
        r"\w+",
        "the and for are was were with that this from have has had not but you your our can does how what when where "
        "which who why will would they them their than then there into over about just more most some any all its one "
        "two out use used get got too very much many also only been being both each other such own same may might must",
    )
)


def best_sentences(text: str, question: str, count: int) -> list[str]:
    """Pick the sentences that share most words with the question, in the order of the text."""
    wanted = words(question)
    parts = sentences(text)
    ranked = sorted(range(len(parts)), key=lambda n: (-len(words(parts[n]) & wanted), n))
    return [parts[n] for n in sorted(ranked[:count])]
