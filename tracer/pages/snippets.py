"""How to send a first trace: text that works when pasted, with this server's own address in it."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from urllib.parse import quote

KEY_PLACE = "YOUR_KEY"
"""Stands in a snippet where a server that asks for keys wants one; `stepscope create-key` makes it."""


@dataclass(frozen=True, slots=True)
class HowTo:
    """One way to send traces: its name, a sentence, and the texts to paste, each with an id of its own."""

    id: str
    title: str
    sentence: str
    texts: tuple[str, ...]


def how_to(address: str, project: str, *, key_needed: bool) -> list[HowTo]:
    """Return the ways to send traces to the server at `address`, into `project`."""
    return [
        HowTo(
            "python",
            "Python",
            "Install the recorder, then run this. It shows as one trace with two steps.",
            ("pip install stepscope", _python(address, project, key_needed)),
        ),
        HowTo(
            "openai",
            "OpenAI-compatible models, from Python",
            "OpenInference records every call of the openai package, whatever address it goes to; "
            "no line of your program changes.",
            (
                "pip install opentelemetry-distro opentelemetry-exporter-otlp-proto-http "
                "openinference-instrumentation-openai",
                _variables(address, project, key_needed) + "export OTEL_METRICS_EXPORTER=none OTEL_LOGS_EXPORTER=none\n"
                "opentelemetry-instrument python app.py",
            ),
        ),
        HowTo(
            "otel",
            "Any OpenTelemetry, any language",
            "Every OTLP exporter that speaks HTTP reads these variables. Spans in the GenAI or the OpenInference "
            "conventions show their messages, tokens and tools; all others show as a tree.",
            (_variables(address, project, key_needed).rstrip("\n"),),
        ),
        HowTo(
            "curl",
            "Only a shell",
            "One span by hand, to see that this server is reached.",
            (_curl(address, project, key_needed),),
        ),
    ]


def _python(address: str, project: str, key_needed: bool) -> str:
    key = f', api_key="{KEY_PLACE}"' if key_needed else ""
    return f"""import stepscope

stepscope.init(endpoint={json.dumps(address)}, project={json.dumps(project, ensure_ascii=False)}{key})


@stepscope.step(kind="retriever")
def look_up(question: str) -> list[str]:
    return ["A trace is one request through a chain.", "A step is one timed part of it."]


@stepscope.step
def answer(question: str) -> str:
    return " ".join(look_up(question))


print(answer("What is a trace?"))
"""


def _variables(address: str, project: str, key_needed: bool) -> str:
    headers = f"x-stepscope-project={quote(project, safe='')}"
    if key_needed:
        headers += f",authorization=Bearer%20{KEY_PLACE}"
    return (
        f"export OTEL_EXPORTER_OTLP_ENDPOINT={shlex.quote(address)}\n"
        "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\n"
        f"export OTEL_EXPORTER_OTLP_HEADERS={shlex.quote(headers)}\n"
    )


def _curl(address: str, project: str, key_needed: bool) -> str:
    key = f" \\\n  -H 'Authorization: Bearer {KEY_PLACE}'" if key_needed else ""
    wanted = shlex.quote(f"x-stepscope-project: {project}")
    return (
        "hex() { od -An -tx1 -N\"$1\" /dev/urandom | tr -d ' \\n'; }\n"
        f"curl {shlex.quote(address + '/v1/traces')} -H 'Content-Type: application/json' \\\n"
        f"  -H {wanted}{key} \\\n"
        '  -d "{\\"resourceSpans\\":[{\\"scopeSpans\\":[{\\"spans\\":[{\\"name\\":\\"hello\\",'
        '\\"traceId\\":\\"$(hex 16)\\",\\"spanId\\":\\"$(hex 8)\\",'
        '\\"startTimeUnixNano\\":\\"$(date +%s)000000000\\",\\"endTimeUnixNano\\":\\"$(date +%s)500000000\\"}]}]}]}"'
    )
