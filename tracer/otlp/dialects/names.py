"""What a step's name says of its kind, for conventions that have no word for it."""

from __future__ import annotations

from typing import Final

from tracer.otlp.dialects.reading import Kind

_BEGINNINGS: Final = (("retriev", Kind.retriever), ("rerank", Kind.reranker), ("vector_search", Kind.retriever))


def kind_by_name(name: str) -> Kind | None:
    """Retriever or reranker when the name begins with that word (`retrieve_docs`, `Retriever`); else None."""
    head = name[:24].lower()
    for beginning, kind in _BEGINNINGS:
        if head.startswith(beginning):
            return kind
    return None
