"""The one cleaning function for text from outside: what every database and browser can hold."""

from __future__ import annotations

import re

NUL_MARK = "\u2400"
"""Shown where U+0000 was: Postgres cannot hold it."""

SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """Replace U+0000 by U+2400 and lone surrogates by U+FFFD; all other text stays as it is."""
    if "\0" in text:
        text = text.replace("\0", NUL_MARK)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            text = SURROGATE.sub("\ufffd", text)
    return text


def cut(text: str, limit: int) -> str:
    """A text of `limit` characters at the most; the last one says that it goes on."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
