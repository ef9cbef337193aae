"""Parquet in row groups of bounded size, written as it goes; needs pyarrow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tracer.api.takeout.pieces import Piece
from tracer.api.takeout.tables import Column, Of, columns_of, rows_of
from tracer.prices import PriceBook
from tracer.units import parse_rfc3339

GROUP_ROWS = 20_000
GROUP_BYTES = 16 * 2**20
"""A row group is written once it has so many rows or so many characters of text."""

_MOMENT = pa.timestamp("ns", tz="UTC")
_TYPES: dict[str, Any] = {
    "text": pa.string(),
    "whole": pa.int64(),
    "number": pa.float64(),
    "moment": _MOMENT,
    "texts": pa.list_(pa.string()),
}


class _Sink:
    """A file that pyarrow writes to and that is emptied now and then."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._size += len(part)
        return len(part)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        self.closed = True

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def take(self) -> bytes:
        """What was written since this was asked last."""
        data = b"".join(self._parts)
        self._parts.clear()
        return data


class Parquet:
    """One table of traces or spans, compressed with zstd; times are timestamps in nanoseconds UTC, lists are lists."""

    media = "application/vnd.apache.parquet"
    ending = "parquet"

    def __init__(self, of: Of, prices: PriceBook) -> None:
        self.with_spans = of == "spans"
        self._of: Of = of
        self._prices = prices
        self._columns: tuple[Column, ...] = columns_of(of)
        self._schema = pa.schema([(column.name, _TYPES[column.type]) for column in self._columns])
        self._sink = _Sink()
        self._writer = pq.ParquetWriter(pa.PythonFile(self._sink, mode="w"), self._schema, compression="zstd")
        self._rows: list[list[Any]] = []
        self._size = 0

    def write(self, found: Sequence[Piece]) -> bytes:
        """The next row group, once enough rows are there."""
        for row in rows_of(found, self._of, self._prices):
            self._rows.append(row)
            self._size += sum(len(value) for value in row if isinstance(value, str))
        if len(self._rows) >= GROUP_ROWS or self._size >= GROUP_BYTES:
            self._group()
        return self._sink.take()

    def end(self) -> bytes:
        """The last row group and the footer, without which the file is none."""
        if self._rows:
            self._group()
        self._writer.close()
        return self._sink.take()

    def _group(self) -> None:
        arrays = [
            pa.array([_value(column, row[place]) for row in self._rows], type=_TYPES[column.type])
            for place, column in enumerate(self._columns)
        ]
        self._rows.clear()
        self._size = 0
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema), row_group_size=GROUP_ROWS * 2)


def _value(column: Column, value: Any) -> Any:
    return parse_rfc3339(value) if column.type == "moment" and value is not None else value
