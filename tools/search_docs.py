"""Writes the table of fields into `docs/search.md`: `python -m tools.search_docs`."""

from __future__ import annotations

from pathlib import Path

from tracer.search.fields import FIELDS, Field

PAGE = Path(__file__).resolve().parent.parent / "docs" / "search.md"
BEGIN, END = "<!-- fields: written by tools/search_docs.py -->", "<!-- end of fields -->"


def table() -> str:
    """The fields as a Markdown table."""
    lines = ["| write | finds | takes | among spans |", "| --- | --- | --- | --- |"]
    lines += [
        f"| `{_cell(one.example)}` | {_cell(_finds(one))} | {_cell(_takes(one))} | {_spans(one)} |" for one in FIELDS
    ]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _finds(one: Field) -> str:
    return one.finds


def _takes(one: Field) -> str:
    return ", ".join(f"`{word}`" for word in one.choices) if one.choices else one.takes.value


def _spans(one: Field) -> str:
    if one.of_spans is None:
        return "-"
    return one.of_spans or "the span's own"


def page() -> str:
    """The page with its table as the code has it."""
    text = PAGE.read_text()
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page())
