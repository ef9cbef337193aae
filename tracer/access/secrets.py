"""Secrets that let somebody in: made by chance, kept as hashes only, looked up by them."""

from __future__ import annotations

import secrets
from hashlib import sha256

SECRET_LIMIT = 512
"""Characters of a secret that is looked up at all."""

SHOWN = 6
"""Characters of chance that stay readable, so that people can tell their keys apart; 37 stay unknown."""


def new_secret(prefix: str = "") -> str:
    """A secret of 256 bits, safe in addresses and headers; `prefix` tells what it is for."""
    return prefix + secrets.token_urlsafe(32)


def digest_of(secret: str) -> bytes:
    """What is stored of a secret, 32 bytes.

    A secret has 256 bits of chance: a plain hash is enough, and comparing hashes tells nothing by its time.
    """
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


def shown_part(secret: str, prefix: str) -> str:
    """The beginning of a secret, by which people know it again."""
    return secret[: len(prefix) + SHOWN]
