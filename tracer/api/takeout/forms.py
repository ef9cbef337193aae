"""The forms of an export: what each writes for some traces, and what stands at its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, Protocol

import msgspec

from tracer.api import shape
from tracer.api.takeout.pieces import Piece, pieces
from tracer.api.takeout.tables import Of
from tracer.errors import BadRequest
from tracer.otlp.encode import logs_line, traces_line
from tracer.prices import PriceBook
from tracer.queries.walk import Wanted
from tracer.store.engine import Store

Format = Literal["jsonl", "csv", "parquet", "otlp"]
_encode = msgspec.json.Encoder().encode


class Form(Protocol):
    """Writes pieces of traces; `with_spans` says whether it needs more than the traces' own rows."""

    media: str
    ending: str
    with_spans: bool

    def write(self, found: Sequence[Piece]) -> bytes:
        """Some more traces, or nothing as long as they are collected."""

    def end(self) -> bytes:
        """What is left to write when there are no more."""


def form_of(format: Format, of: Of, prices: PriceBook) -> Form:
    """The form of a name. Raises BadRequest for one that needs a package which is not here."""
    if of == "spans" and format in ("jsonl", "otlp"):
        raise BadRequest(
            f"of=spans is for tables (csv, parquet): {format} holds every trace with its spans.", field="of"
        )
    if format == "jsonl":
        return JsonLines(prices)
    if format == "otlp":
        return OtlpLines()
    if format == "csv":
        from tracer.api.takeout.csv_form import Csv

        return Csv(of, prices)
    try:
        from tracer.api.takeout.parquet_form import Parquet
    except ImportError:
        raise BadRequest(
            "Parquet needs the package pyarrow beside the server: install stepscope-server[parquet].", field="format"
        ) from None
    return Parquet(of, prices)


def stream(store: Store, wanted: Wanted, form: Form) -> Iterator[bytes]:
    """Write everything that `wanted` finds, a part at a time; nothing is read ahead of whoever takes the parts."""
    for found in pieces(store, wanted, with_spans=form.with_spans):
        data = form.write(found)
        if data:
            yield data
    data = form.end()
    if data:
        yield data


class JsonLines:
    """A trace a line: what `/api/v1/traces/{id}` answers, what people added, and all of it as OTLP.

    `otlp` and `otlp_logs` are requests as `/v1/traces` and `/v1/logs` take them, with every type as it came; from them
    and from `added` an import makes the same trace. A trace of more than 200 spans goes on in the lines after its
    first: `part` counts them, `more` says that another follows.
    """

    media = "application/x-ndjson"
    ending = "jsonl"
    with_spans = True

    def __init__(self, prices: PriceBook) -> None:
        self._prices = prices

    def write(self, found: Sequence[Piece]) -> bytes:
        """A line for each piece."""
        return b"".join(self._line(piece) for piece in found)

    def end(self) -> bytes:
        """Nothing: the last line is as the others."""
        return b""

    def _line(self, piece: Piece) -> bytes:
        row = piece.row
        logs = [log for one in piece.spans for log in one.logs]
        line: dict[str, Any] = shape.trace(row) | {
            "part": piece.part,
            "more": piece.more,
            "spans": [shape.step(one.read(), self._prices) for one in piece.spans],
            "added": _added(piece),
            "otlp": msgspec.Raw(traces_line(one.record for one in piece.spans)),
            "otlp_logs": msgspec.Raw(logs_line(logs)) if logs else None,
        }
        return _encode(line).replace(b"\n", b"") + b"\n"


def _added(piece: Piece) -> dict[str, Any] | None:
    row = piece.row
    if piece.part > 1 or (row.own_name is None and not row.own_tags and row.note is None and not piece.scores):
        return None
    return {
        "name": row.own_name,
        "tags": list(row.own_tags),
        "note": row.note,
        "scores": [shape.score(one) for one in piece.scores],
    }


class OtlpLines:
    """Lines of OTLP/JSON as OpenTelemetry's file exporter writes them; without scores and what people added."""

    media = "application/x-ndjson"
    ending = "otlp.jsonl"
    with_spans = True

    def write(self, found: Sequence[Piece]) -> bytes:
        """A line of spans for each piece, and one of the log records that were joined to them."""
        lines: list[bytes] = []
        for piece in found:
            if piece.spans:
                lines.append(traces_line(one.record for one in piece.spans))
            logs = [log for one in piece.spans for log in one.logs]
            if logs:
                lines.append(logs_line(logs))
        return b"".join(lines)

    def end(self) -> bytes:
        """Nothing: every line stands for itself."""
        return b""
