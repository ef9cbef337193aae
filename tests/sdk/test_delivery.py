"""Delivery: what goes over the wire, when, and what each of a server's answers leads to."""

from __future__ import annotations

import json
import logging
import re
import socket
import threading
import time
from itertools import pairwise

import pytest

import stepscope
from stepscope import _config, _delivery, _export, _guard, _http, _runtime
from tests.sdk.sink import Reply, Sink, waited_for


def record(count: int, name: str = "work") -> None:
    for number in range(count):
        with stepscope.step(f"{name} {number}", input="x"):
            pass


def test_a_batch_is_gzipped_otlp_json_with_the_key_and_the_project(sink):
    stepscope.init(project="shop", endpoint=f"{sink.url}/", api_key="k-1", release="1.4", environment="staging")
    record(1)
    assert stepscope.flush(10)

    (request,) = sink.accepted()
    assert request.path == "/v1/traces"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["content-encoding"] == "gzip"
    assert request.headers["authorization"] == "Bearer k-1"
    assert request.headers["x-stepscope-project"] == "shop"
    about = sink.finals()[0].resource
    assert about["telemetry.sdk.name"] == "stepscope"
    assert about["telemetry.sdk.language"] == "python"
    assert about["telemetry.sdk.version"] == stepscope.__version__
    assert about["service.version"] == "1.4"
    assert about["deployment.environment.name"] == "staging"
    assert about["service.name"]


def test_without_key_and_project_their_headers_are_absent(sink):
    stepscope.init(endpoint=sink.url)
    record(1)
    assert stepscope.flush(10)

    headers = sink.accepted()[0].headers
    assert "authorization" not in headers
    assert "x-stepscope-project" not in headers


def test_the_environment_says_where_steps_go(sink, monkeypatch):
    monkeypatch.setenv("STEPSCOPE_ENDPOINT", f"{sink.url}/base")
    monkeypatch.setenv("STEPSCOPE_PROJECT", "from env")
    monkeypatch.setenv("STEPSCOPE_API_KEY", "k-env")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "till")

    record(1)  # without init
    assert stepscope.flush(10)

    (request,) = sink.accepted()
    assert request.path == "/base/v1/traces"
    assert request.headers["x-stepscope-project"] == "from env"
    assert request.headers["authorization"] == "Bearer k-env"
    assert sink.finals()[0].resource["service.name"] == "till"


def test_without_any_setting_the_endpoint_is_this_machine(monkeypatch):
    assert _config.load().endpoint == "http://127.0.0.1:4747"
    assert _config.load().problem is None


def test_in_a_test_run_that_names_no_endpoint_nothing_is_recorded():
    record(1)

    assert stepscope.status().recorded == 0
    assert "test run" in str(stepscope.status().reason)


@pytest.mark.parametrize("project", ["Läden 商店", "two\r\nlines: x", "x" * 300])
def test_any_project_name_reaches_the_server(sink, project):
    stepscope.init(project=project, endpoint=sink.url)
    record(1)
    assert stepscope.flush(10)

    assert sink.finals()[0].resource["stepscope.project"] == project.replace("\r\n", "")
    assert sink.accepted()[0].headers.get("lines") is None


@pytest.mark.parametrize(
    "endpoint", ["ftp://x", "localhost:4747", "http://", "http://x:99999", "http://a b", "http://x?y=1", "http://x\n"]
)
def test_a_wrong_endpoint_is_named_in_the_log_and_records_nothing(endpoint, caplog):
    stepscope.init(endpoint=endpoint.replace("\n", "\x01"))
    record(2)

    assert stepscope.status().recorded == 0
    assert "is not an http:// or https:// address" in str(stepscope.status().reason)
    assert len(caplog.records) == 1


def test_a_running_step_is_shown_with_its_input_and_then_finished(sent, sink):
    with stepscope.step("slow", kind="tool", input={"n": 1}) as handle:
        sink.wait(lambda: len(sink.versions()) == 1)
        handle.output = "so far"
        sink.wait(lambda: len(sink.versions()) == 2)
    sent()

    running, changed, final = sink.versions()
    assert running.running
    assert running.read("input") == {"n": 1}
    assert "output.value" not in running.attributes
    assert running.status == {}
    assert changed.running
    assert changed.read("output") == "so far"
    assert [running.attributes["stepscope.seq"], changed.attributes["stepscope.seq"]] == [1, 2]
    assert not final.running
    assert {running.span_id, changed.span_id, final.span_id} == {handle.span_id}
    assert running.start == final.start


def test_a_step_that_ends_before_its_running_version_left_is_sent_once(sent, sink, monkeypatch):
    monkeypatch.setattr(_export, "LINGER", 5.0)
    record(20)
    sent()

    assert len(sink.versions()) == len(sink.finals()) == 20


def test_growing_output_is_sent_while_it_grows_at_most_twice_a_second(sent, sink):
    with stepscope.step("draft", kind="llm") as handle:
        number = 0
        while len(sink.versions()) < 3:
            handle.stream(f"word{number} ")
            number += 1
            assert number < 2000
            time.sleep(0.005)
        handle.stream(None)
    sent()

    grown = partials(sink)
    assert len(grown) >= 2
    assert all(later.startswith(earlier) and len(later) > len(earlier) for earlier, later in pairwise(grown))
    times = [request.at for request in sink.accepted()]
    assert times[2] - times[1] > 0.25  # half a second, less what a request may take on a busy machine
    final = sink.versions()[-1]
    assert final.read("output") == "".join(f"word{each} " for each in range(number))
    assert "stepscope.output.partial" not in final.attributes
    assert 0 < final.attributes["gen_ai.response.time_to_first_chunk"] < 60


def partials(sink: Sink) -> list[str]:
    """The growing output as it came; a step may be shown before it has any."""
    key = "stepscope.output.partial"
    return [str(span.attributes[key]) for span in sink.versions() if key in span.attributes]


@pytest.mark.parametrize("letter", ["a", "ß", "商", "🚲"])
def test_growing_output_carries_its_last_64_kilobytes(sent, sink, letter):
    with stepscope.step("draft", kind="llm") as handle:
        handle.stream(letter * 100_000 + "end")
        sink.wait(lambda: bool(partials(sink)))
    sent()

    (partial,) = partials(sink)
    assert partial.endswith(letter + "end")
    assert 64 * 1024 - 4 <= len(partial.encode()) <= 64 * 1024
    assert sink.finals()[0].read("output") == letter * 100_000 + "end"


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_r75_a_server_that_is_busy_is_asked_again(sink, status):
    sink.reply = lambda number, request: Reply(status if number < 2 else 200)
    stepscope.init(endpoint=sink.url, spool=False)
    record(3)

    assert stepscope.flush(10)
    assert len(sink.accepted()) == 3
    bodies = {request.body for request in sink.accepted()}
    assert len(bodies) == 1
    assert stepscope.status()[:4] == (3, 3, 0, 0)
    assert stepscope.status().reason is None


def test_r75_retry_after_is_honoured(sink):
    sink.reply = lambda number, request: Reply(503, headers={"Retry-After": "0.6"}) if number == 0 else Reply()
    stepscope.init(endpoint=sink.url, spool=False)
    record(1)

    assert stepscope.flush(10)
    first, second = sink.accepted()
    assert second.at - first.at >= 0.6


@pytest.mark.parametrize("after", ["soon", "-5", "", "nan", "Wed, 21 Oct 1999 07:28:00 GMT", "1e999", "٣", "9" * 50])
def test_r75_a_senseless_retry_after_is_survived(after):
    seconds = _http.read_retry_after(after)

    assert seconds is None or 0 <= seconds <= _http.LONGEST_RETRY_AFTER


@pytest.mark.parametrize(
    "reply",
    [
        Reply(400),
        Reply(401, b'{"code": 16, "message": "no such key"}'),
        Reply(403, b"[" * 60_000),
        Reply(404, b"<html>nothing here</html>"),
        Reply(415),
        Reply(500, b"\x00\xff" * 100),
        Reply(302, headers={"Location": "http://127.0.0.1:9/v1/traces"}),
        Reply(200, b"<html>hello</html>"),
        Reply(200, b"[1, 2]"),
        Reply(200, b"x" * 20_000_000),
    ],
    ids=lambda reply: f"{reply.status}-{len(reply.body)}",
)
def test_r75_an_answer_that_refuses_is_final_counted_and_logged_once(sink, caplog, reply):
    sink.reply = lambda number, request: reply
    stepscope.init(endpoint=sink.url, spool=False)
    record(2, "first")
    assert stepscope.flush(10)
    record(2, "second")
    assert stepscope.flush(10)

    assert len(sink.accepted()) == 2
    assert stepscope.status()[:4] == (4, 0, 0, 4)
    assert "did not take steps" in str(stepscope.status().reason)
    assert len([one for one in caplog.records if one.levelno == logging.WARNING]) == 1
    assert len(caplog.text) < 2000


def test_r75_the_servers_own_words_are_passed_on(sink):
    sink.reply = lambda number, request: Reply(401, b'{"code": 16, "message": "this key\\nwas revoked"}')
    stepscope.init(endpoint=sink.url, spool=False)
    record(1)
    stepscope.flush(10)

    assert "401 (is the API key right?): this key was revoked" in str(stepscope.status().reason)


def test_a_batch_that_is_too_large_is_halved_until_it_fits(sink):
    def reply(number, request):
        spans = len(request.document["resourceSpans"][0]["scopeSpans"][0]["spans"])
        big = "needle" in json.dumps(request.document)
        return Reply(413 if spans > 3 or (big and spans == 1) else 200 if not big else 413)

    sink.reply = reply
    stepscope.init(endpoint=sink.url, spool=False)
    record(10)
    with stepscope.step("too large", input="needle"):
        pass

    assert stepscope.flush(10)
    taken = set()
    for number, request in enumerate(sink.accepted()):
        if reply(number, request).status == 200:
            taken |= set(re.findall(r'"name": "(work \d+)"', json.dumps(request.document)))
    assert taken == {f"work {number}" for number in range(10)}
    assert stepscope.status()[:4] == (11, 10, 0, 1)
    assert "larger than the server" in str(stepscope.status().reason)


def test_steps_that_the_server_takes_out_of_a_batch_are_counted(sink, caplog):
    said = b'{"partialSuccess": {"rejectedSpans": "2", "errorMessage": "no"}}'
    sink.reply = lambda number, request: Reply(200, said)
    stepscope.init(endpoint=sink.url, spool=False)
    record(5)

    assert stepscope.flush(10)
    assert stepscope.status()[:4] == (5, 3, 0, 2)
    assert "2 of its steps" in str(stepscope.status().reason)
    assert len(caplog.records) == 1


def test_one_connection_is_kept_and_a_closed_one_is_no_failure(sink):
    sink.reply = lambda number, request: Reply(headers={"Connection": "close"} if number == 1 else {})
    stepscope.init(endpoint=sink.url, spool=False)
    for number in range(4):
        record(1, f"round {number}")
        assert stepscope.flush(10)

    assert stepscope.status()[:4] == (4, 4, 0, 0)
    assert len(sink.finals()) == 4


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_r70_steps_wait_for_a_server_that_is_away_and_go_out_when_it_comes(caplog):
    port = free_port()
    stepscope.init(endpoint=f"http://127.0.0.1:{port}", spool=False)
    record(3, "early")
    assert not stepscope.flush(5)
    assert stepscope.status()[:4] == (3, 0, 3, 0)
    assert "Connection refused" in str(stepscope.status().reason)
    assert len(caplog.records) == 1

    late = Sink(port)
    try:
        waited_for(lambda: stepscope.status().delivered == 3)
        record(2, "late")
        assert stepscope.flush(10)
        assert {span.name for span in late.finals()} == {"early 0", "early 1", "early 2", "late 0", "late 1"}
        assert stepscope.status()[:4] == (5, 5, 0, 0)
    finally:
        stepscope.shutdown(1)
        late.close()


def test_r70_memory_is_bounded_by_bytes_and_each_dropped_step_is_counted(sink, caplog):
    sink.reply = lambda number, request: Reply(delay=30)
    stepscope.init(endpoint=sink.url, spool=False, memory=300_000)
    for number in range(500):
        with stepscope.step("work", input="x" * 1000 + str(number)):
            pass
    status = stepscope.status()
    assert status.recorded == 500
    assert status.recorded == status.delivered + status.waiting + status.dropped
    assert 300 < status.dropped < 400
    assert "300,000 bytes" in caplog.text
    assert len(caplog.records) == 1

    sink.released.set()
    assert stepscope.flush(10)
    assert stepscope.status()[:4] == (500, 500 - status.dropped, 0, status.dropped)


def test_r77_flush_returns_within_its_time(sink):
    sink.reply = lambda number, request: Reply(delay=30)
    stepscope.init(endpoint=sink.url, spool=False)
    record(1)

    began = time.monotonic()
    assert not stepscope.flush(0.3)
    assert not stepscope.flush(0)
    assert time.monotonic() - began < 3


def test_r77_no_thread_of_ours_keeps_the_program_alive(sent):
    record(1)
    ours = [thread for thread in threading.enumerate() if thread.name == "stepscope"]
    assert ours
    assert all(thread.daemon for thread in ours)


def test_r76_init_again_sends_later_steps_to_the_new_place_and_loses_none(sink):
    other = Sink()
    try:
        stepscope.init(endpoint=sink.url, spool=False)
        stepscope.init(endpoint=sink.url, spool=False)
        with stepscope.step("under way"):
            record(1, "old")
            stepscope.init(endpoint=other.url, spool=False)
            record(1, "new")
        assert stepscope.flush(10)
        sink.wait(lambda: len(sink.finals()) == 2)
        assert {span.name for span in sink.finals()} == {"old 0", "under way"}
        assert {span.name for span in other.finals()} == {"new 0"}
    finally:
        stepscope.shutdown(1)
        other.close()


def test_r76_after_shutdown_steps_cost_nothing_and_init_starts_again(sink):
    stepscope.init(endpoint=sink.url, spool=False)
    held = stepscope.step("held")
    held.__enter__()
    assert stepscope.shutdown(5)
    assert stepscope.shutdown(5)
    record(3)
    held.__exit__(None, None, None)
    assert stepscope.flush(1)
    assert stepscope.status().reason == "shutdown() was called"

    stepscope.init(endpoint=sink.url, spool=False)
    record(1, "again")
    assert stepscope.flush(10)
    assert [span.name for span in sink.finals()] == ["again 0"]


def test_nothing_recorded_means_nothing_to_flush():
    assert stepscope.flush(0)
    assert stepscope.status().recorded == 0


def test_a_step_that_cannot_be_written_costs_only_itself(sent, sink, monkeypatch):
    whole = _delivery.span_bytes

    def broken(step, redact, masks):
        if step._name == "work 1":
            raise ValueError("no")
        return whole(step, redact, masks)

    monkeypatch.setattr(_guard, "reraise", False)
    monkeypatch.setattr(_delivery, "span_bytes", broken)
    record(3)

    assert stepscope.flush(10)
    assert {span.name for span in sink.finals()} == {"work 0", "work 2"}
    assert stepscope.status()[:4] == (3, 2, 0, 1)


def test_a_batch_that_cannot_be_written_is_counted_and_its_memory_is_free_again(sent, sink, monkeypatch, caplog):
    whole = _delivery.request_bytes
    times = iter(range(1))

    def no_memory(*given):
        if next(times, None) is not None:
            raise MemoryError
        return whole(*given)

    monkeypatch.setattr(_guard, "reraise", False)
    monkeypatch.setattr(_export, "LINGER", 5.0)
    monkeypatch.setattr(_delivery, "request_bytes", no_memory)
    record(3, "lost")
    stepscope.flush(10)
    record(2)

    assert stepscope.flush(10)
    assert {span.name for span in sink.finals()} == {"work 0", "work 1"}
    assert stepscope.status()[:4] == (5, 2, 0, 3)
    assert caplog.text.count("3 dropped") == 1
    assert _runtime.exporter is not None
    assert _runtime.exporter._bytes_held() == 0


def test_redact_sees_every_text_before_it_leaves(sink):
    def redact(key: str, text: str) -> str:
        return text.replace("secret", "[hidden]")

    stepscope.init(endpoint=sink.url, spool=False, redact=redact)

    def work() -> None:
        around = stepscope.context(user="secret", metadata={"a": "secret"})
        with around, stepscope.step("work", kind="llm", input={"a": ["secret"]}) as handle:
            handle.messages = "secret"
            handle.output = "secret"
            handle.tags = ["secret"]
            handle.documents = ["secret"]
            handle.prompt("secret {x}", {"x": "secret"})
            handle.set("mine", {"x": "secret"})
            handle.event("e", text="secret")
            raise ValueError("secret")

    with pytest.raises(ValueError, match="secret"):
        work()

    stepscope.flush(10)
    span = sink.spans()["work"]
    assert "secret" not in str(span).replace('raise ValueError("[hidden]")', "")
    assert str(span).count("[hidden]") >= 11
