import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.ingest.words import SHORT, words_as_json, words_of_json

words = st.lists(st.text(st.characters(exclude_categories=["Cs"])))


@given(words)
def test_words_come_back_as_they_were(given_words: list[str]) -> None:
    written = words_as_json(given_words)

    assert json.loads(written) == given_words
    assert words_of_json(written) == tuple(given_words)


def test_a_long_list_comes_back_too() -> None:
    long = [str(number) * 10 for number in range(SHORT)]

    assert words_of_json(words_as_json(long)) == tuple(long)


def test_text_that_is_no_json_is_told_of_each_time() -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="Expecting"):
            words_of_json("[tags")
