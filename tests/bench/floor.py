"""The physical limit beside which ingest is measured: one thread that unzips, parses, flattens and inserts in bulk.

No roll-ups, no identity, no live feed, no dialects: what any server that stores spans has to do at the least.
"""

from __future__ import annotations

import gzip
import json
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.bench.load import Body


def spans_per_second(bodies: Sequence[Body], file: Path) -> float:
    """Store every body in one SQLite file, a durable transaction each, and return the rate."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(
        "CREATE TABLE span (trace_id BLOB, span_id BLOB, parent_id BLOB, name TEXT, start INTEGER, end INTEGER, "
        "status INTEGER, attributes TEXT)"
    )
    connection.execute("CREATE INDEX span_trace ON span (trace_id)")
    start, stored = time.perf_counter(), 0
    for one in bodies:
        rows = []
        for group in ExportTraceServiceRequest.FromString(gzip.decompress(one.data)).resource_spans:
            for under in group.scope_spans:
                for span in under.spans:
                    attributes = {
                        pair.key: pair.value.string_value or getattr(pair.value, pair.value.WhichOneof("value") or "")
                        for pair in span.attributes
                        if pair.value.WhichOneof("value") != "array_value"
                    }
                    rows.append(
                        (
                            span.trace_id,
                            span.span_id,
                            span.parent_span_id,
                            span.name,
                            span.start_time_unix_nano,
                            span.end_time_unix_nano,
                            span.status.code,
                            json.dumps(attributes),
                        )
                    )
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO span VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        connection.execute("COMMIT")
        stored += one.spans
    elapsed = time.perf_counter() - start
    connection.close()
    return stored / elapsed
