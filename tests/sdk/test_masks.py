"""Masks: what they hide, what they leave, and that nothing slips past them."""

from __future__ import annotations

import json
import re

import pytest

import stepscope
from stepscope import _masks

EVERY = _masks.Masks(_masks.ALL)
LETTERS = "aB3dE6gH9jK2mN5pQ8sT1vW4"


@pytest.mark.parametrize(
    "secret",
    [
        f"sk-{LETTERS}",
        f"sk-proj-{LETTERS}{LETTERS}",
        f"sk-ant-api03-{LETTERS}",
        f"pk_live_{LETTERS}",
        "AKIA" + "Q" * 16,
        f"ghp_{LETTERS}{LETTERS}",
        f"github_pat_{LETTERS}",
        f"glpat-{LETTERS}",
        f"xoxb-{LETTERS}",
        "AIza" + LETTERS + LETTERS[:11],
        f"hf_{LETTERS}",
        f"eyJ{LETTERS}.eyJ{LETTERS}.{LETTERS}",
        f"-----BEGIN RSA PRIVATE KEY-----\n{LETTERS}\n-----END RSA PRIVATE KEY-----",
        f"Bearer {LETTERS}",
        '{"password": "hunter2"}',
        '{"db_password":"hun\\"ter2"}',
        '{"OPENAI_API_KEY": "hunter2"}',
        "{'Authorization': 'hunter2'}",
        '{"access_token": "hunter2", "x": 1}',
        '{"clientSecret":"hunter2"}',
        "mara@example.org",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "5500005555555559",
    ],
)
def test_what_a_mask_is_for_is_hidden(secret):
    text = f"before {secret} after"
    assert EVERY.suspect(text)
    hidden = EVERY.hide(text)

    assert "[masked" in hidden
    for part in re.findall(r"hunter2|ter2|[A-Za-z0-9]{20,}|1111|mara|55555", text):
        assert part not in hidden
    assert hidden.startswith("before ")
    assert hidden.endswith(" after")


@pytest.mark.parametrize(
    "text",
    [
        "risk-averse tasks; ask-me-anything",
        '{"token": "Hello", "tokens": 12, "max_tokens": 300}',
        '{"secretary": "Mara", "password_hint": "x"}',
        "order 1234567890123456 and 2026-01-02 03:04:05.123456",
        "trace 4bf92f3577b34da6a3ce929d0e0e4736",
        "0000 0000 0000 0000",
        "a@b and @mention",
        "Bearer of news",
    ],
)
def test_what_only_looks_like_it_stays(text):
    assert EVERY.hide(text) == text


def test_masked_json_is_still_json():
    given = {"a": {"password": 'x"y\\', "n": 1}, "b": [{"api_key": "k"}], "c": "mail mara@example.org"}

    assert json.loads(EVERY.hide(json.dumps(given))) == {
        "a": {"password": "[masked]", "n": 1},
        "b": [{"api_key": "[masked]"}],
        "c": "mail [masked e-mail]",
    }


@pytest.mark.parametrize("before", ["\n", "\t", " ", "(", "\\", "\u00e9 ", '"', "=", "\\n"])
@pytest.mark.parametrize(
    "secret", [f"sk-{LETTERS}", "AKIA" + "Q" * 16, "mara@example.org", f"ghp_{LETTERS}", f"eyJ{LETTERS}.eyJ{LETTERS}.x"]
)
def test_json_escapes_hide_no_key_and_are_not_broken(before, secret):
    hidden = json.loads(EVERY.hide(json.dumps({"a": f"x{before}{secret} y"}, ensure_ascii=False)))["a"]

    if before == "\\" and "@" in secret:
        # A line's end and a backslash can't be told apart there; the text must stay readable all the same.
        assert hidden.endswith(" y")
    else:
        assert secret not in hidden
        assert hidden.endswith("] y")


def test_keys_and_secrets_are_hidden_wherever_they_stand(sent):
    key = f"sk-{LETTERS}"

    @stepscope.step
    def call(password: str, text: str) -> str:
        handle = stepscope.current_step()
        assert handle is not None
        handle.metadata["note"] = key
        handle.messages = [{"role": "user", "content": f"my key is {key}"}]
        handle.parameters = {"stop": [key]}
        handle.event("told", what=key)
        raise ValueError(f"{text} {key}")

    with pytest.raises(ValueError, match="sk-"):
        call("hunter2", "mail mara@example.org")

    span = sent().spans()["call"]
    assert LETTERS not in str(span)
    assert span.read("input") == {"password": "[masked]", "text": "mail mara@example.org"}


@pytest.mark.parametrize(
    ("wish", "names"),
    [
        (None, ("keys", "secrets")),
        (True, ("keys", "secrets", "emails", "cards")),
        (False, ()),
        (["emails"], ("emails",)),
        ("cards, keys", ("keys", "cards")),
        (["wizardry"], ()),
    ],
)
def test_masks_are_chosen_by_name(wish, names):
    assert _masks.chosen(wish) == names


def test_masks_can_be_chosen_by_the_environment(monkeypatch):
    from stepscope import _config

    monkeypatch.setenv("STEPSCOPE_MASKS", "emails")
    assert _config.load().masks == ("emails",)
    monkeypatch.setenv("STEPSCOPE_MASKS", "0")
    assert _config.load().masks == ()


def test_a_program_can_go_without_masks(sink):
    stepscope.init(endpoint=sink.url, spool=False, masks=False)
    with stepscope.step("work", input=f"sk-{LETTERS}"):
        pass
    assert stepscope.flush(10)

    assert LETTERS in str(sink.spans()["work"])


@pytest.mark.parametrize(
    "text", ["a" * 200_000, "sk-" * 60_000, '"password' * 20_000, "1 " * 100_000, "a@" * 100_000, "eyJ" * 60_000]
)
def test_no_text_makes_a_mask_slow(text):
    # Quadratic matching would take minutes here, not fractions of a second.
    assert isinstance(EVERY.hide(text), str)
