"""The first trace: what is pasted holds the address, the project and the key, and what has come is shown."""

from __future__ import annotations

import re
from html import unescape

import pytest

from tests import make
from tests.client import Client, Guarded, Service, wait_until
from tracer.ingest.samples import SAMPLES
from tracer.pages.snippets import how_to

HTMX = {"HX-Request": "true"}


def test_every_way_names_the_address_the_project_and_the_key() -> None:
    project = 'shop "ü" \\ it\'s'
    for key in (None, "ssi_secret"):
        for way in how_to("https://x.example/tools", project, key=key):
            text = way.texts[-1]
            assert "https://x.example/tools" in text, way.id
            assert ("ssi_secret" in text) == (key is not None), way.id
            if "import stepscope" in text:
                compile(text, way.id, "exec")
                names = re.findall(r"stepscope\.(\w+)", text)
                assert {"init"} < set(names) <= {"init", "instrument", "step"}
                assert '"shop \\"ü\\" \\\\ it\'s"' in text
            else:
                assert "x-stepscope-project" in text


def test_what_comes_to_the_project_since_the_page_was_opened_is_shown(client: Client) -> None:
    client.store(make.span("before"))
    page = client.get("/start", params={"project": client.project}).text
    again = unescape(re.findall(r'data-again="([^"]+)"', page)[0])
    assert "Waiting for a new trace" in page
    assert "asks for a key" not in page
    with Client(str(client.base_url)) as other:
        other.store(make.span("elsewhere"))
    assert "Waiting" in client.get(again, headers=HTMX).text
    client.store(make.span("mine"))
    client.store(make.span("later"))
    block = client.get(again, headers=HTMX).text
    assert "<html" not in block
    assert ">mine<" in block
    assert "later" not in block


def test_a_project_that_is_not_there_is_waited_for(client: Client) -> None:
    page = client.get("/start", params={"project": client.project}).text
    again = unescape(re.findall(r'data-again="([^"]+)"', page)[0])
    assert "Waiting for your first span" in page
    client.store(make.span("mine"))
    assert ">mine<" in client.get(again, headers=HTMX).text


def test_samples_come_and_go(client: Client, service: Service) -> None:
    answer = client.post("/start/samples")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/p/stepscope-samples/traces"
    found = client.traces(project=SAMPLES, limit=100)
    assert len(found) > 5
    assert {"ok", "error"} <= {one["status"] for one in found}
    assert any(one["session_id"] for one in found)
    assert any(one["cost_usd"] for one in found)
    assert "came with Stepscope" in client.get("/p/stepscope-samples/traces").text
    assert client.post("/start/samples").status_code == 303
    assert len(client.traces(project=SAMPLES, limit=100)) == len(found)
    assert client.post("/start/samples/remove").headers["location"] == "/"
    wait_until(
        lambda: client.get("/api/v1/traces", params={"project": SAMPLES}).status_code == 404, "the samples are gone"
    )
    assert client.post("/start/samples/remove").status_code == 404


@pytest.mark.parametrize("project", ["made-by-click", ""])
def test_a_click_makes_a_key_where_the_server_asks_for_one(guarded: Guarded, project: str) -> None:
    root = {"authorization": f"Bearer {guarded.token}"}
    page = guarded.client.get("/start", params={"project": project}, headers=root).text
    assert "YOUR_KEY" in page
    made = guarded.client.post("/start/key", data={"project": project}, headers=root)
    assert made.headers["cache-control"] == "no-store"
    [key] = set(re.findall(r"ssi_[\w-]+", made.text))
    assert "YOUR_KEY" not in made.text
    assert guarded.client.ingest(make.request(make.span()), x_api_key=key).status_code == 200
    reader = guarded.client.get("/start", headers={"x-api-key": key})
    assert reader.status_code == 403
