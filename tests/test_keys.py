"""Keys of projects: what they open, what they never open, and how they end."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from tests import make
from tests.client import JSON, Client, Guarded, Service, on_one_database, raw, wait_until
from tracer.access.keys import KeyRight, Wanted, make_key, rotate_key
from tracer.access.ring import KeyRing
from tracer.api import schemas
from tracer.auth import KEY_RIGHTS, ROUTES, Right
from tracer.queries.scope import EVERYTHING
from tracer.store.models import access_key
from tracer.units import DAY, HOUR

PAGE = "/settings/keys"


def made(client: Client, right: str = "full", **more: Any) -> dict[str, Any]:
    """A key of the client's project, made over REST."""
    given = {"project": client.project, "name": "app", "right": right, **more}
    answer = client.post("/api/v1/keys", json=given)
    assert answer.status_code == 201, answer.text
    return schemas.NewKey.model_validate(answer.json()).model_dump()


@pytest.fixture
def other(service: Service) -> Iterator[Client]:
    """A client with a project of its own, and a full key of that project."""
    with Client(service.url) as plain, Client(service.url, project=plain.project) as keyed:
        keyed.headers["x-api-key"] = made(plain)["key"]
        yield keyed


class TestMaking:
    def test_R68_a_key_is_told_once_and_stored_as_a_hash(self, client: Client, service: Service) -> None:
        one = made(client, "ingest", days=30)
        assert one["key"].startswith("ssi_")
        assert len(one["key"]) >= 47
        assert one["key"].startswith(one["prefix"])
        assert len(one["prefix"]) == 10
        listed = client.read("/api/v1/keys", project=client.project)["items"]
        assert [(key["name"], key["right"], key["prefix"]) for key in listed] == [("app", "ingest", one["prefix"])]
        with service.store.reading() as connection:
            rows = connection.execute(select(access_key).where(access_key.c.id == one["id"])).all()
        for told in (repr(rows), repr(listed), client.get(PAGE).text):
            assert one["key"] not in told
        assert len(rows[0].digest) == 32

    @on_one_database
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("name", ""), ("name", " "), ("name", "x" * 101), ("right", "admin"), ("right", ""), ("days", 0),
            ("days", 10**9), ("rate_limit", 0), ("rate_limit", -1), ("project", ""), ("project", "x" * 500),
            ("project", 5), ("more", 1),
        ],
    )  # fmt: skip
    def test_what_makes_no_key_is_refused(self, client: Client, field: str, value: Any) -> None:
        given = {"project": client.project, "name": "app", "right": "read", field: value}
        assert client.post("/api/v1/keys", json=given).status_code == 422

    def test_nobody_but_who_manages_a_project_makes_its_keys(self, client: Client, other: Client) -> None:
        for right in KeyRight:
            key = {"x-api-key": made(client, right)["key"]}
            assert client.get("/api/v1/keys", headers=key).status_code == 403
            answer = client.post(
                "/api/v1/keys", json={"project": other.project, "name": "x", "right": "full"}, headers=key
            )
            assert answer.status_code == 403


class TestIsolation:
    def test_R63_a_key_of_another_project_sees_and_changes_nothing(self, client: Client, other: Client) -> None:
        one = make.span("answer", having={"input.value": "the secret of A"})
        client.store(one)
        trace, span = one["traceId"], one["spanId"]
        score = client.post("/api/v1/scores", json={"trace_id": trace, "name": "good", "value": 1}).json()["id"]
        slug = client.read("/api/v1/traces", project=client.project)["items"][0]["project"]
        share = client.post("/api/v1/shares", json={"trace_id": trace}).json()["id"]
        before = client.trace(trace)
        tries = [
            ("GET", f"/api/v1/traces/{trace}"),
            ("GET", f"/api/v1/traces/{trace}?project={client.project}"),
            ("GET", f"/api/v1/traces/{trace}/spans"),
            ("GET", f"/api/v1/traces/{trace}/spans/{span}"),
            ("GET", f"/api/v1/traces/{trace}/export"),
            ("DELETE", f"/api/v1/traces/{trace}"),
            ("DELETE", f"/api/v1/traces?project={client.project}"),
            ("GET", f"/api/v1/traces?project={client.project}"),
            ("GET", f"/api/v1/metrics?project={client.project}"),
            ("GET", f"/api/v1/scores?project={client.project}"),
            ("DELETE", f"/api/v1/scores/{score}"),
            ("DELETE", f"/api/v1/shares/{share}"),
            ("GET", f"/traces/{trace}"),
            ("GET", f"/p/{slug}/traces"),
            ("GET", f"/p/{slug}/traces/{trace}"),
            ("GET", f"/p/{slug}/traces/{trace}/skeleton"),
            ("GET", f"/p/{slug}/traces/{trace}/steps/{span}"),
            ("GET", f"/p/{slug}/live"),
        ]
        for method, path in tries:
            answer = other.request(method, path)
            assert answer.status_code == 404, f"{method} {path}: {answer.status_code}"
            assert "the secret of A" not in answer.text
        assert other.patch(f"/api/v1/traces/{trace}", json={"note": "mine"}).status_code == 404
        assert other.post("/api/v1/shares", json={"trace_id": trace}).status_code == 404
        assert other.get("/api/v1/traces").json()["items"] == []
        assert other.get("/api/v1/scores", params={"trace_id": trace}).json()["items"] == []
        assert [one["name"] for one in other.read("/api/v1/projects")["items"]] == [other.project]
        assert client.trace(trace) == before

    @pytest.mark.parametrize("json", [True, False])
    def test_R63_what_comes_with_a_key_lands_in_its_project(self, client: Client, other: Client, json: bool) -> None:
        one = make.span("answer")
        client.store(one)
        again = {**one, "name": "overwritten"}
        answer = other.ingest(make.request(again), json=json, x_stepscope_project=client.project)
        assert answer.status_code == 200
        assert other.project in answer.text
        assert "1 named another project" in answer.text
        assert client.trace(one["traceId"])["name"] == "answer"
        assert other.trace(one["traceId"])["name"] == "overwritten"

    def test_R63_the_spans_own_word_for_a_project_is_overruled_too(self, client: Client, other: Client) -> None:
        named = make.span("answer", having={"openinference.project.name": client.project})
        for header in (other.project, ""):
            answer = other.ingest(make.request(named), x_stepscope_project=header)
            assert ("named another project" in answer.text) == (not header)
        assert client.get("/api/v1/traces", params={"project": client.project}).status_code == 404
        assert len(other.traces()) == 1
        score = {"trace_id": named["traceId"], "name": "good", "value": 1, "project": client.project}
        assert other.post("/api/v1/scores", json=score).json()["project"] == other.project

    @on_one_database
    @pytest.mark.parametrize("right", list(KeyRight))
    def test_a_key_is_let_in_where_its_right_leads_and_nowhere_else(self, client: Client, right: KeyRight) -> None:
        key = {"x-api-key": made(client, right)["key"]}
        for (method, path), needed in ROUTES.items():
            if path.endswith("live") or needed is Right.public:
                continue
            filled = re.sub(r"{trace_id}", "ab" * 16, re.sub(r"{span_id}", "cd" * 8, path))
            answer = client.request(method, re.sub(r"{[^}]+}", "1", filled), headers=key)
            assert (answer.status_code == 403) == (needed not in KEY_RIGHTS[right]), f"{method} {path}"


class TestEnd:
    def test_R64_revoked_it_ends_at_once(self, client: Client) -> None:
        one = made(client)
        key = {"x-api-key": one["key"]}
        assert client.get("/api/v1/traces", headers=key).status_code == 200
        assert client.delete(f"/api/v1/keys/{one['id']}").status_code == 204
        assert client.get("/api/v1/traces", headers=key).status_code == 401
        assert client.ingest(make.request(make.span()), x_api_key=one["key"]).status_code == 401
        assert client.delete(f"/api/v1/keys/{one['id']}").status_code == 404

    def test_rotated_the_old_secret_ends_at_once_or_later(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one = made(client)

        def status(secret: str) -> int:
            return client.get("/api/v1/traces", headers={"x-api-key": secret}).status_code

        assert status(one["key"]) == 200
        second = client.post(f"/api/v1/keys/{one['id']}/rotate").json()["key"]
        assert [status(one["key"]), status(second)] == [401, 200]
        third = client.post(f"/api/v1/keys/{one['id']}/rotate", json={"keep_old_hours": 2}).json()["key"]
        assert [status(one["key"]), status(second), status(third)] == [401, 200, 200]
        now = time.time_ns()
        monkeypatch.setattr(time, "time_ns", lambda: now + 3 * HOUR)
        monkeypatch.setattr("tracer.access.ring.REMEMBERED_S", 0)
        fourth = client.post(f"/api/v1/keys/{one['id']}/rotate", json={"keep_old_hours": 0}).json()["key"]
        assert [status(second), status(third), status(fourth)] == [401, 401, 200]

    def test_R16_with_an_end_it_ends_and_does_not_begin_before_it_was_made(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = {"x-api-key": made(client, days=1)["key"]}
        assert client.get("/api/v1/traces", headers=key).status_code == 200
        now = time.time_ns()
        for jump in (2 * DAY, 400 * DAY, -40 * DAY):
            monkeypatch.setattr(time, "time_ns", lambda jump=jump: now + jump)
            assert client.get("/api/v1/traces", headers=key).status_code == 401
        monkeypatch.setattr(time, "time_ns", lambda: now - HOUR)
        assert client.get("/api/v1/traces", headers=key).status_code == 200

    def test_another_process_takes_a_revoked_key_for_a_second_at_most(self, service: Service, client: Client) -> None:
        one = made(client)
        elsewhere = KeyRing(service.store, later=service.app.state.writer.run)
        assert elsewhere.find(one["key"]) is not None
        assert elsewhere.remembered(one["key"]) is not None
        client.delete(f"/api/v1/keys/{one['id']}")
        wait_until(lambda: elsewhere.find(one["key"]) is None, "the other process refuses it", seconds=2)
        assert elsewhere.remembered(one["key"]) is None

    @on_one_database
    def test_R29_odd_keys_are_refused_and_open_nothing(self, guarded: Guarded, client: Client) -> None:
        for odd in ("ssi_", "ssf_" + "x" * 5000, "ssr_' OR 1=1 --", "ssi_é", "ssf_%00", "SSF_abc", "ssa_x"):
            headers = raw({"x-api-key": odd, "content-type": JSON})
            assert guarded.client.get("/api/v1/traces", headers=headers).status_code == 401
            answer = guarded.client.post(
                "/v1/traces", content=b"{}", headers=[*headers, (b"content-type", b"application/json")]
            )
            assert (answer.status_code, set(answer.json())) == (401, {"code", "message"})

    def test_when_it_was_used_last_is_noted_and_seldom(self, client: Client, service: Service) -> None:
        one = made(client)
        key = {"x-api-key": one["key"]}

        def used() -> int | None:
            with service.store.reading() as connection:
                column = access_key.c.last_used_at
                return connection.execute(select(column).where(access_key.c.id == one["id"])).scalar_one()

        assert used() is None
        client.get("/api/v1/traces", headers=key)
        wait_until(used, "its use is noted")
        first = used()
        service.app.state.keys.forget()
        client.get("/api/v1/traces", headers=key)
        assert used() == first


class TestRate:
    def test_a_key_is_held_to_its_requests_and_others_are_not(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        slow, free = ({"x-api-key": made(client, rate_limit=limit)["key"]} for limit in (60, None))
        now = time.monotonic()
        monkeypatch.setattr("tracer.access.rate.time.monotonic", lambda: now)
        answers = [client.get("/api/v1/traces", headers=slow) for _ in range(12)]
        assert [answer.status_code for answer in answers] == [200] * 10 + [429] * 2
        assert (answers[-1].json()["error"]["code"], answers[-1].headers["retry-after"]) == ("too_fast", "1")
        one = make.span()
        refused = client.ingest(make.request(one), **slow)
        assert (refused.status_code, set(refused.json())) == (429, {"code", "message"})
        assert client.get(f"/api/v1/traces/{one['traceId']}").status_code == 404
        assert {client.get("/api/v1/traces", headers=free).status_code for _ in range(30)} == {200}
        now += 2
        assert [client.get("/api/v1/traces", headers=slow).status_code for _ in range(3)] == [200, 200, 429]

    def test_a_slow_rate_lets_one_request_in_and_says_when_the_next_may_come(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        slow = {"x-api-key": made(client, rate_limit=1)["key"]}
        now = time.monotonic()
        monkeypatch.setattr("tracer.access.rate.time.monotonic", lambda: now)
        assert client.get("/api/v1/traces", headers=slow).status_code == 200
        assert client.get("/api/v1/traces", headers=slow).headers["retry-after"] == "60"
        now += 61
        assert client.get("/api/v1/traces", headers=slow).status_code == 200


class TestPage:
    def test_a_key_is_made_shown_once_rotated_and_revoked(self, client: Client) -> None:
        typed = {"project": client.project, "name": "web <b>app</b>", "right": "ingest", "days": "30"}
        page = client.post(PAGE, data=typed)
        assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
        found = re.search(r"ssi_[\w-]{43}", page.text)
        assert found is not None
        secret = found[0]
        assert "web &lt;b&gt;app" in page.text
        one = client.read("/api/v1/keys", project=client.project)["items"][0]
        assert secret not in client.get(PAGE).text
        assert one["prefix"] in client.get(PAGE).text
        assert client.ingest(make.request(make.span()), x_api_key=secret).status_code == 200
        rotated = client.post(f"{PAGE}/rotate", data={"key": one["id"], "old": "0"})
        assert re.search(r"ssi_[\w-]{43}", rotated.text)
        assert client.ingest(make.request(make.span()), x_api_key=secret).status_code == 401
        gone = client.post(f"{PAGE}/revoke", data={"key": one["id"]})
        assert (gone.status_code, gone.headers["location"]) == (303, f"{PAGE}?note=revoked")
        assert client.read("/api/v1/keys", project=client.project)["items"] == []

    @on_one_database
    def test_what_was_typed_wrongly_is_said_at_its_field(self, client: Client) -> None:
        right = {"project": client.project, "name": "app", "right": "read"}
        for field, value in (
            ("name", " "), ("name", "x" * 300), ("right", "all"), ("days", "-1"), ("days", "٣"), ("project", " "),
            ("rate_limit", "1e3"), ("rate_limit", "9" * 30),
        ):  # fmt: skip
            answer = client.post(PAGE, data={**right, field: value})
            assert answer.status_code == 400
            assert f'id="f-{field}"' in answer.text.partition('aria-invalid="true"')[0].rpartition("<label")[2], field
        for path in ("/rotate", "/revoke"):
            for odd in ("", "x", "0", "9" * 18, "9" * 40):
                assert client.post(PAGE + path, data={"key": odd}).status_code in (400, 404)

    @on_one_database
    def test_settings_lead_to_what_the_reader_may_see(self, client: Client) -> None:
        assert client.get("/settings").headers["location"] == "/projects"
        key = {"x-api-key": made(client, "read")["key"]}
        page = client.get("/projects", headers=key)
        assert client.project in page.text
        assert "/settings/keys" not in page.text
        assert "Settings<span" not in page.text


def test_R68_secrets_differ_and_rotation_forgets_the_one_before_last(service: Service, client: Client) -> None:
    wanted = Wanted("app", KeyRight.read)
    secret, key = make_key(service.store, wanted, project=client.project, scope=EVERYTHING, author="")
    secrets = {secret, *(rotate_key(service.store, key.id, scope=EVERYTHING, old_holds=HOUR)[0] for _ in range(3))}
    assert len(secrets) == 4
    ring: KeyRing = service.app.state.keys
    ring.forget()
    assert sum(ring.find(one) is not None for one in secrets) == 2
