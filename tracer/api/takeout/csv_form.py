"""CSV that a spreadsheet may open: no cell of it can be taken for a formula."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO
from typing import Any

from tracer.api.takeout.pieces import Piece
from tracer.api.takeout.tables import Of, columns_of, rows_of
from tracer.prices import PriceBook

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What makes a spreadsheet compute a cell, in ASCII and in full width."""


def safe(text: str) -> str:
    """The text with an apostrophe in front where a spreadsheet would take it for a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


class Csv:
    """A heading, then a row for each trace or span, as RFC 4180 has it; lists have a comma and a space between."""

    media = "text/csv; charset=utf-8"
    ending = "csv"

    def __init__(self, of: Of, prices: PriceBook) -> None:
        self.with_spans = of == "spans"
        self._of: Of = of
        self._prices = prices
        self._begun = False

    def write(self, found: Sequence[Piece]) -> bytes:
        """The rows of some pieces, after the heading when they are the first."""
        out = StringIO()
        lines = csv.writer(out, lineterminator="\r\n")
        if not self._begun:
            self._begun = True
            lines.writerow(column.name for column in columns_of(self._of))
        lines.writerows([_cell(value) for value in row] for row in rows_of(found, self._of, self._prices))
        return out.getvalue().encode("utf-8", "replace")

    def end(self) -> bytes:
        """The heading, where there was not a single row."""
        return b"" if self._begun else self.write(())


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return safe(value)
    return safe(", ".join(value)) if isinstance(value, list) else value
