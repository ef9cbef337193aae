"""Retrieved and reranked documents in the forms that frameworks and vector stores write."""

from __future__ import annotations

from typing import Any

from tracer.otlp.dialects import values
from tracer.otlp.dialects.parts import content_text

_CONTENT = ("page_content", "pageContent", "content", "text", "document", "chunk", "body", "snippet", "passage")
_LISTS = ("documents", "docs", "results", "matches", "hits", "nodes", "chunks", "source_nodes", "passages", "output")
_LISTS += ("outputs", "result", "context", "retrieved_documents", "retrievalResults", "data", "points")
_SCORE = ("score", "relevance_score", "similarity", "distance", "_score", "rerank_score")
_IDENTITY = ("id", "doc_id", "document_id", "node_id", "id_", "_id", "uuid")
_TEXTS = (*_CONTENT, "context", "ctx")
_MAX_DEPTH = 8


def documents(value: object, depth: int = 0) -> list[dict[str, Any]] | None:
    """The documents in a retriever's result, in its order; None when it holds none.

    Each is {id?, content, score?, metadata?}. A list of plain texts is a list of documents too, one text is one.
    """
    value = values.opened(value)
    if isinstance(value, dict) and depth < _MAX_DEPTH:
        columns = _columns(value)
        if columns is not None:
            return columns
        for key in _LISTS:
            if key in value:
                found = documents(value[key], depth + 1)
                if found:
                    return found
        only = next((value[key] for key in _TEXTS if isinstance(value.get(key), str) and value[key]), None)
        return [{"content": only}] if only is not None else None
    if isinstance(value, str) and value:
        return [{"content": value}]
    if not isinstance(value, list) or not value:
        return None
    if isinstance(value[0], list) and len(value) == 1 and depth < _MAX_DEPTH:
        inner = documents(value[0], depth + 1)
        if inner is not None:
            return inner
    found = [document(entry) for entry in value]
    if any(entry is None for entry in found):
        return None
    return [entry for entry in found if entry is not None]


def document(entry: object) -> dict[str, Any] | None:
    """One document, or None when the entry doesn't look like one."""
    score: object = None
    if isinstance(entry, list) and len(entry) == 2:
        entry, score = (entry[0], entry[1]) if not isinstance(entry[0], (int, float)) else (entry[1], entry[0])
    if isinstance(entry, str):
        return {"content": entry} if entry else None
    if not isinstance(entry, dict):
        return None
    for wrapper in ("kwargs", "node", "document", "payload", "fields", "_source"):
        inner = entry.get(wrapper)
        if isinstance(inner, dict) and any(key in inner for key in _CONTENT):
            entry = {**{key: item for key, item in entry.items() if key not in (wrapper, "id", "type", "lc")}, **inner}
            break
    content = next((entry[key] for key in _CONTENT if isinstance(entry.get(key), str)), None)
    if content is None and isinstance(entry.get("content"), (dict, list)):
        inner = entry["content"]
        content = inner.get("text") if isinstance(inner, dict) else None
        content = content if isinstance(content, str) else content_text(inner)
    identity = next((entry[key] for key in _IDENTITY if isinstance(entry.get(key), (str, int))), None)
    metadata = entry.get("metadata")
    if content is None and isinstance(metadata, dict):
        content = next((metadata[key] for key in _CONTENT if isinstance(metadata.get(key), str)), None)
    if content is None and (identity is None or not any(key in entry for key in _SCORE)):
        return None
    if score is None:
        score = next((entry[key] for key in _SCORE if values.number(entry.get(key)) is not None), None)
    if score is None and isinstance(metadata, dict):
        score = next((metadata[key] for key in _SCORE if values.number(metadata.get(key)) is not None), None)
    return made(identity, content, score, metadata)


def made(identity: object, content: object, score: object, metadata: object) -> dict[str, Any]:
    """A document of the REST contract out of its pieces; what is missing or of no use is left out."""
    found: dict[str, Any] = {}
    if identity is not None and identity != "":
        found["id"] = identity if isinstance(identity, str) else content_text(identity)
    found["content"] = content if isinstance(content, str) else None if content is None else content_text(content)
    rank = values.number(score)
    if rank is not None:
        found["score"] = rank
    opened = values.opened(metadata)
    if opened not in (None, "", {}, []):
        found["metadata"] = opened
    return found


def _columns(value: dict[str, Any]) -> list[dict[str, Any]] | None:
    """A vector store's answer in columns: {"ids": [[…]], "documents": [[…]], "distances": [[…]]}."""
    identities, contents = _column(value.get("ids")), _column(value.get("documents"))
    if identities is None or contents is None or not all(isinstance(content, str) for content in contents):
        return None
    scores, metadata = _column(value.get("distances")) or [], _column(value.get("metadatas")) or []
    return [
        made(
            identity,
            contents[place] if place < len(contents) else None,
            scores[place] if place < len(scores) else None,
            metadata[place] if place < len(metadata) else None,
        )
        for place, identity in enumerate(identities)
    ]


def _column(value: object) -> list[Any] | None:
    if not isinstance(value, list):
        return None
    return value[0] if len(value) == 1 and isinstance(value[0], list) else value
