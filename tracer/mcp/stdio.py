"""The Model Context Protocol over standard input and output, for assistants that start a program."""

from __future__ import annotations

import anyio

from tracer.mcp.tools import make_server
from tracer.sources.source import Reading


def serve(source: Reading, *, project: str | None = None) -> None:
    """Answer until standard input ends; `project` is meant where an assistant names none."""
    anyio.run(make_server(lambda _: source, default=project).run_stdio_async)
