"""Every setting: its type, its default, its unit, and one sentence about it.

A setting comes from a flag, else from `STEPSCOPE_<NAME>`, else from a TOML file (`--config FILE`,
`STEPSCOPE_CONFIG`, else `stepscope.toml` in the data folder), else from its default.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import platformdirs
from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from tracer.errors import BadSetting
from tracer.units import parse_bytes

PREFIX = "STEPSCOPE_"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
CLIENT_VARIABLES = frozenset({"endpoint", "project", "api_key", "disabled", "instrument", "config"})
"""`STEPSCOPE_*` variables that belong to the SDK, or that say where the settings are."""


_ORIGIN = re.compile(r"https?://(\[[0-9a-fA-F:]+\]|[\w.-]+)(:\d{1,5})?", re.ASCII)


def default_data_folder() -> Path:
    """The user's data folder for Stepscope, as the operating system has it."""
    return Path(platformdirs.user_data_dir("stepscope", appauthor=False))


def _at_home(path: Path) -> Path:
    """The path with `~` replaced; one that names a user who does not exist stays as it is."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def _words(value: object) -> object:
    """Let a variable or a flag give a list as words with commas between them."""
    return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value


def _size(value: object) -> object:
    """Let a size be given in words: 10GB."""
    return parse_bytes(value) if isinstance(value, str) else value


class Settings(BaseSettings):
    """All settings of the service. Frozen: what runs is what was checked at the start."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True, enable_decoding=False
    )

    host: Annotated[str, Field(min_length=1)] = Field(
        "127.0.0.1", description="The address to listen on; whoever is not on loopback has to sign in."
    )
    port: int = Field(4747, ge=0, le=65_535, description="The port to listen on; 0 takes a free one.")
    grpc_port: int | None = Field(
        None,
        ge=0,
        le=65_535,
        description="The port on which OTLP is taken over gRPC as well, usually 4317; needs stepscope-server[grpc] "
        "(default: none).",
    )
    data: Path = Field(
        default_factory=default_data_folder,
        description="The folder for the SQLite file and other state (default: stepscope in the user's data folder).",
    )
    db: str | None = Field(
        None,
        description="The database's URL, sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME "
        "(default: stepscope.db in the data folder).",
    )
    base_path: str = Field(
        "", description="The path under which a reverse proxy serves this, such as /stepscope (default: none)."
    )
    allowed_hosts: Annotated[tuple[str, ...], BeforeValidator(_words)] = Field(
        (),
        description="Host names, beside loopback's and `host`, by which browsers may reach this server; "
        "words with commas between them.",
    )
    embed_origins: Annotated[tuple[str, ...], BeforeValidator(_words)] = Field(
        (),
        description="Origins such as https://wiki.example.com whose pages may show a trace in a frame, by a read-only "
        "link; words with commas between them (default: none).",
    )
    sign_in: Literal["auto", "on", "off"] = Field(
        "auto",
        description="auto: whoever is not on this machine has to sign in, so on unless `host` is loopback and "
        "`allowed_hosts` is empty; off: only where `host` is loopback.",
    )
    oidc_issuer: str | None = Field(
        None, description="The address of a provider of OpenID Connect where people may sign in (default: none)."
    )
    oidc_client_id: str = Field("", description="The name under which that provider knows this server.")
    oidc_client_secret: str = Field(
        "", repr=False, description="The secret that goes with it; better in the variable or the file than as a flag."
    )
    oidc_name: str = Field("single sign-on", max_length=60, description="What the button is called that leads there.")
    oidc_domains: Annotated[tuple[str, ...], BeforeValidator(_words)] = Field(
        (), description="Domains whose people join without an invitation; words with commas between them."
    )
    oidc_role: Literal["viewer", "editor", "admin"] = Field(
        "viewer", description="The role, in every project, of who joins that way."
    )
    trusted_proxies: Annotated[tuple[str, ...], BeforeValidator(_words)] = Field(
        (), description="Addresses of reverse proxies whose X-Forwarded headers are believed."
    )
    max_body: int = Field(
        64 * 2**20, ge=1024, le=2**31, description="The largest body taken, in bytes, counted after decompression."
    )
    ingest_memory: int = Field(
        192 * 2**20,
        ge=2**20,
        description="Bytes of inflated bodies held at once before clients are asked to come back later (429).",
    )
    durability: Literal["full", "normal"] = Field(
        "full",
        description="full: an acknowledged span survives a power cut; normal: it survives the process being killed.",
    )
    search: Literal["on", "off"] = Field(
        "on", description="on: prompts, outputs, names and errors are indexed in the background; off: nothing new is."
    )
    abandoned_after: int = Field(
        10, ge=1, le=100_000, description="Minutes without news after which a running step is shown as abandoned."
    )
    retention_days: int | None = Field(
        None,
        ge=1,
        le=36_500,
        description="Days that a trace is kept, counted from its start; older spans are refused (default: for ever).",
    )
    max_size: Annotated[int | None, BeforeValidator(_size)] = Field(
        None,
        ge=10**6,
        description="Bytes that the database may hold, such as 10GB; beyond that the oldest traces are deleted "
        "(default: no limit).",
    )
    audit_days: int = Field(
        365,
        ge=1,
        le=36_500,
        description="Days that a line of the audit log is kept, of which there are a million at most.",
    )
    new_projects: int = Field(
        100,
        ge=0,
        le=100_000,
        description="Projects without a key that there may be: what names yet another is stored in default, and its "
        "sender is told.",
    )
    private_webhooks: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether alerts may be posted to addresses in private networks; auto: only where nobody has to "
        "sign in.",
    )
    read_threads: int = Field(16, ge=2, le=128, description="Threads that answer pages and queries.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="How much the server logs to standard error."
    )

    @field_validator("base_path")
    @classmethod
    def _base_path(cls, value: str) -> str:
        value = value.rstrip("/")
        if value and (not value.startswith("/") or "//" in value or any(c in value for c in "?#\\ ")):
            raise ValueError("must be a path such as /stepscope")
        return value

    @field_validator("embed_origins")
    @classmethod
    def _embed_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError("must be origins such as https://wiki.example.com")
        return value

    @field_validator("data")
    @classmethod
    def _data(cls, value: Path) -> Path:
        if "\0" in str(value):
            raise ValueError("must be a path")
        return _at_home(value).absolute()

    @model_validator(mode="after")
    def _open_on_loopback_only(self) -> Settings:
        if self.sign_in == "off" and self.beyond_loopback:
            raise PydanticCustomError("open", "a server that other machines can reach asks for signing in")
        return self

    @field_validator("oidc_issuer")
    @classmethod
    def _oidc_issuer(cls, value: str | None) -> str | None:
        if value is not None and not is_safe_address(value):
            raise ValueError("must be an https address")
        return value

    @model_validator(mode="after")
    def _oidc_is_whole(self) -> Settings:
        if self.oidc_issuer is not None and not self.oidc_client_id:
            raise PydanticCustomError("oidc", "oidc_issuer needs oidc_client_id")
        return self

    @field_validator("db")
    @classmethod
    def _db(cls, value: str | None) -> str | None:
        if value is not None:
            parse_database_url(value)
        return value

    @property
    def database_url(self) -> URL:
        """The database as SQLAlchemy names it, with the driver that we use."""
        return (
            parse_database_url(self.db) if self.db else URL.create("sqlite", database=str(self.data / "stepscope.db"))
        )

    @property
    def beyond_loopback(self) -> bool:
        """True when other machines can reach the server."""
        return self.host not in LOOPBACK

    @property
    def needs_sign_in(self) -> bool:
        """True when the server asks who somebody is: also behind a proxy by whose name it is reached."""
        if self.sign_in == "auto":
            return self.beyond_loopback or not LOOPBACK.issuperset(self.allowed_hosts)
        return self.sign_in == "on"

    @property
    def calls_private_webhooks(self) -> bool:
        """True when alerts may be posted into private networks."""
        return not self.needs_sign_in if self.private_webhooks == "auto" else self.private_webhooks == "on"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what `load_settings` merged: it knows which source each value came from."""
        return (init_settings,)


def is_safe_address(url: str) -> bool:
    """True for an https address, and for http on this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    host = parts.hostname or ""
    loopback = host in LOOPBACK
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and loopback))


def parse_database_url(text: str) -> URL:
    """Read a database URL and pick our driver for it.

    Raises ValueError, with what was expected, for anything but SQLite and Postgres.
    """
    try:
        url = make_url(text)
    except ArgumentError:
        raise ValueError("must look like sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME") from None
    backend = url.drivername.split("+")[0]
    if backend in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if backend == "sqlite":
        if not url.database or url.database == ":memory:":
            raise ValueError("names no file: sqlite:///FILE is needed")
        return url.set(drivername="sqlite")
    raise ValueError(f"{backend} is not a database this server can use: sqlite or postgresql")


def load_settings(flags: Mapping[str, Any], *, config: str | None = None) -> Settings:
    """Merge flags over `STEPSCOPE_*` variables over the TOML file over defaults.

    `flags` holds what was given on the command line, None for what was not. Raises BadSetting, naming the setting,
    where it came from and what was expected, for the first one that cannot be used.
    """
    given: dict[str, tuple[Any, str]] = {}
    environment = {key[len(PREFIX) :].lower(): value for key, value in os.environ.items() if key.startswith(PREFIX)}
    for name, value in environment.items():
        if value != "" and name not in CLIENT_VARIABLES and name in Settings.model_fields:
            given[name] = (value, f"{PREFIX}{name.upper()}")
    for name, value in flags.items():
        if value is not None:
            given[name] = (value, f"--{name.replace('_', '-')}")
    config = config or os.environ.get("STEPSCOPE_CONFIG") or None
    folder = Path(given["data"][0]) if "data" in given else default_data_folder()
    file = Path(config) if config else _at_home(folder) / "stepscope.toml"
    for name, value in _read_toml(file, required=config is not None).items():
        given.setdefault(name, (value, f"{name!r} in {file}"))
    try:
        return Settings(**{name: value for name, (value, _) in given.items()})
    except ValidationError as problem:
        first = problem.errors()[0]
        # What concerns two settings is said of the one that asks for the other.
        name = str(first["loc"][0]) if first["loc"] else {"oidc": "oidc_issuer"}.get(first["type"], "sign_in")
        value, source = given.get(name, (None, name))
        reason = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
        shown = "" if name in ("db", "oidc_client_secret") else f" {str(value)[:80]!r}"
        if first["type"] == "extra_forbidden":
            raise BadSetting(f"{source}: there is no setting {name!r}.", field=name) from None
        raise BadSetting(f"{source}{shown}: {reason}.", field=name) from None


def _read_toml(file: Path, *, required: bool) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            return tomllib.load(stream)
    except FileNotFoundError:
        if required:
            raise BadSetting(f"the settings file {file} does not exist.", field="config") from None
        return {}
    except OSError as problem:
        raise BadSetting(f"the settings file {file} cannot be read: {problem.strerror}.", field="config") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise BadSetting(f"the settings file {file} is not TOML: {problem}.", field="config") from None
