"""Text of snapshots: made in the delivery thread, always valid JSON and always valid Unicode."""

from __future__ import annotations

import json
import math
import re
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import TypeGuard

from ._values import Blob, CutText

PLAIN = "text/plain"
JSON = "application/json"

_SURROGATES = re.compile("[\ud800-\udfff]")
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
)
SHOWN_BYTES = 1024
"""Bytes written of a binary value that is neither text nor a picture."""


def quote(text: str) -> str:
    """Write a text as JSON."""
    # The same for plain text, in half the time.
    return encode_basestring_ascii(text) if text.isascii() else encode_basestring(text)


_TEXT = frozenset({str})


def flat(snapshot: object) -> TypeGuard[dict[str, str]]:
    """Whether a snapshot is a dict of texts and nothing else."""
    return (
        type(snapshot) is dict
        and _TEXT.issuperset(map(type, snapshot.values()))
        and _TEXT.issuperset(map(type, snapshot))
    )


def quoted_json(pairs: dict[str, str]) -> str:
    """Write a flat dict of texts as JSON, and that as a JSON text.

    A text that needed no escape the first time needs none the second time: it is read once instead of twice.
    """
    return f'"{{{",".join([f"{_twice(key)}:{_twice(value)}" for key, value in pairs.items()])}}}"'


def _twice(text: str) -> str:
    once = quote(text)
    if len(once) == len(text) + 2:
        return f'\\"{text}\\"'
    return once.replace("\\", "\\\\").replace('"', '\\"')


def written(snapshot: object) -> tuple[str, str, int | None]:
    """Return a snapshot's text, its media type, and the full number of characters where the text was cut."""
    if type(snapshot) is str:
        return snapshot, PLAIN, None
    if isinstance(snapshot, CutText):
        return str(snapshot), PLAIN, snapshot.length
    return to_json(snapshot), JSON, None


def to_json(snapshot: object) -> str:
    """Write a snapshot as strict JSON."""
    try:
        return _encode(snapshot)
    except (ValueError, TypeError, RecursionError):
        # NaN, infinities, integers of thousands of digits: written as text, the rest as it is.
        return _encode(_plain(snapshot, 0))


def clean(text: str) -> str:
    """Replace lone surrogates, which no UTF-8 can carry, and join those that form a pair."""
    if _SURROGATES.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _special(value: object) -> object:
    if isinstance(value, Blob):
        return _blob(value)
    if isinstance(value, CutText):
        return str(value)
    return f"<{type(value).__name__}>"


_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, default=_special, separators=(",", ":")
).encode


def _blob(blob: Blob) -> dict[str, object]:
    from base64 import b64encode

    data = blob.data
    kind = next((name for magic, name in _MAGIC if data.startswith(magic)), None)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind = "image/webp"
    out: dict[str, object] = {"bytes": blob.length}
    if kind is not None:
        out["mime_type"] = kind
    elif len(data) == blob.length:
        try:
            text = data.decode("utf-8")
            if text.isprintable() or text.replace("\n", "").replace("\r", "").replace("\t", "").isprintable():
                out["text"] = text
                return out
        except UnicodeDecodeError:
            pass
    whole = kind is not None and len(data) == blob.length
    out["base64"] = b64encode(data if whole else data[:SHOWN_BYTES]).decode("ascii")
    if not whole and blob.length > SHOWN_BYTES:
        out["cut"] = True
    return out


def _plain(value: object, depth: int) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if value.bit_length() < 4096 else f"<integer of {value.bit_length():,} bits>"
    if depth > 100:
        return "…"
    if isinstance(value, dict):
        return {str(key): _plain(part, depth + 1) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part, depth + 1) for part in value]
    return value
