"""Forms of documents, message parts and arguments that only some vendors and frameworks write."""

from __future__ import annotations

import pytest

from tracer.otlp.dialects.documents import documents
from tracer.otlp.dialects.fill import called_with
from tracer.otlp.dialects.messages import message
from tracer.otlp.dialects.parts import of_content


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ([["one", "two"]], [{"content": "one"}, {"content": "two"}]),
        ([[{"content": "one"}, 0.5]], [{"content": "one", "score": 0.5}]),
        ([[0.5, {"content": "one"}], ["two", 0.25]], [{"content": "one", "score": 0.5}, {"content": "two"}]),
        ([{"id": 7, "content": {"text": "one"}}], [{"id": "7", "content": "one"}]),
        ([{"content": {"rows": [1]}}], [{"content": '{"rows":[1]}'}]),
        (
            [{"id": "a", "metadata": {"text": "one", "score": 0.5}}],
            [{"id": "a", "content": "one", "score": 0.5, "metadata": {"text": "one", "score": 0.5}}],
        ),
        ([{"id": "a", "score": 0.5}], [{"id": "a", "content": None, "score": 0.5}]),
        ([{"id": "a"}], None),
        ([{"content": "one"}, 7], None),
        ([""], None),
        ([], None),
        ("one", [{"content": "one"}]),
        ({"context": "one"}, [{"content": "one"}]),
        (
            {"results": {"matches": [{"id": "a", "payload": {"text": "one"}, "score": 1}]}},
            [{"content": "one", "score": 1.0}],
        ),
        ({"nothing": 1}, None),
        (7, None),
    ],
)
def test_documents(sent, read):
    assert documents(sent) == read


@pytest.mark.parametrize(
    ("sent", "part"),
    [
        ({"type": "text", "text": "a", "annotations": [1]}, {"type": "text", "content": "a", "annotations": [1]}),
        ({"type": "text", "text": "a", "citations": [2]}, {"type": "text", "content": "a", "annotations": [2]}),
        ({"type": "text", "text": 7}, {"type": "text", "content": "7"}),
        ({"type": "thinking", "thinking": {"text": "hm"}}, {"type": "reasoning", "content": "hm"}),
        ({"type": "reasoning", "summary": [{"text": "a"}, "b", 7]}, {"type": "reasoning", "content": "a\nb"}),
        (
            {"type": "image_url", "image_url": {"url": "data:text/plain,hi"}},
            {"type": "blob", "mime_type": "text/plain", "data": "aGk="},
        ),
        ({"type": "image_url", "image_url": {"url": "data:nothing"}}, {"type": "uri", "uri": "data:nothing"}),
    ],
)
def test_parts(sent, part):
    found = of_content([sent])

    assert len(found) == 1
    assert part.items() <= found[0].items()


def test_a_text_block_without_text_is_nothing():
    assert of_content([{"type": "text", "text": None}]) == []


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ({"args": [1], "kwargs": {}}, 1),
        ({"args": [], "kwargs": {"a": 1}}, {"a": 1}),
        ({"args": [1, 2], "kwargs": {}}, [1, 2]),
        ({"args": [1], "kwargs": {"a": 1}}, {"args": [1], "kwargs": {"a": 1}}),
        ({"args": [], "kwargs": {}}, {}),
        ({"args": [1], "other": 1}, {"args": [1], "other": 1}),
        ("text", "text"),
    ],
)
def test_arguments_of_a_function(sent, read):
    assert called_with(sent) == read


def test_a_message_that_answers_tools_alone_is_the_tools():
    sent = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "3"}]}

    made = message(sent)

    assert made is not None
    assert made["role"] == "tool"


@pytest.mark.parametrize("sent", [None, 7, "", {}, []])
def test_what_is_no_message_is_none(sent):
    assert message(sent) is None
