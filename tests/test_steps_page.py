"""The chain across runs: one line a step name, its figures, its trend, and what changed."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

from tests import make
from tests.client import Client, Service, on_one_database
from tests.make import SECOND, Message
from tracer.pages.steps import changes
from tracer.queries.scope import EVERYTHING
from tracer.queries.self_time import self_times
from tracer.queries.step_table import step_table
from tracer.units import DAY, HOUR, UnixNanos, rfc3339

NOON = make.START - make.START % DAY + 12 * HOUR


def steps(name: str, at: int, count: int, *, seconds: int = 1, failed: int = 0, **having: str) -> list[Message]:
    return [
        make.span(
            name,
            start=at + number,
            end=at + number + seconds * SECOND,
            status=2 if number < failed else 1,
            having={key.replace("__", "."): value for key, value in having.items()},
        )
        for number in range(count)
    ]


class Rows(HTMLParser):
    """The words of each row of a table's body."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[str] = []
        self.inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = self.inside or tag == "tbody"
        if self.inside and tag == "tr":
            self.rows.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag != "tbody"

    def handle_data(self, data: str) -> None:
        if self.inside and self.rows:
            self.rows[-1] = f"{self.rows[-1]} {data.strip()}".strip()


def test_each_name_has_its_figures_and_what_changed_against_the_time_before(client: Client, service: Service) -> None:
    before, now = NOON, NOON + HOUR
    client.store(
        *steps("steady", before, 20),
        *steps("steady", now, 20),
        *steps("slow", before, 20),
        *steps("slow", now, 20, seconds=3),
        *steps("broken", before, 20, failed=1),
        *steps("broken", now, 20, failed=10),
        *steps("gone", before, 5),
        *steps("fresh", now, 2, seconds=50, openinference__span__kind="LLM", llm__model_name="gpt-4o"),
        *steps("busy", before, 10),
        *steps("busy", now, 50),
    )
    with service.store.reading() as conn:
        project = conn.exec_driver_sql(f"SELECT id FROM project WHERE name = '{client.project}'").scalar_one()
        table = step_table(
            conn, scope=EVERYTHING, project_id=project, since=UnixNanos(now), until=UnixNanos(now + HOUR)
        )
    lines = {line.name: line for line in table.lines}
    assert table.compared
    assert {name: [(one.tone, one.words) for one in changes(line)] for name, line in lines.items()} == {
        "steady": [],
        "slow": [("bad", "p95 1.01 s → 3.06 s")],
        "broken": [("bad", "fails 5.0 → 50.0 %")],
        "gone": [("quiet", "gone")],
        "fresh": [("quiet", "new")],
        "busy": [("quiet", "count ×5.0")],
    }
    assert (lines["fresh"].model, lines["fresh"].kind, lines["fresh"].total_time) == ("gpt-4o", "llm", 100 * SECOND)
    assert (lines["broken"].counts, lines["broken"].errors) == ((20,), (10,))


def test_the_page_sorts_filters_and_leads_on(client: Client) -> None:
    client.store(
        *steps("often", NOON, 9),
        *steps("slow", NOON, 2, seconds=30, failed=1),
        *steps("chat", NOON, 1, openinference__span__kind="LLM", llm__model_name="gpt-4o"),
    )
    page = f"/p/{client.project}/steps"
    asked = {"from": rfc3339(NOON - HOUR), "to": rfc3339(NOON + HOUR)}

    def names(**more: str) -> list[str]:
        html = client.get(page, params={**asked, **more}).text
        return [row.split()[1] for row in Rows(html).rows]

    assert names() == ["slow", "often", "chat"]
    assert names(sort="count") == ["often", "slow", "chat"]
    assert names(sort="failed")[0] == "slow"
    assert names(kind="llm") == ["chat"]
    html = client.get(page, params=asked).text
    assert "name=chat&amp;model=gpt-4o&amp;kind=llm" in html
    assert "?view=wiring" in html
    assert "50.0 %" in html
    assert "No step began in this time." in client.get(page).text


@on_one_database
def test_columns_kinds_and_ranges_that_are_none_are_refused(client: Client) -> None:
    client.store(make.span())
    for wrong in ({"sort": "colour"}, {"kind": "x"}, {"range": "1y"}, {"from": "2030-01-01", "to": "2020-01-01"}):
        assert client.get(f"/p/{client.project}/steps", params=wrong).status_code == 400


def test_a_line_leads_to_the_traces_with_that_step(client: Client) -> None:
    client.store(*steps("slow", NOON, 3, failed=1), *steps("other", NOON, 1, failed=1))
    asked = {"from": rfc3339(NOON - HOUR), "to": rfc3339(NOON + HOUR)}
    html = client.get(f"/p/{client.project}/steps", params=asked).text
    found = [client.get(unescape(link)).text for link in re.findall(r'href="([^"]*/traces\?[^"]*slow[^"]*)"', html)]
    assert [page.count('<tr id="t-') for page in found] == [3, 1]


def test_what_a_step_took_itself_is_told_with_its_part_of_its_chain(client: Client, service: Service) -> None:
    def step(name: str, parent: Message | None, begin: int, end: int, **having: str) -> Message:
        more = {} if parent is None else {"trace": parent["traceId"], "parent": parent["spanId"]}
        named: dict[str, make.Value] = {key.replace("__", "."): value for key, value in having.items()}
        return make.span(name, start=NOON + begin * SECOND, end=NOON + end * SECOND, having=named, **more)

    root = step("answer", None, 0, 10)
    plan = step("plan", root, 1, 5)
    # Two at once, one of them beyond its parent's end.
    inside = [step("look_up", plan, 2, 4), step("look_up", plan, 3, 6)]
    other = step("another chain", None, 0, 90)
    client.store(root, plan, *inside, other)
    with service.store.reading() as conn:
        project = conn.exec_driver_sql(f"SELECT id FROM project WHERE name = '{client.project}'").scalar_one()
        found = self_times(
            conn, scope=EVERYTHING, project_id=project, since=UnixNanos(NOON), until=UnixNanos(NOON + HOUR)
        )
    steps = {name: step for (name, _, _), step in found.steps.items()}
    assert found.traces == 2
    assert {name: (one.count, one.took // SECOND) for name, one in steps.items()} == {
        "answer": (1, 6),
        "plan": (1, 1),
        "look_up": (2, 5),
        "another chain": (1, 90),
    }
    assert steps["look_up"].each == 2.5 * SECOND
    assert steps["answer"].share == 6 / 12
    assert steps["another chain"].share == 1
    assert steps["answer"].cost_share is None
    page = client.get(
        f"/p/{client.project}/steps",
        params={"from": rfc3339(NOON), "to": rfc3339(NOON + HOUR), "sort": "self"},
    )
    rows = Rows(page.text).rows
    assert [row.split()[1] for row in rows] == ["another", "answer", "look_up", "plan"]
    assert "2.50 s" in rows[2]
    assert "42 %" in rows[2]
