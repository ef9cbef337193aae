"""Where OTLP is taken: our own addresses, and those of the services that apps send to already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from tracer.otlp.text import clean

BASES: Final = (
    "",
    "/otel",
    "/agents/otel",
    "/api/public/otel",
    "/api/v1/private/otel",
)
"""What stands before `/v1/traces`: ours and most others'; LangSmith's, Braintrust's and Weave's; Weave's for agents;
Langfuse's; Opik's. `docs/clients.md` names who sends where.
"""

TRACES: Final = (*(f"{base}/v1/traces" for base in BASES), "/api/trace")
"""The last is Langtrace's."""

LOGS: Final = tuple(f"{base}/v1/logs" for base in BASES)
METRICS: Final = tuple(f"{base}/v1/metrics" for base in BASES)
ADDRESSES: Final = frozenset((*TRACES, *LOGS, *METRICS))

OWN_HEADER: Final = "x-stepscope-project"
NO_EXPERIMENT: Final = "0"
"""The id of the experiment that MLflow uses when the app names none."""


def is_otlp(path: str) -> bool:
    """Tell whether a path, without the base path of a proxy, takes OTLP, or begins as the one of OpenTelemetry does."""
    return path in ADDRESSES or path.startswith("/v1/")


def asked_project(headers: Mapping[str, str]) -> str | None:
    """The project that a request's headers (or a call's metadata, names in lower case) ask for; None for no word of it.

    Ours comes first; then the ones by which other services' clients name a project there.
    """
    own = headers.get(OWN_HEADER)
    if own:
        return clean(unquote(own)).strip() or None
    for name in ("langsmith-project", "projectname", "x-project-name"):
        named = clean(unquote(headers.get(name, ""))).strip()
        if named:
            return named
    # Braintrust: `project_name:shop`; an experiment or a span as parent names no project.
    kind, _, parent = headers.get("x-bt-parent", "").partition(":")
    if kind in ("project_name", "project_id") and parent.strip():
        return clean(unquote(parent)).strip() or None
    # Weave: `team/shop`.
    entity, slash, weave = clean(headers.get("project_id", "")).partition("/")
    if entity and slash and weave.strip():
        return weave.strip()
    experiment = clean(unquote(headers.get("x-mlflow-experiment-id", ""))).strip()
    return experiment if experiment and experiment != NO_EXPERIMENT else None
