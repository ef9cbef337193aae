"""Signing in at a provider of OpenID Connect: a real provider program, and answers that no provider should give."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey

from tests.client import Client, Service, clean_environment, free_port, in_process, wait_until
from tracer.access.invitations import invite
from tracer.access.oidc import Attempt, OpenId, Provider
from tracer.access.people import Place, Role, add_person, person_by_email, set_role
from tracer.auth import COOKIE
from tracer.errors import NotSignedIn
from tracer.pages.oidc import ATTEMPT


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """A provider program in a process of its own."""
    port = free_port()
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce", "true"]
    with subprocess.Popen(
        command, env=clean_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        url = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            try:
                return httpx.get(f"{url}/.well-known/openid-configuration", trust_env=False).status_code == 200
            except httpx.TransportError:
                return False

        try:
            wait_until(answers, "the provider answers")
            yield url
        finally:
            process.kill()


@pytest.fixture(scope="module")
def running(issuer: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("oidc")
    settings = {
        "host": "0.0.0.0", "oidc_issuer": issuer, "oidc_client_id": "stepscope", "oidc_client_secret": "s3cret",
        "oidc_name": "Acme", "oidc_domains": ("acme.example",),
    }  # fmt: skip
    with in_process(f"sqlite:///{folder}/s.db", **settings) as service:
        yield service


def user(issuer: str, subject: str, **claims: Any) -> None:
    """Somebody whom the provider knows."""
    given = {"email": f"{subject}@example.com", "email_verified": True, **claims}
    assert httpx.put(f"{issuer}/users/{subject}", json=given, trust_env=False).status_code == 204


def consented(location: str, subject: str) -> str:
    """The address at which the provider sends somebody back who agreed."""
    answer = httpx.post(location, data={"sub": subject}, trust_env=False)
    assert answer.status_code in (302, 303), answer.text
    return answer.headers["location"]


def walked(client: Client, subject: str, **asked: str) -> httpx.Response:
    """The whole way to the provider and back."""
    gone = client.get("/sign-in/oidc", params=asked)
    assert gone.status_code == 303
    back = urlsplit(consented(gone.headers["location"], subject))
    return client.get(f"{back.path}?{back.query}")


def test_who_has_an_account_signs_in_at_a_real_provider(running: Service, issuer: str) -> None:
    user(issuer, "ada")
    with running.store.writing() as connection:
        set_role(connection, add_person(connection, "ada@example.com"), Place(role=Role.viewer))
    with Client(running.url) as client:
        assert "Sign in with" in client.get("/sign-in").text
        gone = client.get("/sign-in/oidc", params={"next": "/settings/account"})
        asked = parse_qs(urlsplit(gone.headers["location"]).query)
        assert asked["code_challenge_method"] == ["S256"]
        assert asked["redirect_uri"] == [f"{running.url}/sign-in/oidc/callback"]
        assert {"state", "nonce", "code_challenge"} <= set(asked)
        cookie = gone.headers["set-cookie"].lower()
        assert all(word in cookie for word in ("httponly", "samesite=lax", "max-age=600", "path=/sign-in/oidc"))
        answer = walked(client, "ada", next="/settings/account")
        assert (answer.status_code, answer.headers["location"]) == (303, "/settings/account")
        assert "httponly" in answer.headers["set-cookie"].lower()
        page = client.get("/settings/account")
        assert "ada@example.com" in page.text
        assert "Choose a password" in page.text
    # Another address at the provider later is the same person here.
    user(issuer, "ada", email="ada.lovelace@example.com")
    with Client(running.url) as client:
        assert walked(client, "ada").status_code == 303
        assert "ada@example.com" in client.get("/settings/account").text


def test_who_is_invited_or_of_the_domain_joins_and_nobody_else(running: Service, issuer: str) -> None:
    with running.store.writing() as connection:
        assert invite(connection, "guest@example.com", Place(role=Role.editor), author="root") is not None
    somebody: tuple[tuple[str, dict[str, Any], Role | None], ...] = (
        ("guest", {}, Role.editor),
        ("own", {"email": "own@acme.example"}, Role.viewer),
        ("stranger", {}, None),
        ("near", {"email": "near@notacme.example"}, None),
        ("unproved", {"email": "unproved@acme.example", "email_verified": False}, None),
        ("unsaid", {"email": "unsaid@acme.example", "email_verified": None}, None),
    )
    for subject, claims, role in somebody:
        user(issuer, subject, **claims)
        with Client(running.url) as client, running.store.reading() as connection:
            answer = walked(client, subject)
            assert answer.status_code == (403 if role is None else 303), subject
            assert (COOKIE in client.cookies) == (role is not None)
        with running.store.reading() as connection:
            found = person_by_email(connection, str(claims.get("email", f"{subject}@example.com")))
        assert (found.everywhere if found else None) == role
    # The same address under another name at the provider is somebody else.
    user(issuer, "impostor", email="own@acme.example")
    with Client(running.url) as client:
        refused = walked(client, "impostor")
        assert (refused.status_code, "belongs to another account" in refused.text) == (403, True)


def test_an_answer_that_does_not_fit_signs_nobody_in(running: Service, issuer: str) -> None:
    user(issuer, "eve", email="eve@acme.example")
    with Client(running.url) as client, Client(running.url) as victim:
        gone = client.get("/sign-in/oidc")
        back = urlsplit(consented(gone.headers["location"], "eve"))
        # A link that somebody else began: their session is not put on the victim's browser.
        planted = victim.get(f"{back.path}?{back.query}")
        assert (planted.status_code, COOKIE in victim.cookies) == (401, False)
        code = parse_qs(back.query)["code"][0]
        for query in (
            f"code={code}&state=wrong",
            f"code={code}",
            "state=x",
            "",
            "error=access_denied&state=x",
            "code=%00",
        ):
            answer = client.get(f"{back.path}?{query}")
            assert (answer.status_code, COOKIE in client.cookies) == (401, False), query
        assert client.get(f"{back.path}?{back.query}").status_code == 303
        client.cookies.delete(COOKIE)
        assert client.get(f"{back.path}?{back.query}").status_code == 401  # a code is used once
        for odd in ("zz", "7b7d", "[]", "x" * 20_000, "22"):
            assert client.get(f"{back.path}?{back.query}", headers={"cookie": f"{ATTEMPT}={odd}"}).status_code == 401


@pytest.mark.parametrize("there", ["//evil.example", "https://evil.example", "/\\evil", "javascript:alert(1)"])
def test_R60_it_leads_back_to_this_server_only(running: Service, issuer: str, there: str) -> None:
    user(issuer, "own2", email="own2@acme.example")
    with Client(running.url) as client:
        assert walked(client, "own2", next=there).headers["location"] == "/"


KEY = RSAKey.generate_key(2048, {"kid": "a", "use": "sig", "alg": "RS256"})
OTHER = RSAKey.generate_key(2048, {"kid": "a", "use": "sig", "alg": "RS256"})
GOOD: dict[str, Any] = {"iss": "https://id.example", "aud": "us", "sub": "ada", "nonce": "n", "email": "a@b.example"}


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> OpenId:
    made = OpenId(Provider("https://id.example", "us", "secret"))
    keys = KeySet([KEY])
    monkeypatch.setattr(made, "_key_set", lambda **_: keys)
    return made


def token(key: Any = KEY, header: dict[str, Any] | None = None, **claims: Any) -> str:
    now = int(time.time())
    said = {**GOOD, "iat": now, "exp": now + 300, **claims}
    return jwt.encode(header or {"alg": "RS256", "kid": "a"}, {k: v for k, v in said.items() if v is not None}, key)


def test_a_token_is_believed_only_when_it_was_signed_for_us_now(provider: OpenId) -> None:
    assert provider._claims(token(), "n")["sub"] == "ada"
    assert provider._claims(token(aud=["us", "them"], azp="us"), "n")["sub"] == "ada"
    secret = OctKey.import_key("secret" * 8)
    unsigned = ".".join([*token().split(".")[:2], ""])
    for wrong in (
        *("", "x", "a.b.c", unsigned, token()[:-4] + "AAAA"),
        token(OTHER),
        token(secret, {"alg": "HS256"}),
        token(iss="https://evil.example"), token(iss=None), token(aud="them"), token(aud=None),
        token(aud=["us", "them"]), token(aud=["us", "them"], azp="them"),
        token(exp=int(time.time()) - 120), token(exp=None), token(nonce="other"), token(nonce=None), token(sub=None),
        token(iat=int(time.time()) + 3600),
    ):  # fmt: skip
        with pytest.raises(NotSignedIn):
            provider._claims(wrong, "n")


def test_an_attempt_fits_its_own_state_only(provider: OpenId) -> None:
    attempt = Attempt("state", "n", "v", "/")
    for state, code in (("", "c"), ("stat", "c"), ("é", "c"), ("state", "")):
        with pytest.raises(NotSignedIn):
            provider.finish(attempt, redirect_uri="https://us.example", state=state, code=code)


def test_without_the_provider_the_page_says_so(tmp_path: Any) -> None:
    settings = {"host": "0.0.0.0", "oidc_issuer": f"http://127.0.0.1:{free_port()}", "oidc_client_id": "x"}
    with in_process(f"sqlite:///{tmp_path}/s.db", **settings) as service, Client(service.url) as client:
        answer = client.get("/sign-in/oidc")
        assert (answer.status_code, "does not answer" in answer.text) == (503, True)
        assert "Sign in with" in answer.text
    with in_process(f"sqlite:///{tmp_path}/s.db", host="0.0.0.0") as service, Client(service.url) as client:
        assert client.get("/sign-in/oidc").status_code == 404
        assert "Sign in with" not in client.get("/sign-in").text
