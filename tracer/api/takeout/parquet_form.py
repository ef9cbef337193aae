"""Parquet in row groups of bounded size, written as it goes; needs pyarrow."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tracer.api.takeout.pieces import Piece
from tracer.api.takeout.tables import Column, Of, columns_of, rows_of
from tracer.prices import PriceBook
from tracer.units import parse_rfc3339

GROUP_ROWS = 20_000
GROUP_BYTES = 8 * 2**20
"""A row group is written once it has so many rows or so many bytes."""

BATCH_ROWS = 500
"""Rows that wait as Python's objects, which take several times the room of Arrow's columns."""

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
        self._batches: list[Any] = []

    def write(self, found: Sequence[Piece]) -> bytes:
        """The next row group, once enough rows are there."""
        self._rows += rows_of(found, self._of, self._prices)
        if len(self._rows) >= BATCH_ROWS:
            self._batch()
            rows = sum(batch.num_rows for batch in self._batches)
            if rows >= GROUP_ROWS or sum(batch.nbytes for batch in self._batches) >= GROUP_BYTES:
                self._group()
        return self._sink.take()

    def end(self) -> bytes:
        """The last row group and the footer, without which the file is none."""
        self._batch()
        self._group()
        self._writer.close()
        return self._sink.take()

    def _batch(self) -> None:
        if self._rows:
            values = zip(*self._rows, strict=True)
            arrays = [_ARRAYS[column.type](found) for column, found in zip(self._columns, values, strict=True)]
            self._rows.clear()
            self._batches.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))

    def _group(self) -> None:
        if self._batches:
            table = pa.Table.from_batches(self._batches, self._schema)
            self._batches.clear()
            self._writer.write_table(table, row_group_size=table.num_rows)


# Made of their buffers: `pyarrow.array` imports pandas wherever that is installed, 50 MB of it.


def _valid(values: Sequence[Any]) -> Any:
    """A bit for each value that is there; None when all are."""
    if None not in values:
        return None
    bits = "".join("0" if value is None else "1" for value in reversed(values))
    return pa.py_buffer(int(bits, 2).to_bytes((len(values) + 7) // 8, "little"))


def _offsets(lengths: Sequence[int]) -> Any:
    return pa.py_buffer(array("i", accumulate(lengths, initial=0)))


def _texts(values: Sequence[str | None]) -> Any:
    data = [b"" if value is None else value.encode() for value in values]
    buffers = [_valid(values), _offsets(list(map(len, data))), pa.py_buffer(b"".join(data))]
    return pa.Array.from_buffers(pa.string(), len(values), buffers)


def _lists(values: Sequence[Sequence[str] | None]) -> Any:
    inside = _texts([text for value in values if value for text in value])
    offsets = _offsets([len(value) if value else 0 for value in values])
    return pa.Array.from_buffers(_TYPES["texts"], len(values), [_valid(values), offsets], children=[inside])


def _numbers(type: Any, code: str, read: Callable[[Any], Any]) -> Callable[[Sequence[Any]], Any]:
    def made(values: Sequence[Any]) -> Any:
        data = array(code, [0 if value is None else read(value) for value in values])
        return pa.Array.from_buffers(type, len(values), [_valid(values), pa.py_buffer(data)])

    return made


_ARRAYS: dict[str, Callable[[Sequence[Any]], Any]] = {
    "text": _texts,
    "texts": _lists,
    "whole": _numbers(_TYPES["whole"], "q", int),
    "number": _numbers(_TYPES["number"], "d", float),
    "moment": _numbers(_TYPES["moment"], "q", parse_rfc3339),
}
