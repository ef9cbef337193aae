"""Writes `docs/attributes.md` from the code's own tables: which attributes are read for which field, by convention.

`python -m tools.dialect_docs`          writes the page
`python -m tools.dialect_docs --check`  exits with 1 when the page is not what the code says
"""

import inspect
import re
import sys
from pathlib import Path

from tracer.otlp.dialects import READER_VERSION
from tracer.otlp.dialects.conventions import dialects
from tracer.otlp.dialects.dialect import Dialect, Field, Key

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "attributes.md"

WORDS = {
    Field.KIND: "kind",
    Field.HINT: "kind, when nothing says it outright",
    Field.ANSWERED_MODEL: "model that answered",
    Field.REQUESTED_MODEL: "model asked for",
    Field.LIKELY_MODEL: "model, on a model call",
    Field.PROVIDER: "provider",
    Field.PARAMETERS: "parameters",
    Field.INPUT_TOKENS: "input tokens",
    Field.OUTPUT_TOKENS: "output tokens",
    Field.TOTAL_TOKENS: "total tokens",
    Field.CACHED_INPUT: "cached input tokens",
    Field.CACHE_WRITE: "cache write tokens",
    Field.REASONING: "reasoning tokens",
    Field.AUDIO_INPUT: "audio tokens in",
    Field.AUDIO_OUTPUT: "audio tokens out",
    Field.USAGE: "all token counts in one object",
    Field.COST: "cost",
    Field.COST_INPUT: "cost of the input",
    Field.COST_OUTPUT: "cost of the output",
    Field.RESPONSE_ID: "response id",
    Field.TIME_TO_FIRST: "time to first token",
    Field.TIME_TO_ANSWER: "time to first token, of streams",
    Field.FIRST_TOKEN_AT: "instant of the first token",
    Field.STREAM: "whether it streamed",
    Field.SESSION: "session",
    Field.USER: "user",
    Field.ENVIRONMENT: "environment",
    Field.RELEASE: "release",
    Field.SERVICE: "service",
    Field.TAGS: "tags",
    Field.METADATA: "metadata",
    Field.ANNOUNCES: "announces a running span",
    Field.EXCLUSIVE: "input tokens leave out the cached ones",
    Field.IN_MILLISECONDS: "that times are in milliseconds",
    Field.CACHE_HIT: "answered by the app's own cache",
}
NAME = re.compile(r'"([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)+\.?)"')
HEAD = f"""# Which attributes are read

Made from the code's own tables by `python -m tools.dialect_docs`; reader version {READER_VERSION}.

All conventions read a span at once, field by field: of several attributes for one field the first counts, conventions
in the order of this page. What is listed nowhere is kept and shown as it came.

What a chain may do, beside what it did: the tools offered to a model call or an agent, and `stepscope.structure` on any
step (as a rule the root), a JSON object:
`{{"steps": [{{"name": "rank", "kind": "reranker", "parameters": {{"top": 5}}}}], "calls": [["answer", "rank"]]}}`.
The wiring of a trace shows what of it the run did not reach.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(section(dialect) for dialect in dialects())])


def section(dialect: Dialect) -> str:
    """One convention: what it is, what tells it, its attributes by field, and what its content reader knows."""
    module = sys.modules[f"tracer.otlp.dialects.conventions.{_module_of(dialect)}"]
    lines = [f"## {dialect.name}", "", (module.__doc__ or "").strip(), ""]
    if dialect.marks:
        lines += [f"Told by: {_code(sorted(dialect.marks))}.", ""]
    lines += ["| field | attributes |", "|---|---|"]
    for field, keys in dialect.facts.items():
        names = [key.name if isinstance(key, Key) else key for key in keys]
        lines.append(f"| {WORDS[field]} | {_code(names)} |")
    for prefix, field in dialect.families.items():
        if field is Field.METADATA:
            lines.append(f"| metadata | {_code([prefix + '*'])} |")
    if dialect.first_token_events:
        lines.append(f"| time to first token, by the first event named | {_code(sorted(dialect.first_token_events))} |")
    listed = {
        name for keys in dialect.facts.values() for name in (key.name if isinstance(key, Key) else key for key in keys)
    }
    content = sorted({*NAME.findall(inspect.getsource(module))} - listed - dialect.marks - {*dialect.families})
    if content and dialect.content is not None:
        lines.append(f"| content (messages, tools, documents, prompts, events) | {_code(content)} |")
    return "\n".join([*lines, ""])


def _module_of(dialect: Dialect) -> str:
    return {"otel": "plain"}.get(dialect.name, dialect.name)


def _code(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def main() -> None:
    """Write the page, or say whether it is up to date."""
    if "--check" in sys.argv[1:]:
        if PAGE.read_text() != page():
            sys.exit("docs/attributes.md is not up to date: run python -m tools.dialect_docs")
        return
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
