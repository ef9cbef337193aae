"""Searches that pages write: what a link adds, takes away, or says of its own."""

from __future__ import annotations

import pytest

from tracer.pages.search_text import asks_for, behind, term, toggled
from tracer.queries.metrics import Only
from tracer.search.parse import read_search
from tracer.search.tree import negated


def test_a_term_is_added_and_taken_away_again() -> None:
    one = toggled("", term("user", "mara o'hara"))
    two = toggled(one, term("status", "error"))
    assert two == 'user:"mara o\'hara" status:error'
    assert asks_for(two, term("status", "error"))
    assert toggled(two, term("user", "mara o'hara")) == "status:error"
    assert toggled(two, negated(term("status", "error"))) == 'user:"mara o\'hara" -status:error'
    assert toggled("a OR b", term("status", "ok")) == "(a OR b) status:ok"
    assert not asks_for("a OR status:ok", term("status", "ok"))
    assert toggled("stats:error", term("status", "ok")) == "status:ok"


@pytest.mark.parametrize(
    ("of", "by", "value", "only", "search"),
    [
        ("traces", None, None, Only(), ""),
        ("traces", "user", "mara", Only(), "user:mara"),
        ("traces", "user", None, Only(), "-user:*"),
        ("traces", "name", "a*b", Only(), 'name:"a*b"'),
        ("steps", None, None, Only(), ""),
        ("steps", "model", "gpt-4o", Only(), "step:(model:gpt-4o)"),
        (
            "steps",
            "status",
            "error",
            Only("plan", "gpt-4o", "llm"),
            "step:(name:plan model:gpt-4o kind:llm status:error)",
        ),
        ("steps", "model", None, Only("plan"), "step:(-model:* name:plan)"),
    ],
)
def test_a_series_is_searched_by_what_it_is(
    of: str, by: str | None, value: str | None, only: Only, search: str
) -> None:
    assert behind(of, by, value, only) == search
    read_search(search)
