"""The REST contract: projects, traces, spans, lists walked by position, and parameters of any kind."""

from __future__ import annotations

import base64
import threading
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from sqlalchemy.exc import DataError

from tests import make
from tests.client import Client, on_one_database
from tests.counts import counted
from tracer.api import schemas

TRACE_PATHS = ("/api/v1/traces/{}", "/api/v1/traces/{}/spans", "/api/v1/traces/{}/spans/" + "ab" * 8)
ORDERS = ("-start_time", "start_time", "-duration", "-cost", "-tokens", "received")


def error_of(answer: Any, status: int, code: str, field: str | None = None) -> str:
    """Check a refusal of the REST interface and return its message."""
    assert answer.status_code == status, answer.text
    found = schemas.Error.model_validate(answer.json()).error
    assert (found.code, found.field) == (code, field)
    assert answer.headers["x-request-id"]
    return found.message


def walk(client: Client, path: str = "/api/v1/traces", **parameters: str | int) -> list[dict[str, Any]]:
    """Every item of a list, page by page."""
    out: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    for _ in range(2000):
        page = client.read(path, **{"project": client.project, **parameters, **cursor})
        out += page["items"]
        if page["next_cursor"] is None:
            return out
        assert page["items"]
        cursor = {"cursor": page["next_cursor"]}
    raise AssertionError("the list does not end")


class TestProjects:
    def test_a_project_has_its_totals_and_times(self, client: Client) -> None:
        client.store(
            make.span(start=make.START, end=make.START + 5), make.span(start=make.START + 10, end=make.START + 20)
        )
        found = schemas.Projects.model_validate(client.read("/api/v1/projects"))
        assert found.next_cursor is None
        mine = next(one for one in found.items if one.name == client.project)
        assert (mine.trace_count, mine.span_count) == (2, 2)
        assert mine.first_seen is not None
        assert mine.last_seen is not None
        assert mine.first_seen <= mine.last_seen

    def test_projects_whose_names_look_alike_in_addresses_stay_apart(self, client: Client) -> None:
        names = [f"{client.project} Ä!", f"{client.project}-a", f"{client.project} Ä?"]
        for name in names:
            client.ingest(make.request(make.span()), x_stepscope_project=quote(name))
        found = {one["name"]: one["slug"] for one in client.read("/api/v1/projects")["items"] if one["name"] in names}
        assert len(set(found.values())) == 3

    def test_a_trace_id_may_be_in_two_projects(self, client: Client) -> None:
        one = make.span("mine")
        client.store(one)
        with Client(str(client.base_url)) as other:
            other.store({**one, "name": "theirs"})
            assert client.trace(one["traceId"])["name"] == "mine"
            assert other.trace(one["traceId"])["name"] == "theirs"
            newest = client.read(f"/api/v1/traces/{one['traceId']}")
            assert newest["project"] in (client.project, other.project)


class TestTrace:
    def test_a_summary_tells_what_the_spans_add_up_to(self, client: Client) -> None:
        root = make.span(
            "answer",
            end=make.START + 1_500_000_000,
            having={
                "session.id": "s1",
                "user.id": "u1",
                "input.value": "why?",
                "output.value": "because",
                "openinference.span.kind": "CHAIN",
            },
        )
        call = make.model_call(tokens=(12, 5), having={"gen_ai.request.model": "house-model-1"})
        call |= {"traceId": root["traceId"], "parentSpanId": root["spanId"]}
        failed = make.span("lookup", trace=root["traceId"], parent=root["spanId"], status=2)
        resource: dict[str, make.Value] = {"service.name": "shop", "deployment.environment.name": "staging"}
        client.ingest(make.request(root, call, failed, resource=resource))

        found = schemas.Trace.model_validate(client.trace(root["traceId"]))

        assert (found.trace_id, found.project, found.name) == (root["traceId"], client.project, "answer")
        assert (found.start_time, found.end_time) == ("2025-11-24T16:00:00Z", "2025-11-24T16:00:01.5Z")
        assert (found.duration_ms, found.status) == (1500.0, "unset")
        assert (found.span_count, found.error_count, found.llm_call_count) == (3, 1, 1)
        assert found.tokens is not None
        assert (found.tokens.input, found.tokens.output, found.tokens.total) == (12, 5, 17)
        assert (found.session_id, found.user_id, found.environment) == ("s1", "u1", "staging")
        assert (found.models, found.services) == (["house-model-1"], ["shop"])
        assert (found.input_preview, found.output_preview) == ("why?", "because")
        assert (found.cost_usd, found.scores) == (None, [])
        assert found.partial is not None
        assert (found.partial.reasons, found.partial.span_count) == (["no price"], 1)
        listed = schemas.Traces.model_validate(client.read("/api/v1/traces", project=client.project)).items
        assert listed == [schemas.TraceSummary.model_validate(found.model_dump(exclude={"spans"}))]

    def test_a_span_is_told_whole(self, client: Client) -> None:
        one = make.model_call(
            having={
                "gen_ai.request.temperature": 0.5,
                "gen_ai.response.finish_reasons": ["stop"],
                "gen_ai.input.messages": '[{"role": "user", "parts": [{"type": "text", "content": "hello"}]}]',
                "gen_ai.output.messages": '[{"role": "assistant", "parts": [{"type": "text", "content": "hi"}]}]',
            }
        )
        one["events"] = [make.event("exception", {"exception.type": "ValueError"}, time=make.START + 1)]
        one["links"] = [{"traceId": "ab" * 16, "spanId": "cd" * 8}]
        one["status"] = {"code": 2, "message": "broke"}
        request = make.request(one, resource={"service.name": "shop"}, scope={"name": "lib", "version": "2"})
        client.ingest(request, json=False)

        found = schemas.Span.model_validate(client.read(f"/api/v1/traces/{one['traceId']}/spans/{one['spanId']}"))

        assert (found.kind, found.model, found.provider, found.dialect) == (
            "llm",
            "gpt-4o-mini",
            "openai",
            found.dialect,
        )
        assert (found.status, found.status_message, found.duration_ms) == ("error", "broke", 1000.0)
        assert found.parameters == {"temperature": 0.5}
        assert found.finish_reasons == ["stop"]
        assert found.input_messages is not None
        assert found.output_messages is not None
        assert found.input_messages[0]["role"] == "user"
        assert found.output_messages[0]["parts"][0]["content"] == "hi"
        assert found.events is not None
        assert (found.events[0].name, found.events[0].time) == ("exception", "2025-11-24T16:00:00.000000001Z")
        assert found.links is not None
        assert found.links[0].model_dump() == {"trace_id": "ab" * 16, "span_id": "cd" * 8}
        assert found.resource == {"service.name": "shop"}
        assert found.scope is not None
        assert (found.scope.name, found.scope.version) == ("lib", "2")
        assert found.attributes is not None
        assert found.attributes["gen_ai.request.temperature"] == 0.5
        whole = client.trace(one["traceId"])
        assert [schemas.Span.model_validate(span) for span in whole["spans"]] == [found]

    def test_bodies_false_leaves_the_bodies_out(self, client: Client) -> None:
        one = make.span(having={"input.value": "long"}, events=[make.event("e")])
        client.store(one)
        path = f"/api/v1/traces/{one['traceId']}"
        for spans in (
            client.read(path, bodies="false")["spans"],
            client.read(f"{path}/spans", bodies="false")["items"],
        ):
            schemas.Span.model_validate(spans[0])
            assert not {"input", "output", "attributes", "events"} & set(spans[0])

    def test_spans_come_in_tree_order_page_by_page(self, client: Client) -> None:
        root = make.span("root")
        trace = root["traceId"]
        spans = [root]
        for number in range(7):
            child = make.span(f"c{number}", trace=trace, parent=root["spanId"], start=make.START + number)
            spans += [child, make.span(f"c{number} leaf", trace=trace, parent=child["spanId"])]
        client.store(*reversed(spans))
        expected = [span["name"] for span in spans]
        assert [span["name"] for span in client.trace(trace)["spans"]] == expected
        for limit in (1, 4, 15, 1000):
            for bodies in ("true", "false"):
                walked = walk(client, f"/api/v1/traces/{trace}/spans", limit=limit, bodies=bodies)
                assert [span["name"] for span in walked] == expected

    def test_ids_are_read_in_any_case_and_written_in_lower_case(self, client: Client) -> None:
        one = make.span(trace="ab" * 16, id="cd" * 8)
        client.store(one)
        found = client.read(f"/api/v1/traces/{'AB' * 16}/spans/{'CD' * 8}", project=client.project)
        assert (found["trace_id"], found["span_id"]) == ("ab" * 16, "cd" * 8)

    @pytest.mark.parametrize("path", TRACE_PATHS)
    @pytest.mark.parametrize("id", ["00" * 16, "zz", "é" * 16, " " * 32, "ab" * 400, "%00", "%2E%2E", "'", "１" * 32])
    def test_R62_an_id_that_is_none_is_not_found(self, client: Client, path: str, id: str) -> None:
        answer = client.get(path.format(id))
        if answer.status_code == 200:
            pytest.fail(answer.text)
        if answer.headers["content-type"] == "application/json":
            error_of(answer, 404, "not_found", "trace_id")
        assert answer.status_code == 404

    def test_a_step_that_is_not_there_is_not_found(self, client: Client) -> None:
        one = make.span()
        client.store(one)
        for id in ("ab" * 8, "zz" * 8, "0", "é", "ab" * 300):
            error_of(client.get(f"/api/v1/traces/{one['traceId']}/spans/{id}"), 404, "not_found", "span_id")


class TestLists:
    def test_newest_come_first(self, client: Client) -> None:
        client.store(*[make.span(f"n{n}", start=make.START + n, end=make.START + 20) for n in (3, 1, 2)])
        assert [trace["name"] for trace in client.traces()] == ["n3", "n2", "n1"]

    @pytest.mark.parametrize("order", ORDERS)
    @pytest.mark.parametrize("limit", [1, 3, 1000])
    def test_every_order_gives_each_trace_once_on_pages_of_any_length(
        self, client: Client, order: str, limit: int
    ) -> None:
        spans = []
        for number in range(8):
            one = make.model_call(f"n{number}", tokens=(number // 3, 1))
            one["startTimeUnixNano"] = str(make.START + number // 2 * make.SECOND)
            one["endTimeUnixNano"] = str(make.START + 10 * make.SECOND)
            spans.append(one)
        client.store(*spans)
        walked = walk(client, order=order, limit=limit)
        assert sorted(trace["name"] for trace in walked) == [f"n{number}" for number in range(8)]
        starts = [trace["start_time"] for trace in walked]
        totals = [trace["tokens"]["total"] for trace in walked]
        if order == "-start_time":
            assert starts == sorted(starts, reverse=True)
        if order == "start_time":
            assert starts == sorted(starts)
        if order == "-tokens":
            assert totals == sorted(totals, reverse=True)
        if order == "-duration":
            assert [trace["duration_ms"] for trace in walked] == sorted(
                (trace["duration_ms"] for trace in walked), reverse=True
            )

    @pytest.mark.parametrize("order", ["-start_time", "received"])
    def test_a_walk_while_traces_arrive_gives_each_that_was_there_exactly_once(
        self, client: Client, order: str
    ) -> None:
        before = [make.span(f"old {n}", start=make.START + n * 10) for n in range(counted(60, 600))]
        client.store(*before)
        stopped = threading.Event()
        failures: list[str] = []

        def write() -> None:
            number = 0
            with Client(str(client.base_url), project=client.project) as writer:
                while not stopped.is_set():
                    number += 1
                    spans = [make.span("new", start=make.START + (number * 7 + n) % 700) for n in range(3)]
                    if writer.ingest(make.request(*spans)).status_code != 200:
                        failures.append("refused")

        thread = threading.Thread(target=write)
        thread.start()
        try:
            walked = walk(client, order=order, limit=7)
        finally:
            stopped.set()
            thread.join()
        ids = [trace["trace_id"] for trace in walked]
        assert not failures
        assert len(ids) == len(set(ids))
        assert {span["traceId"] for span in before} <= set(ids)

    def test_from_is_inclusive_and_to_is_not(self, client: Client) -> None:
        client.store(
            *[
                make.span(f"n{n}", start=make.START + n * make.SECOND, end=make.START + 60 * make.SECOND)
                for n in range(4)
            ]
        )
        found = client.traces(**{"from": "2025-11-24T16:00:01Z", "to": "2025-11-24T17:00:03+01:00"})
        assert [trace["name"] for trace in found] == ["n2", "n1"]

    @pytest.mark.parametrize("moment", ["0001-01-01", "9999-12-31T23:59:59.999999999Z", "1677-01-01", "2262-12-31"])
    def test_R69_times_beyond_64_bits_are_held_to_them(self, client: Client, moment: str) -> None:
        client.store(make.span())
        early = moment < "2000"
        assert len(client.traces(**{"from": moment})) == (1 if early else 0)
        assert len(client.traces(to=moment)) == (0 if early else 1)

    @on_one_database
    @pytest.mark.parametrize("word", ["yesterday", "", "2025-13-01", "1e9", "2025-11-24T16:00:00.Z", "\0", "９９９９"])
    @pytest.mark.parametrize("field", ["from", "to"])
    def test_a_time_that_is_none_is_named(self, client: Client, field: str, word: str) -> None:
        assert "write it as" in error_of(client.get("/api/v1/traces", params={field: word}), 400, "bad_request", field)

    def test_a_limit_is_kept(self, client: Client) -> None:
        client.store(*[make.span() for _ in range(60)])
        assert len(client.traces()) == 50
        assert len(client.traces(limit=7)) == 7
        assert len(client.traces(limit=1000)) == 60

    @on_one_database
    @pytest.mark.parametrize("limit", ["0", "-1", "1001", "1e9", "9" * 400, "", "ten", "NaN", "1.5", "null", "\0"])
    @pytest.mark.parametrize("path", ["/api/v1/traces", "/api/v1/traces/" + "ab" * 16 + "/spans"])
    def test_R69_a_limit_out_of_range_is_422(self, client: Client, path: str, limit: str) -> None:
        error_of(client.get(path, params={"limit": limit}), 422, "invalid", "limit")

    @on_one_database
    @pytest.mark.parametrize(
        "cursor", ["", "x", "!!", "é", "AAAA", "//8", "k6stc3RhcnRfdGltZQ", "9" * 300, "\0", "=", "oA"]
    )
    def test_R69_a_cursor_that_is_none_is_named(self, client: Client, cursor: str) -> None:
        one = make.span()
        client.store(one)
        for path in ("/api/v1/traces", f"/api/v1/traces/{one['traceId']}/spans"):
            answer = client.get(path, params={"cursor": cursor})
            if cursor == "" and answer.status_code == 200:
                continue
            error_of(answer, 400, "bad_request", "cursor")

    def test_R69_a_cursor_of_another_order_is_named(self, client: Client) -> None:
        client.store(make.span(), make.span())
        cursor = client.read("/api/v1/traces", project=client.project, limit=1)["next_cursor"]
        for order in ORDERS[1:]:
            error_of(
                client.get("/api/v1/traces", params={"cursor": cursor, "order": order}), 400, "bad_request", "cursor"
            )

    @pytest.mark.parametrize("number", [2**63, -(2**63), 2**64 - 1])
    def test_R69_a_cursor_with_numbers_that_no_column_holds_is_named(self, client: Client, number: int) -> None:
        for value, id in ((number, 1), (1, number)):
            packed = msgspec.msgpack.encode(["-start_time", value, id])
            cursor = base64.urlsafe_b64encode(packed).rstrip(b"=").decode()
            assert client.get("/api/v1/traces", params={"cursor": cursor}).status_code in (200, 400)

    @on_one_database
    def test_an_order_that_does_not_exist_is_named(self, client: Client) -> None:
        message = error_of(
            client.get("/api/v1/traces", params={"order": "name; DROP TABLE trace"}), 400, "bad_request", "order"
        )
        assert "received" in message

    def test_a_project_that_does_not_exist_is_not_found(self, client: Client) -> None:
        for path in ("/api/v1/traces", "/api/v1/traces/" + "ab" * 16):
            error_of(client.get(path, params={"project": "none such"}), 404, "not_found", "project")


INJECTIONS = [
    *(
        "' OR 1=1 --",
        '" OR ""="',
        "'; DROP TABLE trace; --",
        "1) UNION SELECT 1 --",
        "%",
        "_",
        "\\",
        "%' --",
        "$1",
        "?",
    ),
    *(
        "a'||pg_sleep(5)||'",
        "1 AND SLEEP(5)",
        "{{7*7}}",
        "${7*7}",
        "<script>",
        "../../etc/passwd",
        "\r\nX: 1",
        "\0",
        "\ud83d",
    ),
    *("x" * 5000, "\u202e", "%00", "%0d%0aSet-Cookie:%20x=1", "[]", "{}", "null", "-1", "NaN", "é", "\uffff"),
]


@pytest.mark.parametrize("text", INJECTIONS, ids=range(len(INJECTIONS)))
def test_R54_R62_R65_no_parameter_of_a_list_makes_an_error_of_ours(client: Client, text: str) -> None:
    client.store(make.span())
    text = text.encode("utf-8", "replace").decode()
    before = len(client.traces())
    for name in ("project", "q", "from", "to", "order", "limit", "cursor", "bodies", "unknown"):
        for path in ("/api/v1/projects", "/api/v1/traces", "/api/v1/traces/" + "ab" * 16 + "/spans"):
            answer = client.get(path, params={name: text})
            assert answer.status_code in (200, 400, 404, 422), f"{name}={text!r}: {answer.status_code}"
            assert "set-cookie" not in answer.headers
            assert "x" not in answer.headers
            if name == "project" and path != "/api/v1/projects" and text:
                assert answer.status_code in (404, 422)
    assert len(client.traces()) == before


def test_R54_R62_no_name_of_a_project_makes_an_error_of_ours(client: Client) -> None:
    client.store(make.span())
    for odd in ("%00", "%ED%A0%80"):
        for path in (
            *("/api/v1/traces?project={}", "/api/v1/rules?project={}", "/api/v1/audit?project={}", "/p/{}/traces"),
            *("/p/{}/users/{}", "/api/v1/sessions/{}", "/settings/privacy?project={}", "/settings/keys?project={}"),
        ):
            assert client.get(path.replace("{}", odd)).status_code in (200, 302, 404, 422), f"{path} {odd}"
        for path in ("/settings/privacy", "/settings/keys", "/settings/privacy/erase"):
            form = f"project={odd}&name=x&right=wrong&id=x"
            answer = client.post(path, content=form, headers={"content-type": "application/x-www-form-urlencoded"})
            assert answer.status_code in (303, 400, 404, 422), f"{path} {odd}"
    for name in ("\0",):
        for method, path, body in (
            ("POST", f"/api/v1/projects/{client.project}/merge", {"into": name}),
            ("POST", "/api/v1/invitations", {"email": "x@example.com", "role": "viewer", "project": name}),
            ("POST", "/api/v1/views", {"project": name, "name": "x", "q": ""}),
        ):
            assert client.request(method, path, json=body).status_code in (400, 404, 422), f"{path} {name!r}"


def test_R54_what_no_database_can_hold_is_refused_wherever_it_comes_from(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgetful(*_: object, **__: object) -> None:
        raise DataError("SELECT", {}, ValueError("text fields cannot contain NUL"))

    monkeypatch.setattr("tracer.api.projects.described", forgetful)
    answer = client.get("/api/v1/projects")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")


def test_every_answer_is_json_that_no_browser_takes_for_a_page(client: Client) -> None:
    for path in ("/api/v1/projects", "/api/v1/traces", "/api/v1/none", "/api/v1/traces/x", "/healthz", "/openapi.json"):
        answer = client.get(path)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_description_says_what_the_answers_are(client: Client) -> None:
    found = client.read("/openapi.json")
    routes = {(method.upper(), path) for path, methods in found["paths"].items() for method in methods}
    assert {
        ("GET", "/api/v1/projects"),
        ("GET", "/api/v1/traces"),
        ("GET", "/api/v1/traces/{trace_id}"),
        ("GET", "/api/v1/traces/{trace_id}/spans"),
        ("GET", "/api/v1/traces/{trace_id}/spans/{span_id}"),
        ("POST", "/v1/traces"),
        ("POST", "/v1/logs"),
        ("POST", "/v1/metrics"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
    } <= routes
    summary = found["components"]["schemas"]["TraceSummary"]["properties"]
    assert set(summary) == set(schemas.TraceSummary.model_fields)


def test_a_call_that_the_apps_own_cache_answered_costs_nothing_and_says_what_it_saved(client: Client) -> None:
    said: dict[str, make.Value] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.usage.input_tokens": 1_000_000,
        "gen_ai.usage.output_tokens": 0,
    }
    hit = make.span("hit", having={**said, "stepscope.cache_hit": True})
    asked = make.span("asked", having=said)
    client.store(hit, asked)
    found = {name: client.trace(one["traceId"]) for name, one in (("hit", hit), ("asked", asked))}
    step = found["hit"]["spans"][0]
    price = found["asked"]["cost_usd"]
    assert price > 0
    assert (step["cost_usd"], step["cost_source"], step["saved_usd"]) == (0, "cache", price)
    assert (found["hit"]["cost_usd"], found["hit"]["cost_source"], found["hit"]["partial"]) == (0, "cache", None)
    assert found["asked"]["spans"][0]["saved_usd"] is None


def test_a_text_that_was_cut_says_how_long_it_was(client: Client) -> None:
    one = make.span(having={"input.value": "aa…", "input.mime_type": "text/plain", "stepscope.input.length": 9_000_000})
    client.store(one)
    step = client.trace(one["traceId"])["spans"][0]
    assert step["input"] == {"mime": "text/plain", "value": "aa…", "full_length": 9_000_000}
