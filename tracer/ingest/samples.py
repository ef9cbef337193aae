"""Sample traces that come with the service, for whoever wants to look before an app sends its own."""

from __future__ import annotations

import gzip
from pathlib import Path

from tracer.ingest.prepare import PreparedSpan, prepare
from tracer.otlp.decode import decode_traces
from tracer.prices import PriceBook
from tracer.units import MINUTE

SAMPLES = "Stepscope samples"
"""The project that they go to: all of it is theirs, and goes with them."""

FILE = Path(__file__).with_name("samples.json.gz")
"""OTLP as JSON, made by `python -m tools.sample_traces` of runs of the example chains."""

ENDED_AGO = 2 * MINUTE


def sample_spans(prices: PriceBook, *, now: int) -> list[PreparedSpan]:
    """The spans of the samples, ready for the writer, as if the last of them had ended two minutes before `now`."""
    records = decode_traces(gzip.decompress(FILE.read_bytes()), json=True).spans
    later = now - ENDED_AGO - max(record.end_time for record in records)
    for record in records:
        record.start_time += later
        record.end_time += later
        for event in record.events:
            event.time += later
    return prepare(records, asked_project=SAMPLES, prices=prices)
