"""Settings: flag over variable over TOML file over default, and a wrong one named in one sentence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tracer.errors import BadSetting
from tracer.settings import PREFIX, Settings, load_settings, parse_database_url


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of the machine's, and a data folder of the test's own."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("STEPSCOPE_DATA", str(tmp_path))


def wrong(flags: dict[str, Any] | None = None, *, config: str | None = None) -> BadSetting:
    with pytest.raises(BadSetting) as refused:
        load_settings(flags or {}, config=config)
    message = refused.value.message
    assert "\n" not in message
    assert message.endswith(".")
    assert len(message) < 300
    return refused.value


def test_every_setting_has_a_default_and_a_sentence() -> None:
    for name, field in Settings.model_fields.items():
        assert not field.is_required(), name
        assert field.description, name
        assert field.description.endswith("."), name


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    settings = load_settings({})
    assert (settings.host, settings.port, settings.data, settings.db) == ("127.0.0.1", 4747, tmp_path, None)
    assert settings.database_url.database == str(tmp_path / "stepscope.db")
    assert not settings.beyond_loopback


def test_a_flag_beats_a_variable_beats_the_file_beats_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "stepscope.toml").write_text("port = 1001\nabandoned_after = 7\nmax_body = 5000\n")
    assert load_settings({}).port == 1001
    monkeypatch.setenv("STEPSCOPE_PORT", "1002")
    monkeypatch.setenv("STEPSCOPE_MAX_BODY", "6000")
    assert load_settings({"port": None}).port == 1002
    settings = load_settings({"port": "1003"})
    assert (settings.port, settings.max_body, settings.abandoned_after, settings.read_threads) == (1003, 6000, 7, 16)


def test_an_empty_variable_is_as_if_it_were_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPSCOPE_PORT", "")
    assert load_settings({}).port == 4747


def test_the_file_may_be_named_by_flag_or_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"{number}.toml").write_text(f"port = {number}")
    monkeypatch.setenv("STEPSCOPE_CONFIG", str(tmp_path / "1.toml"))
    assert load_settings({}).port == 1
    assert load_settings({}, config=str(tmp_path / "2.toml")).port == 2


def test_the_file_lies_in_the_data_folder_that_a_flag_names(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "stepscope.toml").write_text('port = 99\nallowed_hosts = ["a.example", "b.example"]')
    settings = load_settings({"data": str(tmp_path / "other")})
    assert (settings.port, settings.allowed_hosts) == (99, ("a.example", "b.example"))


def test_lists_are_words_with_commas() -> None:
    settings = load_settings({"allowed_hosts": "a.example, b.example,,", "trusted_proxies": "127.0.0.1"})
    assert (settings.allowed_hosts, settings.trusted_proxies) == (("a.example", "b.example"), ("127.0.0.1",))


def test_the_sdks_variables_and_others_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENDPOINT", "PROJECT", "API_KEY", "TEST_PG_URL", "DISABLED"):
        monkeypatch.setenv(f"STEPSCOPE_{name}", "x")
    assert load_settings({}).port == 4747


def test_a_home_in_the_data_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_settings({"data": "~/here"}).data == tmp_path / "here"
    assert load_settings({"data": "~nobody-of-that-name/here"}).data.name == "here"


WRONG = {
    "port": ["http", "-1", "65536", "4747.5", "1 2", "9" * 50],
    "max_body": ["64MB", "1023", "-1", str(2**31 + 1)],
    "ingest_memory": ["lots", "0"],
    "durability": ["none", "FULL", "0"],
    "abandoned_after": ["0", "soon", "100001"],
    "read_threads": ["1", "129", "many"],
    "log_level": ["loud", "trace"],
    "base_path": ["stepscope", "//x", "/a b", "/a?b", "/a#b", "/a\\b", "http://x/y"],
    "db": ["", "mysql://u:secret@h/db", "sqlite://", "sqlite:///:memory:", "nonsense", "://"],
    "host": [""],
    "sign_in": ["yes", "ON"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_setting_is_named_with_where_it_came_from(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    flag = wrong({name: value})
    assert flag.field == name
    assert f"--{name.replace('_', '-')}" in flag.message
    assert "secret" not in flag.message
    if value:
        monkeypatch.setenv(f"STEPSCOPE_{name.upper()}", value)
        assert f"STEPSCOPE_{name.upper()}" in wrong().message
        monkeypatch.delenv(f"STEPSCOPE_{name.upper()}")
    (tmp_path / "stepscope.toml").write_text(f"{name} = {value!r}")
    assert "stepscope.toml" in wrong().message


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    assert "does not exist" in wrong(config=str(tmp_path / "none.toml")).message
    assert "cannot be read" in wrong(config=str(tmp_path)).message
    for content in (b"port = ", b"port 4747", b"\xff\xfe", b"\0"):
        (tmp_path / "bad.toml").write_bytes(content)
        assert "is not TOML" in wrong(config=str(tmp_path / "bad.toml")).message


@pytest.mark.parametrize("content", ["prot = 4747", "[server]\nport = 4747", '"" = 1'])
def test_a_setting_that_does_not_exist_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "stepscope.toml").write_text(content)
    assert "there is no setting" in wrong().message


@pytest.mark.parametrize("content", ["port = [1]", "port = {a = 1}", "db = 7", "host = true", "allowed_hosts = 5"])
def test_a_setting_of_a_wrong_type_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "stepscope.toml").write_text(content)
    assert wrong().field == content.split()[0]


@pytest.mark.parametrize("content", ["data = 5", 'data = "a\\u0000b"', "data = []"])
def test_a_data_folder_that_is_none_is_named(tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEPSCOPE_DATA")
    (tmp_path / "given.toml").write_text(content)
    assert wrong(config=str(tmp_path / "given.toml")).field == "data"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.com"])
def test_anything_but_loopback_asks_for_sign_in(host: str) -> None:
    assert load_settings({"host": host}).beyond_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_loopback_is_open(host: str) -> None:
    assert not load_settings({"host": host}).beyond_loopback


def test_a_server_is_open_on_loopback_only_and_under_no_other_name() -> None:
    assert not load_settings({}).needs_sign_in
    for flags in ({"host": "0.0.0.0"}, {"allowed_hosts": "traces.example"}, {"sign_in": "on"}):
        assert load_settings(flags).needs_sign_in
    assert not load_settings({"allowed_hosts": "traces.example", "sign_in": "off"}).needs_sign_in
    refused = wrong({"host": "0.0.0.0", "sign_in": "off"})
    assert (refused.field, "asks for signing in" in refused.message) == ("sign_in", True)


@pytest.mark.parametrize("text", ["postgresql://u:p@h/db", "postgres://u:p@h/db", "postgresql+psycopg2://u:p@h/db"])
def test_every_way_to_write_postgres_means_our_driver(text: str) -> None:
    assert parse_database_url(text).drivername == "postgresql+psycopg"


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError):
        load_settings({}).port = 1
