"""Rules for what comes in: masks, no content, retention, and erasing a user or a session."""

from __future__ import annotations

import random
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepscope._masks import ALL as SDK_MASKS
from stepscope._masks import Masks
from tests import make
from tests.client import Client, Service, on_one_database, wait_until
from tracer.api import schemas
from tracer.errors import BadRequest
from tracer.ingest.masks import ALL, HIDE
from tracer.ingest.rules import Pattern, Rules, check_rules, read_patterns
from tracer.ingest.verify import verify
from tracer.otlp.records import LogRecord, Scope
from tracer.units import DAY

PAGE = "/settings/privacy"
KEY = "sk-ant-api03-" + "a1B2" * 12
SECRETS = {
    "keys": [
        *(KEY, "AKIAIOSFODNN7EXAMPLE", "ghp_" + "a1" * 18),
        "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----",
    ],
    "secrets": ['{"password": "hunter2 and more"}'],
    "emails": ["ada.lovelace@example.com"],
    "cards": ["4111 1111 1111 1111"],
}  # fmt: skip


def put(client: Client, **rules: Any) -> dict[str, Any]:
    """Give the client's project rules; the project is made where it is not there."""
    client.post("/api/v1/keys", json={"project": client.project, "name": "x", "right": "read"})
    answer = client.put("/api/v1/rules", params={"project": client.project}, json=rules)
    assert answer.status_code == 200, answer.text
    return schemas.Rules.model_validate(answer.json()).model_dump()


class TestMasks:
    @pytest.mark.parametrize("name", ALL)
    def test_they_find_what_the_sdks_find(self, name: str) -> None:
        assert ALL == SDK_MASKS
        theirs = Masks((name,))
        parts = [text for texts in SECRETS.values() for text in texts]
        parts += [
            "Bearer abcdefghijklmnop",
            "xoxb-1234567890-abc",
            " ",
            "\\n",
            '"',
            "'",
            ":",
            "token",
            "@",
            "é",
            "4111-1111",
        ]
        pick = random.Random(7)
        for _ in range(400):
            text = pick.choice(["", " ", '"', "x"]).join(pick.choices(parts, k=5))
            assert HIDE[name](text) == theirs.hide(text), text
        for text in SECRETS[name]:
            assert "masked" in HIDE[name](f"a {text} b")

    @given(st.text(alphabet=st.sampled_from("aA1.@-_\"':\\ne4 sk"), max_size=80))
    def test_they_find_what_the_sdks_find_in_any_text(self, text: str) -> None:
        for name in ALL:
            assert HIDE[name](text) == Masks((name,)).hide(text)

    def test_what_they_find_is_nowhere_in_what_is_stored(self, client: Client, service: Service) -> None:
        put(client, masks=list(ALL))
        hidden = [text for texts in SECRETS.values() for text in texts]
        everything = " | ".join(hidden)
        one = make.model_call(
            f"call {SECRETS['emails'][0]}",
            having={
                "input.value": everything,
                "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"' + KEY + '"}]}]',
                "user.id": SECRETS["emails"][0],
                "deep": {"list": [everything, {"key": everything}], "number": 7},
            },
        )
        one["status"] = {"code": 2, "message": everything}
        one["events"] = [
            {
                "name": everything,
                "timeUnixNano": "1",
                "attributes": [{"key": "a", "value": {"stringValue": everything}}],
            }
        ]
        client.store(one)
        trace = client.trace(one["traceId"])
        exported = client.get(f"/api/v1/traces/{one['traceId']}/export", params={"format": "otlp"}).text
        page = client.get(f"/p/{client.project}/traces/{one['traceId']}/steps/{one['spanId']}").text
        for told in (repr(trace), exported, page):
            for text in ("hunter2", KEY, "AKIAIOSFODNN7", "lovelace@", "4111 1111 1111", "BEGIN RSA"):
                assert text not in told
        span = trace["spans"][0]
        assert "[masked key]" in span["input"]["value"]
        assert trace["user_id"] == "[masked e-mail]"
        assert span["attributes"]["deep"]["number"] in (7, "7")
        assert "ruled" in span["flags"]
        wait_until(lambda: client.read("/api/v1/status")["index"]["lag_spans"] == 0, "it is indexed")
        for word in ("hunter2", "lovelace"):
            assert client.traces(q=word) == []
        assert list(verify(service.store)) == []

    def test_log_records_are_held_to_them_too(self, client: Client) -> None:
        put(client, masks=["emails"])
        one = make.span()
        client.store(one)
        log = {
            "timeUnixNano": "1", "traceId": one["traceId"], "spanId": one["spanId"],
            "body": {"stringValue": "said by ada@example.com"},
            "attributes": [{"key": "who", "value": {"stringValue": "ada@example.com"}}],
        }  # fmt: skip
        sent = {"resourceLogs": [{"scopeLogs": [{"logRecords": [log]}]}]}
        assert client.ingest(sent, path="/v1/logs").status_code == 200
        told = repr(client.trace(one["traceId"]))
        assert "ada@" not in told
        assert "said by [masked e-mail]" in told

    def test_other_projects_are_left_alone(self, client: Client, service: Service) -> None:
        put(client, masks=["emails"])
        with Client(service.url) as other:
            one = make.span(having={"input.value": "ada@example.com"})
            other.store(one)
            assert other.trace(one["traceId"])["spans"][0]["input"]["value"] == "ada@example.com"

    def test_a_project_named_by_the_span_is_found_before_it_is_masked(self, client: Client) -> None:
        client.project = f"{client.project}@example.com"
        put(client, masks=["emails"], keys=["*project*"])
        one = make.span(having={"openinference.project.name": client.project, "input.value": "ada@example.com"})
        assert client.ingest(make.request(one), x_stepscope_project="").status_code == 200
        assert client.trace(one["traceId"])["spans"][0]["input"]["value"] == "[masked e-mail]"


class TestOwnPatterns:
    def test_they_hide_what_they_find_under_their_name(self, client: Client) -> None:
        put(client, patterns=[{"name": "order", "pattern": r"ORD-\d{6}"}], keys=["secret.*"])
        one = make.span(having={"input.value": "where is ORD-123456?", "secret.plan": "x", "in": {"secret.plan": "x"}})
        client.store(one)
        span = client.trace(one["traceId"])["spans"][0]
        assert span["input"]["value"] == "where is [masked order]?"
        assert span["attributes"]["secret.plan"] == "[masked]"
        assert span["attributes"]["in"] == {"secret.plan": "[masked]"}

    def test_no_pattern_and_no_text_takes_long(self) -> None:
        slow = [r"(a+)+$", r"(a|aa)*b", r"(.*a){20}", r"(\w+\s?)*!", r"(?:a?){50}a{50}"]
        rules = check_rules(Rules(patterns=tuple(Pattern(f"p{n}", f"x{text}") for n, text in enumerate(slow))))
        began = time.perf_counter()
        for text in ("a" * 50_000, "ab" * 25_000, "x" + "a" * 50_000 + "!"):
            rules.mask(text)
        hidden = Rules(keys=("*a*a*",))
        hidden.apply(LogRecord(None, None, 0, "", "", None, {"b" * 200_000: "x"}, {}, Scope()), {})
        assert time.perf_counter() - began < 2

    @pytest.mark.parametrize(
        "pattern", ["(", "[a", r"(?=a)", r"\1", "*", "", "x" * 501, "(((a{1,1000}){1,1000}){1,1000})", "a*", "\\", "|"]
    )
    def test_what_is_no_pattern_is_refused_and_named(self, pattern: str) -> None:
        with pytest.raises(BadRequest) as problem:
            check_rules(Rules(patterns=(Pattern("mine", pattern),)))
        assert problem.value.field == "patterns"

    @given(st.text(max_size=60), st.text(max_size=60))
    def test_any_pattern_is_used_or_refused(self, pattern: str, text: str) -> None:
        try:
            rules = check_rules(Rules(patterns=(Pattern("p", pattern),)))
        except BadRequest:
            return
        rules.mask(text.encode("utf-8", "replace").decode())

    def test_lines_are_read_as_people_write_them(self) -> None:
        assert list(read_patterns("a: b:c\n\n  d e :  f ")) == [Pattern("a", "b:c"), Pattern("d e", "f")]
        with pytest.raises(BadRequest):
            list(read_patterns("no colon"))
        assert Rules(patterns=(Pattern("\\1 \\", "x"),)).mask("axb") == "a[masked \\1 \\]b"


class TestNoContent:
    def test_what_ran_is_kept_and_nothing_that_was_said(self, client: Client, service: Service) -> None:
        put(client, content=False)
        said = "what was said"
        one = make.model_call(
            "call",
            having={
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.usage.input_tokens": 100,
                "gen_ai.usage.output_tokens": 20,
                "gen_ai.input.messages": f'[{{"role":"user","parts":[{{"type":"text","content":"{said}"}}]}}]',
                "input.value": said,
                "output.value": said,
                "metadata.note": said,
                "llm.input_messages.0.message.content": said,
                "tool.arguments": {"a": said},
                "input.number": 42,
                "session.id": "s-1",
                "user.id": "u-1",
                "unknown": said,
                "gen_ai.response.model": said * 40,
            },
        )
        one["status"] = {"code": 2, "message": said}
        exception = {"exception.type": "ShopError", "exception.message": said, "exception.stacktrace": said}
        one["events"] = [
            {
                "name": "exception",
                "timeUnixNano": "1",
                "attributes": [{"key": key, "value": {"stringValue": text}} for key, text in exception.items()],
            }
        ]
        log = {
            "timeUnixNano": "1", "traceId": one["traceId"], "spanId": one["spanId"], "body": {"stringValue": said}
        }  # fmt: skip
        assert (
            client.ingest({"resourceLogs": [{"scopeLogs": [{"logRecords": [log]}]}]}, path="/v1/logs").status_code
            == 200
        )
        client.store(one)
        trace = client.trace(one["traceId"])
        exported = client.get(f"/api/v1/traces/{one['traceId']}/export", params={"format": "otlp"}).text
        assert said not in repr(trace)
        assert said not in exported
        span = trace["spans"][0]
        assert (span["model"], span["kind"], span["status"]) == ("gpt-4o", "llm", "error")
        assert (span["tokens"]["input"], span["tokens"]["output"]) == (100, 20)
        assert (trace["session_id"], trace["user_id"]) == ("s-1", "u-1")
        assert span["input"] is None
        assert span["events"][0]["attributes"] == {"exception.type": "ShopError"}
        assert "input.number" not in span["attributes"]
        assert list(verify(service.store)) == []


class TestRetention:
    def test_what_is_older_than_the_project_keeps_is_refused_and_deleted(self, client: Client) -> None:
        now = time.time_ns()
        old, young = make.span("old", start=now - 40 * DAY), make.span("young", start=now - DAY)
        client.store(old, young)
        put(client, retention_days=30)
        answer = client.ingest(make.request(make.span("late", start=now - 40 * DAY)))
        assert answer.json()["partialSuccess"]["rejectedSpans"] == "1"
        assert "30 days that its project keeps" in answer.text
        wait_until(lambda: [trace["name"] for trace in client.traces()] == ["young"], "what is older is deleted")
        put(client)


class TestByTagAndSize:
    def test_what_goes_by_a_rule_is_told_on_the_page_over_rest_and_in_the_audit_log(
        self, client: Client, service: Service
    ) -> None:
        now = time.time_ns()
        tagged: dict[str, make.Value] = {"tag.tags": ["debug"]}
        client.store(make.span("old", start=now - 5 * DAY, having=tagged), make.span("young", start=now - DAY))
        put(client, retention_tags=[{"tag": "debug", "days": 3}])
        wait_until(lambda: [trace["name"] for trace in client.traces()] == ["young"], "the rule is kept to at once")
        found = schemas.Deletions.model_validate(client.read("/api/v1/deletions", project=client.project)).items
        assert [(one.by_rule, one.tag, one.traces) for one in found] == [(True, "debug", 1)]
        receipt = service.app.state.deleter.wait(found[0].id, seconds=20)
        assert receipt.state == "done"
        assert "1 trace with 1 span, tagged debug" in client.get(PAGE, params={"project": client.project}).text

        def noted() -> bool:
            lines = client.read("/api/v1/audit", project=client.project, action="by a rule")["items"]
            return [(one["kind"], one["detail"][:30]) for one in lines] == [
                ("server", "1 trace with 1 span, tagged de")
            ]

        wait_until(noted, "the audit log has it")
        asked = client.delete("/api/v1/traces", params={"project": client.project})
        first = client.read("/api/v1/deletions", project=client.project, limit=1)
        assert [one["id"] for one in first["items"]] == [asked.json()["id"]]
        more = client.read("/api/v1/deletions", project=client.project, limit=1, cursor=first["next_cursor"])
        assert ([one["id"] for one in more["items"]], more["next_cursor"]) == ([receipt.id], None)
        put(client)

    @on_one_database
    def test_late_spans_that_a_tag_may_keep_are_taken(self, client: Client) -> None:
        late = make.span("late", start=time.time_ns() - 40 * DAY)
        put(client, retention_days=30, retention_tags=[{"tag": "golden", "days": None}])
        client.store(late)
        put(client, retention_days=30, retention_tags=[{"tag": "debug", "days": 35}])
        answer = client.ingest(make.request(make.span("later", start=time.time_ns() - 40 * DAY)))
        assert "older than the 35 days" in answer.text
        put(client)


class TestErasing:
    @pytest.mark.parametrize(("what", "attribute"), [("user_id", "user.id"), ("session_id", "session.id")])
    def test_every_trace_of_which_a_step_names_them_goes_with_a_receipt(
        self, client: Client, service: Service, what: str, attribute: str
    ) -> None:
        mine, other = make.new_trace_id(), make.new_trace_id()
        root = make.span("root", trace=mine)
        spans = [
            root,
            make.span(
                "inner", trace=mine, parent=root["spanId"], having={attribute: "100% ada's", "input.value": "remember"}
            ),
            make.span("hers", having={attribute: "100% ada's"}),
            make.span("his", trace=other, having={attribute: "100% adaXs"}),
        ]
        client.store(*spans)
        with Client(service.url) as elsewhere:
            elsewhere.store(make.span("there", having={attribute: "100% ada's"}))
            answer = client.delete("/api/v1/traces", params={"project": client.project, what: "100% ada's"})
            assert answer.status_code in (200, 202), answer.text
            receipt = service.app.state.deleter.wait(answer.json()["id"], seconds=20)
            assert (receipt.state, receipt.traces, receipt.spans) == ("done", 2, 3)
            assert [trace["name"] for trace in client.traces()] == ["his"]
            assert len(elsewhere.traces()) == 1
        late = client.ingest(make.request(make.span("late", trace=mine))).json()
        assert late["partialSuccess"]["rejectedSpans"] == "1"
        assert list(verify(service.store)) == []

    def test_with_a_search_only_what_both_mean_goes_and_no_log_record_that_waits(
        self, client: Client, service: Service
    ) -> None:
        waiting = make.span("his, late")
        log = make.log("said before", trace=waiting["traceId"], span=waiting["spanId"])
        assert client.ingest(make.log_request(log), path="/v1/logs").status_code == 200
        client.store(
            make.span("hers", having={"user.id": "ada"}),
            make.span("hers too", having={"user.id": "ada"}, status=2),
            make.span("his", having={"user.id": "bob"}, status=2),
        )
        asked = {"project": client.project, "user_id": "ada", "q": "status:error"}
        answer = client.delete("/api/v1/traces", params=asked)
        assert answer.status_code in (200, 202), answer.text
        receipt = service.app.state.deleter.wait(answer.json()["id"], seconds=20)
        assert (receipt.state, receipt.traces) == ("done", 1)
        assert sorted(trace["name"] for trace in client.traces()) == ["hers", "his"]

        client.store(waiting)
        events = client.trace(waiting["traceId"])["spans"][0]["events"]
        assert [event["attributes"] for event in events] != []

    def test_on_the_page_it_tells_the_receipt(self, client: Client) -> None:
        client.store(make.span(having={"user.id": "ada"}))
        typed = {"project": client.project, "what": "user", "id": "ada"}
        answer = client.post(f"{PAGE}/erase", data=typed)
        assert answer.status_code == 303
        wait_until(
            lambda: "Erased: 1 trace, 1 step." in client.get(answer.headers["location"].partition("#")[0]).text,
            "it is done",
        )
        assert client.post(f"{PAGE}/erase", data=typed | {"id": " "}).status_code == 400
        assert client.post(f"{PAGE}/erase", data=typed | {"project": "none of these"}).status_code == 404
        number = re.findall(r"erased=(\d+)", answer.headers["location"])[0]
        assert client.get(PAGE, params={"project": "default", "erased": number}).status_code in (404,)


class TestPage:
    def test_rules_are_tried_saved_and_shown(self, client: Client) -> None:
        client.store(make.span())
        typed = {
            "project": client.project, "content": "yes", "masks": ["emails"], "patterns": "order: ORD-\\d+",
            "keys": "http.*", "retention_days": "30", "text": "ada@example.com <b> ORD-7",
            "retention_tags": "debug: 3 days\r\nkept: for ever", "max_size": "2.5 GB",
        }  # fmt: skip
        tried = client.post(PAGE, data=typed | {"do": "try"})
        assert "these rules would delete 1 trace for their age" in tried.text
        assert "[masked e-mail] &lt;b&gt; [masked order]" in tried.text
        assert client.read("/api/v1/rules", project=client.project)["masks"] == []
        saved = client.post(PAGE, data=typed | {"do": "save"})
        assert saved.status_code == 303
        assert client.read("/api/v1/rules", project=client.project) == {
            "masks": ["emails"], "patterns": [{"name": "order", "pattern": "ORD-\\d+"}], "keys": ["http.*"],
            "content": True, "retention_days": 30,
            "retention_tags": [{"tag": "debug", "days": 3}, {"tag": "kept", "days": None}], "max_size": 2_500_000_000,
        }  # fmt: skip
        assert "debug: 3\nkept: for ever</textarea>" in client.get(PAGE, params={"project": client.project}).text
        assert "order: ORD-" in client.get(PAGE, params={"project": client.project}).text
        for field, text in (
            *(("patterns", "x"), ("patterns", "a: ("), ("keys", "***"), ("retention_days", "-1")),
            *(("retention_tags", "debug"), ("retention_tags", "a: 0"), ("max_size", "much"), ("max_size", "10")),
        ):
            wrong = client.post(PAGE, data=typed | {field: text})
            assert wrong.status_code == 400
            assert f'id="f-{field}"' in wrong.text.partition('aria-invalid="true"')[0][-400:]
        put(client)

    @on_one_database
    def test_over_rest_odd_rules_are_refused(self, client: Client) -> None:
        put(client)
        for rules in (
            {"masks": ["all"]}, {"patterns": [{"name": "", "pattern": "x"}]}, {"keys": ["*"]}, {"retention_days": 0},
            {"retention_tags": [{"tag": "a", "days": 0}]}, {"retention_tags": [{"tag": ""}]}, {"max_size": 5},
            {"retention_tags": [{"tag": "a"}]}, {"max_size": 2**70}, {"max_size": True},
            {"more": 1}, {"patterns": [{"name": "x", "pattern": "("}]}, {"content": "maybe"}, {"keys": ["x"] * 51},
        ):  # fmt: skip
            answer = client.put("/api/v1/rules", params={"project": client.project}, json=rules)
            assert answer.status_code in (400, 422), rules
        trial = {"text": "ada@example.com", "rules": {"masks": ["emails"]}}
        answer = client.post("/api/v1/rules/trial", params={"project": client.project}, json=trial)
        assert answer.json() == {"text": "[masked e-mail]"}
        assert client.post(
            "/api/v1/rules/trial", params={"project": client.project}, json={"text": "x@y.zz"}
        ).json() == {"text": "x@y.zz"}
