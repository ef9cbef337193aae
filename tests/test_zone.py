"""Moments in the reader's zone: as pages write them, and as readers type them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests import make
from tests.client import Client, on_one_database
from tracer.pages.ranges import read_moment
from tracer.pages.words import ago, moment
from tracer.units import DAY, SECOND, parse_rfc3339
from tracer.zone import COOKIE, local_text, use_zone, zone_label, zone_name


@pytest.fixture(autouse=True)
def in_utc_afterwards() -> Iterator[None]:
    yield
    use_zone(None)


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("Europe/Berlin", "2026-07-01 14:00:00.250 CEST"),
        ("Asia/Kolkata", "2026-07-01 17:30:00.250 IST"),
        ("America/Sao_Paulo", "2026-07-01 09:00:00.250 UTC-03"),
        ("UTC", "2026-07-01 12:00:00.250 UTC"),
        ("../../etc/passwd", "2026-07-01 12:00:00.250 UTC"),
        ("/etc/passwd", "2026-07-01 12:00:00.250 UTC"),
        ("Nowhere/Else", "2026-07-01 12:00:00.250 UTC"),
        ("x" * 999, "2026-07-01 12:00:00.250 UTC"),
        ("\0", "2026-07-01 12:00:00.250 UTC"),
        (None, "2026-07-01 12:00:00.250 UTC"),
    ],
)
def test_a_moment_is_written_in_the_zone_that_the_reader_names(zone: str | None, text: str) -> None:
    at = parse_rfc3339("2026-07-01T12:00:00.25Z")
    use_zone(zone)
    assert moment(at) == text
    assert (zone_name() == "UTC") == text.endswith("UTC")


def test_what_a_reader_types_without_a_zone_is_of_theirs() -> None:
    use_zone("Europe/Berlin")
    assert read_moment("2026-01-01T12:00", "from") == parse_rfc3339("2026-01-01T11:00:00Z")
    assert read_moment("2026-07-01T12:00", "from") == parse_rfc3339("2026-07-01T10:00:00Z")
    assert read_moment("2026-07-01T12:00:00Z", "from") == parse_rfc3339("2026-07-01T12:00:00Z")
    use_zone(None)
    assert read_moment("2026-07-01T12:00", "from") == parse_rfc3339("2026-07-01T12:00:00Z")


def test_a_date_of_long_ago_is_the_readers_and_the_last_instant_can_be_written() -> None:
    at = int(datetime(2026, 1, 1, 23, 30, tzinfo=UTC).timestamp()) * SECOND
    assert ago(at, at + 30 * DAY) == "2026-01-01"
    use_zone("Asia/Tokyo")
    assert ago(at, at + 30 * DAY) == "2026-01-02"
    assert local_text(2**63 - 1).startswith("2262-04-12T08:47:16")
    assert zone_label() == "JST"


@on_one_database
def test_pages_keep_to_the_cookie_and_answers_for_programs_do_not(client: Client) -> None:
    span = make.span("answer", start=make.START, end=make.START + SECOND)
    client.store(span)
    cookie = {"cookie": f"{COOKIE}=Europe%2FBerlin"}
    address = f"/p/{client.project}/traces"
    page = client.get(address, headers=cookie).text
    assert 'data-zone="Europe/Berlin"' in page
    assert "2025-11-24 17:00:00.000 CET" in page
    assert 'datetime="2025-11-24T16:00:00Z"' in page
    facets = client.get(f"/p/{client.project}/facets", headers=cookie).text
    assert "2025-11-24 17:00" in facets
    metrics = f"/p/{client.project}/metrics/figures?from=2025-11-24T00:00&to=2025-11-25T00:00"
    assert '"x":["2025-11-24T17:00:00.000"]' in client.get(metrics, headers=cookie).text
    assert '"x":["2025-11-24T16:00:00.000"]' in client.get(metrics).text
    assert "2025-11-24 16:00:00.000 UTC" in client.get(address).text
    shown = client.get(f"/api/v1/traces/{span['traceId']}", headers=cookie).json()
    assert shown["start_time"] == "2025-11-24T16:00:00Z"
