"""Values of every sort are captured readably, within limits, and never raise (R74)."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import pathlib
import uuid
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from typing import Any, ClassVar

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepscope import _text, _values


def text_of(value: object) -> tuple[str, str, int | None]:
    taken, size = _values.take(value)
    assert size > 0
    return _text.written(taken)


def read(value: object) -> object:
    text, kind, _ = text_of(value)
    text.encode("utf-8", "surrogatepass")
    return text if kind == "text/plain" else json.loads(text, parse_constant=lambda name: pytest.fail(name))


class Colour(enum.Enum):
    RED = "r"


@dataclasses.dataclass
class Order:
    number: str
    pieces: list[int]
    card: str = dataclasses.field(default="4111", repr=False)
    limit: ClassVar[int] = 3


class Customer(pydantic.BaseModel):
    name: str
    order: Order
    password: pydantic.SecretStr
    token: str = pydantic.Field(repr=False)


class Plain:
    pass


class Shouting(str):
    def __str__(self) -> str:
        raise AssertionError("never called")

    __repr__ = __str__


class Odd(int):
    def __int__(self) -> int:
        raise AssertionError("never called")


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text", "text"),
        ("", ""),
        (0, 0),
        (None, None),
        (True, True),
        (1.5, 1.5),
        (float("nan"), "nan"),
        ([float("inf")], ["inf"]),
        ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}),
        ({7: "a", None: "b", True: "c", (1, 2): "d"}, {"7": "a", "null": "b", "true": "c", "(1, 2)": "d"}),
        ((1, 2), [1, 2]),
        ({7}, [7]),
        (deque([1, 2]), [1, 2]),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(list, a=[1]), {"a": [1]}),
        (Counter("aab"), {"a": 2, "b": 1}),
        (Point(1, 2), {"x": 1, "y": 2}),
        (Colour.RED, "Colour.RED"),
        (Order("A-1", [1, 2]), {"number": "A-1", "pieces": [1, 2]}),
        (
            Customer(name="Mara", order=Order("A-1", []), password="hunter2", token="t"),
            {"name": "Mara", "order": {"number": "A-1", "pieces": []}, "password": "**********"},
        ),
        (datetime.datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.timedelta(hours=1), "1:00:00"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (pathlib.PurePosixPath("/a/b"), "/a/b"),
        (decimal.Decimal("1.10"), "1.10"),
        (range(3), "range(0, 3)"),
        (ValueError("bad"), {"type": "builtins.ValueError", "message": "bad"}),
        (Plain, f"{__name__}.Plain"),
        (len, "len"),
        (Plain(), f"<{__name__}.Plain>"),
        ((n for n in "ab"), "<generator>"),
        (Shouting("x"), "x"),
        ([Shouting("x")], ["x"]),
        (Odd(5), 5),
        (b"plain text\n", {"bytes": 11, "text": "plain text\n"}),
        (b"\x00\xff", {"bytes": 2, "base64": "AP8="}),
        (bytearray(b"ab"), {"bytes": 2, "text": "ab"}),
        (b"\x89PNG\r\n\x1a\nrest", {"bytes": 12, "mime_type": "image/png", "base64": "iVBORw0KGgpyZXN0"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_captured_readably(value, expected):
    found = read(value)

    assert found == (str(expected).lower() if isinstance(expected, float) and expected != expected else expected)


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Liar:
    def __repr__(self) -> Any:
        return 7


class Exiting:
    def __repr__(self) -> str:
        raise RecursionError


class Slots:
    __slots__ = ("a",)

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)


def cycle() -> list[object]:
    found: list[object] = [1]
    found.append({"again": found})
    return found


def deep(levels: int) -> list[object]:
    found: list[object] = []
    for _ in range(levels):
        found = [found]
    return found


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (Broken(), "its repr raised RuntimeError"),
        (Liar(), "its repr raised TypeError"),
        (Exiting(), "its repr raised RecursionError"),
        (Slots(), "Slots"),
        ({"a": Broken()}, "its repr raised"),
        ({Broken(): 1}, "Broken"),
        (cycle(), "the same object again"),
        (deep(5000), "deeper levels are not kept"),
        (10**400, "1000000"),
        ([10**5000], "integer of 16,610 bits"),
        (["\ud800", "a\udfffb"], "a"),
        (list(range(50_000)), "40,000 more"),
        ({str(n): n for n in range(20_000)}, "10,000 more"),
        ([["x" * 1000] * 100] * 100, "cut: 1,000 characters in all"),
        (type("Huge", (), {"__repr__": lambda self: "x" * 5_000_000})(), "5,000,000 characters in all"),
        ({"k" * 5_000_000: 1}, "kkk…"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_r74_a_hostile_value_is_cut_or_replaced_and_never_raises(value, part):
    text, _, _ = text_of(value)

    assert part in text
    assert len(text) < 4 * _values.TEXT_LIMIT
    json.dumps(read(value))


def test_r74_a_text_of_30_mb_is_cut_and_its_length_is_kept():
    text, kind, full = text_of("x" * 30_000_000)

    assert kind == "text/plain"
    assert full == 30_000_000
    assert text.endswith("… [cut: 30,000,000 characters in all]")
    assert len(text) < _values.TEXT_LIMIT + 100


def test_r74_a_cut_text_travels_with_its_length(sent):
    import stepscope

    @stepscope.step
    def work() -> str:
        return "x" * 5_000_000

    assert len(work()) == 5_000_000
    assert sent().spans()["work"].attributes["stepscope.output.length"] == 5_000_000


def test_r74_hostile_arguments_pass_through_a_step_unharmed(sent):
    import stepscope

    @stepscope.step(name="\ud800 name\x00")
    def work(*args: object, **kwargs: object) -> tuple[object, ...]:
        return args

    values = (Broken(), cycle(), deep(5000), "\ud800", 10**400, float("nan"), b"\xff" * 3_000_000)
    assert work(*values, **{"\udfff": Exiting()}) == values

    (span,) = sent().finals()
    assert span.name == "� name\x00"
    assert len(span.read("input")["args"]) == 7


def test_a_long_text_is_held_and_not_copied():
    text = "x" * 1_000_000

    assert _values.take(text)[0] is text
    taken: Any = _values.take([text, {"a": [text]}])[0]
    assert taken[0] is text
    assert taken[1]["a"][0] is text


class Fields(pydantic.BaseModel):
    name: str
    count: int
    rate: float | None


@dataclasses.dataclass
class Late:
    first: str = dataclasses.field(init=False)
    second: int = 2

    def __post_init__(self) -> None:
        self.first = "set last"


@pytest.mark.parametrize(
    ("value", "change", "expected"),
    [
        ({"a": "b"}, lambda value: value.update(a="c"), {"a": "b"}),
        ({"a": "b", "n": 7, "none": None}, lambda value: value.clear(), {"a": "b", "n": 7, "none": None}),
        ({"a": "b", 7: 1}, lambda value: value.clear(), {"a": "b", "7": 1}),
        (
            Fields(name="x", count=3, rate=None),
            lambda value: setattr(value, "name", "y"),
            {"name": "x", "count": 3, "rate": None},
        ),
        (
            Fields.model_construct(rate=0.5, name="x", count=3),
            lambda value: value.__dict__.clear(),
            {"name": "x", "count": 3, "rate": 0.5},
        ),
        (Late(), lambda value: setattr(value, "first", "changed"), {"first": "set last", "second": 2}),
    ],
    ids=["dict", "mixed dict", "other keys", "model", "model in another order", "data class in another order"],
)
def test_a_small_dict_or_record_is_captured_at_the_call_and_not_later(value, change, expected):
    _values.take(value)  # the second time is another way
    taken, size = _values.take(value)
    change(value)

    assert json.loads(_text.to_json(taken)) == expected
    assert size > 100 * len(expected)


def test_bytes_are_held_and_what_can_change_is_copied():
    data, changing = b"x" * 1000, bytearray(b"ab")
    held: Any = _values.take(data)[0]
    assert held.data is data
    taken: Any = _values.take(changing)[0]
    changing[0] = 0
    assert taken.data == b"ab"


def fake(module: str, name: str, **fields: object) -> object:
    """An object whose type is called like one of a library that is not installed here."""
    kind = type(name, (), {"__module__": module, **fields})
    return kind()


def test_an_array_is_described_by_its_shape_type_and_first_elements():
    small = fake(
        "numpy", "ndarray", shape=(2, 2), dtype="int64", flat=[1, 2, 3, 4], tolist=lambda self: [[1, 2], [3, 4]]
    )
    large = fake("numpy", "ndarray", shape=(1000, 1000), dtype="float32", flat=list(range(50)))

    assert read(small) == {"array": [2, 2], "dtype": "int64", "values": [[1, 2], [3, 4]]}
    assert read(large) == {"array": [1000, 1000], "dtype": "float32", "first": list(range(20))}
    assert read(fake("numpy", "int64", item=lambda self: 7, __mro__=())) is not None


def test_a_data_frame_is_described_by_its_columns_and_first_rows():
    head = fake("pandas.core.frame", "Head", to_dict=lambda self, how: [{"a": 1}, {"a": 2}])
    frame = fake("pandas.core.frame", "DataFrame", shape=(900, 1), columns=["a"], head=lambda self, rows: head)

    assert read(frame) == {"rows": 900, "columns": ["a"], "column_count": 1, "first": [{"a": 1}, {"a": 2}]}


def test_types_made_at_run_time_do_not_pile_up():
    for number in range(3000):
        _values.take(type(f"T{number}", (), {})())

    assert len(_values._handlers) <= 1001


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20) | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(plain)
def test_any_value_becomes_strict_json_or_plain_text(value):
    text, kind, full = text_of(value)

    assert full is None
    assert isinstance(value, str) == (kind == "text/plain")
    if kind == "application/json":
        json.loads(text, parse_constant=lambda name: pytest.fail(name))
    _text.clean(text).encode()


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8"))))
def test_a_flat_dict_is_written_once_as_if_it_were_written_twice(value):
    quoted = _text.quoted_json(value)

    assert quoted is not None
    assert json.loads(json.loads(quoted)) == value


@given(st.text(st.characters()))
def test_cleaned_text_is_valid_unicode_and_valid_text_stays(text):
    cleaned = _text.clean(text)

    cleaned.encode()
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    assert cleaned == text
