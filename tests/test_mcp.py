"""Assistants: the protocol's own client lists and calls the tools, over HTTP and over stdio, within its rights."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client as Assistant
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.types import TextContent

from tests import make
from tests.client import ROOT, Client, Guarded, Service, clean_environment, on_one_database, wait_until
from tests.search.test_rest import caught_up
from tests.terminal.test_reading import failing_chain

TOOLS = {"list_projects", "search_traces", "read_trace", "read_step", "compare_traces", "metrics"}
Opened = Callable[[], AbstractAsyncContextManager[Assistant]]


async def answer_of(assistant: Assistant, tool: str, **arguments: Any) -> str:
    found = await assistant.call_tool(tool, arguments)
    (content,) = found.content
    assert isinstance(content, TextContent)
    assert not found.is_error, content.text
    return content.text


async def complaint_of(assistant: Assistant, tool: str, **arguments: Any) -> str:
    found = await assistant.call_tool(tool, arguments)
    assert found.is_error
    (content,) = found.content
    assert isinstance(content, TextContent)
    return content.text


async def use_every_tool(opened: Opened, client: Client, bad: str, good: str) -> None:
    async with opened() as assistant:
        tools = (await assistant.list_tools()).tools
        assert {tool.name for tool in tools} == TOOLS
        for tool in tools:
            assert tool.annotations is not None
            assert tool.annotations.read_only_hint is True
            assert tool.description
        assert client.project in await answer_of(assistant, "list_projects")
        listed = await answer_of(assistant, "search_traces", project=client.project, limit=1)
        assert f"{good} 2025-11-24T16:00:01Z" in listed
        cursor = listed.rpartition("cursor=")[2]
        assert bad in await answer_of(assistant, "search_traces", project=client.project, cursor=cursor)
        assert bad in await answer_of(assistant, "search_traces", project=client.project, query="WarehouseDown")
        read = await answer_of(assistant, "read_trace", trace_id=bad, project=client.project, budget=600)
        assert "It failed in answer › look_up" in read
        assert len(read.encode()) <= 600 * 3
        step = read.partition("look_up [")[2][:16]
        assert "A-17" in await answer_of(assistant, "read_step", trace_id=bad, step_id=f"[{step}]")
        assert "only in the first: look_up" in await answer_of(
            assistant, "compare_traces", trace_id=bad, other_trace_id=good
        )
        told = await answer_of(
            assistant, "metrics", project=client.project, since="2025-11-24", until="2025-11-25", by="kind"
        )
        assert "all: 5 steps; 2 failed" in told
        assert "tool: 1 steps; 1 failed" in told
        assert "no trace" in await complaint_of(assistant, "read_trace", trace_id="0e" * 16)
        assert "write a time as" in await complaint_of(assistant, "search_traces", since="soon")
        assert "trace_id" in await complaint_of(assistant, "read_trace", trace_id="x")


def filled(client: Client) -> tuple[str, str]:
    """A trace that failed, and a newer one of one step that did not."""
    bad = failing_chain(client)
    good = make.span("answer", start=make.START + make.SECOND, end=make.START + 2 * make.SECOND)
    client.store(good)
    wait_until(lambda: caught_up(client), "the index has caught up")
    return bad, good["traceId"]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_over_http_every_tool_answers(client: Client, service: Service, mode: Any) -> None:
    bad, good = filled(client)
    anyio.run(use_every_tool, lambda: Assistant(f"{service.url}/mcp", mode=mode), client, bad, good)


def test_over_stdio_every_tool_answers(client: Client, service: Service) -> None:
    bad, good = filled(client)
    # One way on each database: a process takes seconds to start.
    place = ["--db", service.settings.db or ""] if service.store.sqlite else ["--url", service.url]
    started = StdioServerParameters(
        command=sys.executable, args=["-m", "tracer", "mcp", *place], env=clean_environment(), cwd=ROOT
    )
    anyio.run(use_every_tool, lambda: Assistant(started), client, bad, good)


@on_one_database
def test_a_key_sees_its_own_project_alone_and_none_sees_nothing(client: Client, guarded: Guarded) -> None:
    url = f"{guarded.service.url}/mcp"
    admin = {"x-api-key": guarded.token}
    made = []
    for name in ("one", "two"):
        trace = make.span(f"of {name}")
        guarded.client.ingest(make.request(trace), x_stepscope_project=name, **admin)
        given = {"project": name, "name": "assistant", "right": "read"}
        key = guarded.client.post("/api/v1/keys", json=given, headers=admin).json()["key"]
        made.append((name, trace["traceId"], key))

    async def look(key: str, own: str, foreign: str) -> str:
        async with (
            httpx2.AsyncClient(headers={"authorization": f"Bearer {key}"}) as http,
            Assistant(streamable_http_client(url, http_client=http)) as assistant,
        ):
            assert own in await answer_of(assistant, "read_trace", trace_id=own)
            assert "no trace" in await complaint_of(assistant, "read_trace", trace_id=foreign)
            return await answer_of(assistant, "list_projects") + await answer_of(assistant, "search_traces")

    (_, first, key), (_, second, _) = made
    told = anyio.run(look, key, first, second)
    assert "of one" in told
    assert "two" not in told
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    assert guarded.client.post("/mcp", json=message).status_code == 401
    headers = {"origin": "http://evil.example", **admin}
    assert guarded.client.post("/mcp", json=message, headers=headers).status_code == 403
    assert client.get("/mcp").status_code == 405


@on_one_database
def test_without_the_package_the_server_says_what_to_install(
    client: Client, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = type(service.app.state.mcp)(service.store, service.settings, service.app.state.prices)
    monkeypatch.setattr(service.app.state, "mcp", door)
    monkeypatch.delitem(sys.modules, "tracer.mcp.tools", raising=False)
    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)
    answer = client.post("/mcp", json={})
    assert answer.status_code == 501
    assert "stepscope-server[mcp]" in answer.json()["error"]["message"]
