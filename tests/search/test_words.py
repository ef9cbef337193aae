"""Text is split the same way whoever does it, in every script."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.otlp.records import Scope, SpanRecord
from tracer.search import words as words_module
from tracer.search.documents import Side, fragments
from tracer.search.query import meets, term
from tracer.search.segments import SHORT, Builder, document_terms
from tracer.search.words import MARKS, WORD_BYTES, fold, needed, pieces, terms

SCRIPTS = "aZé09_-. ñß漢字かなカタ한국어ไทยहिन्दीعربيЖёΩ🎉👍🏽→€ﬁＡ①\u0301\u200d\n"
texts = st.one_of(st.text(alphabet=SCRIPTS, max_size=40), st.text(max_size=30))


def words(text: str) -> list[str]:
    return [piece.decode() for piece, _ in pieces(text)]


def index_terms(text: str) -> set[str]:
    return {one.decode() for one in terms(text)}


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("Refund policy, please!", ["refund", "policy", "please"]),
        ("snake_case v2.1.3 a/b-c", ["snake", "case", "v2", "1", "3", "a", "b", "c"]),
        ("Café ÉCOLE naïve Straße", ["cafe", "ecole", "naive", "strasse"]),
        ("ＡＢＣ ﬁne", ["abc", "fine"]),
        ("使用GPT模型", ["使用", "gpt", "模型"]),
        ("한국어 검색", ["한국어", "검색"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("Done 🎉👍🏽 → €5", ["done", "🎉", "👍", "→", "€", "5"]),
        ("don’t", ["don", "t"]),
        ("", []),
        ("—…!?", []),
    ],
)
def test_text_falls_into_words_runs_and_symbols(text, split):
    assert words(text) == split


def test_camel_case_is_found_whole_and_in_its_parts():
    assert {"getuserbyid", "get", "user", "by", "id"} <= index_terms("getUserById")
    assert {"httpserver", "http", "server"} <= index_terms("HTTPServer")
    assert {"sha256hash", "sha256", "hash"} <= index_terms("sha256Hash")
    assert index_terms("McDonald") == {"mcdonald", "mc", "donald"}


@given(st.text(alphabet="aB7 .", max_size=300), st.integers(0, 400))
def test_camel_case_is_seen_among_few_capitals_and_among_many(text, more):
    shapes = (text + " " * more).encode().translate(words_module._SHAPES)
    there = any(pair in shapes for pair in (b"\1\2", b"\2\2\1", b"\3\2\1"))

    assert words_module._has_joints(shapes) == there


def test_a_long_word_is_cut_the_same_in_texts_and_in_queries():
    word = "é" + "x" * 200

    assert all(len(one) <= WORD_BYTES for one in terms(word))
    assert [need for need, _ in needed(pieces(word))] == list(terms(word))


@given(texts)
def test_the_pieces_of_pieces_are_themselves(text):
    found = pieces(text)

    assert pieces(" ".join(piece.decode() for piece, _ in found)) == found


@given(texts)
def test_folding_twice_changes_nothing(text):
    assert fold(fold(text)) == fold(text)


@given(texts)
def test_composition_makes_no_difference(text):
    assert pieces(unicodedata.normalize("NFD", text)) == pieces(unicodedata.normalize("NFC", text))


@given(texts, texts, texts)
def test_a_part_of_a_text_needs_only_terms_that_the_text_has(before, middle, after):
    # What stands in a text between two spaces is in it, whatever the script.
    text = f"{before} {middle} {after}"
    held = terms(text)
    for need, beginning in needed(pieces(middle)):
        assert any(one.startswith(need) for one in held) if beginning else need in held


@given(texts, texts)
def test_every_text_meets_itself_as_a_phrase(text, other):
    made = term(text)

    if made is not None:
        assert all(meets(f"{other}\n{text}\n{other}", reading) for reading in made.readings[:1])


@given(st.text(alphabet="漢字変換機能退款政策", min_size=1, max_size=12), st.data())
def test_any_part_of_a_run_without_spaces_is_found(run, data):
    start = data.draw(st.integers(0, len(run) - 1))
    part = run[start : data.draw(st.integers(start + 1, len(run)))]
    held = terms(run)

    for need, beginning in needed(pieces(part)):
        assert any(one.startswith(need) for one in held) if beginning else need in held
    made = term(part)
    assert made is not None
    assert meets(run, made.readings[0])


@pytest.mark.parametrize(
    "text",
    [
        "a" + "\u0300" * 60_000 + "\u0316" * 60_000,
        "a" + "\u05b0\u05c1" * 60_000,
        ("\u05c1" * 30 + "\u00ad" + "\u05b0" * 30 + "\u00ad") * 2_000,
        "\u0f73" * 60_000 + "\u0f71\u0f72" * 30_000,
        "\u0e38\u0e48" * 60_000,
        "aB" * 100_000,
        "退款" * 100_000,
        "data:x;base64,AA " * 10_000,
    ],
)
def test_hostile_text_takes_linear_time(text: str) -> None:
    start = time.process_time()
    terms(text)
    pieces(text)
    fragments(SpanRecord(bytes(16), bytes(8), None, text, 1, 1, 2, 1, "", {}, [], [], {}, Scope()))
    assert time.process_time() - start < 4  # a second at most; what is quadratic takes a minute


def test_folding_leaves_as_many_marks_as_any_word_has() -> None:
    few = "\u05d1" + "\u05b0\u05bc\u05c1" * 3
    assert unicodedata.normalize("NFC", fold(few)) == unicodedata.normalize("NFC", few)
    assert len(fold("\u05d1" + "\u05b0" * 100)) == 1 + MARKS


def test_a_long_text_is_split_as_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["some words, 退款政策 and getUserById " * 40, "w" * 300, "退款政策" * 200, "ab cd\n" * 100]
    whole = [terms(text) for text in texts]
    monkeypatch.setattr("tracer.search.words.PART", 150)
    monkeypatch.setattr("tracer.search.segments.PART", 150)
    monkeypatch.setattr("tracer.search.query.OVERLAP", 100)
    for text, found in zip(texts, whole, strict=True):
        assert terms(text) >= found
        assert document_terms([text]) >= found
    made = term("policy words 退款政")
    assert made is not None
    assert meets("x " * 130 + "policy (words) 退款政策" + " y" * 300, made.readings[0])
    assert not meets("x " * 130 + "policy (word) 退款政策" + " y" * 300, made.readings[0])


def test_the_terms_of_a_document_are_bounded_and_none_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracer.search.segments.DOCUMENT_TERMS", 50)
    words = [f"word{number}" for number in range(2_000)]
    expected = set(sorted(one.encode() for one in words)[:50])
    assert document_terms([" ".join(words)]) == expected
    monkeypatch.setattr("tracer.search.words.PART", 500)
    monkeypatch.setattr("tracer.search.segments.PART", 500)
    of_the_beginning = document_terms([" ".join(words)])
    assert len(of_the_beginning) == 50
    assert of_the_beginning < {one.encode() for one in words[:110]}

    builder = Builder()
    builder.add(1, [(Side.INPUT, "f0" * 500_000), (Side.OUTPUT, "short " + "e1" * 50)])
    assert max(map(len, builder._postings)) <= SHORT
    assert builder.finish().terms == 3
