"""One line by which a person recognises a step."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.otlp.dialects.spans import facts_of, scenario, span
from tracer.otlp.dialects import preview, previews
from tracer.otlp.dialects.skim import LONG as LONG_TEXT
from tracer.otlp.dialects.skim import skim, skimmed
from tracer.otlp.records import SpanRecord

LONG = "lorem ípsum " * 100_000


def lines_of(one: SpanRecord) -> Any:
    return preview(one, facts_of(one))


def previewed(**attributes: Any) -> Any:
    one = span({key.replace("__", "."): value for key, value in attributes.items()})
    return lines_of(one)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("What is up?", "What is up?"),
        ('{"question": "What is up?"}', "What is up?"),
        ('{"args": ["What is up?"], "kwargs": {}}', "What is up?"),
        ('{"args": [], "kwargs": {"q": "What is up?"}}', "What is up?"),
        ('{"inputs": {"q": "What is up?"}, "tags": []}', "What is up?"),
        (
            '{"messages": [{"role": "user", "content": "Hi"}, {"role": "user", "content": "What is up?"}]}',
            "What is up?",
        ),
        ('{"question": "What is up?", "k": 3}', "What is up?"),
        ('{"a": 1, "b": 2}', '{"a":1,"b":2}'),
        ("  What\n\tis   up?  ", "What is up?"),
        ("{broken", "{broken"),
        ("", None),
        ("   ", None),
    ],
)
def test_an_input_is_told_by_what_a_person_said(value, line):
    assert previewed(openinference__span__kind="CHAIN", input__value=value)[0] == line


def test_a_model_step_is_told_by_the_last_question_and_the_answer():
    asked = [
        {"role": "user", "content": "First"},
        {"role": "assistant", "content": "Mm"},
        {"role": "user", "content": "Last"},
    ]
    answer = [
        {"role": "assistant", "parts": [{"type": "reasoning", "content": "hm"}, {"type": "text", "content": "Yes"}]}
    ]

    found = previewed(
        gen_ai__operation__name="chat",
        gen_ai__input__messages=json.dumps(asked),
        gen_ai__output__messages=json.dumps(answer),
    )
    assert found == ("Last", "Yes")


def test_an_answer_without_words_is_told_by_its_tool_calls():
    call = {"type": "tool_call", "name": "get_weather", "arguments": {"city": "Oslo", "days": 2}}
    sent = json.dumps([{"role": "assistant", "parts": [call]}])

    assert (
        previewed(gen_ai__operation__name="chat", gen_ai__output__messages=sent)[1] == "get_weather(city=Oslo, days=2)"
    )


def test_a_long_text_is_cut_with_a_mark():
    line = previewed(openinference__span__kind="CHAIN", input__value="word " * 100)[0]

    assert len(line) <= 200
    assert line.endswith("…")


@pytest.mark.parametrize("ascii_only", [True, False])
def test_of_a_megabyte_only_the_beginning_and_the_last_question_are_read(ascii_only):
    asked = [
        {"role": "user", "parts": [{"type": "text", "content": "First"}]},
        {"role": "assistant", "parts": [{"type": "text", "content": LONG}]},
        {"role": "user", "parts": [{"type": "text", "content": 'The "last" é'}]},
    ]
    answer = [{"role": "assistant", "parts": [{"type": "text", "content": "Well, " + LONG}]}]

    found = previewed(
        gen_ai__operation__name="chat",
        gen_ai__input__messages=json.dumps(asked, ensure_ascii=ascii_only),
        gen_ai__output__messages=json.dumps(answer, ensure_ascii=ascii_only),
    )
    assert found[0] == 'The "last" é'
    assert found[1].startswith("Well, lorem ípsum")


@pytest.mark.parametrize(
    "value",
    [LONG, json.dumps({"question": LONG}), '["' + "\\" * 90_000, '{"a": ' * 30_000, '"' * 90_000, "[{" * 40_000],
)
def test_a_long_text_of_any_form_is_cut_before_it_is_read(value):
    one = span({"openinference.span.kind": "CHAIN", "input.value": value, "output.value": value})
    asked, answered = lines_of(one)

    assert all(len(str(text)) <= LONG_TEXT for text in skimmed(one).attributes.values())
    assert asked == answered
    assert 0 < len(asked) <= 200


def test_what_a_cut_left_of_json_is_json_again():
    for sent in ({"question": LONG}, [{"a": [1, {"b": LONG}]}], {"x" * 7_990: LONG}, {"n": list(range(20_000))}):
        assert isinstance(json.loads(skim(json.dumps(sent))), type(sent))


def test_every_step_of_a_real_agent_has_a_line():
    run = scenario("openinference-openai/chain")
    lines = {one.name: lines_of(one) for one in run.spans.values()}

    assert all(asked and answered for asked, answered in lines.values()), lines


@given(st.lists(st.text("ab \n\t", max_size=40) | st.sampled_from([" " * 300, "word " * 60]), max_size=8))
def test_a_line_is_the_folded_text_up_to_its_length(parts: list[str]) -> None:
    folded = " ".join("".join(parts).split())

    shown = previews.line("".join(parts))

    assert shown == (folded if len(folded) <= 200 else folded[:199].rstrip() + "…")
