"""Where the words stand that were searched for: as the index sees words."""

from __future__ import annotations

import pytest

from tracer.search.marks import around, places
from tracer.search.parse import read_search
from tracer.search.tree import said


@pytest.mark.parametrize(
    ("q", "text", "marked"),
    [
        ("refund", "Refund the refunds, REFUND!", ["Refund", "REFUND"]),
        ("refund*", "Refund the refunds", ["Refund", "refunds"[:6]]),
        ('"timed out"', "it timed-out; timed  out. timed", ["timed-out", "timed  out"]),
        ("user", "getUserById user_id superuser", ["User", "user"]),
        ("cafe", "Café, cafés", ["Café"]),
        ("退款", "申请退款政策", ["退款"]),
        ('"a.*b"', "a.*b and axb", ["a.*b"]),
        ("status:error -nowhere", "nowhere error", []),
        ("input:policy OR step:(kind:tool draft)", "policy draft tool", ["policy", "draft"]),
        ('"refund policy" refund', "refund policy, refund", ["refund policy", "refund"]),
        ("ta", "İ ta", ["ta"]),
    ],
)
def test_words_are_marked_as_the_index_finds_them(q: str, text: str, marked: list[str]) -> None:
    assert [text[start:end] for start, end in places(text, said(read_search(q)))] == marked


def test_a_place_is_shown_with_what_is_around_it() -> None:
    text = "a" * 100 + " refund " + "b" * 100
    place = places(text, said(read_search("refund")))[0]
    shown, moved = around(text, place, 40)
    assert len(shown) == 40
    assert shown[place[0] + moved : place[1] + moved] == "refund"
    assert (shown[0], shown[-1]) == ("…", "…")
    assert around("refund", (0, 6), 40) == ("refund", 0)
