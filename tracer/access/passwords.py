"""Passwords: argon2id hashes, what makes a good one, and no more work at once than the machine bears."""

from __future__ import annotations

from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from tracer.errors import BadRequest, Overloaded

FEWEST, MOST = 10, 200
"""Characters of a password."""

WAIT_S = 4.0
hasher = PasswordHasher()
"""RFC 9106's parameters for little memory: 64 MiB and some 50 ms a hash."""

_turns = BoundedSemaphore(2)
_UNKNOWN: dict[PasswordHasher, str] = {}


def hash_password(password: str, *, email: str) -> str:
    """What is stored of a password. Raises BadRequest for one that is too easy to guess, and Overloaded."""
    if len(password) < FEWEST:
        raise BadRequest(f"A password needs {FEWEST} characters at least.", field="password")
    if len(password) > MOST:
        raise BadRequest(f"A password has {MOST} characters at most.", field="password")
    plain = password.lower()
    if plain in (email, email.partition("@")[0]) or len(set(plain)) < 4:
        raise BadRequest("This password is too easy to guess.", field="password")
    _take_turn()
    try:
        return hasher.hash(password.encode("utf-8", "surrogatepass"))
    finally:
        _turns.release()


def is_right(stored: str | None, password: str) -> bool:
    """True for the password that was hashed.

    Takes as long where nothing is stored, so that nobody learns who has an account. Raises Overloaded.
    """
    if len(password) > MOST:
        return False
    _take_turn()
    try:
        if stored is None:
            stored = _UNKNOWN.get(hasher) or _UNKNOWN.setdefault(hasher, hasher.hash(b""))
            password += "?"
        return hasher.verify(stored, password.encode("utf-8", "surrogatepass"))
    except (VerificationError, InvalidHashError):
        return False
    finally:
        _turns.release()


def _take_turn() -> None:
    if not _turns.acquire(timeout=WAIT_S):
        raise Overloaded("Many people sign in at this moment; try again in a second.")
