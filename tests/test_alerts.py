"""Alerts: a view is measured, its webhook is told of changes, and nothing is called that should not be."""

from __future__ import annotations

import ipaddress
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

import pytest

from tests import make
from tests.client import Client, Guarded, Service, on_one_database, wait_until
from tracer.alerts import keep, watch, webhook
from tracer.alerts.keep import give_alert_lease, take_alert_lease
from tracer.alerts.measure import Measured, measure
from tracer.alerts.rows import MEASURES, Rule, Side, alert_by_id
from tracer.alerts.watch import state_of
from tracer.api import schemas
from tracer.errors import BadRequest
from tracer.queries.projects import project_by_name
from tracer.queries.scope import EVERYTHING
from tracer.store.sql import Sql
from tracer.units import MINUTE

SECRET = "T0-secret-path"


@dataclass
class Receiver:
    """A webhook: what it was sent, and what it answers, the last answer again and again."""

    url: str
    got: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    answers: list[int] = field(default_factory=lambda: [204])


@contextmanager
def receiving() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            assert self.headers["content-type"] == "application/json"
            here.paths.append(self.path)
            status = here.answers.pop(0) if len(here.answers) > 1 else here.answers[0]
            self.send_response(status)
            if status == 302:
                self.send_header("location", "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()
            here.got.append(json.loads(body))

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here = Receiver(f"http://127.0.0.1:{server.server_address[1]}/{SECRET}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failed messages are sent again at once."""
    monkeypatch.setattr(watch, "BACK_OFF", (0, 0, 0, 0))


def run(client: Client, *, failed: bool = False) -> str:
    """A trace that ended just now."""
    now = time.time_ns()
    span = make.span("answer", start=now - 2 * 10**9, end=now - 10**9, status=2 if failed else 1)
    client.store(span)
    return span["traceId"]


def view_of(client: Client, q: str = "") -> int:
    client.store(make.span("of last year"))
    given = {"project": client.project, "name": "Watched", "q": q}
    return client.post("/api/v1/views", json=given).json()["id"]


def alert_on(client: Client, url: str, **facts: Any) -> dict[str, Any]:
    view = facts.pop("view_id", None) or view_of(client)
    given = {"view_id": view, "name": "Too many fail", "measure": "error_rate", "threshold": 50}
    answer = client.post("/api/v1/alerts", json={**given, "window_minutes": 15, "url": url, **facts})
    assert answer.status_code == 200, answer.text
    return schemas.Alert.model_validate(answer.json()).model_dump()


def now_of(client: Client, made: dict[str, Any]) -> dict[str, Any]:
    items = client.read("/api/v1/alerts", project=client.project)["items"]
    return next(one for one in items if one["id"] == made["id"])


def measured_again(service: Service, made: dict[str, Any]) -> None:
    """As if half a minute had gone by."""
    with service.store.writing() as connection:
        Sql(connection).run("UPDATE alert SET next_at = 0 WHERE id = ?", [made["id"]])
    service.app.state.watcher.wake()


def history(client: Client, made: dict[str, Any]) -> list[dict[str, Any]]:
    found = client.read(f"/api/v1/alerts/{made['id']}/history")
    return schemas.AlertHistory.model_validate(found).model_dump()["items"]


def test_a_webhook_is_told_when_the_threshold_is_passed_and_when_all_is_well_again(
    client: Client, service: Service, hook: Receiver
) -> None:
    run(client, failed=True)
    made = alert_on(client, hook.url)
    wait_until(lambda: len(hook.got) == 1, "it is told")
    told = hook.got[0]
    assert (told["event"], told["value"], told["trace_count"]) == ("firing", 100, 1)
    assert told["alert"] == {"id": made["id"], "name": "Too many fail", "view": "Watched", "q": ""}
    assert "error rate above 50 % over 15 min" in told["text"]
    assert told["url"].startswith(f"{service.url}/p/{client.project}/traces?q=&from=")
    assert client.get(told["url"]).text.count('<tr id="t-') == 1
    before = now_of(client, made)["checked_at"]
    measured_again(service, made)
    wait_until(lambda: now_of(client, made)["checked_at"] != before, "it is measured")
    assert len(hook.got) == 1
    for _ in range(3):
        run(client)
    measured_again(service, made)
    wait_until(lambda: len(hook.got) == 2, "it is told again")
    assert (hook.got[1]["event"], hook.got[1]["value"]) == ("ok", 25)
    wait_until(lambda: history(client, made)[0]["delivery"] == "sent", "the answer is noted")
    lines = history(client, made)
    assert [(one["event"], one["answer"], one["tries"]) for one in lines] == [
        ("ok", "HTTP 204", 1),
        ("firing", "HTTP 204", 1),
    ]
    assert [one["id"] for one in lines] == [hook.got[1]["id"], hook.got[0]["id"]]
    page = client.read(f"/api/v1/alerts/{made['id']}/history", limit=1)
    assert page["next_cursor"]
    older = client.read(f"/api/v1/alerts/{made['id']}/history", limit=1, cursor=page["next_cursor"])
    assert [one["event"] for one in older["items"]] == ["firing"]
    for told_of in (client.get("/api/v1/alerts").text, client.get(f"/p/{client.project}/alerts").text):
        assert "127.0.0.1" in told_of
        assert SECRET not in told_of
    assert client.delete(f"/api/v1/alerts/{made['id']}").status_code == 204
    assert client.get(f"/api/v1/alerts/{made['id']}/history").status_code == 404


def test_what_is_not_taken_is_sent_again_and_given_up_in_the_end(client: Client, hook: Receiver, quick: None) -> None:
    run(client, failed=True)
    hook.answers = [500, 204]
    made = alert_on(client, hook.url)
    wait_until(lambda: [one["delivery"] for one in history(client, made)] == ["sent"], "it is taken")
    assert history(client, made)[0]["tries"] == 2
    assert hook.got[0] == hook.got[1]
    hook.answers = [302]
    hook.paths.clear()
    other = alert_on(client, hook.url, name="Other")
    wait_until(lambda: [one["delivery"] for one in history(client, other)] == ["failed"], "it is given up")
    assert history(client, other)[0]["answer"] == "HTTP 302, a redirect, which is not followed"
    assert hook.paths == [f"/{SECRET}"] * watch.TRIES


def test_while_it_is_muted_nothing_is_sent_and_what_still_fires_is_told_after(
    client: Client, service: Service, hook: Receiver
) -> None:
    made = alert_on(client, hook.url)
    muted = client.put(f"/api/v1/alerts/{made['id']}/mute", json={"until": "2100-01-01T00:00:00Z"}).json()
    assert muted["muted_until"] == "2100-01-01T00:00:00Z"
    run(client, failed=True)
    measured_again(service, made)
    wait_until(lambda: now_of(client, made)["state"] == "firing", "it fires")
    assert [one["delivery"] for one in history(client, made)] == ["muted"]
    assert client.post(f"/api/v1/alerts/{made['id']}/test").json() == {"ok": True, "answer": "HTTP 204"}
    assert [one["event"] for one in hook.got] == ["test"]
    client.put(f"/api/v1/alerts/{made['id']}/mute", json={"until": None})
    measured_again(service, made)
    wait_until(lambda: len(hook.got) == 2, "it is told")
    assert hook.got[1]["event"] == "firing"


def test_each_measure_is_of_the_views_traces_in_the_window(client: Client, service: Service) -> None:
    now = time.time_ns()
    spans = []
    for number in range(20):
        start = now - 60 * 10**9
        spans.append(make.span("answer", start=start, end=start + (number + 1) * 10**9, status=2 if number < 5 else 1))
    priced = make.model_call(tokens=(1_000_000, 0))
    priced |= {"startTimeUnixNano": str(now - 10**10), "endTimeUnixNano": str(now - 10**10 + 1), "name": "answer"}
    client.store(*spans, priced, make.span("answer"), make.span("other", start=now - 10**10, end=now))
    for span, value in ((spans[0], 0.5), (spans[1], 1)):
        given = {"trace_id": span["traceId"], "project": client.project, "name": "good", "value": value}
        assert client.post("/api/v1/scores", json={**given, "source": "code"}).status_code == 200
    cost = client.trace(priced["traceId"])["cost_usd"]
    assert cost > 0
    view = view_of(client, "name:answer")
    made = alert_on(client, "http://127.0.0.1:9/", view_id=view)
    with service.store.reading() as connection:
        project = project_by_name(connection, scope=EVERYTHING, name=client.project)
        search = watch.read_q(alert_by_id(connection, made["id"], scope=EVERYTHING).q, searching=True)
        found = {
            kind: measure(
                Sql(connection),
                search,
                Rule(kind, "good", "above", 0, 5 * MINUTE),
                project_id=project.id,
                now=now,
                abandoned_after=10,
            )
            for kind in MEASURES
        }
    assert found == {
        "count": Measured(21, 21, whole=True),
        "error_rate": Measured(100 * 5 / 21, 21, whole=True),
        "p95_ms": Measured(19_000, 21, whole=True),
        "cost_usd": Measured(cost, 21, whole=True),
        "score": Measured(0.75, 21, whole=True),
    }


@on_one_database
def test_what_a_part_of_the_traces_cannot_tell_leaves_the_state(client: Client, service: Service) -> None:
    made = alert_on(client, "http://127.0.0.1:9/", measure="count", threshold=10)
    with service.store.reading() as connection:
        one = alert_by_id(connection, made["id"], scope=EVERYTHING)

    def state(side: Side, before: Literal["ok", "firing"], found: Measured) -> str:
        return state_of(replace(one, rule=Rule("count", None, side, 10, MINUTE), state=before), found)

    part, much = Measured(5, 5, whole=False), Measured(50, 50, whole=False)
    for side in ("above", "below"):
        assert (state(side, "ok", part), state(side, "firing", part)) == ("ok", "firing")
    assert (state("above", "ok", much), state("below", "firing", much)) == ("firing", "ok")
    assert state("below", "ok", Measured(5, 5, whole=True)) == "firing"
    assert state("above", "firing", Measured(None, 0, whole=True)) == "ok"


def test_one_process_watches_at_a_time(service: Service) -> None:
    with service.store.writing() as connection:
        sql, now = Sql(connection), time.time_ns()
        sql.run("UPDATE alert_state SET owner = '', until = 0")
        assert take_alert_lease(sql, "a", now)
        assert not take_alert_lease(sql, "b", now)
        assert take_alert_lease(sql, "a", now)
        assert take_alert_lease(sql, "b", now + keep.LEASE + 1)
        # The service whose thread watches here goes on.
        give_alert_lease(sql, "b")


@on_one_database
@pytest.mark.parametrize(
    ("wrong", "status", "name"),
    [
        ({"url": "ftp://example.com/"}, 400, "url"),
        ({"url": "https://me:word@example.com/"}, 400, "url"),
        ({"url": "http://169.254.169.254/latest/meta-data"}, 400, "url"),
        ({"url": None}, 400, "url"),
        ({"measure": "score"}, 400, "score"),
        ({"threshold": 101}, 400, "threshold"),
        ({"threshold": -1}, 400, "threshold"),
        ({"window_minutes": 0}, 400, "window_minutes"),
        ({"name": " "}, 400, "name"),
        ({"measure": "luck"}, 422, "measure"),
        ({"view_id": 2**40}, 404, "view_id"),
    ],
)
def test_what_cannot_be_an_alert_is_refused_by_field(
    client: Client, wrong: dict[str, Any], status: int, name: str
) -> None:
    given = {
        "view_id": 1,
        "name": "x",
        "measure": "count",
        "threshold": 1,
        "window_minutes": 5,
        "url": "http://a.test/",
    }
    if "threshold" in wrong:
        given["measure"] = "error_rate"
    answer = client.post("/api/v1/alerts", json={**given, "view_id": view_of(client), **wrong})
    assert (answer.status_code, answer.json()["error"]["field"]) == (status, name)


@on_one_database
def test_names_are_taken_once_and_a_view_that_is_watched_stays(client: Client) -> None:
    made = alert_on(client, "http://127.0.0.1:9/")
    again = {"view_id": made["view_id"], "name": made["name"], "measure": "count", "threshold": 1, "window_minutes": 5}
    assert client.post("/api/v1/alerts", json={**again, "url": "http://127.0.0.1:9/"}).status_code == 409
    assert client.put(f"/api/v1/alerts/{made['id']}", json=again).json()["webhook"] == "http://127.0.0.1:9"
    assert client.delete(f"/api/v1/views/{made['view_id']}").status_code == 409
    client.delete(f"/api/v1/alerts/{made['id']}")
    assert client.delete(f"/api/v1/views/{made['view_id']}").status_code == 204
    wait_until(
        lambda: "made an alert" in client.get("/api/v1/audit", params={"project": client.project}).text,
        "the audit log has it",
    )


ALWAYS = ("169.254.169.254", "fe80::1", "fd00:ec2::254", "100.100.100.200", "0.0.0.0", "224.0.0.1", "255.255.255.255")
ALWAYS += ("::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::")
PRIVATE = ("127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "fd12::1", "100.64.0.1", "::ffff:10.0.0.1")


@pytest.mark.parametrize("private", [True, False])
def test_a_clouds_own_addresses_are_never_called_and_private_ones_where_that_is_set(private: bool) -> None:
    for text in ALWAYS:
        assert webhook.refusal_of(ipaddress.ip_address(text), private=private), text
    for text in PRIVATE:
        assert (webhook.refusal_of(ipaddress.ip_address(text), private=private) is None) == private, text
    assert webhook.refusal_of(ipaddress.ip_address("8.8.8.8"), private=private) is None


def test_a_name_that_leads_to_such_an_address_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    def looked_up(*_: object, **__: object) -> list[Any]:
        family = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*family, ("127.0.0.1", 80)), (*family, ("169.254.169.254", 80))]

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    answer = webhook.send("http://hooks.example.com/x", {}, private=True)
    assert not answer.ok
    assert answer.words.startswith("its address is link-local")


def test_who_dawdles_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "WHOLE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        start = time.monotonic()
        for scheme in ("http", "https"):
            answer = webhook.send(f"{scheme}://127.0.0.1:{listening.getsockname()[1]}/", {}, private=True)
            assert answer == webhook.Answer(False, "no answer in time")
        assert time.monotonic() - start < webhook.TIMEOUT_S


def test_beyond_loopback_private_networks_are_not_called(guarded: Guarded) -> None:
    with pytest.raises(BadRequest, match="private network"):
        webhook.check_webhook("http://10.0.0.1/x", private=guarded.service.app.state.watcher.private)


@on_one_database
def test_the_page_makes_tries_mutes_and_deletes_alerts(client: Client, hook: Receiver) -> None:
    page = f"/p/{client.project}/alerts"
    client.store(make.span())
    assert "An alert watches a saved view" in client.get(page).text
    view = view_of(client, "status:error")
    form = {"name": "Too <many>", "view_id": str(view), "measure": "count", "threshold": "a few", "window_minutes": "5"}
    form["url"] = hook.url
    wrong = client.post(page, data=form)
    assert wrong.status_code == 400
    assert "This takes a number" in wrong.text
    assert 'value="a few"' in wrong.text
    assert client.post(page, data={**form, "threshold": "3"}).status_code == 303
    [made] = client.read("/api/v1/alerts", project=client.project)["items"]
    html = client.get(page).text
    assert "Too &lt;many&gt;" in html
    assert "traces above 3 over 5 min" in html
    number = {"alert": str(made["id"])}
    assert "answered the test: HTTP 204" in client.post(f"{page}/test", data=number).text
    assert hook.got[0]["event"] == "test"
    hook.answers = [500]
    assert "did not arrive: HTTP 500" in client.post(f"{page}/test", data=number).text
    edited = client.get(page, params={"edit": made["id"]}).text
    assert 'value="3"' in edited
    assert SECRET not in edited
    changed = {**form, **number, "threshold": "7,5", "url": ""}
    assert client.post(page, data=changed).status_code == 303
    assert client.read("/api/v1/alerts", project=client.project)["items"][0]["threshold"] == 7.5
    assert client.post(f"{page}/mute", data=number).status_code == 303
    assert "End mute" in client.get(page).text
    assert client.post(f"{page}/mute", data={**number, "do": "unmute"}).status_code == 303
    assert client.post(f"{page}/remove", data=number).status_code == 303
    assert "There is no alert yet" in client.get(page).text
    assert client.post(f"{page}/test", data=number).status_code == 404
