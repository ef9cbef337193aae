"""Scores: what is sent, what is refused, and that a server without them loses nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

import stepscope
from stepscope import testing
from tests.sdk.sink import Reply, Sink

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def scores(sink: Sink) -> list[dict[str, object]]:
    return [json.loads(request.body) for request in sink.accepted() if request.path == "/api/v1/scores"]


def traces(sink: Sink) -> list[str]:
    found = [request for request in sink.accepted() if request.path == "/v1/traces"]
    return [span["name"] for request in found for span in request.spans if span["endTimeUnixNano"] != "0"]


def test_a_score_goes_to_its_trace_with_its_words_masked(sink, sent):
    stepscope.score(
        "helpful",
        0.5,
        trace_id=TRACE.upper(),
        span_id=SPAN,
        source="user",
        comment="see sk-abcdefghijklmnop12345678",
        id="s-1",
    )
    sent()

    (request,) = sink.accepted()
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-stepscope-project"] == "tests"
    assert scores(sink) == [
        {"trace_id": TRACE, "name": "helpful", "value": 0.5, "source": "user", "span_id": SPAN,
         "comment": "see [masked key]", "id": "s-1"}
    ]  # fmt: skip
    status = stepscope.status()
    assert (status.recorded, status.delivered) == (1, 1)


def test_inside_a_step_its_trace_is_meant_and_a_handle_scores_itself(sink, sent):
    with stepscope.step("answer") as s:
        stepscope.score("liked", True)
        s.score("style", "good", source="model")
    sent()

    assert [(one["trace_id"], one.get("span_id"), one["value"]) for one in scores(sink)] == [
        (s.trace_id, None, True), (s.trace_id, s.span_id, "good"),
    ]  # fmt: skip
    assert traces(sink) == ["answer"]


def test_steps_and_scores_keep_their_order_and_are_all_delivered(sink, sent):
    for number in range(20):
        with stepscope.step(f"work {number}") as s:
            pass
        s.score("n", number)
    sent()

    assert [one["value"] for one in scores(sink)] == list(range(20))
    assert len(traces(sink)) == 20
    assert stepscope.status().delivered == 40


def test_a_server_without_scores_is_named_once_and_the_scores_are_counted_as_dropped(sink, sent, caplog):
    sink.reply = lambda number, request: Reply(404) if "scores" in request.path else Reply()
    with stepscope.step("answer") as s:
        pass
    for number in range(3):
        s.score("n", number)
    sent()

    status = stepscope.status()
    assert (status.recorded, status.delivered, status.dropped) == (4, 1, 3)
    assert status.reason is not None
    assert "takes no scores" in status.reason
    assert len([record for record in caplog.records if "takes no scores" in record.message]) == 1


@pytest.mark.parametrize("code", [400, 413, 422])
def test_a_score_that_a_server_refuses_is_dropped_alone(sink, sent, code):
    sink.reply = lambda number, request: Reply(code) if "scores" in request.path else Reply()
    with stepscope.step("answer") as s:
        s.score("n", 1)
    sent()

    assert (stepscope.status().delivered, stepscope.status().dropped) == (1, 1)


def test_a_score_is_sent_again_where_the_server_is_busy(sink, sent):
    sink.reply = lambda number, request: Reply(503 if number == 0 else 201, b'{"id": "1"}', {"Retry-After": "0"})
    stepscope.score("n", 1, trace_id=TRACE)
    sent()

    assert len(scores(sink)) == 2
    assert stepscope.status().delivered == 1


def test_scores_wait_on_disk_and_go_out_with_the_next_process(sink, tmp_path):
    url = sink.url
    sink.close()
    stepscope.init(endpoint=url, spool=str(tmp_path))
    with stepscope.step("answer") as s:
        s.score("n", 1)
    stepscope.shutdown(2)
    late = Sink(int(url.rpartition(":")[2]))
    try:
        stepscope.init(endpoint=url, spool=str(tmp_path))
        with stepscope.step("next"):
            pass
        assert stepscope.flush(10)
        assert [one["value"] for one in scores(late)] == [1]
        assert sorted(traces(late)) == ["answer", "next"]
    finally:
        late.close()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "nothing runs here"),
        ({"trace_id": "no"}, "hex digits"),
        ({"trace_id": "0" * 32}, "hex digits"),
        ({"trace_id": TRACE, "span_id": "xyz"}, "hex digits"),
        ({"trace_id": TRACE, "source": "me"}, "its source is one of"),
        ({"trace_id": TRACE, "value": float("nan")}, "no finite number"),
        ({"trace_id": TRACE, "value": object()}, "its value is"),
        ({"trace_id": TRACE, "name": "  "}, "no name"),
    ],
)
def test_a_score_that_makes_no_sense_is_not_taken_and_says_why(given, why, caplog):
    with testing.capture() as steps:
        told: Any = {"name": "n", "value": 1, **given}
        stepscope.score(**told)

    assert steps.scores == []
    assert why in caplog.text


def test_scores_are_captured_in_tests():
    with testing.capture() as steps, stepscope.step("answer") as s:
        stepscope.score("helpful", False, comment="no")

    assert steps.scores == [
        {"trace_id": s.trace_id, "name": "helpful", "value": False, "source": "code", "comment": "no"}
    ]
    assert len(steps) == 1
