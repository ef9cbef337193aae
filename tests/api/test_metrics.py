"""`GET /api/v1/metrics`: series and totals of steps, from the cube."""

from __future__ import annotations

from typing import Any

import pytest

from tests import make
from tests.client import Client, Guarded
from tests.make import SECOND, START, Message, Value
from tracer.api import schemas
from tracer.queries import step_metrics, trace_metrics
from tracer.units import DAY, HOUR, MINUTE, rfc3339

NOON = START - START % DAY + 12 * HOUR


def step(name: str, at: int, seconds: float, *, status: int = 1, **having: Value) -> Message:
    attributes = {key.replace("__", "."): value for key, value in having.items()}
    return make.span(name, start=at, end=at + int(seconds * SECOND), status=status, having=attributes)


def call(name: str, at: int, *, model: str, tokens: tuple[int, int] = (10, 5)) -> Message:
    return step(
        name, at, 2, gen_ai__operation__name="chat", gen_ai__request__model=model,
        gen_ai__usage__input_tokens=tokens[0], gen_ai__usage__output_tokens=tokens[1],
    )  # fmt: skip


def metrics(client: Client, **parameters: str | int) -> dict[str, Any]:
    asked: dict[str, str | int] = {
        "project": client.project,
        "from": rfc3339(NOON - 12 * HOUR),
        "to": rfc3339(NOON + 12 * HOUR),
    }
    return client.read("/api/v1/metrics", **(asked | parameters))


def test_counts_errors_and_percentiles_come_by_hour(client: Client) -> None:
    client.store(
        *(step("look_up", NOON + second * SECOND, second) for second in range(1, 101)),
        step("look_up", NOON + 2 * HOUR, 7, status=2),
    )
    found = metrics(client)

    assert (found["project"], found["of"], found["by"], found["interval"]) == (client.project, "steps", None, "1h")
    assert (found["from"], found["to"]) == (rfc3339(NOON - 12 * HOUR), rfc3339(NOON + 12 * HOUR))
    assert (found["totals"]["count"], found["totals"]["errors"]) == (101, 1)
    [series] = found["series"]
    assert [(point["time"], point["count"], point["errors"]) for point in series["points"]] == [
        (rfc3339(NOON), 100, 0),
        (rfc3339(NOON + 2 * HOUR), 1, 1),
    ]
    lengths = series["points"][0]["duration_ms"]
    assert lengths["mean"] == 50_500
    assert [lengths[name] for name in ("p50", "p95", "p99")] == pytest.approx([50_000, 95_000, 99_000], rel=0.03)
    assert found["totals"]["tokens"] is None
    assert found["totals"]["cost_usd"] is None
    assert found["searched_to"] is None


def test_tokens_and_cost_are_those_of_model_calls_alone(client: Client) -> None:
    client.store(
        call("answer", NOON, model="gpt-4o-mini", tokens=(1_000_000, 0)),
        step("agent", NOON, 3, openinference__span__kind="AGENT", llm__token_count__prompt=1_000_000),
    )
    by_kind = {series["value"]: series["totals"] for series in metrics(client, by="kind")["series"]}

    assert by_kind["llm"]["tokens"] == {"input": 1_000_000, "output": 0, "total": 1_000_000}
    assert by_kind["llm"]["cost_usd"] > 0
    assert by_kind["agent"]["tokens"] is None
    assert metrics(client)["totals"]["tokens"]["total"] == 1_000_000


def test_first_tokens_have_percentiles_of_their_own(client: Client) -> None:
    said: dict[str, Value] = {"gen_ai.operation.name": "chat", "gen_ai.response.time_to_first_chunk": 0.4}
    client.store(make.span("answer", start=NOON, end=NOON + SECOND, having=said), step("look_up", NOON, 1))

    assert metrics(client)["totals"]["time_to_first_token_ms"]["p95"] == pytest.approx(400, rel=0.03)


@pytest.mark.parametrize(
    ("by", "wanted"),
    [
        ("name", {"answer": 3, "look_up": 2}),
        ("kind", {"llm": 3, "other": 2}),
        ("model", {"gpt-4o-mini": 2, "gpt-4o": 1, None: 2}),
        ("status", {"ok": 4, "error": 1}),
    ],
)
def test_series_are_told_apart_by(client: Client, by: str, wanted: dict[str | None, int]) -> None:
    client.store(
        call("answer", NOON, model="gpt-4o-mini"),
        call("answer", NOON, model="gpt-4o-mini"),
        call("answer", NOON + HOUR, model="gpt-4o"),
        step("look_up", NOON, 1),
        step("look_up", NOON, 1, status=2),
    )
    found = metrics(client, by=by)

    assert {series["value"]: series["totals"]["count"] for series in found["series"]} == wanted
    assert not any(series["other"] for series in found["series"])
    assert found["totals"]["count"] == 5


def test_small_series_share_one(client: Client) -> None:
    client.store(*(step(name, NOON, 1) for name in ("often", "often", "often", "twice", "twice", "once", "rarely")))
    found = metrics(client, by="name", limit=2)

    assert [(one["value"], one["other"], one["totals"]["count"]) for one in found["series"]] == [
        ("often", False, 3),
        ("twice", False, 2),
        (None, True, 2),
    ]


def test_whole_days_and_the_hours_at_both_ends_add_up(client: Client) -> None:
    client.store(*(step("look_up", NOON + hour * HOUR, 1) for hour in range(-60, 60)))
    found = metrics(
        client, interval="1d", **{"from": rfc3339(NOON - 50 * HOUR - 1), "to": rfc3339(NOON + 40 * HOUR + 1)}
    )

    assert (found["from"], found["to"]) == (rfc3339(NOON - 51 * HOUR), rfc3339(NOON + 41 * HOUR))
    assert found["totals"]["count"] == 92
    assert [point["count"] for point in found["series"][0]["points"]] == [15, 24, 24, 24, 5]
    assert found["series"][0]["points"][0]["time"] == rfc3339(NOON - 12 * HOUR - 2 * DAY)


def test_weeks_begin_on_mondays(client: Client) -> None:
    client.store(step("look_up", START, 1))  # a Monday
    found = metrics(client, interval="7d")

    assert found["series"][0]["points"][0]["time"] == rfc3339(START - START % DAY)


def test_a_time_of_hours_gets_hours_and_a_long_one_days(client: Client) -> None:
    client.store(step("look_up", NOON, 1))
    assert metrics(client)["interval"] == "1h"
    assert metrics(client, **{"from": rfc3339(NOON - 31 * DAY)})["interval"] == "1d"
    assert metrics(client, **{"from": "1971-01-01"})["interval"] == "365d"


def test_without_times_the_last_day_is_meant(client: Client) -> None:
    client.store(step("look_up", NOON, 1))
    found = client.read("/api/v1/metrics", project=client.project)

    assert found["totals"]["count"] == 0
    assert found["series"] == []
    assert found["interval"] == "1h"


def test_running_steps_are_not_counted(client: Client) -> None:
    client.store(make.span("answer", start=NOON, end=0, having={"stepscope.seq": 1}), step("look_up", NOON, 1))

    assert metrics(client)["totals"]["count"] == 1


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"of": "sessions"}, "of"),
        ({"q": "status:eror"}, "q"),
        ({"by": "user", "of": "steps"}, "by"),
        ({"by": "kind", "of": "traces"}, "by"),
        ({"by": "colour"}, "by"),
        ({"of": "traces", "interval": "7m"}, "interval"),
        ({"of": "traces", "interval": "1m", "from": "2020-01-01"}, "interval"),
        ({"interval": "5m"}, "interval"),
        ({"interval": "5h"}, "interval"),
        ({"interval": "0d"}, "interval"),
        ({"interval": "1h", "from": "1971-01-01"}, "interval"),
        ({"from": "yesterday"}, "from"),
        ({"from": "2030-01-01", "to": "2029-01-01"}, "from"),
        ({"project": ""}, "project"),
    ],
)
def test_what_is_not_served_is_refused_with_its_name(client: Client, parameters: dict[str, str], field: str) -> None:
    client.store(step("look_up", NOON, 1))
    with Client(str(client.base_url)) as other:
        other.store(step("look_up", NOON, 1))  # so that there are two projects
    answer = client.get("/api/v1/metrics", params={"project": client.project, **parameters})

    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["field"] == field
    assert len(error["message"]) > 20


def trace(at: int, seconds: float, *, status: int = 1, **having: Value) -> Message:
    """A trace of one model call that costs 150 nano-dollars a token in and 600 one out."""
    return step("answer", at, seconds, status=status, **{**CALL, **having})


CALL: dict[str, Value] = {
    "openinference__span__kind": "LLM",
    "llm__model_name": "gpt-4o-mini",
    "llm__token_count__prompt": 10,
    "llm__token_count__completion": 5,
}


def test_traces_are_measured_by_what_only_a_trace_knows(client: Client) -> None:
    client.store(
        trace(NOON, 1, user__id="mara", tag__tags=["blue", "new"]),
        trace(NOON + 40 * SECOND, 3, user__id="mara", tag__tags=["blue"]),
        trace(NOON + 90 * SECOND, 2, status=2, user__id="tom"),
        trace(NOON + 6 * MINUTE, 9, tag__tags=["blue"]),
    )
    found = metrics(client, by="user", interval="5m")
    schemas.Metrics.model_validate(found)
    assert (found["of"], found["interval"], found["searched_to"]) == ("traces", "5m", None)
    assert (found["totals"]["count"], found["totals"]["errors"]) == (4, 1)
    assert [(one["value"], one["other"], one["totals"]["count"]) for one in found["series"]] == [
        ("mara", False, 2),
        (None, False, 1),
        ("tom", False, 1),
    ]
    [point] = found["series"][0]["points"]
    assert (point["time"], point["count"]) == (rfc3339(NOON), 2)
    assert point["duration_ms"] == {"mean": 2_000, "p50": 1_000, "p95": 3_000, "p99": 3_000}
    assert point["tokens"] == {"input": 20, "output": 10, "total": 30}
    assert point["cost_usd"] == pytest.approx(2 * (10 * 150 + 5 * 600) / 1e9)

    client.patch(f"/api/v1/traces/{client.traces(order='start_time')[2]['trace_id']}", json={"tags": ["blue"]})
    tags = metrics(client, by="tag")
    assert [(one["value"], one["totals"]["count"]) for one in tags["series"]] == [("blue", 4), ("new", 1)]
    assert tags["totals"]["count"] == 4
    statuses = metrics(client, of="traces", by="status", limit=1)["series"]
    assert [(one["value"], one["other"], one["totals"]["count"]) for one in statuses] == [
        ("ok", False, 3),
        (None, True, 1),
    ]


def test_metrics_of_very_many_traces_are_of_the_newest_and_say_so(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace_metrics, "AT_ONCE", 4)
    monkeypatch.setattr(trace_metrics, "ROWS_READ", 8)
    client.store(*(trace(NOON + minute * MINUTE, 1) for minute in range(20)))
    found = metrics(client, of="traces", interval="1m")
    assert found["totals"]["count"] == 8
    assert found["searched_to"] == rfc3339(NOON + 12 * MINUTE)
    few = metrics(client, of="traces", **{"from": rfc3339(NOON + 12 * MINUTE + 1)})
    assert (few["totals"]["count"], few["searched_to"]) == (7, None)


@pytest.mark.parametrize("limit", ["0", "51", "x"])
def test_a_number_of_series_out_of_range_is_refused(client: Client, limit: str) -> None:
    assert client.get("/api/v1/metrics", params={"limit": limit}).status_code == 422


def test_a_project_that_is_not_there_is_404(client: Client) -> None:
    assert client.get("/api/v1/metrics", params={"project": "never heard of"}).status_code == 404


def test_metrics_ask_for_a_key_where_one_is_needed(guarded: Guarded) -> None:
    assert guarded.client.get("/api/v1/metrics").status_code == 401


def test_absurd_times_are_answered(client: Client) -> None:
    client.store(step("look_up", 0 + MINUTE, 1))
    found = metrics(client, **{"from": "0001-01-01", "to": "9999-12-31"})

    assert found["totals"]["count"] == 1


def test_steps_of_a_search_are_measured_as_the_cube_would(client: Client) -> None:
    running = make.span("look_up", start=NOON, end=0, having={"stepscope.seq": 1})
    client.store(
        *(call("answer", NOON + second * SECOND, model="gpt-4o-mini") for second in range(5)),
        call("answer", NOON + HOUR, model="gpt-4o"),
        step("look_up", NOON, 3, status=2, openinference__span__kind="TOOL", llm__token_count__prompt=7),
        running,
    )
    for by in ("model", "name", "kind", "status"):
        searched, cube = metrics(client, q="latency>=0s", by=by), metrics(client, by=by)
        for found in (searched, cube):
            for one in (found, *found["series"], *(point for series in found["series"] for point in series["points"])):
                one.get("totals", one).pop("duration_ms")
        assert searched == cube
    found = metrics(client, q="model:gpt-4o-mini kind:llm")
    schemas.Metrics.model_validate(found)
    assert (found["totals"]["count"], found["totals"]["tokens"]["total"]) == (5, 75)
    assert found["totals"]["duration_ms"] == {"mean": 2_000, "p50": 2_000, "p95": 2_000, "p99": 2_000}


def test_traces_of_a_search_are_measured(client: Client) -> None:
    client.store(trace(NOON, 1), trace(NOON + MINUTE, 2), step("fails", NOON + 2 * MINUTE, 3, status=2))
    found = metrics(client, q="status:error", of="traces", by="name")
    assert [(one["value"], one["totals"]["count"]) for one in found["series"]] == [("fails", 1)]
    assert (found["totals"]["errors"], found["searched_to"]) == (1, None)


@pytest.mark.parametrize("of", ["steps", "traces"])
def test_metrics_of_a_search_that_finds_much_say_how_far_they_went(
    client: Client, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    monkeypatch.setattr(trace_metrics, "FOUND", 8)
    monkeypatch.setattr(step_metrics, "FOUND", 8)
    client.store(*(trace(NOON + minute * MINUTE, 1) for minute in range(20)))
    found = metrics(client, q="latency>0s", of=of)
    assert (found["totals"]["count"], found["searched_to"]) == (8, rfc3339(NOON + 12 * MINUTE))
