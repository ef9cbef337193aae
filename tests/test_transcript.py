"""The texts of a transcript, a few steps at a time."""

from __future__ import annotations

from tests import make
from tests.client import Client


def test_s34_turns_come_in_the_order_asked_for_with_the_sides_asked_for(client: Client) -> None:
    root = make.span("answer", having={"input.value": "<b>in</b>", "output.value": "out"})
    child = make.span("look", trace=root["traceId"], parent=root["spanId"], having={"output.value": "found"})
    client.store(root, child)
    address = f"/p/{client.project}/traces/{root['traceId']}/transcript"
    keys = [f"{child['spanId']}b", f"{root['spanId']}i", f"{root['spanId']}o"]
    html = client.get(address, params={"turns": ",".join(keys)}).text
    assert [html.index(f'data-key="{key}"') for key in keys] == sorted(html.index(f'data-key="{key}"') for key in keys)
    second = html[html.index(keys[1]) : html.index(keys[2])]
    assert "&lt;b&gt;in" in second
    assert "out</" not in second
    for wrong in ("", "zz", f"{root['spanId']}x", ",".join(keys * 5)):
        assert client.get(address, params={"turns": wrong}).status_code == 400
    assert client.get(address, params={"turns": f"{'0' * 16}b"}).status_code == 404
