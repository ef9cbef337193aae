"""The page of attributes says what the code reads."""

from __future__ import annotations

from tools.dialect_docs import PAGE, WORDS, page
from tracer.otlp.dialects.conventions import dialects
from tracer.otlp.dialects.dialect import Field, Key


def test_the_page_is_what_the_code_says():
    assert PAGE.read_text() == page(), "run python -m tools.dialect_docs"


def test_every_attribute_of_every_convention_is_on_the_page():
    text = PAGE.read_text()
    for dialect in dialects():
        assert f"## {dialect.name}\n" in text
        for keys in dialect.facts.values():
            for key in keys:
                assert f"`{key.name if isinstance(key, Key) else key}`" in text


def test_every_field_has_a_word():
    assert set(WORDS) == set(Field) - {Field.MARK}
