"""The conventions, one module each. A module that is put here and names a `DIALECT` is read; nothing else to do."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from tracer.otlp.dialects.dialect import Dialect


@cache
def dialects() -> tuple[Dialect, ...]:
    """Every convention there is, in the order in which they are asked."""
    found = []
    for module in iter_modules(__path__):
        dialect = getattr(import_module(f"{__name__}.{module.name}"), "DIALECT", None)
        if isinstance(dialect, Dialect):
            found.append(dialect)
    return tuple(sorted(found, key=lambda dialect: (dialect.rank, dialect.name)))
