"""How to send a first trace: text that works when pasted, with this server's own address, project and key in it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

KEY_PLACE = "YOUR_KEY"
"""Stands in a snippet where a server that asks for keys wants one."""


@dataclass(frozen=True, slots=True)
class HowTo:
    """One kind of app: its name, a sentence, and the texts to paste, each with an id of its own."""

    id: str
    title: str
    sentence: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a snippet sends to; `key` None where the server asks for none."""

    address: str
    project: str
    key: str | None

    @property
    def init(self) -> str:
        """The call that tells the SDK."""
        key = f", api_key={json.dumps(self.key)}" if self.key is not None else ""
        project = json.dumps(self.project, ensure_ascii=False)
        return f"stepscope.init(endpoint={json.dumps(self.address)}, project={project}{key})"


def how_to(address: str, project: str, *, key: str | None) -> list[HowTo]:
    """Return the ways to send traces to the server at `address`, into `project`, with a key where it asks for one."""
    place = _Place(address, project, key)
    return [HowTo(id, title, sentence, texts(place)) for id, title, sentence, texts in _WAYS]


def _python(place: _Place) -> tuple[str, ...]:
    return (
        "pip install stepscope",
        f"""import stepscope

{place.init}


@stepscope.step(kind="retriever")
def look_up(question: str) -> list[str]:
    return ["A trace is one request through a chain.", "A step is one timed part of it."]


@stepscope.step
def answer(question: str) -> str:
    return " ".join(look_up(question))


print(answer("What is a trace?"))
""",
    )


def _openai(place: _Place) -> tuple[str, ...]:
    return (
        "pip install stepscope openai",
        f"""import stepscope
from openai import OpenAI

{place.init}
stepscope.instrument()

question = {{"role": "user", "content": "What is a trace?"}}
answer = OpenAI().chat.completions.create(model="gpt-4o-mini", messages=[question])
print(answer.choices[0].message.content)
""",
    )


def _langchain(place: _Place) -> tuple[str, ...]:
    return (
        "pip install stepscope langchain langgraph langchain-openai",
        f"""import stepscope
from langchain.agents import create_agent

{place.init}
stepscope.instrument()

agent = create_agent("openai:gpt-4o-mini")
question = {{"role": "user", "content": "What is a trace?"}}
print(agent.invoke({{"messages": [question]}})["messages"][-1].content)
""",
    )


def _otel(place: _Place) -> tuple[str, ...]:
    return (
        "pip install opentelemetry-distro opentelemetry-exporter-otlp-proto-http openinference-instrumentation-openai",
        _variables(place) + "export OTEL_METRICS_EXPORTER=none OTEL_LOGS_EXPORTER=none\n"
        "opentelemetry-instrument python app.py",
    )


def _other(place: _Place) -> tuple[str, ...]:
    return (_variables(place).rstrip("\n"),)


def _variables(place: _Place) -> str:
    headers = f"x-stepscope-project={quote(place.project, safe='')}"
    if place.key is not None:
        headers += f",authorization=Bearer%20{place.key}"
    return (
        f"export OTEL_EXPORTER_OTLP_ENDPOINT={shlex.quote(place.address)}\n"
        "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\n"
        f"export OTEL_EXPORTER_OTLP_HEADERS={shlex.quote(headers)}\n"
    )


def _curl(place: _Place) -> tuple[str, ...]:
    key = f" \\\n  -H 'Authorization: Bearer {place.key}'" if place.key is not None else ""
    wanted = shlex.quote(f"x-stepscope-project: {place.project}")
    return (
        "hex() { od -An -tx1 -N\"$1\" /dev/urandom | tr -d ' \\n'; }\n"
        f"curl {shlex.quote(place.address + '/v1/traces')} -H 'Content-Type: application/json' \\\n"
        f"  -H {wanted}{key} \\\n"
        '  -d "{\\"resourceSpans\\":[{\\"scopeSpans\\":[{\\"spans\\":[{\\"name\\":\\"hello\\",'
        '\\"traceId\\":\\"$(hex 16)\\",\\"spanId\\":\\"$(hex 8)\\",'
        '\\"startTimeUnixNano\\":\\"$(date +%s)000000000\\",\\"endTimeUnixNano\\":\\"$(date +%s)500000000\\"}]}]}]}"',
    )


_WAYS: tuple[tuple[str, str, str, Callable[[_Place], tuple[str, ...]]], ...] = (
    (
        "python",
        "Python",
        "Install the recorder, then run this: it shows as one trace with two steps. Then decorate your own functions.",
        _python,
    ),
    (
        "openai",
        "OpenAI client",
        "Every call of the openai and anthropic packages becomes a step with its messages, tools, tokens and cost, "
        "whatever address it goes to. What the program gets back stays as it was.",
        _openai,
    ),
    (
        "langchain",
        "LangChain, LangGraph",
        "Every run is recorded as a tree: chains, agents, nodes, model calls, tools and retrievers.",
        _langchain,
    ),
    (
        "otel",
        "OpenTelemetry",
        "Instrumentation of OpenTelemetry, OpenInference or OpenLLMetry stays as it is. Here OpenInference records the "
        "openai package without a change to the program; others send with the same variables.",
        _otel,
    ),
    (
        "other",
        "Other languages",
        "Every OTLP exporter that speaks HTTP reads these variables: Node, Java, Go, .NET, Rust. Spans in the GenAI or "
        "the OpenInference conventions show their messages, tokens and tools; all others show as a tree.",
        _other,
    ),
    ("curl", "Only a shell", "One span by hand, to see that this server is reached.", _curl),
)
