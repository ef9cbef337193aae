"""Positions in a list: pages by where the last one ended, so that page 1,000 costs what page 1 costs."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from tracer.errors import BadRequest
from tracer.units import UnixNanos

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Part of a list; `next_cursor` leads to the next part, None at the end.

    `searched_to` is set when the time for one page was over: how far back it looked.
    """

    items: list[T]
    next_cursor: str | None
    searched_to: UnixNanos | None = None


class Cursor(msgspec.Struct, array_like=True, frozen=True):
    """The last row of a page: its sort value and its row number, and the order that they belong to."""

    order: str
    value: int
    id: int
    more: bytes = b""
    """What tells rows of the same number apart."""


_decode = msgspec.msgpack.Decoder(Cursor).decode


def write_cursor(cursor: Cursor) -> str:
    """A cursor as text for addresses."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(cursor)).rstrip(b"=").decode()


def read_cursor(text: str, *, order: str) -> Cursor:
    """Read a cursor that belongs to `order`; raises BadRequest for anything else."""
    try:
        cursor = _decode(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise BadRequest("The cursor is not one that this server gave.", field="cursor") from None
    if cursor.order != order or not all(-(2**63) <= number < 2**63 for number in (cursor.value, cursor.id)):
        raise BadRequest(f"The cursor belongs to another order than {order}.", field="cursor")
    return cursor
