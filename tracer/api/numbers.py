"""Numbers in bodies: a text of digits is none, nor is yes or no, as the description says."""

from __future__ import annotations

from pydantic import BeforeValidator


def _a_number(value: object) -> object:
    if isinstance(value, (bool, str)):
        raise ValueError("must be a number")
    return value


LAST_NUMBER = 2**53 - 1
"""The last whole number that every reader of JSON keeps."""

A_NUMBER = BeforeValidator(_a_number)
"""Beside a type, after its limits: only what is a number in JSON is read as one."""
