"""Deleting over REST: receipts, refusals of what comes late, who may, and the pages of a deleted trace."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tests import make
from tests.client import Client, Guarded, in_process, wait_until
from tests.databases import NewDatabase
from tests.make import SECOND, START
from tracer.api import schemas
from tracer.units import rfc3339


def deleted(client: Client, path: str, *statuses: int, **parameters: str) -> schemas.Deletion:
    """Ask for a deletion, and wait until its receipt is done."""
    answer = client.delete(f"/api/v1/{path}", params={"project": client.project, **parameters})
    assert answer.status_code in (statuses or (200, 202)), answer.text
    receipt = schemas.Deletion.model_validate(answer.json())
    if answer.status_code == 202:
        assert answer.headers["location"] == f"/api/v1/deletions/{receipt.id}"

    def finished() -> bool:
        nonlocal receipt
        receipt = schemas.Deletion.model_validate(client.read(f"/api/v1/deletions/{receipt.id}"))
        return receipt.state not in ("waiting", "running")

    wait_until(finished, "the deletion is done")
    return receipt


def refusal(answer: Any, status: int, field: str | None) -> str:
    """Check a refusal of the REST interface and return its message."""
    assert answer.status_code == status, answer.text
    found = schemas.Error.model_validate(answer.json()).error
    assert found.field == field
    return found.message


class TestOneTrace:
    def test_it_is_gone_with_all_its_spans_and_the_receipt_says_so(self, client: Client) -> None:
        root = make.span("root")
        other = make.span("other")
        client.store(root, make.span("child", trace=root["traceId"], parent=root["spanId"]), other)
        answer = client.delete(f"/api/v1/traces/{root['traceId'].upper()}", params={"project": client.project})
        assert answer.status_code == 200
        receipt = schemas.Deletion.model_validate(answer.json())
        assert (receipt.state, receipt.traces, receipt.spans, receipt.total_traces) == ("done", 1, 2, 1)
        assert receipt.project == client.project
        assert receipt.finished_at is not None
        assert receipt.started_at <= receipt.finished_at
        assert [trace["name"] for trace in client.traces()] == ["other"]
        mine = next(one for one in client.read("/api/v1/projects")["items"] if one["name"] == client.project)
        assert (mine["trace_count"], mine["span_count"]) == (1, 1)

    @pytest.mark.parametrize("json", [True, False], ids=["json", "protobuf"])
    def test_late_and_repeated_spans_are_refused_one_by_one_with_the_reason(self, client: Client, json: bool) -> None:
        gone, kept = make.span(), make.span()
        client.store(gone, kept)
        deleted(client, f"traces/{gone['traceId']}", 200)
        late = [gone, make.span(trace=gone["traceId"]), kept, make.span(trace=kept["traceId"])]
        answer = client.ingest(make.request(*late), json=json)
        assert answer.status_code == 200
        if json:
            told = answer.json()["partialSuccess"]
            count, message = told["rejectedSpans"], told["errorMessage"]
        else:
            partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
            count, message = str(partial.rejected_spans), partial.error_message
        assert count == "2"
        assert "deleted" in message
        assert [trace["span_count"] for trace in client.traces()] == [2]

    def test_late_log_records_are_refused_too(self, client: Client) -> None:
        gone = make.span()
        client.store(gone)
        deleted(client, f"traces/{gone['traceId']}")
        late = make.log("late", trace=gone["traceId"], span=gone["spanId"])
        told = client.ingest(make.log_request(late, late), path="/v1/logs").json()["partialSuccess"]
        assert told["rejectedLogRecords"] == "2"
        assert "deleted" in told["errorMessage"]

    def test_its_page_and_its_rest_address_say_kindly_that_it_was_deleted(self, client: Client) -> None:
        gone = make.span()
        client.store(gone)
        deleted(client, f"traces/{gone['traceId']}")
        path = f"/p/{client.project}/traces/{gone['traceId']}"
        for address in (path, f"{path}/skeleton", f"{path}/steps/{gone['spanId']}", f"/traces/{gone['traceId']}"):
            page = client.get(address)
            assert page.status_code == 404
            assert "was deleted at" in page.text
        rest = client.get(f"/api/v1/traces/{gone['traceId']}")
        assert "was deleted at" in refusal(rest, 404, "trace_id")
        again = client.delete(f"/api/v1/traces/{gone['traceId']}")
        assert "was deleted at" in refusal(again, 404, "trace_id")

    def test_an_id_in_two_projects_needs_the_project_named(self, client: Client) -> None:
        one = make.span()
        client.store(one)
        with Client(str(client.base_url)) as other:
            other.store(one)
            refusal(client.delete(f"/api/v1/traces/{one['traceId']}"), 400, "project")
            deleted(client, f"traces/{one['traceId']}")
            assert other.trace(one["traceId"])["span_count"] == 1
            assert client.get(f"/api/v1/traces/{one['traceId']}").json()["project"] == other.project
            assert other.ingest(make.request(make.span(trace=one["traceId"]))).content == b"{}"

    @pytest.mark.parametrize("trace_id", ["0" * 32, "xyz", "ab", "%00"])
    def test_what_is_not_there_cannot_be_deleted(self, client: Client, trace_id: str) -> None:
        refusal(client.delete(f"/api/v1/traces/{trace_id}"), 404, "trace_id")


class TestMany:
    def test_a_project_loses_what_started_in_the_time_and_nothing_else(self, client: Client) -> None:
        client.store(*(make.span(str(n), start=START + n * SECOND, end=START + n * SECOND + 1) for n in range(6)))
        with Client(str(client.base_url)) as other:
            other.store(make.span(start=START + 2 * SECOND))
            times = {"from": rfc3339(START + SECOND), "to": rfc3339(START + 4 * SECOND)}
            receipt = deleted(client, "traces", **times)
            assert (receipt.state, receipt.traces, receipt.total_traces) == ("done", 3, 3)
            assert sorted(trace["name"] for trace in client.traces()) == ["0", "4", "5"]
            assert deleted(client, "traces").traces == 3
            assert client.traces() == []
            assert len(other.traces()) == 1

    def test_a_project_loses_what_a_search_finds_and_nothing_else(self, client: Client) -> None:
        client.store(*(make.span(str(n), start=START + n * SECOND, status=1 + n % 2) for n in range(6)))
        client.ingest(make.log_request(make.log("waits for its span", trace="ab" * 16, span="cd" * 8)), path="/v1/logs")
        with Client(str(client.base_url)) as other:
            other.store(make.span(status=2))
            receipt = deleted(client, "traces", q="status:error -name:5", to=rfc3339(START + 5 * SECOND))
            assert (receipt.state, receipt.q, receipt.traces) == ("done", "status:error -name:5", 2)
            assert sorted(trace["name"] for trace in client.traces()) == ["0", "2", "4", "5"]
            assert deleted(client, "traces", q="name:nobody").traces == 0
            assert len(other.traces()) == 1
        client.store(make.span(trace="ab" * 16, id="cd" * 8))
        assert client.trace("ab" * 16)["spans"][0]["events"], "what waits for its span is nothing that a search finds"

    def test_a_request_that_would_delete_more_than_it_says_is_refused(self, client: Client) -> None:
        client.store(make.span())
        refusal(client.delete("/api/v1/traces"), 422, "project")
        refusal(client.delete("/api/v1/traces", params={"project": "nobody has this"}), 404, "project")
        named = {"project": client.project}
        refusal(client.delete("/api/v1/traces", params={**named, "q": "status:eror"}), 400, "q")
        refusal(client.delete("/api/v1/traces", params={**named, "from": "yesterday"}), 400, "from")
        refusal(client.delete("/api/v1/traces", params={**named, "to": "soon"}), 400, "to")
        assert len(client.traces()) == 1

    @pytest.mark.parametrize(("number", "status"), [("999999999", 404), ("0", 422), ("x", 422), ("9" * 25, 422)])
    def test_a_receipt_that_nobody_has(self, client: Client, number: str, status: int) -> None:
        refusal(client.get(f"/api/v1/deletions/{number}"), status, "deletion_id")


class TestRights:
    def test_nobody_deletes_without_a_key(self, guarded: Guarded) -> None:
        client, key = guarded.client, {"authorization": f"Bearer {guarded.token}"}
        span = make.span()
        assert client.ingest(make.request(span), **key).status_code == 200
        path = f"/api/v1/traces/{span['traceId']}"
        assert client.delete(path).status_code == 401
        assert client.delete("/api/v1/traces", params={"project": client.project}).status_code == 401
        assert client.get("/api/v1/deletions/1").status_code == 401
        foreign = {**key, "sec-fetch-site": "cross-site"}
        assert client.delete(path, headers=foreign).status_code == 403
        assert client.get(path, headers=key).status_code == 200
        assert client.delete(path, headers=key).status_code == 200


class TestRetention:
    def test_spans_and_log_records_that_are_too_old_are_refused_on_arrival(self, new_database: NewDatabase) -> None:
        with in_process(new_database("sqlite"), retention_days=30) as service, Client(service.url) as client:
            old, young = make.span(start=START, end=START + 1), make.span("young", start=2**62)
            told = client.ingest(make.request(old, young)).json()["partialSuccess"]
            assert told["rejectedSpans"] == "1"
            assert "30 days" in told["errorMessage"]
            assert [trace["name"] for trace in client.traces()] == ["young"]
            logs = [
                make.log("x", trace=young["traceId"], span=young["spanId"], timeUnixNano=str(time))
                for time in (START, 0)
            ]
            told = client.ingest(make.log_request(*logs), path="/v1/logs").json()["partialSuccess"]
            assert told["rejectedLogRecords"] == "1"

    def test_what_grows_too_old_or_too_large_goes_by_itself(self, new_database: NewDatabase) -> None:
        database = new_database("sqlite")
        with in_process(database) as service, Client(service.url, project="p") as client:
            client.store(make.span("old", start=START), make.span("young", start=2**62))
        with in_process(database, retention_days=30) as service, Client(service.url, project="p") as client:
            wait_until(lambda: [trace["name"] for trace in client.traces()] == ["young"], "the old trace is gone")
        with in_process(database, max_size=10**6) as service, Client(service.url, project="p") as client:
            assert [trace["name"] for trace in client.traces()] == ["young"]
