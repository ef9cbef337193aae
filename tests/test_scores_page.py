"""The scores of a project: how they spread, how they went, and the newest ones."""

from __future__ import annotations

from typing import Any

from tests import make
from tests.client import Client, Service, on_one_database
from tracer.queries.scope import EVERYTHING
from tracer.queries.score_table import score_table
from tracer.units import UnixNanos


def give(client: Client, **facts: Any) -> None:
    span = make.span("answer")
    client.store(span)
    given = {"trace_id": span["traceId"], "project": client.project, "source": "reviewer", **facts}
    assert client.post("/api/v1/scores", json=given).status_code == 200


def test_scores_are_summed_up_by_name_and_source(client: Client, service: Service) -> None:
    for value in (0.0, 0.5, 0.5, 1):
        give(client, name="exact", value=value, source="model")
    give(client, name="exact", value=-3, source="code")
    for value in (True, True, False):
        give(client, name="helpful", value=value, source="user")
    give(client, name="tone", value="warm")
    with service.store.reading() as conn:
        project = conn.exec_driver_sql(f"SELECT id FROM project WHERE name = '{client.project}'").scalar_one()
        table = score_table(conn, scope=EVERYTHING, project_id=project, since=UnixNanos(0), until=UnixNanos(2**63 - 1))
    lines = {(line.name, line.source): line for line in table.lines}
    exact = lines["exact", "model"]
    assert (exact.count, exact.trace_count, exact.mean, exact.low, exact.high) == (4, 4, 0.5, 0, 1)
    assert exact.bins == (1, 0, 0, 0, 0, 2, 0, 0, 0, 1)
    assert (lines["exact", "code"].low, lines["exact", "code"].bins[0]) == (-3, 1)
    helpful = lines["helpful", "user"]
    assert (helpful.yes, helpful.no, round(helpful.mean or 0, 3)) == (2, 1, 0.667)
    assert (lines["tone", "reviewer"].words, lines["tone", "reviewer"].mean) == ((("warm", 1),), None)
    assert table.searched_to is None


def test_the_page_keeps_names_and_sources_and_leads_to_the_traces(client: Client) -> None:
    page = f"/p/{client.project}/scores"
    give(client, name="is it good", value=0.5, comment="<b>Spot</b> on.", source="user")
    give(client, name="other", value=1, source="code")
    html = client.get(page).text
    assert "&lt;b&gt;Spot&lt;/b&gt; on." in html
    assert html.count('title="Open the trace"') == 2
    assert client.get(page, params={"source": "code"}).text.count('title="Open the trace"') == 1
    only = client.get(page, params={"name": "is it good"}).text
    assert only.count('title="Open the trace"') == 1
    assert "q=score.%22is+it+good%22%3A%2A" in only
    found = client.get(f"/p/{client.project}/traces", params={"q": 'score."is it good":*'}).text
    assert found.count('<tr id="t-') == 1


@on_one_database
def test_a_project_without_scores_says_how_to_give_one(client: Client) -> None:
    client.store(make.span())
    assert "No trace is scored yet" in client.get(f"/p/{client.project}/scores").text
    assert client.get(f"/p/{client.project}/scores", params={"source": "x"}).status_code == 400
