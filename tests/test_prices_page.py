"""The page for the user's own prices, the same over REST, and computing stored costs anew."""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import make
from tests.client import Client, Service, in_process, wait_until
from tracer.errors import BadSetting
from tracer.ingest.verify import verify
from tracer.prices import PriceBook, book
from tracer.prices.edit import check_entry, dollars, read_table, told

PAGE = "/settings/prices"
CALL: dict[str, make.Value] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "acme-1",
    "gen_ai.usage.input_tokens": 1_000_000,
    "gen_ai.usage.output_tokens": 100_000,
}
TEXT = """# Ours.
[[price]]
model = "acme-*"   # all of them
input = 1
output = 10

# The small one is cheaper.
[[price]]
model = "acme-small"
input = 0.5
from = 2026-03-01
# The end.
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Path]]:
    folder = tmp_path_factory.mktemp("prices")
    with in_process(f"sqlite:///{folder}/s.db", data=str(folder)) as service:
        yield service, folder / "prices.toml"


@pytest.fixture
def one(running: tuple[Service, Path]) -> Iterator[tuple[Service, Client, Path]]:
    """A service without a table yet."""
    service, file = running
    file.unlink(missing_ok=True)
    service.app.state.prices.look()
    with Client(service.url) as client:
        yield service, client, file


def seen(client: Client) -> str:
    found = re.search(r'name="seen" value="(\w+)"', client.get(PAGE).text)
    assert found is not None
    return found[1]


def save(client: Client, **fields: str) -> Any:
    typed = {"seen": fields.pop("seen", None) or seen(client), "from": fields.pop("start", ""), **fields}
    return client.post(PAGE, data=typed)


def test_a_price_is_added_changed_and_removed_and_the_rest_of_the_file_stays(one: Any) -> None:
    _, client, file = one
    file.write_text(TEXT)
    answer = save(client, model="Other", provider="Acme", input="1,50", output="6", start="2026-05-01")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{PAGE}?note=saved")
    added = '[[price]]\nmodel = "other"\nprovider = "acme"\ninput = 1.50\noutput = 6.00\nfrom = 2026-05-01\n'
    assert file.read_text() == f"{TEXT}\n{added}"
    assert "$1.50" in client.get(PAGE).text

    assert save(client, entry="0", model="acme-*", input="2").status_code == 303
    changed = TEXT.replace('model = "acme-*"   # all of them\ninput = 1\noutput = 10', 'model = "acme-*"\ninput = 2.00')
    assert file.read_text() == f"{changed}\n{added}"

    assert client.post(f"{PAGE}/remove", data={"seen": seen(client), "entry": "1"}).status_code == 303
    text = file.read_text()
    assert "acme-small" not in text
    assert text.count("[[price]]") == 2
    assert "# Ours." in text
    assert "# The end." in text


def test_a_table_that_is_written_in_another_form_is_written_anew(one: Any) -> None:
    _, client, file = one
    file.write_text('price = [{ model = "a", input = 1 }, { model = "b", input = 2 }]\n')
    assert save(client, entry="1", model="b", input="3").status_code == 303
    assert [told(entry)["input"] for entry in read_table(file).entries] == ["1.00", "3.00"]
    file.write_text('[[price]]\nmodel = """\n[[price]]\nx"""\ninput = 1\n[[price]]\nmodel = "b"\ninput = 2\n')
    assert save(client, entry="1", model="c", input="3").status_code == 303
    assert [entry.model for entry in read_table(file).entries] == ["[[price]]\nx", "c"]


@pytest.mark.parametrize(
    ("fields", "says", "field"),
    [
        ({"model": "", "input": "1"}, "model is missing", "model"),
        ({"model": "m", "input": ""}, "input is missing", "input"),
        ({"model": "m", "input": "cheap"}, "input must be a number of dollars", "input"),
        ({"model": "m", "input": "1", "output": "-1"}, "output must be between 0 and 1,000,000", "output"),
        ({"model": "m", "input": "1", "start": "soon"}, "from must be a day", "from"),
        ({"model": "ACME-*", "input": "1"}, "model has an entry from the same day on already: the 1st", "model"),
    ],
)
def test_what_is_wrong_stands_beside_its_field_and_nothing_is_written(
    one: Any, fields: dict[str, str], says: str, field: str
) -> None:
    _, client, file = one
    file.write_text(TEXT)
    answer = save(client, **fields)
    assert answer.status_code == 422
    beside = re.search(rf'id="f-{field}"[^>]*aria-invalid="true".*?<p class="wrong"[^>]*>(.*?)</p>', answer.text, re.S)
    assert beside is not None
    assert says in beside[1]
    assert file.read_text() == TEXT


def test_a_table_that_changed_meanwhile_is_not_written_over(one: Any) -> None:
    _, client, file = one
    before = seen(client)
    file.write_text(TEXT)
    for answer in (
        save(client, seen=before, model="m", input="1"),
        client.post(f"{PAGE}/remove", data={"seen": before, "entry": "0"}),
    ):
        assert answer.status_code == 409
        assert "changed meanwhile" in answer.text
    assert client.post(f"{PAGE}/remove", data={"seen": seen(client), "entry": "9"}).status_code == 400
    assert client.post(f"{PAGE}/remove", data={"seen": seen(client), "entry": "x"}).status_code == 400
    assert file.read_text() == TEXT


def test_a_broken_table_is_told_and_the_prices_stay(one: Any) -> None:
    service, client, file = one
    assert save(client, model="acme-1", input="7").status_code == 303
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text("[[price]]\nmodel = 1\n")
    page = client.get(PAGE)
    assert page.status_code == 200
    assert "entry 1 (line 2): model must be a text" in page.text
    assert service.app.state.prices.names_own("acme-1", None)
    assert save(client, seen="x", model="m", input="1").status_code == 422
    assert "model must be a text" in client.get("/api/v1/prices").json()["error"]["message"]


def test_another_web_page_changes_nothing(one: Any) -> None:
    _, client, file = one
    for path in (PAGE, f"{PAGE}/remove", f"{PAGE}/recompute"):
        answer = client.post(path, data={"model": "m", "input": "1"}, headers={"sec-fetch-site": "cross-site"})
        assert answer.status_code == 403
    assert not file.exists()


def test_what_is_typed_and_stored_is_shown_as_text(one: Any) -> None:
    _, client, _ = one
    hostile = "<script>alert(1)</script>\"'{{7*7}}"
    assert save(client, model=hostile, input="1").status_code == 303
    client.store(make.span("call", having={**CALL, "gen_ai.request.model": f"{hostile}2"}))
    for answer in (client.get(PAGE), client.get(PAGE, params={"edit": "0"}), save(client, model=hostile, input="x")):
        assert "<script>alert" not in answer.text
        assert "{{7*7}}" in answer.text


def test_models_without_a_price_are_named_until_they_have_one(one: Any) -> None:
    _, client, _ = one
    now = time.time_ns()
    client.store(
        make.span("one", having=CALL, start=now, end=now),
        make.span("two", having={**CALL, "gen_ai.request.model": "gpt-4o-mini"}, start=now, end=now),
        make.span("three", having={"gen_ai.operation.name": "chat", "gen_ai.request.model": "silent"}, start=now),
    )
    page = client.get(PAGE).text
    assert "without a known price" in page
    assert f"{PAGE}?model=acme-1#form" in page
    assert "gpt-4o-mini" not in page
    assert "silent" not in page
    save(client, model="acme-1", input="1", output="10")
    assert "without a known price" not in client.get(PAGE).text


def test_stored_costs_are_computed_anew_when_asked(database_url: str, tmp_path: Path) -> None:
    with in_process(database_url, data=str(tmp_path)) as service, Client(service.url) as client:
        sent = make.span("call", having=CALL)
        client.store(sent)
        assert client.trace(sent["traceId"])["cost_usd"] is None
        save(client, model="acme-1", input="1", output="10")
        assert client.trace(sent["traceId"])["cost_usd"] is None
        assert client.post(f"{PAGE}/recompute").headers["location"] == f"{PAGE}#recompute"
        wait_until(lambda: "The cost of 1 call was computed" in client.get(PAGE).text, "the costs are computed")
        assert client.trace(sent["traceId"])["cost_usd"] == 2.0
        part = client.get(PAGE, headers={"hx-request": "true", "hx-request-type": "partial"}).text
        assert part.startswith('<section id="recompute"')
        assert list(verify(service.store)) == []


def test_the_table_over_rest(one: Any) -> None:
    _, client, file = one
    assert client.read("/api/v1/prices") == {"items": []}
    items = [
        {"model": "a", "input": 1.5, "output": 6, "from": "2026-03-01"},
        {"model": "b*", "provider": "acme", "input": "0.000000001", "cached_input": 0, "cache_write": 2},
    ]
    answer = client.put("/api/v1/prices", json={"items": items})
    assert answer.status_code == 200, answer.text
    assert answer.json() == client.read("/api/v1/prices")
    assert answer.json()["items"] == [
        {
            "model": "a",
            "provider": None,
            "input": 1.5,
            "output": 6.0,
            "cached_input": None,
            "cache_write": None,
            "from": "2026-03-01",
        },
        {
            "model": "b*",
            "provider": "acme",
            "input": 1e-9,
            "output": None,
            "cached_input": 0.0,
            "cache_write": 2.0,
            "from": None,
        },
    ]
    before = file.read_text()
    for wrong in (
        [{"model": "a"}],
        [{"model": "a", "input": -1}],
        [{"model": "a", "input": 1}, {"model": "A", "input": 2}],
        [{"model": "a", "input": 1, "price": 2}],
    ):
        refused = client.put("/api/v1/prices", json={"items": wrong})
        assert refused.status_code in (400, 422), wrong
        assert refused.json()["error"]["message"]
    assert file.read_text() == before


def test_a_file_that_is_changed_by_hand_holds_within_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "LOOK_EVERY_S", 0)
    file = tmp_path / "prices.toml"
    prices = PriceBook(file)
    assert not prices.names_own("m", None)
    file.write_text('[[price]]\nmodel = "m"\ninput = 1\n')
    assert prices.names_own("m", None)
    file.write_text("broken")
    assert prices.names_own("m", None)
    assert "is not TOML" in str(prices.problem)
    file.unlink()
    assert not prices.names_own("m", None)
    assert prices.problem is None


@pytest.mark.parametrize("typed", ["0", "1", "0.1", "1e-9", "999999.999999999", "1,5", " 2 ", "1000000"])
def test_a_price_survives_being_shown_and_saved(typed: str) -> None:
    entry = check_entry({"model": "m", "input": typed})
    assert check_entry(told(entry)).rates == entry.rates
    assert "e" not in dollars(entry.rates.input).lower()


@pytest.mark.parametrize("typed", ["nan", "inf", "1e30", "sNaN", "1_0x", "−1", "1e-10", "9" * 400])
def test_what_is_no_price_is_said_so(typed: str) -> None:
    with pytest.raises(BadSetting, match=r"^input "):
        check_entry({"model": "m", "input": typed})
