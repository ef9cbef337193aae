"""Signing in at a provider of OpenID Connect: the authorization code flow with PKCE, state and nonce."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import httpx
from authlib.integrations.httpx_client import OAuth2Client
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jwt import JWTClaimsRegistry
from sqlalchemy import Connection, delete, select, update

from tracer.access.people import Place, Role, add_person, person_by_email, read_email, set_role
from tracer.errors import Forbidden, NotSignedIn, TracerError, Unavailable
from tracer.settings import is_safe_address
from tracer.store.models import invitation, person

TIMEOUT_S = 10.0
REMEMBERED_S = 600.0
LEEWAY_S = 60
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by keys that the provider publishes; none that a shared secret or nothing at all makes."""

SCOPE = "openid email profile"


@dataclass(frozen=True, slots=True)
class Provider:
    """Where people sign in, as the settings name it."""

    issuer: str
    client_id: str
    client_secret: str
    domains: tuple[str, ...] = ()
    """Addresses of these may join without an invitation."""
    role: Role = Role.viewer
    """Their role then, in every project."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One person's way to the provider and back, kept in a cookie meanwhile."""

    state: str
    nonce: str
    verifier: str
    next: str

    def as_cookie(self) -> str:
        """The attempt as a cookie's value."""
        return json.dumps(asdict(self), separators=(",", ":")).encode().hex()


@dataclass(frozen=True, slots=True)
class Identity:
    """Who came back from the provider."""

    issuer: str
    subject: str
    email: str
    verified: bool
    name: str


def read_attempt(cookie: str) -> Attempt:
    """The attempt in a cookie; raises NotSignedIn."""
    try:
        found = json.loads(bytes.fromhex(cookie[:8_000]))
        return Attempt(**{name: str(found[name]) for name in ("state", "nonce", "verifier", "next")})
    except (ValueError, KeyError, TypeError):
        raise NotSignedIn("This way of signing in was begun elsewhere or too long ago. Begin again.") from None


class OpenId:
    """Talks to one provider. Callable from any thread."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self._lock = threading.Lock()
        self._known: tuple[float, Mapping[str, Any]] | None = None
        self._keys: KeySet | None = None

    def begin(self, *, redirect_uri: str, next: str) -> tuple[str, Attempt]:
        """The provider's address to go to, and what to remember meanwhile. Raises Unavailable."""
        attempt = Attempt(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48), next)
        there = str(self._described()["authorization_endpoint"])
        with self._client(redirect_uri) as client:
            url, _ = client.create_authorization_url(
                there, state=attempt.state, nonce=attempt.nonce, code_verifier=attempt.verifier
            )
        return url, attempt

    def finish(self, attempt: Attempt, *, redirect_uri: str, state: str, code: str) -> Identity:
        """Who came back with a code. Raises NotSignedIn for what does not fit, Unavailable without the provider."""
        if not code or not secrets.compare_digest(attempt.state.encode(), state.encode("utf-8", "replace")):
            raise NotSignedIn("The answer of the sign-in provider does not fit. Begin again.")
        described = self._described()
        with self._client(redirect_uri) as client:
            try:
                token = client.fetch_token(
                    str(described["token_endpoint"]),
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=attempt.verifier,
                )
                claims = self._claims(str(token.get("id_token") or ""), attempt.nonce)
                if "email" not in claims and described.get("userinfo_endpoint"):
                    more = client.get(str(described["userinfo_endpoint"])).json()
                    if isinstance(more, dict) and more.get("sub") == claims["sub"]:
                        claims = {**more, **claims}
            except httpx.HTTPError:
                raise Unavailable("The sign-in provider does not answer; try again in a moment.") from None
            except TracerError:
                raise
            except Exception as problem:  # noqa: BLE001 - whatever a provider answers, nobody is signed in by it
                raise NotSignedIn(f"The sign-in provider refused: {type(problem).__name__}.") from None
        return Identity(
            issuer=self.provider.issuer,
            subject=str(claims["sub"])[:300],
            email=read_email(str(claims.get("email") or "")),
            verified=claims.get("email_verified") in (True, "true"),
            name=str(claims.get("name") or ""),
        )

    def _claims(self, token: str, nonce: str) -> dict[str, Any]:
        """What an ID token says, when the provider signed it for us, now, and for this attempt."""
        try:
            try:
                found = jwt.decode(token, self._key_set(), algorithms=ALGORITHMS)
            except (JoseError, ValueError):
                # The provider may have changed its keys since they were asked for.
                found = jwt.decode(token, self._key_set(again=True), algorithms=ALGORITHMS)
            JWTClaimsRegistry(
                leeway=LEEWAY_S,
                iss={"essential": True, "value": self.provider.issuer},
                aud={"essential": True, "value": self.provider.client_id},
                sub={"essential": True},
                exp={"essential": True},
                iat={"essential": True},
                nonce={"essential": True, "value": nonce},
            ).validate(found.claims)
        except (JoseError, ValueError):
            raise NotSignedIn("The sign-in provider's answer cannot be trusted. Begin again.") from None
        audience = found.claims["aud"]
        if isinstance(audience, list) and len(audience) > 1 and found.claims.get("azp") != self.provider.client_id:
            raise NotSignedIn("The sign-in provider's answer is for another application.")
        return dict(found.claims)

    def _client(self, redirect_uri: str) -> Any:
        return OAuth2Client(
            self.provider.client_id,
            self.provider.client_secret,
            scope=SCOPE,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            timeout=TIMEOUT_S,
            follow_redirects=False,
        )

    def _described(self) -> Mapping[str, Any]:
        """What the provider says of itself. Raises Unavailable."""
        known = self._known
        if known is not None and known[0] > time.monotonic():
            return known[1]
        issuer = self.provider.issuer
        found = _fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        wanted = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        if found.get("issuer") != issuer or not all(is_safe_address(str(found.get(name, ""))) for name in wanted):
            raise Unavailable("The sign-in provider does not describe itself as it should; see `oidc_issuer`.")
        with self._lock:
            self._known = (time.monotonic() + REMEMBERED_S, found)
        return found

    def _key_set(self, *, again: bool = False) -> KeySet:
        keys = self._keys
        if keys is None or again:
            keys = KeySet.import_key_set(_fetch(str(self._described()["jwks_uri"])))  # type: ignore[arg-type]
            with self._lock:
                self._keys = keys
        return keys


def somebody_at(connection: Connection, identity: Identity, provider: Provider) -> int:
    """The row number of the account of who came back; one is made for who is invited, or of a domain that may join.

    Raises Forbidden for anybody else.
    """
    known = connection.execute(
        select(person.c.id).where(person.c.issuer == identity.issuer, person.c.subject == identity.subject)
    ).scalar()
    if known is not None:
        return int(known)
    if not identity.verified:
        raise Forbidden("The sign-in provider does not say that this e-mail address was verified.")
    theirs = (identity.issuer, identity.subject)
    same = person_by_email(connection, identity.email)
    if same is not None:
        free = connection.execute(
            update(person)
            .where(person.c.id == same.id, person.c.issuer.is_(None))
            .values(issuer=theirs[0], subject=theirs[1])
        ).rowcount
        if not free:
            raise Forbidden("This address belongs to another account of the sign-in provider.")
        return same.id
    invited = connection.execute(
        select(invitation)
        .where(
            invitation.c.what == "invite",
            invitation.c.email == identity.email,
            invitation.c.expires_at > time.time_ns(),
        )
        .order_by(invitation.c.id)
    ).all()
    joins = identity.email.rpartition("@")[2] in provider.domains
    if not invited and not joins:
        raise Forbidden(f"Nobody invited {identity.email}. Ask an administrator of this server.")
    made = add_person(connection, identity.email, name=identity.name, identity=theirs)
    for row in invited:
        set_role(connection, made, Place(bool(row.server), row.project_id, Role(row.role)))
        connection.execute(delete(invitation).where(invitation.c.id == row.id))
    if not invited:
        set_role(connection, made, Place(role=provider.role))
    return made


def _fetch(url: str) -> dict[str, Any]:
    try:
        found = httpx.get(url, timeout=TIMEOUT_S, follow_redirects=False).raise_for_status().json()
    except (httpx.HTTPError, ValueError):
        raise Unavailable("The sign-in provider does not answer; try again in a moment.") from None
    if not isinstance(found, dict):
        raise Unavailable("The sign-in provider does not describe itself as it should.")
    return found
