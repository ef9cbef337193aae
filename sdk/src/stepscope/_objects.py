"""How objects are read: data classes, models, arrays, frames, exceptions and the rest.

Types are recognised by the names in their line of base classes, so that nothing is imported for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

from ._values import REPR_LIMIT, Handler, Walk, records

HEAD_ROWS = 20
"""Rows or elements that are kept of a frame or an array."""


def special(kind: type) -> Handler | None:
    """Return the handler for a type that is known by name or by what it declares, or None."""
    if issubclass(kind, type):
        return _named
    for base in kind.__mro__[:-1]:
        known = _KNOWN.get((base.__module__.partition(".")[0], base.__qualname__))
        if known is not None:
            return known
    fields = _fields(kind)
    if fields is not None:
        records[kind] = list(fields)
        return _field_reader(fields)
    if issubclass(kind, BaseException):
        return _exception
    if issubclass(kind, (FunctionType, BuiltinFunctionType, MethodType, ModuleType)):
        return _named
    return None


def take_object(walk: Walk, value: object, depth: int) -> object:
    """Describe any other object by its `repr`, or by its type where it has none of its own."""
    kind = type(value)
    if kind.__repr__ is object.__repr__:
        return walk.words(f"<{kind.__module__}.{kind.__qualname__}>")
    try:
        text = repr(value)
    except Exception as error:
        return walk.words(f"<{kind.__module__}.{kind.__qualname__}: its repr raised {type(error).__name__}>")
    if type(text) is not str:
        text = "".join((text,))
    if len(text) <= REPR_LIMIT:
        return walk.words(text)
    return walk.words(f"{text[: REPR_LIMIT - 100]}… [cut: {len(text):,} characters in all]")


def _fields(kind: type) -> tuple[str, ...] | None:
    """List a record type's fields; those that it keeps out of its repr (secrets, bulk) stay out. None: no record."""
    try:
        if hasattr(kind, "__dataclass_fields__"):
            declared = getattr(kind, "__dataclass_fields__")  # noqa: B009  (a plain class has no such attribute)
            return tuple(name for name, field in declared.items() if _shown(field) and _is_field(field))
        if hasattr(kind, "__pydantic_validator__"):
            declared = getattr(kind, "__pydantic_fields__", None) or getattr(kind, "model_fields", {})
            return tuple(name for name, field in declared.items() if _shown(field))
        if hasattr(kind, "__attrs_attrs__"):
            declared = getattr(kind, "__attrs_attrs__")  # noqa: B009
            return tuple(field.name for field in declared if field.repr is not False)
        if hasattr(kind, "__struct_fields__"):
            return tuple(getattr(kind, "__struct_fields__"))  # noqa: B009
        if issubclass(kind, tuple) and hasattr(kind, "_fields"):
            return tuple(getattr(kind, "_fields"))  # noqa: B009
    except Exception:
        return None
    return None


def _shown(field: object) -> bool:
    return getattr(field, "repr", True) is not False


def _is_field(field: object) -> bool:
    # `ClassVar` and `InitVar` pseudo-fields stand in the same table.
    return getattr(getattr(field, "_field_type", None), "name", "_FIELD") == "_FIELD"


def _field_reader(names: tuple[str, ...]) -> Handler:
    def read(walk: Walk, value: object, depth: int) -> object:
        held: object = getattr(value, "__dict__", None)
        if isinstance(held, dict) and len(held) == len(names):
            pairs = [(name, held[name]) for name in names if name in held]
            if len(pairs) == len(names):
                return walk.pairs(pairs, len(pairs), depth)
        missing = object()
        found = [(name, getattr(value, name, missing)) for name in names]
        return walk.pairs([pair for pair in found if pair[1] is not missing], len(found), depth)

    return read


def _exception(walk: Walk, value: object, depth: int) -> object:
    kind = type(value)
    return {"type": f"{kind.__module__}.{kind.__qualname__}", "message": walk.words(str(value))}


def _named(walk: Walk, value: object, depth: int) -> object:
    module = getattr(value, "__module__", None)
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None) or type(value).__name__
    return walk.words(f"{module}.{name}" if isinstance(module, str) and module != "builtins" else str(name))


def _by(write: Callable[[object], str]) -> Handler:
    def handler(walk: Walk, value: object, depth: int) -> object:
        return walk.words(write(value))

    return handler


def _enum(walk: Walk, value: object, depth: int) -> object:
    return walk.words(f"{type(value).__name__}.{getattr(value, '_name_', '?')}")


def _iso(value: object) -> str:
    return str(getattr(value, "isoformat")())  # noqa: B009


def _secret(walk: Walk, value: object, depth: int) -> object:
    return "**********"


def _opaque(walk: Walk, value: object, depth: int) -> object:
    return walk.words(f"<{type(value).__name__}>")


def _mapping(walk: Walk, value: object, depth: int) -> object:
    return walk.pairs(list(value.items()), len(value), depth) if isinstance(value, Mapping) else None


def _array(walk: Walk, value: object, depth: int) -> object:
    """Arrays: their shape and type, and the first elements in reading order."""
    shape = tuple(getattr(value, "shape"))  # noqa: B009
    count = 1
    for length in shape:
        count *= int(length)
    out: dict[str, object] = {"array": list(map(int, shape)), "dtype": str(getattr(value, "dtype", "?"))}
    flat = getattr(value, "flat", None)
    if flat is not None and count <= 1000 and len(shape) <= 4:
        out["values"] = walk.take(getattr(value, "tolist")(), depth)  # noqa: B009
    elif flat is not None:
        first = [item.item() if hasattr(item, "item") else item for item in flat[:HEAD_ROWS]]
        out["first"] = walk.take(first, depth)
    walk.size += 200
    return out


def _scalar(walk: Walk, value: object, depth: int) -> object:
    return walk.take(getattr(value, "item")(), depth)  # noqa: B009


def _frame(walk: Walk, value: object, depth: int) -> object:
    """Data frames: shape, columns and the first rows."""
    rows, columns = getattr(value, "shape")  # noqa: B009
    head = getattr(value, "head")(HEAD_ROWS)  # noqa: B009
    records = head.to_dicts() if hasattr(head, "to_dicts") else head.to_dict("records")
    names = [str(name) for name in list(getattr(value, "columns"))[:200]]  # noqa: B009
    return {"rows": int(rows), "columns": names, "first": walk.take(records, depth), "column_count": int(columns)}


def _series(walk: Walk, value: object, depth: int) -> object:
    head = getattr(value, "head")(HEAD_ROWS)  # noqa: B009
    length = len(value) if hasattr(value, "__len__") else 0  # pyrefly: ignore[bad-argument-type]
    values = head.to_list() if hasattr(head, "to_list") else list(head)
    return {"series": str(getattr(value, "name", "")), "length": length, "first": walk.take(values, depth)}


def _picture(walk: Walk, value: object, depth: int) -> object:
    size: object = getattr(value, "size", None)
    return {"image": walk.take(size, depth), "mode": str(getattr(value, "mode", ""))}


_KNOWN: dict[tuple[str, str], Handler] = {
    ("enum", "Enum"): _enum,
    ("datetime", "date"): _by(_iso),
    ("datetime", "time"): _by(_iso),
    ("datetime", "timedelta"): _by(str),
    ("uuid", "UUID"): _by(str),
    ("pathlib", "PurePath"): _by(str),
    ("decimal", "Decimal"): _by(str),
    ("fractions", "Fraction"): _by(str),
    ("builtins", "complex"): _by(str),
    ("builtins", "range"): _by(repr),
    ("builtins", "generator"): _opaque,
    ("builtins", "coroutine"): _opaque,
    ("builtins", "async_generator"): _opaque,
    ("builtins", "mappingproxy"): _mapping,
    ("re", "Pattern"): _by(lambda value: str(getattr(value, "pattern", ""))),
    ("pydantic", "SecretStr"): _secret,
    ("pydantic", "SecretBytes"): _secret,
    ("numpy", "ndarray"): _array,
    ("numpy", "generic"): _scalar,
    ("torch", "Tensor"): _array,
    ("pandas", "DataFrame"): _frame,
    ("pandas", "Series"): _series,
    ("polars", "DataFrame"): _frame,
    ("polars", "Series"): _series,
    ("PIL", "Image"): _picture,
}
