"""People: accounts, roles, invitations, sessions, and who guesses passwords."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from tests import make
from tests.client import Client, Service, in_process, lasting_database
from tracer.access import passwords
from tracer.access.invitations import What, make_invitation, make_setup
from tracer.access.people import Place, Role, add_person, person_by_email, set_role
from tracer.access.throttle import ANYWHERE, BY_ADDRESS, FROM_HERE, Throttle
from tracer.api import schemas
from tracer.auth import COOKIE
from tracer.errors import BadRequest, TooManyTries
from tracer.store.models import invitation, person, project, sign_in
from tracer.units import DAY

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True, scope="module")
def cheap() -> Iterator[None]:
    """Hashes that cost nothing: what they cost is the library's own matter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        yield


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that asks who somebody is, with one administrator and two projects."""
    with lasting_database(request, tmp_path_factory) as url, in_process(url, host="0.0.0.0") as service:
        with service.store.writing() as connection:
            secret = make_setup(connection)
        with Client(service.url) as client:
            joined = client.post(f"/join/{secret}", data={"email": "root@example.com", "password": PASSWORD})
            assert joined.status_code == 303, joined.text
        for name in ("a", "b"):
            with service.store.writing() as connection:
                connection.execute(project.insert().values(slug=name, name=name, created_at=1))
        yield service


@pytest.fixture(autouse=True)
def forgiving(running: Service) -> None:
    """Wrong tries of one test do not count in the next."""
    running.app.state.throttle = Throttle()


def ids(service: Service) -> dict[str, int]:
    with service.store.reading() as connection:
        return {row.name: row.id for row in connection.execute(select(project))}


def account(service: Service, email: str, *places: Place) -> int:
    """An account with a password and roles; made anew when it is there."""
    with service.store.writing() as connection:
        found = person_by_email(connection, email)
        if found is not None:
            connection.execute(person.delete().where(person.c.id == found.id))
        made = add_person(connection, email, password=passwords.hash_password(PASSWORD, email=email))
        for place in places:
            set_role(connection, made, place)
        return made


@contextmanager
def signed_in(service: Service, email: str = "root@example.com") -> Iterator[Client]:
    """A browser of somebody."""
    with Client(service.url) as client:
        answer = client.post("/sign-in", data={"email": email, "password": PASSWORD})
        assert answer.status_code == 303, answer.text
        yield client


class TestSigningIn:
    def test_R64_R58_a_password_opens_a_session_with_a_cookie_that_no_script_reads(self, running: Service) -> None:
        account(running, "ada@example.com")
        with Client(running.url) as client:
            client.cookies.set(COOKIE, "planted by somebody else")
            answer = client.post("/sign-in", data={"email": " ADA@example.com ", "password": PASSWORD})
            assert (answer.status_code, answer.headers["location"]) == (303, "/")
            cookie = answer.headers["set-cookie"].lower()
            assert all(word in cookie for word in ("httponly", "samesite=lax"))
            assert "planted" not in cookie
            value = answer.cookies[COOKIE]
            with running.store.reading() as connection:
                assert value not in repr(connection.execute(select(sign_in)).all())
                assert PASSWORD not in repr(connection.execute(select(person)).all())
            # Signing in again ends the session that the browser had.
            client.cookies.clear()
            again = client.post(
                "/sign-in",
                data={"email": "ada@example.com", "password": PASSWORD},
                headers={"cookie": f"{COOKIE}={value}"},
            )
            assert again.cookies[COOKIE] != value
            client.cookies.clear()
            old = client.get("/settings/account", headers={"cookie": f"{COOKIE}={value}"})
            assert old.headers["location"].startswith("/sign-in")

    def test_R58_behind_tls_the_cookie_is_secure(self, tmp_path: Any) -> None:
        url = f"sqlite:///{tmp_path}/s.db"
        with in_process(url, host="0.0.0.0", trusted_proxies=("127.0.0.1",)) as service, Client(service.url) as client:
            account(service, "ada@example.com")
            typed = {"email": "ada@example.com", "password": PASSWORD}
            answer = client.post("/sign-in", data=typed, headers={"x-forwarded-proto": "https"})
            assert "secure" in answer.headers["set-cookie"].lower()

    @pytest.mark.parametrize("known", [True, False])
    def test_R64_after_five_wrong_tries_none_is_taken_for_a_while(
        self, running: Service, known: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        email = "ada@example.com"
        account(running, email)
        typed = {"email": email if known else "nobody@example.com", "password": "wrong, but long"}
        with Client(running.url) as client:
            answers = [client.post("/sign-in", data=typed) for _ in range(8)]
            assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 3
            assert 0 < int(answers[-1].headers["retry-after"]) <= 30
            assert client.post("/sign-in", data=typed | {"password": PASSWORD}).status_code == 429
            # A clock that jumps opens no door; time that passes does.
            wall, passed = time.time_ns(), time.monotonic()
            monkeypatch.setattr(time, "time_ns", lambda: wall + 400 * DAY)
            assert client.post("/sign-in", data=typed | {"password": PASSWORD}).status_code == 429
            monkeypatch.undo()
            monkeypatch.setattr("tracer.access.throttle.time.monotonic", lambda: passed + 31)
            status = client.post("/sign-in", data=typed | {"password": PASSWORD}).status_code
            assert status == (303 if known else 401)

    def test_R64_who_tries_many_accounts_or_tokens_from_one_place_is_stopped(self, running: Service) -> None:
        with Client(running.url) as client:
            for typed in ({"email": "{}@example.com", "password": "x"}, {"token": "ssa_{}"}):
                running.app.state.throttle = Throttle()
                statuses = [
                    client.post("/sign-in", data={key: text.format(n) for key, text in typed.items()}).status_code
                    for n in range(12)
                ]
                assert statuses == [401] * 10 + [429] * 2

    def test_an_unknown_address_reads_like_a_wrong_password(self, running: Service) -> None:
        account(running, "ada@example.com")
        with Client(running.url) as client:
            said = {
                re.sub(r"[\w.]+@example.com|now=.\d+", "", client.post("/sign-in", data=typed).text)
                for typed in (
                    {"email": "ada@example.com", "password": "wrong, but long"},
                    {"email": "eve@example.com", "password": "wrong, but long"},
                )
            }
        assert len(said) == 1

    def test_odd_credentials_are_wrong_ones(self, running: Service) -> None:
        with Client(running.url) as client:
            for email in ("", "x" * 5000, "' OR 1=1 --", "ada@example.com\0", "\ud800", "é@é"):
                for password in ("", "x" * 10_000, "\0", "\ud83d"):
                    running.app.state.throttle = Throttle()
                    typed = {"email": email.encode("utf-8", "replace"), "password": password.encode("utf-8", "replace")}
                    assert client.post("/sign-in", data=typed).status_code in (401, 422)

    def test_passwords_that_are_easy_to_guess_are_refused(self) -> None:
        for password in ("short", "a" * 40, "ada@example.com", "x" * 201):
            with pytest.raises(BadRequest):
                passwords.hash_password(password, email="ada@example.com")
        assert passwords.hash_password("four words are better", email="ada@example.com").startswith("$argon2id$")


class TestThrottle:
    def test_pauses_grow_and_are_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 1000.0
        monkeypatch.setattr("tracer.access.throttle.time.monotonic", lambda: now)
        throttle = Throttle()
        pauses = []
        for _ in range(14):
            throttle.failed("ada", "::1")
            with pytest.MonkeyPatch.context():
                try:
                    throttle.check("ada", "::1")
                    pauses.append(0)
                except TooManyTries as problem:
                    pauses.append(problem.retry_after or 0)
                    now += problem.retry_after or 0
        assert pauses[:7] == [0, 0, 0, 0, 30, 60, 120]
        assert max(pauses) == 900
        throttle.check("bob", "::2")
        now += 3600
        throttle.failed("ada", "::1")
        throttle.check("ada", "::1")

    def test_who_guesses_from_elsewhere_does_not_lock_the_owner_out_at_once(self) -> None:
        throttle = Throttle()
        for number in range(40):
            throttle.failed("ada", f"10.0.0.{number}")
        throttle.check("ada", "::1")
        for number in range(40, 60):
            throttle.failed("ada", f"10.0.0.{number}")
        with pytest.raises(TooManyTries):
            throttle.check("ada", "::1")

    def test_R64_tries_that_are_made_at_once_count_before_their_answer_is_known(self) -> None:
        throttle = Throttle()
        for _ in range(FROM_HERE):
            throttle.begin("ada", "::1")
        with pytest.raises(TooManyTries):
            throttle.begin("ada", "::1")
        for number in range(BY_ADDRESS - FROM_HERE):
            throttle.begin(f"n{number}", "::1")
        with pytest.raises(TooManyTries):
            throttle.begin("eve", "::1")
        for _ in range(3 * ANYWHERE):
            throttle.begin("bob", "::2")
            throttle.passed("bob", "::2")
        assert throttle._tries[("", "::2")].count == 0

    def test_it_remembers_a_bounded_number_of_names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tracer.access.throttle.MOST", 30)
        throttle = Throttle()
        for number in range(200):
            throttle.failed(f"n{number}", f"10.0.0.{number}")
        assert len(throttle._tries) <= 33


class TestSessions:
    def test_R64_they_are_listed_and_ended_one_by_one(self, running: Service) -> None:
        account(running, "ada@example.com")
        with signed_in(running, "ada@example.com") as here, signed_in(running, "ada@example.com") as there:
            page = here.get("/settings/account").text
            others = re.findall(r'name="session" value="(\d+)"', page)
            assert len(others) == 1
            assert "127.0.0.1" in page
            assert there.get("/settings/account").status_code == 200
            assert here.post("/settings/account/sessions", data={"session": others[0]}).status_code == 303
            assert there.get("/settings/account").status_code == 303
            assert here.get("/settings/account").status_code == 200
            for odd in ("", "x", "-1", "9" * 30):
                assert here.post("/settings/account/sessions", data={"session": odd}).status_code == 400

    def test_nobody_ends_somebody_elses(self, running: Service) -> None:
        account(running, "ada@example.com")
        account(running, "bob@example.com")
        with signed_in(running, "ada@example.com") as ada, signed_in(running, "bob@example.com") as bob:
            with running.store.reading() as connection:
                every = [row.id for row in connection.execute(select(sign_in.c.id))]
            for number in every:
                bob.post("/settings/account/sessions", data={"session": str(number)})
            bob.post("/settings/account/sessions", data={"session": "others"})
            assert ada.get("/settings/account").status_code == 200

    def test_R64_another_password_ends_every_other_session_at_once(self, running: Service) -> None:
        account(running, "ada@example.com")
        with signed_in(running, "ada@example.com") as here, signed_in(running, "ada@example.com") as there:
            before = here.cookies[COOKIE]
            wrong = here.post("/settings/account/password", data={"current": "no", "password": "another long one"})
            assert (wrong.status_code, "not your present password" in wrong.text) == (400, True)
            short = here.post("/settings/account/password", data={"current": PASSWORD, "password": "short"})
            assert short.status_code == 400
            typed = {"current": PASSWORD, "password": "another long one"}
            assert here.post("/settings/account/password", data=typed).status_code == 303
            assert here.cookies[COOKIE] != before
            assert here.get("/settings/account").status_code == 200
            assert there.get("/settings/account").status_code == 303
            here.cookies.clear()
            assert here.get("/settings/account", headers={"cookie": f"{COOKIE}={before}"}).status_code == 303

    def test_signing_out_ends_it(self, running: Service) -> None:
        account(running, "ada@example.com")
        with signed_in(running, "ada@example.com") as client:
            value = client.cookies[COOKIE]
            assert client.post("/sign-out").status_code == 303
            client.cookies.clear()
            assert client.get("/settings/account", headers={"cookie": f"{COOKIE}={value}"}).status_code == 303


def link_in(text: str) -> str:
    found = re.search(r"(/join/[\w-]+)<", text)
    assert found is not None
    return found[1]


class TestInvitations:
    def test_a_link_lets_one_person_in_once(self, running: Service) -> None:
        a = str(ids(running)["a"])
        typed = {"email": "New@Example.com", "where": a, "role": "editor"}
        with signed_in(running) as root, Client(running.url) as client, Client(running.url) as late:
            made = root.post("/settings/people", data=typed)
            assert made.status_code == 200
            link = link_in(made.text)
            assert "new@example.com" in root.get("/settings/people").text
            shown = client.get(link)
            assert (shown.status_code, shown.headers["referrer-policy"]) == (200, "same-origin")
            assert "new@example.com" in shown.text
            short = client.post(link, data={"password": "short"})
            assert (short.status_code, "10 characters" in short.text) == (400, True)
            # Whoever has the link cannot make it somebody else's.
            taken = client.post(link, data={"email": "other@example.com", "password": PASSWORD, "name": "New"})
            assert taken.status_code == 303
            assert [one["name"] for one in client.read("/api/v1/projects")["items"]] == ["a"]
            assert late.post(link, data={"password": PASSWORD}).status_code == 404
            with running.store.reading() as connection:
                found = person_by_email(connection, "new@example.com")
                assert found is not None
                assert dict(found.roles) == {int(a): Role.editor}
                assert person_by_email(connection, "other@example.com") is None

    def test_it_ends_after_a_week_or_when_it_is_taken_back(
        self, running: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        typed = {"email": "late@example.com", "where": "all", "role": "viewer"}
        with signed_in(running) as root, Client(running.url) as client:
            link = link_in(root.post("/settings/people", data=typed).text)
            with monkeypatch.context() as patch:
                now = time.time_ns()
                patch.setattr(time, "time_ns", lambda: now + 8 * DAY)
                assert client.get(link).status_code == 404
            assert client.get(link).status_code == 200
            number = re.search(r'name="invitation" value="(\d+)"', root.get("/settings/people").text)
            assert number is not None
            assert root.post("/settings/people/uninvite", data={"invitation": number[1]}).status_code == 303
            assert client.get(link).status_code == 404

    def test_R68_it_is_stored_as_a_hash(self, running: Service) -> None:
        with running.store.writing() as connection:
            secret = make_invitation(connection, What.invite, email="x@example.com", place=Place(role=Role.viewer))
            assert secret not in repr(connection.execute(select(invitation)).all())

    @pytest.mark.parametrize("secret", ["x", "x" * 2000, "%00", "é"])
    def test_odd_links_are_none(self, running: Service, secret: str) -> None:
        with Client(running.url) as client:
            assert client.get(f"/join/{secret}").status_code == 404
            assert client.post(f"/join/{secret}", data={"password": PASSWORD}).status_code == 404

    def test_who_has_an_account_gets_the_role_at_once(self, running: Service) -> None:
        made = account(running, "ada@example.com")
        with signed_in(running) as root, signed_in(running, "ada@example.com") as ada:
            assert ada.get("/api/v1/projects").status_code == 403
            typed = {"email": "ada@example.com", "where": str(ids(running)["b"]), "role": "viewer"}
            assert root.post("/settings/people", data=typed).status_code == 303
            assert [one["name"] for one in ada.read("/api/v1/projects")["items"]] == ["b"]
            taken = {"person": str(made), "where": typed["where"], "role": ""}
            assert root.post("/settings/people/role", data=taken).status_code == 303
            assert ada.get("/api/v1/projects").status_code == 403

    def test_a_link_for_a_new_password_ends_every_session(self, running: Service) -> None:
        made = account(running, "ada@example.com")
        with signed_in(running) as root, signed_in(running, "ada@example.com") as ada, Client(running.url) as client:
            link = link_in(root.post("/settings/people/reset", data={"person": str(made)}).text)
            assert client.post(link, data={"password": "a wholly new one"}).status_code == 303
            assert ada.get("/settings/account").status_code == 303
            old = client.post("/sign-in", data={"email": "ada@example.com", "password": PASSWORD})
            assert old.status_code == 401


class TestRoles:
    def test_each_role_may_what_it_may_and_only_in_its_project(self, running: Service) -> None:
        of = ids(running)
        account(running, "viewer@example.com", Place(project_id=of["a"], role=Role.viewer))
        account(running, "editor@example.com", Place(project_id=of["a"], role=Role.editor))
        account(running, "both@example.com", Place(project_id=of["a"], role=Role.editor),
                Place(project_id=of["b"], role=Role.viewer))  # fmt: skip
        account(running, "all@example.com", Place(role=Role.viewer), Place(project_id=of["a"], role=Role.admin))
        spans: dict[str, make.Message] = {}
        with signed_in(running) as root:
            for name in ("a", "b"):
                spans[name] = make.span(name)
                assert root.ingest(make.request(spans[name]), x_stepscope_project=name).status_code == 200

        def may(email: str, name: str) -> tuple[int, int, int]:
            trace = spans[name]["traceId"]
            with signed_in(running, email) as client:
                return (
                    client.get(f"/api/v1/traces/{trace}").status_code,
                    client.patch(f"/api/v1/traces/{trace}", json={"note": "x"}).status_code,
                    client.get("/api/v1/keys", params={"project": name}).status_code,
                )

        assert may("viewer@example.com", "a") == (200, 403, 403)
        assert may("viewer@example.com", "b") == (404, 403, 403)
        assert may("editor@example.com", "a") == (200, 200, 403)
        assert may("editor@example.com", "b") == (404, 404, 403)
        assert may("both@example.com", "a") == (200, 200, 403)
        assert may("both@example.com", "b") == (200, 404, 403)
        assert may("all@example.com", "a") == (200, 200, 200)
        assert may("all@example.com", "b") == (200, 404, 404)
        with signed_in(running, "editor@example.com") as editor:
            score = {"trace_id": spans["b"]["traceId"], "name": "good", "value": 1}
            assert editor.post("/api/v1/scores", json=score | {"project": "b"}).status_code == 404
            assert editor.post("/api/v1/scores", json=score | {"project": "new"}).status_code == 404
            made = editor.post("/api/v1/scores", json=score | {"trace_id": spans["a"]["traceId"]})
            assert (made.status_code, made.json()["author"]) == (200, "editor@example.com")
            assert editor.ingest(make.request(make.span())).status_code == 403

    def test_who_administers_a_project_administers_no_other(self, running: Service) -> None:
        of = ids(running)
        made = account(running, "lead@example.com", Place(project_id=of["a"], role=Role.admin))
        other = account(running, "stranger@example.com", Place(project_id=of["b"], role=Role.viewer))
        with signed_in(running, "lead@example.com") as lead:
            page = lead.get("/settings/people").text
            assert "stranger@example.com" not in page
            tries = [
                ("/settings/people", {"email": "x@example.com", "where": str(of["b"]), "role": "viewer"}, 404),
                ("/settings/people", {"email": "x@example.com", "where": "server", "role": "admin"}, 403),
                ("/settings/people", {"email": "x@example.com", "where": "all", "role": "viewer"}, 403),
                ("/settings/people/role", {"person": made, "where": "server", "role": "admin"}, 403),
                ("/settings/people/role", {"person": made, "where": str(of["b"]), "role": "admin"}, 404),
                ("/settings/people/role", {"person": other, "where": str(of["a"]), "role": "viewer"}, 404),
                ("/settings/people/remove", {"person": other}, 403),
                ("/settings/people/reset", {"person": other}, 403),
                ("/settings/keys", {"project": "b", "name": "x", "right": "full"}, 404),
                ("/settings/keys", {"project": "new", "name": "x", "right": "full"}, 404),
                ("/settings/prices", {"model": "x"}, 403),
            ]
            for path, typed, status in tries:
                assert lead.post(path, data=typed).status_code == status, (path, typed)
            mine = lead.post(
                "/settings/people", data={"email": "x@example.com", "where": str(of["a"]), "role": "viewer"}
            )
            assert mine.status_code == 200

    def test_the_last_administrator_cannot_lock_everybody_out(self, running: Service) -> None:
        with running.store.reading() as connection:
            found = person_by_email(connection, "root@example.com")
        assert found is not None
        mine = {"person": str(found.id), "where": "server", "role": ""}
        with signed_in(running) as root:
            for path in ("/settings/people/role", "/settings/people/remove"):
                answer = root.post(path, data=mine)
                assert (answer.status_code, "last administrator" in answer.text) == (409, True)
            second = account(running, "second@example.com", Place(server=True, role=Role.admin))
            assert root.post("/settings/people/role", data=mine | {"person": str(second)}).status_code == 303
            assert root.post("/settings/people/remove", data={"person": str(second)}).status_code == 303
            assert root.get("/settings/people").status_code == 200

    def test_a_removed_person_is_out_at_once(self, running: Service) -> None:
        made = account(running, "ada@example.com", Place(role=Role.editor))
        with signed_in(running) as root, signed_in(running, "ada@example.com") as ada:
            assert ada.get("/api/v1/projects").status_code == 200
            assert root.post("/settings/people/remove", data={"person": str(made)}).status_code == 303
            assert ada.get("/api/v1/projects").status_code == 401


class TestOverRest:
    def test_somebody_is_invited_gets_another_role_and_is_removed(self, running: Service) -> None:
        with signed_in(running) as root, Client(running.url) as ada:
            asked = {"email": "Ada@Example.com", "project": "a", "role": "viewer"}
            answer = root.post("/api/v1/invitations", json=asked)
            assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
            made = schemas.NewInvitation.model_validate(answer.json())
            assert made.invitation is not None
            assert made.url is not None
            listed = schemas.Invitations.model_validate(root.read("/api/v1/invitations")).items
            assert made.invitation in listed
            assert made.url.rpartition("/")[2] not in root.get("/api/v1/invitations").text
            link = made.url.removeprefix(running.url)
            assert ada.post(link, data={"password": PASSWORD, "name": "Ada"}).status_code == 303
            found = schemas.People.model_validate(root.read("/api/v1/people", project="a")).items
            person = next(one for one in found if one.email == "ada@example.com")
            assert [(one.project, one.role) for one in person.roles] == [("a", "viewer")]
            assert ada.get("/api/v1/people").status_code == 403

            place = f"/api/v1/people/{person.id}/role"
            given = root.put(place, json={"project": "a", "role": "admin"})
            assert schemas.Person.model_validate(given.json()).roles[0].role == "admin"
            account(running, "elsewhere@example.com", Place(project_id=ids(running)["b"], role=Role.viewer))
            seen = {one["email"] for one in ada.read("/api/v1/people")["items"]}
            assert seen >= {"ada@example.com", "root@example.com"}
            assert "elsewhere@example.com" not in seen
            again = root.post("/api/v1/invitations", json=asked | {"role": "editor"})
            assert (again.status_code, again.json()) == (200, {"invitation": None, "url": None})
            assert root.put(place, json={"role": None, "project": "a"}).json()["roles"] == []
            assert ada.get("/api/v1/projects").status_code == 403

            reset = schemas.OneTimeLink.model_validate(root.post(f"/api/v1/people/{person.id}/reset").json())
            assert ada.get(reset.url.removeprefix(running.url)).status_code == 200
            assert root.delete(f"/api/v1/people/{person.id}").status_code == 204
            assert root.delete(f"/api/v1/people/{person.id}").status_code == 404
            assert ada.get("/settings/account").status_code == 303
            late = root.post("/api/v1/invitations", json={"email": "x@example.com", "role": "viewer"}).json()
            assert root.delete(f"/api/v1/invitations/{late['invitation']['id']}").status_code == 204
            assert ada.get(late["url"].removeprefix(running.url)).status_code == 404

    def test_the_last_administrator_stays_and_nobody_gives_more_than_they_hold(self, running: Service) -> None:
        of = ids(running)
        account(running, "lead@example.com", Place(project_id=of["a"], role=Role.admin))
        other = account(running, "stranger@example.com", Place(project_id=of["b"], role=Role.viewer))
        with signed_in(running) as root, signed_in(running, "lead@example.com") as lead:
            mine = next(one["id"] for one in root.read("/api/v1/people")["items"] if one["email"] == "root@example.com")
            for method, path, body in (
                ("PUT", f"/api/v1/people/{mine}/role", {"server": True, "role": None}),
                ("DELETE", f"/api/v1/people/{mine}", None),
            ):
                answer = root.request(method, path, json=body)
                assert (answer.status_code, "last administrator" in answer.text) == (409, True)
            me = next(one["id"] for one in lead.read("/api/v1/people")["items"] if one["email"] == "lead@example.com")
            for path, body, status in (
                ("invitations", {"email": "x@example.com", "role": "viewer"}, 403),
                ("invitations", {"email": "x@example.com", "role": "admin", "server": True}, 403),
                ("invitations", {"email": "x@example.com", "role": "viewer", "project": "b"}, 404),
                (f"people/{me}/role", {"role": "admin", "server": True}, 403),
                (f"people/{me}/role", {"role": "admin"}, 403),
                (f"people/{me}/role", {"role": "admin", "project": "b"}, 404),
                (f"people/{other}/role", {"role": "viewer", "project": "a"}, 404),
                (f"people/{other}/reset", None, 403),
            ):
                method = "PUT" if path.endswith("role") else "POST"
                assert lead.request(method, f"/api/v1/{path}", json=body).status_code == status, (path, body)
            assert lead.delete(f"/api/v1/people/{other}").status_code == 403
            assert "stranger" not in lead.get("/api/v1/people").text
            for wrong in (
                *(
                    {"email": "x", "role": "viewer"},
                    {"email": "x@example.com"},
                    {"email": "x@example.com", "role": None},
                ),
                {"email": "x@example.com", "role": "viewer", "server": True},
                {"email": "x@example.com", "role": "admin", "server": True, "project": "a"},
                {"email": "x@example.com", "role": "owner"},
            ):
                assert root.post("/api/v1/invitations", json=wrong).status_code in (400, 422), wrong


def test_R64_a_server_behind_a_proxy_asks_who_somebody_is(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    with in_process(url, allowed_hosts=("traces.example",)) as service, Client(service.url) as client:
        assert client.get("/api/v1/projects").status_code == 401
    with in_process(url, allowed_hosts=("traces.example",), sign_in="off") as service, Client(service.url) as client:
        assert client.get("/api/v1/projects").status_code == 200
    with in_process(url, sign_in="on") as service, Client(service.url) as client:
        assert client.get("/api/v1/projects").status_code == 401
