"""Reading a span: which step it is, what it cost, what it says, whatever convention its client speaks.

Each convention is a module in `conventions`; they are asked per span and per field, since clients mix them.
"""

from __future__ import annotations

from tracer.otlp.dialects.content import read_content
from tracer.otlp.dialects.facts import ResourceFacts, read_facts, read_resource
from tracer.otlp.dialects.previews import preview

READER_VERSION: int = 3
"""Rises when the same span would be read differently; stored with what was derived."""

__all__ = ["READER_VERSION", "ResourceFacts", "preview", "read_content", "read_facts", "read_resource"]
