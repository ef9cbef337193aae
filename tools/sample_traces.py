"""Makes the sample traces that come with the service: `python -m tools.sample_traces`.

Runs some of the example chains against the scripted model, lays them out at human pace, and writes them as OTLP. What
they say of this machine is left out.
"""

import gzip
import json
from functools import partial
from pathlib import Path

from examples import chat_session, research_rag, sql_agent, support_agent, translate_review
from examples.samples import Run, Taken, lay_out, record
from tracer.ingest.samples import FILE

NOW = 1_700_000_000 * 10**9
KEPT = ("service.name", "telemetry.sdk.name", "telemetry.sdk.language", "telemetry.sdk.version")


def main() -> None:
    """Record the runs and write the file."""
    ask = support_agent.serve
    runs: list[Run] = [
        partial(ask, "Where is my order A-2219?", "mara"),
        partial(sql_agent.serve, "Which three products earned most in spring?"),
        partial(chat_session.talk, "first-bike", "talk-mara-1"),
        partial(translate_review.serve, translate_review.TEXTS["larch"]),
        partial(research_rag.serve, "Are belt drives worth it for commuters?"),
        partial(sql_agent.serve, "Please delete the test orders."),
        partial(ask, "My Alder wheel was due last week. Order A-2250, where is it?", "lucia"),
    ]
    spans = [taken for group in lay_out(record(lambda done, of: None, runs), NOW) for taken in group]
    text = json.dumps({"resourceSpans": [_of_resource(taken) for taken in spans]}, separators=(",", ":"))
    text = text.replace(f"{Path(__file__).resolve().parents[1]}/", "/app/").replace(
        '"sample_traces.py"', '"bicycle-shop"'
    )
    FILE.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{FILE.name}: {len(spans)} spans, {FILE.stat().st_size // 1024} KB")


def _of_resource(taken: Taken) -> dict[str, object]:
    found = taken.resource.get("attributes") if isinstance(taken.resource, dict) else None
    listed = found if isinstance(found, list) else []
    kept = [one for one in listed if isinstance(one, dict) and one.get("key") in KEPT]
    return {"resource": {"attributes": kept}, "scopeSpans": [{"scope": taken.scope, "spans": [taken.span]}]}


if __name__ == "__main__":
    main()
