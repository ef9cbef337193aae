"""OTLP over gRPC: the same spans, the same promises, by the real exporter and by hand."""

from __future__ import annotations

import gzip
import socket
import threading
import zlib
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult

from tests import make
from tests.client import Client, Process, Service, Start, in_process, wait_until
from tests.databases import NewDatabase
from tracer.access.keys import KeyRight, Wanted, make_key
from tracer.access.tokens import ensure_admin_token
from tracer.api.otlp_grpc import MESSAGES_COMING, GrpcDoor
from tracer.errors import BadSetting, Unavailable
from tracer.queries.scope import EVERYTHING
from tracer.serve import _bind

SERVICE = "/opentelemetry.proto.collector.{0}.v1.{1}Service/Export"
SIGNALS = [("trace", "Trace"), ("logs", "Logs"), ("metrics", "Metrics")]
LIMIT = 1_000_000


@pytest.fixture(params=["sqlite", "postgresql"])
def service(request: pytest.FixtureRequest, new_database: NewDatabase) -> Iterator[Service]:
    with in_process(new_database(request.param), grpc_port=0, max_body=LIMIT) as running:
        yield running


@pytest.fixture(scope="module")
def one_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """For tests that a second kind of database could not change."""
    folder = tmp_path_factory.mktemp("grpc")
    with in_process(f"sqlite:///{folder}/s.db", grpc_port=0, max_body=LIMIT) as running:
        yield running


def address(service: Service) -> str:
    return f"127.0.0.1:{service.app.state.grpc_port}"


class Caller:
    """Calls Export with bytes as they are."""

    def __init__(self, service: Service) -> None:
        self.channel = grpc.insecure_channel(address(service), options=[("grpc.max_send_message_length", -1)])

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def call(
        self, body: bytes, *, signal: tuple[str, str] = ("trace", "Trace"), packed: Any = None, **having: str
    ) -> bytes:
        metadata = tuple((name.replace("_", "-"), value) for name, value in having.items())
        call = self.channel.unary_unary(SERVICE.format(*signal))
        return call(body, metadata=metadata, compression=packed, timeout=30)

    def refused(self, body: bytes, **having: Any) -> Any:
        with pytest.raises(grpc.RpcError) as problem:
            self.call(body, **having)
        return problem.value


def finished() -> Any:
    """A span as the SDK hands it to an exporter."""
    with TracerProvider().get_tracer("test").start_as_current_span("answer") as span:
        pass
    return span


def spans(*made: make.Message) -> bytes:
    return make.as_protobuf(make.request(*made))


@pytest.mark.parametrize("packed", [None, grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_the_real_exporter_is_answered_when_its_spans_are_stored(service: Service, packed: Any) -> None:
    exporter = OTLPSpanExporter(
        endpoint=address(service), insecure=True, headers={"x-stepscope-project": "shop"}, compression=packed
    )
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("test").start_as_current_span("answer") as span:
        span.set_attribute("input.value", "When? " * 1_000)
        trace_id = f"{span.get_span_context().trace_id:032x}"
    with Client(service.url, project="shop") as client:
        assert client.trace(trace_id)["spans"][0]["input"]["value"].startswith("When? When?")
    provider.shutdown()


def test_an_answer_means_stored_and_what_is_refused_is_counted(service: Service) -> None:
    good, bad = make.span("good"), {**make.span("bad"), "spanId": "00" * 8}
    with Caller(service) as caller, Client(service.url) as client:
        answer = ExportTraceServiceResponse.FromString(
            caller.call(spans(good, bad), x_stepscope_project=client.project)
        )
        assert answer.partial_success.rejected_spans == 1
        assert "refused" in answer.partial_success.error_message
        assert client.trace(good["traceId"])["span_count"] == 1
        assert caller.call(spans(good), x_stepscope_project=client.project) == b""
        assert client.trace(good["traceId"])["span_count"] == 1


def test_logs_are_joined_and_metrics_are_answered(service: Service) -> None:
    one = make.span("chat")
    logs = make.log_request(make.log("it happened", trace=one["traceId"], span=one["spanId"]))
    with Caller(service) as caller, Client(service.url) as client:
        named = {"x_stepscope_project": client.project}
        said = caller.call(make.as_protobuf(logs), signal=("logs", "Logs"), **named)
        assert ExportLogsServiceResponse.FromString(said).partial_success.rejected_log_records == 0
        caller.call(spans(one), **named)
        assert [event["attributes"]["body"] for event in client.trace(one["traceId"])["spans"][0]["events"]] == [
            "it happened"
        ]
        said = caller.call(b"", signal=("metrics", "Metrics"), **named)
        assert "not stored" in ExportMetricsServiceResponse.FromString(said).partial_success.error_message


class TestRefusals:
    def test_what_is_no_request_is_an_invalid_argument(self, one_service: Service) -> None:
        with Caller(one_service) as caller:
            for body in (b"\xff\xfe garbage", b"<html></html>", gzip.compress(spans(make.span()))[:-5]):
                problem = caller.refused(body)
                assert problem.code() is grpc.StatusCode.INVALID_ARGUMENT
                assert retry_after(problem) is None

    def test_a_message_over_the_limit_is_refused_packed_or_not_and_not_to_be_sent_again(
        self, one_service: Service
    ) -> None:
        large = spans(make.span(having={"k": "x" * (LIMIT + 1)}))
        with Caller(one_service) as caller:
            for body in (large, gzip.compress(large), zlib.compress(large), gzip.compress(b"\x0a" * 50_000_000)):
                problem = caller.refused(body)
                assert problem.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert retry_after(problem) is None
            assert caller.refused(large, packed=grpc.Compression.Gzip).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert caller.call(spans(make.span())) == b""

    def test_more_than_may_be_held_may_be_sent_again(self, one_service: Service) -> None:
        budget = one_service.app.state.ingest.budget
        budget.take(one_service.settings.ingest_memory, mine=0)
        with Caller(one_service) as caller:
            problem = caller.refused(spans(make.span()))
            assert (problem.code(), retry_after(problem)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 1)
            budget.give_back(one_service.settings.ingest_memory)
            assert caller.call(spans(make.span())) == b""

    def test_a_database_that_is_away_may_be_tried_again(self, one_service: Service, monkeypatch: Any) -> None:
        def away(*_: object) -> None:
            raise Unavailable("The database is away.")

        monkeypatch.setattr(one_service.app.state.writer, "submit", away)
        with Caller(one_service) as caller:
            problem = caller.refused(spans(make.span()))
            assert (problem.code(), retry_after(problem)) == (grpc.StatusCode.UNAVAILABLE, 2)
            assert problem.details() == "The database is away."

    def test_a_fault_of_ours_tells_nothing_of_itself(self, one_service: Service, monkeypatch: Any, caplog: Any) -> None:
        def fault(*_: object) -> None:
            raise ValueError("secret")

        monkeypatch.setattr(one_service.app.state.writer, "submit", fault)
        with Caller(one_service) as caller:
            problem = caller.refused(spans(make.span()))
            assert problem.code() is grpc.StatusCode.INTERNAL
            assert "secret" not in problem.details()
        assert "a call over gRPC failed" in caplog.text

    def test_an_exporter_sends_again_what_was_refused_for_now(self, one_service: Service) -> None:
        budget = one_service.app.state.ingest.budget
        budget.take(one_service.settings.ingest_memory, mine=0)
        exporter: Any = OTLPSpanExporter(endpoint=address(one_service), insecure=True, timeout=20)
        calls: list[int] = []
        export = exporter._client.Export

        def counted(*arguments: Any, **named: Any) -> Any:
            calls.append(1)
            if len(calls) == 2:
                budget.give_back(one_service.settings.ingest_memory)
            return export(*arguments, **named)

        exporter._client.Export = counted
        assert exporter.export((finished(),)) is SpanExportResult.SUCCESS
        assert len(calls) == 2
        exporter.shutdown()


def retry_after(problem: Any) -> int | None:
    """The seconds of a RetryInfo among a call's details; None when there is none."""
    details = dict(problem.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    _, found, rest = details.partition(b"type.googleapis.com/google.rpc.RetryInfo")
    return rest[-1] if found else None


def test_beyond_loopback_a_call_needs_the_key_in_any_form(new_database: NewDatabase) -> None:
    with in_process(new_database("sqlite"), grpc_port=0, host="0.0.0.0") as running, Caller(running) as caller:
        token = ensure_admin_token(running.store)
        assert token is not None
        body = spans(make.span())
        for signal in SIGNALS:
            empty = body if signal[0] == "trace" else b""
            assert caller.refused(empty, signal=signal).code() is grpc.StatusCode.UNAUTHENTICATED
            for wrong in ({"authorization": "Bearer nope"}, {"x_api_key": "nope"}, {"authorization": "Basic !!"}):
                assert caller.refused(empty, signal=signal, **wrong).code() is grpc.StatusCode.UNAUTHENTICATED
            for right in ({"authorization": f"Bearer {token}"}, {"x_api_key": token}, {"authorization": token}):
                caller.call(empty, signal=signal, **right)


def test_R63_what_comes_with_a_projects_key_lands_there_and_a_reader_sends_nothing(service: Service) -> None:
    keys = {
        right: make_key(service.store, Wanted("app", right), project=f"keyed-{right}", scope=EVERYTHING, author="")[0]
        for right in (KeyRight.ingest, KeyRight.read)
    }
    one = make.span()
    with Caller(service) as caller, Client(service.url) as client:
        told = ExportTraceServiceResponse.FromString(
            caller.call(spans(one), x_api_key=keys[KeyRight.ingest], x_stepscope_project="elsewhere")
        )
        assert told.partial_success.rejected_spans == 0
        assert "stored in 'keyed-ingest'" in told.partial_success.error_message
        assert client.trace(one["traceId"], project="keyed-ingest")["span_count"] == 1
        slow = make_key(
            service.store, Wanted("slow", KeyRight.ingest, rate_limit=1), project="slow", scope=EVERYTHING, author=""
        )[0]
        caller.call(spans(make.span()), x_api_key=slow)
        too_fast = caller.refused(spans(make.span()), x_api_key=slow)
        assert "1 requests a minute" in too_fast.details()
        refused = caller.refused(spans(make.span()), x_api_key=keys[KeyRight.read])
        assert refused.code() is grpc.StatusCode.PERMISSION_DENIED
        assert caller.refused(b"", x_api_key="ssi_gone").code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_message_without_a_key_is_not_received(new_database: NewDatabase, monkeypatch: Any) -> None:
    received: list[object] = []
    receive = GrpcDoor._receive

    async def noted(door: GrpcDoor, messages: Any) -> bytes:
        received.append(messages)
        return await receive(door, messages)

    monkeypatch.setattr(GrpcDoor, "_receive", noted)
    with in_process(new_database("sqlite"), grpc_port=0, host="0.0.0.0") as running, Caller(running) as caller:
        ensure_admin_token(running.store)
        assert caller.refused(bytes(10_000_000)).code() is grpc.StatusCode.UNAUTHENTICATED
    assert received == []


def test_who_sends_slowly_keeps_no_one_else_waiting_for_ever(one_service: Service, monkeypatch: Any) -> None:
    for name, value in (("TURN_S", 0.1), ("BODY_TIME_S", 0.5)):
        monkeypatch.setattr(f"tracer.api.otlp_grpc.{name}", value)
    pause = threading.Event()

    def never() -> Iterator[bytes]:
        pause.wait(20)
        yield b""

    with Caller(one_service) as caller:
        slow = caller.channel.stream_unary(SERVICE.format("trace", "Trace"))
        calls = [slow.future(never(), timeout=20) for _ in range(MESSAGES_COMING)]
        try:
            wait_until(lambda: caller_is_refused(caller), "all turns are taken")
            assert {call.code() for call in calls} == {grpc.StatusCode.DEADLINE_EXCEEDED}
            assert caller.call(spans(make.span())) == b""
        finally:
            pause.set()


def caller_is_refused(caller: Caller) -> bool:
    try:
        caller.call(b"")
    except grpc.RpcError as problem:
        found: Any = problem
        return (found.code(), retry_after(found)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 1)
    return False


class TestPort:
    def test_a_port_in_use_is_one_sentence(self) -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as taken,
            pytest.raises(BadSetting, match=r"in use on 127\.0\.0\.1; choose another with --grpc-port"),
        ):
            _bind("127.0.0.1", taken.getsockname()[1], flag="--grpc-port")

    def test_the_command_serves_both_and_ends_in_order(self, start: Start) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process: Process = start("--grpc-port", str(port))
        assert process.url
        exporter = OTLPSpanExporter(endpoint=f"127.0.0.1:{port}", insecure=True)
        assert exporter.export((finished(),)) is SpanExportResult.SUCCESS
        exporter.shutdown()
        assert process.stop() == 0
        assert not [line for line in process.err if " ERROR " in line or "Traceback" in line]

    def test_without_the_package_the_setting_is_refused(self, new_database: NewDatabase, monkeypatch: Any) -> None:
        import sys

        monkeypatch.setitem(sys.modules, "tracer.api.otlp_grpc", None)
        with (
            pytest.raises(BadSetting, match=r"stepscope-server\[grpc\]"),
            in_process(new_database("sqlite"), grpc_port=0),
        ):
            pass
