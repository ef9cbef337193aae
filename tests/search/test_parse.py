"""Searches are read as they are meant, printed and read again; a mistake is told with its place and a way out."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.counts import counted
from tests.search.random_searches import searches
from tracer.errors import BadSearch
from tracer.search.documents import Side
from tracer.search.parse import MAX_TERMS, read_search
from tracer.search.tree import (
    All,
    Any,
    Child,
    Compares,
    Is,
    Node,
    Not,
    Pattern,
    Says,
    Step,
    show,
)

PARTS = (
    "(", ")", '"', "-", "*", ",", ":", ">", "<=", "OR", "AND", "NOT", " ", "name", "status", "step:(", "score.",
    "metadata.", "latency", "2s", "error", "\\", ".", "x", "é", "\0", "'; DROP TABLE trace; --", "%", "?",
)  # fmt: skip
INPUT = frozenset({Side.INPUT})


def is_(field: str, *words: str, key: str = "") -> Is:
    return Is(field, tuple(Pattern(tuple(word.split("*"))) for word in words), key)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", None),
        ("  ", None),
        ("*", None),
        ("refund", Says("refund")),
        ("refund policy", All((Says("refund"), Says("policy")))),
        ('"refund policy"', Says("refund policy")),
        ("refund*", Says("refund", beginning=True)),
        ('"refund po"*', Says("refund po", beginning=True)),
        ("status:error", is_("status", "error")),
        ("STATUS:Error", is_("status", "error")),
        ("status:error,abandoned", is_("status", "error", "abandoned")),
        ("name:draft*", is_("name", "draft*")),
        ('name:"draft answer"*', is_("name", "draft answer*")),
        ('name:"2 * 3"', Is("name", (Pattern(("2 * 3",)),))),
        (r'name:"a \"b\" \\ c:\d"', Is("name", (Pattern((r'a "b" \ c:\d',)),))),
        ("model:gpt-*,claude*", is_("model", "gpt-*", "claude*")),
        ("-status:error", Not(is_("status", "error"))),
        ("NOT status:error", Not(is_("status", "error"))),
        ("--refund", Says("refund")),
        ("a OR b c", Any((Says("a"), All((Says("b"), Says("c")))))),
        ("(a OR b) c", All((Any((Says("a"), Says("b"))), Says("c")))),
        ("a AND b", All((Says("a"), Says("b")))),
        ("-(a OR b)", Not(Any((Says("a"), Says("b"))))),
        ("latency>1.5s", Compares("latency", ">", 1_500_000_000)),
        ("latency:>=2m", Compares("latency", ">=", 120_000_000_000)),
        ("ttft<300ms", Compares("ttft", "<", 300_000_000)),
        ("cost>$0.05", Compares("cost", ">", 50_000_000)),
        ("tokens<=4k", Compares("tokens", "<=", 4_000)),
        ("tokens>1.5m", Compares("tokens", ">", 1_500_000)),
        ("spans:12", Compares("spans", "=", 12)),
        ("errors=0", Compares("errors", "=", 0)),
        ("score.helpful<0.5", Compares("score", "<", 0.5, "helpful")),
        ('score."is it good":yes', is_("score", "yes", key="is it good")),
        ("metadata.user.plan:pro", is_("metadata", "pro", key="user.plan")),
        ("attr.http.status_code:500", is_("attr", "500", key="http.status_code")),
        ("attr.retry>-1", Compares("attr", ">", -1, "retry")),
        ("has:score", is_("has", "score")),
        ("step:(kind:tool status:error)", Step(All((is_("kind", "tool"), is_("status", "error"))))),
        ("kind:agent child:(tool:x)", All((is_("kind", "agent"), Child(is_("tool", "x"))))),
        ("input:refund*,visa", Any((Says("refund", True, INPUT), Says("visa", False, INPUT)))),
        ("see https://example.com/a?b=c", All((Says("see"), Says("https://example.com/a?b=c")))),
        ("std::vector", Says("std::vector")),
        ("Note: this", All((Says("Note:"), Says("this")))),
        ("foo - bar", All((Says("foo"), Says("bar")))),
        ("user:ada@example.com", is_("user", "ada@example.com")),
        ("退款政策", Says("退款政策")),
    ],
)
def test_a_search_is_read_as_it_is_meant(text: str, tree: Node | None) -> None:
    found = read_search(text)

    assert found == tree
    assert read_search(show(found)) == found


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("status:eror", 8, "did you mean status:error? It is one of ok, error, unset, running, abandoned"),
        ("refund duration>3s", 8, "there is no field 'duration': did you mean latency, as in latency>2s?"),
        ("colour:red", 1, "there is no field 'colour': put it in quotes to find it as text"),
        ("latency>2", 9, "with its unit, such as 300ms, 1.5s or 2m"),
        ("tokens>1.5", 8, "nothing here is finer than a whole one"),
        ("cost>0.0000000001", 6, "nothing here is finer than nine decimals"),
        ("latency>" + "9" * 29 + "h", 9, "too large"),
        ("score.helpful>1e999", 15, "too large"),
        ("name>b", 5, "name takes a colon, as in name:draft*"),
        ("status!=error", 7, "written with a minus in front: -status:"),
        ("name:", 6, "a value is expected right after name:"),
        ("tag:a,", 7, "a value is expected right after tag:"),
        ("user:f(x)", 7, "put it in quotes if this belongs to it"),
        ("metadata:pro", 1, "metadata takes a key, as in metadata.plan:pro"),
        ("metadata.plan", 14, "a : with a value is expected"),
        ("kind.x:tool", 1, "kind takes no key"),
        ("step:tool", 6, "step takes terms in parentheses"),
        ("step:(spans>3)", 7, "spans is asked of traces"),
        ("step:(has:note)", 11, "has:note is asked of traces"),
        ("a OR", 5, "a term is expected after OR"),
        ("OR a", 1, "OR stands between two terms"),
        ("NOT", 4, "a term is expected after NOT"),
        ("(a b", 1, "this ( is never closed"),
        ("a b)", 4, "there is no ( that this ) closes"),
        ("a ()", 3, "there is no term between these parentheses"),
        ('a "b', 3, "this quote is never closed"),
        ('foo"bar"', 4, "put a space before this one"),
        ("re*fund", 3, "a star stands at the end of a word"),
        ("—", 1, "there is no word here"),
        ("-—", 1, "there is no word after this"),
        ("(" * 40 + "a" + ")" * 40, 13, "at most 12 parentheses"),
        (" ".join(f"w{number}" for number in range(40)), 137, f"at most {MAX_TERMS} terms"),
        ("name:" + "*a" * 20, 6, "at most 8 stars"),
        ("tag:" + ",".join(f"t{number}" for number in range(140)), None, "at most 100 values"),
        ("x" * 5_000, 4_001, "at most 4,000 characters"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, place: int | None, says: str) -> None:
    with pytest.raises(BadSearch) as found:
        read_search(text)

    assert says in found.value.message
    assert (found.value.status, found.value.code, found.value.field) == (400, "bad_search", "q")
    if place is not None and "terms" not in says:
        assert found.value.message.startswith(f"Character {place}: ")


def test_what_only_traces_have_is_no_search_among_spans() -> None:
    with pytest.raises(BadSearch, match="spans is asked of traces, and a span has none"):
        read_search("kind:llm spans>50", spans=True)


@settings(max_examples=counted(200, 20_000))
@given(searches())
def test_what_is_printed_reads_as_the_same_search(tree: Node) -> None:
    assert read_search(show(tree)) == tree


@settings(max_examples=counted(300, 20_000))
@given(
    st.one_of(
        st.text(max_size=60),
        st.lists(
            st.sampled_from(PARTS),
            max_size=25,
        ).map("".join),
    )
)
def test_any_text_is_a_search_or_a_mistake(text: str) -> None:
    try:
        found = read_search(text)
    except BadSearch:
        return
    assert read_search(show(found)) == found


@pytest.mark.parametrize(
    "part",
    ["(", ")", '"', "-", "*", "a*", "name:", "a,", "\\", "OR ", "a:", "metadata.", "((a", '"\\', "-(", "1" * 50, "é"],
)
def test_hostile_text_takes_linear_time(part: str) -> None:
    start = time.process_time()
    for before in ("", "name:", "metadata.x:", '"', "tokens>"):
        with suppress(BadSearch):
            read_search((before + part * 4_000)[:4_000])
    assert time.process_time() - start < 0.5
