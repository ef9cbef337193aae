"""The page about searching says what the code reads."""

from __future__ import annotations

import re

import pytest

from tools.search_docs import PAGE, page
from tracer.search.fields import FIELDS
from tracer.search.parse import read_search


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text() == page(), "run python -m tools.search_docs"


def test_the_searches_at_the_top_of_the_page_can_be_read() -> None:
    block = PAGE.read_text().split("```")[1]
    searches = [re.split(r"\s{3,}", line)[0] for line in block.strip().splitlines()]

    assert len(searches) > 5
    assert all(read_search(one) is not None for one in searches)


@pytest.mark.parametrize("field", FIELDS, ids=lambda one: one.name)
def test_every_example_is_a_search_with_its_field(field) -> None:
    assert read_search(field.example) is not None
    assert f"{field.name}" in field.example
