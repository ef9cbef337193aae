"""Rights: one table of all routes, and what happens without them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.routing import iter_route_contexts
from sqlalchemy import select

from tests import make
from tests.client import Client, Guarded, Service, in_process, on_one_database, raw
from tracer.access.sessions import close_session, open_session
from tracer.access.throttle import Throttle
from tracer.access.tokens import ensure_admin_token, replace_admin_token, token_id
from tracer.auth import COOKIE, ROUTES, Right
from tracer.store.engine import Store
from tracer.store.models import access_token, sign_in
from tracer.units import DAY, HOUR


@pytest.fixture(autouse=True)
def forgiving(request: pytest.FixtureRequest) -> None:
    """Wrong tries of one test do not count in the next."""
    if "guarded" in request.fixturenames:
        request.getfixturevalue("guarded").service.app.state.throttle = Throttle()


PLACES = {"trace_id": "ab" * 16, "span_id": "cd" * 8}


def routes_of(service: Service) -> set[tuple[str, str]]:
    """Every method and path that the app serves."""
    return {
        (method, route.path)
        for route in iter_route_contexts(service.app.routes)
        for method in route.methods or ()
        if route.path is not None
    }


def begun(store: Store, token: str) -> str:
    """The cookie of a session that was begun with the administrator's token."""
    with store.writing() as connection:
        found = token_id(connection, token)
        assert found is not None
        return open_session(connection, token_id=found)


def address(path: str) -> str:
    """A path with its places filled."""
    return re.sub(r"{([^}]+)}", lambda place: PLACES.get(place.group(1), "x"), path)


@on_one_database
def test_every_route_is_in_the_table_of_rights_and_nothing_else_is(service: Service) -> None:
    assert routes_of(service) == set(ROUTES)


@pytest.mark.parametrize(("method", "path"), [route for route, right in ROUTES.items() if right is not Right.public])
def test_R64_without_a_key_every_route_but_the_public_ones_is_refused(guarded: Guarded, method: str, path: str) -> None:
    for cookie in (None, "nope", guarded.token):
        headers = None if cookie is None else {"cookie": f"{COOKIE}={cookie}"}
        answer = guarded.client.request(method, address(path), headers=headers)
        assert answer.status_code in (401, 303), answer.text
        if answer.status_code == 303:
            assert answer.headers["location"].startswith("/sign-in")
        assert "set-cookie" not in answer.headers
    assert guarded.client.request(method, address(path), headers={"x-api-key": "nope"}).status_code in (401, 303)
    allowed = (
        guarded.client.request(
            method, address(path), headers={"x-api-key": guarded.token, "content-type": "application/json"}
        )
        if path not in ("/live", "/api/v1/live")
        else None
    )
    assert allowed is None or allowed.status_code not in (401, 403)


@pytest.mark.parametrize(("method", "path"), [route for route, right in ROUTES.items() if right is Right.public])
def test_public_routes_ask_for_nothing(guarded: Guarded, method: str, path: str) -> None:
    assert guarded.client.request(method, address(path)).status_code in (200, 303, 401 if path == "/sign-in" else 404)


def test_an_address_that_does_not_exist_tells_nobody_anything(guarded: Guarded) -> None:
    for path in ("/nothing", "/api/v1/nothing", "/v1/nothing", "/static/x", "/docs", "/redoc", "/static/../auth.py"):
        assert guarded.client.get(path, follow_redirects=True).status_code == 404


@on_one_database
def test_on_loopback_nobody_signs_in(client: Client) -> None:
    for method, path in ROUTES:
        if not path.endswith(("/live", "/sign-in")):
            assert client.request(method, address(path)).status_code not in (401, 403), path


class TestToken:
    def test_R68_it_is_made_once_and_stored_as_a_hash(self, database_url: str) -> None:
        with in_process(database_url) as running:
            token = ensure_admin_token(running.store)
            assert token is not None
            assert len(token) > 40
            assert ensure_admin_token(running.store) is None
            with running.store.reading() as connection:
                rows = connection.execute(select(access_token)).all()
            assert len(rows) == 1
            assert token not in repr(rows)
            assert len(rows[0].digest) == 32

    def test_R64_a_new_one_ends_the_old_one_and_its_sessions_at_once(self, tmp_path: Path) -> None:
        with in_process(f"sqlite:///{tmp_path}/s.db", host="0.0.0.0") as running, Client(running.url) as client:
            old = ensure_admin_token(running.store)
            assert old is not None
            session = begun(running.store, old)
            by_cookie = {"cookie": f"{COOKIE}={session}"}
            assert client.get("/api/v1/projects", headers=by_cookie).status_code == 200
            new = replace_admin_token(running.store)
            assert new != old
            assert client.get("/api/v1/projects", headers=by_cookie).status_code == 401
            assert client.get("/api/v1/projects", headers={"x-api-key": old}).status_code == 401
            assert client.get("/api/v1/projects", headers={"x-api-key": new}).status_code == 200


class TestSession:
    def test_it_is_opened_by_the_token_only_and_stored_as_a_hash(self, guarded: Guarded) -> None:
        store = guarded.service.store
        for wrong in (
            "",
            "nope",
            guarded.token[:-1],
            guarded.token + " ",
            "x" * 100_000,
            "\ud800".encode("utf-8", "replace").decode(),
        ):
            with store.reading() as connection:
                assert token_id(connection, wrong) is None
        value = begun(store, guarded.token)
        assert value != begun(store, guarded.token)
        with store.reading() as connection:
            assert value not in repr(connection.execute(select(sign_in)).all())

    def test_it_is_closed_at_once(self, guarded: Guarded) -> None:
        value = begun(guarded.service.store, guarded.token)
        cookie = {"cookie": f"{COOKIE}={value}"}
        assert guarded.client.get("/api/v1/projects", headers=cookie).status_code == 200
        for _ in range(2):
            with guarded.service.store.writing() as connection:
                close_session(connection, value)
            assert guarded.client.get("/api/v1/projects", headers=cookie).status_code == 401

    def test_R16_it_ends_after_a_month_and_does_not_hold_before_it_began(
        self, guarded: Guarded, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        value = begun(guarded.service.store, guarded.token)
        cookie = {"cookie": f"{COOKIE}={value}"}
        now = time.time_ns()
        for jump, status in ((31 * DAY, 401), (400 * DAY, 401), (-40 * DAY, 401), (-HOUR // 2, 200)):
            monkeypatch.setattr(time, "time_ns", lambda jump=jump: now + jump)
            assert guarded.client.get("/api/v1/projects", headers=cookie).status_code == status

    @pytest.mark.parametrize("value", ["", "x" * 600, "é", "'", "a b", '"'])
    def test_an_odd_cookie_is_no_session(self, guarded: Guarded, value: str) -> None:
        headers = raw({"cookie": f"{COOKIE}={value}"})
        assert guarded.client.get("/api/v1/projects", headers=headers).status_code == 401

    def test_a_person_signs_in_with_the_token_and_out_again(self, guarded: Guarded) -> None:
        with Client(guarded.service.url) as person:
            assert person.get("/", headers={"accept": "text/html"}).status_code in (303, 401)
            wrong = person.post("/sign-in", data={"token": "nope"})
            assert (wrong.status_code, COOKIE in person.cookies) == (401, False)
            answer = person.post("/sign-in", data={"token": f" {guarded.token} "})
            assert (answer.status_code, answer.headers["location"]) == (303, "/")
            cookie = answer.headers["set-cookie"].lower()
            assert "httponly" in cookie
            assert "samesite=lax" in cookie
            assert guarded.token not in cookie
            assert person.get("/", follow_redirects=True).status_code == 200
            assert person.get("/api/v1/projects").status_code == 200
            value = person.cookies[COOKIE]
            assert person.post("/sign-out").status_code == 303
            assert person.get("/api/v1/projects", headers={"cookie": f"{COOKIE}={value}"}).status_code == 401

    @pytest.mark.parametrize(
        "there",
        [
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "\t//evil.example",
            "javascript:alert(1)",
            "x",
            "/\n/e",
        ],
    )
    def test_R60_signing_in_leads_to_this_server_only(self, guarded: Guarded, there: str) -> None:
        answer = guarded.client.post("/sign-in", data={"token": guarded.token, "next": there})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        kept = guarded.client.post("/sign-in", data={"token": guarded.token, "next": "/p/x/traces?limit=3"})
        assert kept.headers["location"] == "/p/x/traces?limit=3"
        guarded.client.cookies.clear()

    def test_a_form_of_any_size_or_shape_is_refused(self, guarded: Guarded) -> None:
        large = b"token=" + b"x" * 2_000_000
        form = {"content-type": "application/x-www-form-urlencoded"}

        def in_chunks() -> Iterator[bytes]:
            for _ in range(40):
                yield large[:50_000]

        assert guarded.client.post("/sign-in", content=large, headers=form).status_code == 413
        assert guarded.client.post("/sign-in", content=in_chunks(), headers=form).status_code in (400, 413)
        for body in (b"token=%ff%00", b"\xff", b"token=" + b"a=1&" * 5000, b"[" * 1000):
            assert guarded.client.post("/sign-in", content=body, headers=form).status_code in (400, 401, 422)
        multipart = {"content-type": "multipart/form-data; boundary=x"}
        for body in (b"", b"--x", b"--x\r\nContent-Disposition: form-data; name=token\r\n\r\n\xff\r\n--x--"):
            assert guarded.client.post("/sign-in", content=body, headers=multipart).status_code in (400, 401, 422)


def test_R68_neither_keys_nor_prompts_are_logged(guarded: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    secret = "the secret prompt"
    one = make.span(having={"input.value": secret})
    guarded.client.ingest(make.request(one), x_api_key=guarded.token)
    guarded.client.ingest(b"broken " + secret.encode(), x_api_key=guarded.token)
    guarded.client.ingest(make.request(one), x_api_key="a wrong key")
    guarded.client.post("/sign-in", data={"token": "a wrong key"})
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    for told in ours:
        assert secret not in told
        assert guarded.token not in told
        assert "a wrong key" not in told
