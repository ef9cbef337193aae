"""POST /v1/traces, /v1/logs and /v1/metrics: what is taken, what is refused, and how it is said."""

from __future__ import annotations

import base64
import gzip
import threading
import zlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import zstandard
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tests import make
from tests.client import JSON, PROTOBUF, Client, Guarded, in_process, on_one_database, raw
from tests.counts import counted
from tests.databases import NewDatabase

both_forms = pytest.mark.parametrize("json", [True, False], ids=["json", "protobuf"])


def read_status(answer: httpx.Response) -> tuple[int, str]:
    """The code and message of a google.rpc.Status, in the answer's own form."""
    if answer.headers["content-type"] == JSON:
        found = answer.json()
        assert set(found) == {"code", "message"}
        return found["code"], found["message"]
    assert answer.headers["content-type"] == PROTOBUF
    body = answer.content
    assert body[0] == 0x08
    assert body[2] == 0x12
    length, start = body[3], 4
    if length > 0x7F:
        length, start = length & 0x7F | body[4] << 7, 5
    assert len(body) == start + length
    return body[1], body[start:].decode()


def refused(answer: httpx.Response, status: int, code: int) -> str:
    """Check a refusal of OTLP and return its message."""
    assert answer.status_code == status, answer.text
    found, message = read_status(answer)
    assert found == code
    assert "Traceback" not in message
    assert "site-packages" not in message
    return message


class TestForms:
    @both_forms
    @pytest.mark.parametrize("kind", ["{}", "{}; charset=utf-8", "{} ;x=y"])
    def test_R18_the_media_type_is_matched_without_parameters_and_case(
        self, client: Client, json: bool, kind: str
    ) -> None:
        sent = make.span()
        name = kind.format((JSON if json else PROTOBUF).upper())
        answer = client.ingest(make.request(sent), json=json, content_type=name)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == (JSON if json else PROTOBUF)
        assert client.trace(sent["traceId"])["span_count"] == 1

    @both_forms
    @pytest.mark.parametrize(
        ("encoding", "pack"),
        [
            ("gzip", gzip.compress),
            ("deflate", zlib.compress),
            ("zstd", zstandard.ZstdCompressor().compress),
            ("identity", bytes),
        ],
    )
    def test_R19_every_encoding_is_taken_in_both_forms(
        self, client: Client, json: bool, encoding: str, pack: Callable[[bytes], bytes]
    ) -> None:
        sent = make.span(encoding)
        request = make.request(sent)
        body = pack(make.as_json(request) if json else make.as_protobuf(request))
        assert client.ingest(body, json=json, content_encoding=encoding).status_code == 200
        assert client.trace(sent["traceId"])["name"] == encoding

    @on_one_database
    @both_forms
    @pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "compress", "x" * 3000])
    def test_R19_other_and_stacked_encodings_are_415(self, client: Client, json: bool, encoding: str) -> None:
        refused(client.ingest(make.request(make.span()), json=json, content_encoding=encoding), 415, 3)

    @on_one_database
    @both_forms
    @pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs"])
    def test_R20_an_empty_request_is_200_without_partial_success(self, client: Client, json: bool, path: str) -> None:
        answer = client.ingest(b"{}" if json else b"", json=json, path=path)
        assert (answer.status_code, answer.content) == (200, b"{}" if json else b"")

    @on_one_database
    @both_forms
    @pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs"])
    @pytest.mark.parametrize("body", [b"\xff\xfe garbage", b"<html></html>", b"[1", b'"text"'])
    def test_R21_what_cannot_be_decoded_is_400_with_a_status(
        self, client: Client, json: bool, path: str, body: bytes
    ) -> None:
        answer = client.ingest(body, json=json, path=path)
        assert refused(answer, 400, 3)
        assert "retry-after" not in answer.headers

    @both_forms
    def test_R21_a_broken_gzip_is_400_and_stores_nothing(self, client: Client, json: bool) -> None:
        request = make.request(make.span())
        packed = gzip.compress(make.as_json(request) if json else make.as_protobuf(request))
        for body in (packed[:-9], packed[:-1] + b"\xff", b"", packed + b"junk"):
            refused(client.ingest(body, json=json, content_encoding="gzip"), 400, 3)
        names = [project["name"] for project in client.read("/api/v1/projects")["items"]]
        assert client.project not in names

    @on_one_database
    @pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs", "/v1/metrics"])
    @pytest.mark.parametrize("kind", [None, "text/plain", "application/grpc", "application/json2", "x" * 2000, "é"])
    def test_R22_another_content_type_is_415(self, client: Client, path: str, kind: str | None) -> None:
        headers = raw({} if kind is None else {"content-type": kind})
        answer = client.post(path, content=b"{}", headers=headers)
        refused(answer, 415, 3)

    @on_one_database
    @pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs", "/v1/metrics"])
    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
    def test_R22_another_method_is_405_and_says_which_is_allowed(self, client: Client, path: str, method: str) -> None:
        answer = client.request(method, path)
        assert answer.status_code == 405
        assert answer.headers["allow"] == "POST"

    def test_metrics_are_refused_in_words_and_with_200(self, client: Client) -> None:
        answer = client.ingest(b"\n\x00", json=False, path="/v1/metrics")
        assert answer.status_code == 200
        assert "not stored" in ExportMetricsServiceResponse.FromString(answer.content).partial_success.error_message
        told = client.ingest(b"{}", path="/v1/metrics").json()["partialSuccess"]
        assert "not stored" in told["errorMessage"]


class TestPartialSuccess:
    def test_R25_R10_json(self, client: Client) -> None:
        good = make.span("good")
        answer = client.ingest(make.request(make.span(traceId=""), good, make.span(spanId="00"), make.span(spanId="")))
        assert answer.status_code == 200
        told = answer.json()["partialSuccess"]
        assert told["rejectedSpans"] == "3"
        assert "trace id must be 16 bytes" in told["errorMessage"]
        assert "2 refused: span id" in told["errorMessage"]
        assert client.trace(good["traceId"])["span_count"] == 1

    def test_R25_R10_protobuf(self, client: Client) -> None:
        good, bad = make.span("good"), make.span(id="0" * 16)
        answer = client.ingest(make.request(bad, good), json=False)
        told = ExportTraceServiceResponse.FromString(answer.content).partial_success
        assert (answer.status_code, told.rejected_spans) == (200, 1)
        assert "span id" in told.error_message
        assert client.trace(good["traceId"])["span_count"] == 1

    def test_R31_a_request_of_refused_spans_only_is_200_and_counts_them(self, client: Client) -> None:
        told = client.ingest(make.request(*[make.span(traceId="") for _ in range(5)])).json()["partialSuccess"]
        assert told["rejectedSpans"] == "5"
        names = [project["name"] for project in client.read("/api/v1/projects")["items"]]
        assert client.project not in names

    @both_forms
    def test_log_records_of_no_step_are_counted(self, client: Client, json: bool) -> None:
        request = make.log_request(make.log("x", trace="", span=""))
        answer = client.ingest(request, json=json, path="/v1/logs")
        if json:
            count: Any = int(answer.json()["partialSuccess"]["rejectedLogRecords"])
        else:
            count = ExportLogsServiceResponse.FromString(answer.content).partial_success.rejected_log_records
        assert (answer.status_code, count) == (200, 1)


class TestOnce:
    def test_R03_the_same_request_again_stores_nothing_more(self, client: Client) -> None:
        root = make.span("root")
        request = make.request(root, make.span("child", trace=root["traceId"], parent=root["spanId"]))
        answers = [client.ingest(request).status_code for _ in range(3)]
        found = client.trace(root["traceId"])
        assert (answers, found["span_count"], len(found["spans"])) == ([200] * 3, 2, 2)

    def test_R03_sixteen_copies_at_once_store_each_span_once(self, client: Client) -> None:
        root = make.span("root")
        body = make.as_json(make.request(root, *[make.span(trace=root["traceId"]) for _ in range(20)]))
        answers: list[int] = []
        together = threading.Barrier(16)

        def send() -> None:
            together.wait()
            answers.append(client.ingest(body).status_code)

        threads = [threading.Thread(target=send) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert set(answers) <= {200, 429, 503}
        assert 200 in answers
        found = client.trace(root["traceId"])
        assert (found["span_count"], len(found["spans"])) == (21, 21)

    def test_R04_overlapping_batches_store_the_union(self, client: Client) -> None:
        trace = make.new_trace_id()
        spans = [make.span(f"s{number}", trace=trace) for number in range(6)]
        client.store(*spans[:4])
        client.store(*spans[2:])
        assert sorted(span["name"] for span in client.trace(trace)["spans"]) == [f"s{number}" for number in range(6)]

    @pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2), (2, 0, 3, 1)])
    def test_R04_finished_beats_running_and_the_higher_number_the_lower(
        self, client: Client, order: tuple[int, ...]
    ) -> None:
        one = make.span("step")
        running = [
            {**one, "endTimeUnixNano": "0", "attributes": make.attributes({"stepscope.seq": seq, "said": f"r{seq}"})}
            for seq in (1, 2, 3)
        ]
        versions = [*running, {**one, "attributes": make.attributes({"said": "finished"})}]
        for number in order:
            client.store(versions[number])
        found = client.trace(one["traceId"])
        assert [span["attributes"]["said"] for span in found["spans"]] == ["finished"]
        assert (found["span_count"], found["status"]) == (1, "unset")

    def test_R04_of_two_finished_versions_the_first_stays(self, client: Client) -> None:
        one = make.span("first")
        client.store(one)
        client.store({**one, "name": "second"})
        assert [span["name"] for span in client.trace(one["traceId"])["spans"]] == ["first"]

    def test_R45_the_same_span_three_times_in_one_request_is_one_row(self, client: Client) -> None:
        one = make.span("thrice")
        client.store(one, {**one, "name": "again"}, one)
        found = client.trace(one["traceId"])
        assert (found["span_count"], [span["name"] for span in found["spans"]]) == (1, ["thrice"])

    def test_R07_children_first_and_a_root_thirty_days_late_make_one_right_trace(self, client: Client) -> None:
        root = make.span("root", start=make.START, end=make.START + 9 * make.SECOND)
        trace = root["traceId"]
        child = make.span("child", trace=trace, parent=root["spanId"], start=make.START + make.SECOND, status=2)
        leaf = make.span("leaf", trace=trace, parent=child["spanId"], start=make.START + 2 * make.SECOND)
        late = make.span("late", trace=trace, parent=root["spanId"], start=make.START - 30 * 86_400 * make.SECOND)
        late["endTimeUnixNano"] = late["startTimeUnixNano"]
        client.store(leaf)
        assert client.trace(trace)["name"] == "leaf"
        client.store(child)
        client.store(root)
        client.store(late)

        found = client.trace(trace)

        assert (found["name"], found["span_count"], found["error_count"], found["status"]) == ("root", 4, 1, "unset")
        assert {span["name"]: span["parent_id"] for span in found["spans"]} == {
            "root": None,
            "child": root["spanId"],
            "leaf": child["spanId"],
            "late": root["spanId"],
        }
        assert found["duration_ms"] == 30 * 86_400_000 + 9_000
        assert [trace["trace_id"] for trace in client.traces()] == [trace]

    def test_R08_an_acknowledged_span_is_read_at_once(self, client: Client) -> None:
        for number in range(20):
            one = make.span(f"n{number}")
            client.store(one, json=bool(number % 2))
            assert client.trace(one["traceId"])["spans"][0]["name"] == f"n{number}"

    def test_R09_one_span_id_in_two_traces_and_two_projects_is_as_many_spans(self, client: Client) -> None:
        one = make.span("one", id="ab" * 8)
        other = make.span("other", id="ab" * 8)
        client.store(one, other)
        elsewhere = Client(str(client.base_url))
        with elsewhere:
            elsewhere.store({**one, "name": "elsewhere"})
            assert elsewhere.trace(one["traceId"])["name"] == "elsewhere"
        assert client.trace(one["traceId"])["name"] == "one"
        assert client.trace(other["traceId"])["name"] == "other"


class TestProject:
    def test_the_header_beats_what_the_resource_says(self, client: Client) -> None:
        one = make.span()
        client.ingest(make.request(one, resource={"stepscope.project": "another"}))
        assert client.trace(one["traceId"])["project"] == client.project

    @pytest.mark.parametrize("key", ["stepscope.project", "openinference.project.name"])
    @pytest.mark.parametrize("place", ["resource", "span"])
    def test_without_a_header_the_span_names_its_project(self, client: Client, key: str, place: str) -> None:
        named: dict[str, make.Value] = {key: f"  {client.project} {key} {place} "}
        one = make.span(having=named if place == "span" else None)
        request = make.request(one, resource=named if place == "resource" else None)
        answer = client.post("/v1/traces", content=make.as_json(request), headers={"content-type": JSON})
        assert answer.status_code == 200
        found = client.read(f"/api/v1/traces/{one['traceId']}")
        assert found["project"] == f"{client.project} {key} {place}"

    @pytest.mark.parametrize("value", [7, True, None, ["a"], {"a": "b"}, b"x", "", "  "])
    def test_R47_a_project_that_is_no_text_is_the_default_one(self, client: Client, value: make.Value) -> None:
        one = make.span()
        request = make.request(one, resource={"stepscope.project": value})
        for header in (None, "", "%20"):
            headers = {"content-type": JSON} | ({} if header is None else {"x-stepscope-project": header})
            answer = client.post("/v1/traces", content=make.as_json(request), headers=headers)
            assert answer.status_code == 200, answer.text
        assert client.read(f"/api/v1/traces/{one['traceId']}")["project"] == "default"

    @pytest.mark.parametrize(
        ("header", "name"),
        [
            (b"%C3%A9t%C3%A9 %F0%9F%8C%9E", "été 🌞"),
            (b"a%00b", "a␀b"),
            (b"%ff%fe", "\ufffd\ufffd"),
            (b"%0d%0aSet-Cookie: x=1", "Set-Cookie: x=1"),
            (b"' OR 2=2 --", "' OR 2=2 --"),
            (b"../../etc", "../../etc"),
            (b"100%", "100%"),
            (b"x" * 5000, "x" * 199 + "…"),
        ],
    )
    def test_R29_R65_an_odd_project_header_is_a_name_like_any_other(
        self, client: Client, header: bytes, name: str
    ) -> None:
        one = make.span()
        headers = raw({"content-type": JSON, "x-stepscope-project": header})
        answer = client.post("/v1/traces", content=make.as_json(make.request(one)), headers=headers)
        assert answer.status_code == 200, answer.text
        assert client.read(f"/api/v1/traces/{one['traceId']}")["project"] == name
        assert client.read("/api/v1/traces", project=name)["items"]

    def test_R47_empty_containers_are_taken(self, client: Client) -> None:
        bare = {name: make.span()[name] for name in ("traceId", "spanId")}
        for request in (
            {"resourceSpans": [{"scopeSpans": [{"spans": [bare]}]}]},
            {"resourceSpans": [{"resource": None, "scopeSpans": [{"scope": None, "spans": [bare]}]}]},
        ):
            assert client.ingest(request).json() == {}
        for body in (b'{"resourceSpans": [{}, {"scopeSpans": null}, {"scopeSpans": [{}, {"spans": null}]}]}',):
            assert client.ingest(body).json() == {}
        found = client.trace(bare["traceId"])
        assert (found["span_count"], found["spans"][0]["flags"]) == (1, ["no_end"])


class TestLogs:
    @both_forms
    @pytest.mark.parametrize("first", ["span", "log"])
    def test_a_log_record_becomes_an_event_of_its_span_whichever_comes_first(
        self, client: Client, json: bool, first: str
    ) -> None:
        one = make.span("chat")
        log = make.log_request(make.log("it happened", trace=one["traceId"], span=one["spanId"], having={"k": "v"}))
        if first == "span":
            client.store(one, json=json)
        for _ in range(2):
            assert client.ingest(log, json=json, path="/v1/logs").status_code == 200
        if first == "log":
            client.store(one, json=json)
        events = client.trace(one["traceId"])["spans"][0]["events"]
        assert [event["attributes"]["body"] for event in events] == ["it happened"]
        assert events[0]["attributes"]["k"] == "v"

    def test_log_records_alone_make_no_trace(self, client: Client) -> None:
        trace = make.new_trace_id()
        log = make.log_request(make.log("alone", trace=trace, span=make.new_span_id()))
        assert client.ingest(log, path="/v1/logs").status_code == 200
        assert client.get(f"/api/v1/traces/{trace}").status_code == 404


class TestLimits:
    def test_R23_a_body_over_the_limit_is_413_packed_or_not(self, new_database: NewDatabase) -> None:
        large = make.as_json(make.request(make.span(having={"k": "x" * 200_000})))
        with in_process(new_database("sqlite"), max_body=100_000) as running, Client(running.url) as client:
            for body, encoding in (
                (large, "identity"),
                (gzip.compress(large), "gzip"),
                (zlib.compress(large), "deflate"),
                (zstandard.compress(large), "zstd"),
            ):
                message = refused(client.ingest(body, content_encoding=encoding), 413, 8)
                assert "100.0 kB" in message

            def in_chunks() -> Any:
                for start in range(0, len(large), 10_000):
                    yield large[start : start + 10_000]

            answer = client.post("/v1/traces", content=in_chunks(), headers={"content-type": JSON})
            refused(answer, 413, 8)
            assert client.read("/api/v1/traces")["items"] == []
            fits = make.request(make.span(having={"k": "x" * 90_000}))
            assert client.ingest(fits).status_code == 200

    def test_R28_more_than_may_be_held_is_429_and_may_be_sent_again(self, new_database: NewDatabase) -> None:
        body = make.as_json(make.request(*[make.span(having={"k": "x" * 20_000}) for _ in range(20)]))
        with in_process(new_database("sqlite"), ingest_memory=2**20) as running, Client(running.url) as client:
            answers: list[httpx.Response] = []

            def send() -> None:
                answers.extend(client.ingest(body) for _ in range(counted(4, 40)))

            threads = [threading.Thread(target=send) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert {answer.status_code for answer in answers} == {200, 429}
            for answer in answers:
                if answer.status_code == 429:
                    assert int(answer.headers["retry-after"]) >= 1
                    assert read_status(answer)[0] == 8
            # Everything that was held is let go: alone, the same body is taken again and again.
            assert [client.ingest(body).status_code for _ in range(5)] == [200] * 5

    def test_a_body_that_takes_more_than_all_memory_allowed_is_taken_alone(self, new_database: NewDatabase) -> None:
        one = make.span(having={"k": "x" * 3_000_000})
        with in_process(new_database("sqlite"), ingest_memory=2**20) as running, Client(running.url) as client:
            assert client.ingest(make.request(one)).status_code == 200


class TestKeys:
    """R29: beyond loopback every request needs the key."""

    @staticmethod
    def basic(text: str) -> str:
        return "Basic " + base64.b64encode(text.encode()).decode()

    def test_R29_the_key_is_taken_in_every_form(self, guarded: Guarded) -> None:
        client, token = guarded.client, guarded.token
        for key in (
            {"authorization": f"Bearer {token}"},
            {"authorization": f"bearer   {token}"},
            {"x-api-key": token},
            {"api-key": token},
            {"api_key": token},
            {"authorization": token},
            {"authorization": self.basic(f"anyone:{token}")},
            {"authorization": self.basic(f"{token}:")},
        ):
            headers = {"content-type": JSON, **key}
            assert client.post("/v1/traces", content=b"{}", headers=headers).status_code == 200, key

    @both_forms
    def test_R29_no_key_or_a_wrong_one_is_401_and_stores_nothing(self, guarded: Guarded, json: bool) -> None:
        client, token = guarded.client, guarded.token
        one = make.span()
        wrong: list[dict[str, str]] = [
            {},
            {"authorization": "Bearer nope"},
            {"authorization": "Bearer"},
            {"authorization": f"Token {token}"},
            {"authorization": f"Bearer {token}x"},
            {"authorization": f"Bearer {token[:-1]}"},
            {"authorization": f"Bearer {token.upper()}"},
            {"x-api-key": "k" * 5000},
            {"x-api-key": "' OR 1=1 --"},
            {"authorization": "Basic !!!"},
            {"authorization": self.basic("user:password")},
            {"authorization": self.basic(":")},
            {"authorization": "Digest username=x"},
            {"cookie": f"stepscope_session={token}"},
        ]
        for headers in wrong:
            form = {"content-type": JSON if json else PROTOBUF}
            body = make.as_json(make.request(one)) if json else make.as_protobuf(make.request(one))
            answer = client.post("/v1/traces", content=body, headers={**form, **headers})
            refused(answer, 401, 16)
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert token not in answer.text
        mine = {"authorization": f"Bearer {token}"}
        assert client.get(f"/api/v1/traces/{one['traceId']}", headers=mine).status_code == 404

    @pytest.mark.parametrize("key", [b"\xff\xfe", "é".encode(), b"\x01", b"a\tb", b"k" * 60_000])
    def test_R29_odd_keys_are_never_an_error_of_ours(self, guarded: Guarded, key: bytes) -> None:
        client = guarded.client
        for name in ("x-api-key", "authorization"):
            value = key if name == "x-api-key" else b"Bearer " + key
            try:
                answer = client.post("/v1/traces", content=b"{}", headers=raw({"content-type": JSON, name: value}))
            except httpx.LocalProtocolError:
                pytest.skip("the client does not send it")
            assert answer.status_code in (400, 401, 431)
