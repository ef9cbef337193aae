"""The metrics page, its figures and its table to download."""

from __future__ import annotations

import csv
from typing import Any

import pytest

from tests import make
from tests.api.test_metrics import CALL
from tests.client import Client, on_one_database
from tests.make import SECOND, Value
from tracer.units import DAY, HOUR, rfc3339

NOON = make.START - make.START % DAY + 12 * HOUR
DAY_OF_IT = {"from": rfc3339(NOON - 12 * HOUR), "to": rfc3339(NOON + 12 * HOUR)}


def fill(client: Client) -> None:
    call = {key.replace("__", "."): value for key, value in CALL.items()}
    plain: dict[str, Value] = {"user.id": "=cmd()"}
    client.store(
        make.span("plan", start=NOON, end=NOON + 2 * SECOND, status=1, having=call),
        make.span("plan", start=NOON + HOUR, end=NOON + HOUR + 4 * SECOND, status=1, having=call),
        make.span("look_up", start=NOON + SECOND, end=NOON + 2 * SECOND, status=2, having=plain),
    )


def figures(client: Client, **asked: str) -> dict[str, Any]:
    answer = client.get(f"/p/{client.project}/metrics/figures", params={**DAY_OF_IT, **asked})
    assert answer.status_code == 200, answer.text
    return {figure["id"]: figure for figure in answer.json()}


def test_the_figures_hold_what_was_measured_and_say_it_in_words(client: Client) -> None:
    fill(client)
    found = figures(client, by="name")
    count = {line["name"]: line for line in found["count"]["data"]}
    assert count["plan"]["x"] == ["2025-11-24T12:00:00.000", "2025-11-24T13:00:00.000"]
    assert count["plan"]["y"] == [1, 1]
    assert {line["name"]: line["y"] for line in found["errors"]["data"]} == {"plan": [0, 0], "look_up": [100]}
    latency = {line["name"]: line for line in found["latency"]["data"]}
    assert latency["plan"]["y"] == pytest.approx([2, 4], rel=0.03)
    assert latency["plan"]["text"][0].endswith(" s")
    assert found["latency"]["layout"]["yaxis"]["ticksuffix"] == " s"
    classes = {line["name"]: line["y"] for line in figures(client)["tokens"]["data"]}
    assert classes == {"input": [10, 10], "output": [5, 5]}
    assert figures(client, by="name", name="plan", kind="llm").keys() == found.keys()
    assert [line["name"] for line in figures(client, by="name", name="plan")["count"]["data"]] == ["plan"]


@on_one_database
def test_the_page_compares_with_the_time_before_and_says_what_is_asked(client: Client) -> None:
    fill(client)
    page = f"/p/{client.project}/metrics"
    html = client.get(page, params={"from": rfc3339(NOON + HOUR), "to": rfc3339(NOON + 2 * HOUR)}).text
    assert "−50 %" in html
    assert "No step began in this time" in client.get(page).text
    only = client.get(page, params={**DAY_OF_IT, "name": "plan", "by": "model"}).text
    assert "step <b><bdi>plan</bdi></b>" in only
    for wrong in ({"by": "user"}, {"of": "x"}, {"range": "2y"}, {"from": "x"}, {"of": "traces", "name": "plan"}):
        assert client.get(page, params=wrong).status_code == 400


@on_one_database
def test_the_table_has_every_point_and_no_formula(client: Client) -> None:
    fill(client)
    answer = client.get(f"/p/{client.project}/metrics/csv", params={**DAY_OF_IT, "of": "traces", "by": "user"})
    lines = list(csv.DictReader(answer.text.splitlines()))
    assert {(line["user"], line["count"], line["errors"]) for line in lines} == {
        ("'=cmd()", "1", "1"),
        ("without user", "1", "0"),
    }
    assert sum(float(line["cost_usd"] or 0) for line in lines) == pytest.approx(2 * (10 * 150 + 5 * 600) / 1e9)
    assert answer.headers["content-disposition"].startswith("attachment")
