"""`/mcp` as the official client sees it, in each way that it connects."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent
from tests.gateway.fixtures import StartGateway
from tests.gateway.process import Gateway

ADMIN_KEY = "admin-key-of-the-mcp-tests"
WAYS = pytest.mark.parametrize("way", ["legacy", "auto"])


@asynccontextmanager
async def connected(gateway: Gateway, way: str = "auto", key: str | None = None) -> AsyncIterator[Client]:
    """The official client, with a key."""
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False, timeout=20.0) as http,
        Client(streamable_http_client(f"{gateway.url}/mcp", http_client=http), mode=way) as client,
    ):
        yield client


async def call(client: Client, tool: str, **arguments: object) -> dict[str, Any]:
    """What a tool gives that is expected to succeed."""
    told = await client.call_tool(tool, arguments)
    assert not told.is_error, told.content
    found: dict[str, Any] = told.structured_content
    return found


def said(told: CallToolResult) -> str:
    """The text of a result."""
    (content,) = told.content
    assert isinstance(content, TextContent)
    return content.text


def key_with(gateway: Gateway, *scopes: str, **limits: object) -> str:
    """A key made by the bootstrap key."""
    made = gateway.request(
        "POST",
        "/admin/keys",
        json={"name": "test", "scopes": list(scopes), **limits},
        headers={"authorization": f"Bearer {ADMIN_KEY}"},
    )
    assert made.status_code == 201, made.text
    key: str = made.json()["key"]
    return key


@WAYS
async def test_an_entry_is_stored_found_changed_and_forgotten(gateway: StartGateway, way: str) -> None:
    """Every tool, in each revision of the protocol; REST sees the same entries."""
    running = gateway(workers=2)
    async with connected(running, way) as client:
        listed = await client.list_tools()
        stored = await call(client, "memory_store", content="Berlin has many lakes", tags=["geo"])
        found = await call(client, "memory_search", q="berlin")
        entry = {"id": stored["id"]}
        validated = await call(client, "memory_validate", **entry, llm_id="fast")
        contradicted = await call(client, "memory_contradict", **entry, llm_id="slow")
        updated = await call(client, "memory_update", **entry, importance=0.9, expected_version=3)
        read = await call(client, "memory_get", **entry)
        over_rest = running.request("GET", f"/v1/memory/{stored['id']}").json()
        deleted = await call(client, "memory_delete", **entry)

    assert [tool.name for tool in listed.tools] == [
        "memory_store",
        "memory_search",
        "memory_get",
        "memory_update",
        "memory_validate",
        "memory_contradict",
        "memory_delete",
    ]
    assert [each["id"] for each in found["data"]] == [stored["id"]]
    assert (validated["confidence"], contradicted["confidence"]) == (0.55, 0.45)
    assert (updated["version"], updated["importance"]) == (4, 0.9)
    assert read == over_rest
    assert deleted == {"id": stored["id"], "deleted": True}
    assert running.request("GET", f"/v1/memory/{stored['id']}").status_code == 404


async def test_every_tool_says_what_it_takes_and_what_it_does(gateway: StartGateway) -> None:
    """Schemas for both sides, and hints that tell reading from writing from deleting."""
    async with connected(gateway()) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    hints = {
        name: (tool.annotations.read_only_hint, tool.annotations.destructive_hint)
        for name, tool in tools.items()
        if tool.annotations is not None
    }

    assert all(tool.description and tool.title for tool in tools.values())
    assert all(tool.input_schema["type"] == "object" for tool in tools.values())
    assert all((tool.output_schema or {})["type"] == "object" for tool in tools.values())
    assert [name for name, (reads, _) in hints.items() if reads] == ["memory_search", "memory_get"]
    assert [name for name, (_, destroys) in hints.items() if destroys] == ["memory_delete"]


async def test_a_fault_is_told_to_the_llm(gateway: StartGateway) -> None:
    """As a result it can act upon, with the code that REST has and the field at fault."""
    async with connected(gateway()) as client:
        stored = await call(client, "memory_store", content="x")
        told = [
            await client.call_tool("memory_get", {"id": "mem_" + "0" * 32}),
            await client.call_tool("memory_store", {"content": "x", "importance": 2}),
            await client.call_tool("memory_store", {"content": "x", "mood": "good"}),
            await client.call_tool("memory_store", {"content": "nul \0 byte"}),
            await client.call_tool("memory_update", {"id": stored["id"], "tags": [], "expected_version": 9}),
            await client.call_tool("memory_forget_everything", {}),
        ]

    assert all(each.is_error for each in told)
    assert [said(each).partition(":")[0] for each in told] == [
        "not_found",
        "invalid_request",
        "invalid_request",
        "invalid_request",
        "version_mismatch",
        "not_found",
    ]
    assert "importance" in said(told[1])


async def test_a_key_has_the_tools_of_its_scopes_and_the_entries_of_its_projects(
    gateway: StartGateway,
) -> None:
    """What is not listed cannot be called either; another project's entry does not exist."""
    running = gateway(env={"TRISTAR_ADMIN_KEY": ADMIN_KEY})
    reader = key_with(running, "memory:read", projects=["blue"])
    red = key_with(running, "memory:read", "memory:write", projects=["red"])
    async with connected(running, key=red) as client:
        foreign = await call(client, "memory_store", content="a red secret")
    async with connected(running, key=reader) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        stored = await client.call_tool("memory_store", {"content": "x"})
        read = await client.call_tool("memory_get", {"id": foreign["id"]})
        found = await call(client, "memory_search", q="secret")
    nobody = running.request("POST", "/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})

    assert names == ["memory_search", "memory_get"]
    assert said(stored).startswith("insufficient_scope")
    assert said(read).startswith("not_found")
    assert found["data"] == []
    assert (nobody.status_code, nobody.json()["error"]["code"]) == (401, "invalid_api_key")


async def test_each_call_is_counted_and_recorded(gateway: StartGateway) -> None:
    """One request record with the tool, one record of what was touched, one operation; never the content."""
    running = gateway()
    async with connected(running) as client:
        await call(client, "memory_store", content="canary-content-of-mcp")
        await client.call_tool("memory_get", {"id": "mem_" + "0" * 32})
    records = running.records()
    requests = [each for each in records if each["resource"] == "/mcp" and each["action"] == "request"]
    written = [each for each in records if each["action"] == "memory_written"]
    scrape = running.scrape()

    assert [each["details"]["tool"] for each in requests if "tool" in each["details"]] == [
        "memory_store",
        "memory_get",
    ]
    assert [each["details"].get("error") for each in requests if "tool" in each["details"]] == [
        None,
        "not_found",
    ]
    assert len(written) == 1
    assert written[0]["trace_id"] in {each["trace_id"] for each in requests}
    assert "canary-content" not in str(records)
    assert scrape.value("ailinux_memory_operations_total", operation="store") == 1
    assert scrape.value("ailinux_request_count", endpoint="/mcp", method="POST", status="200") == len(
        [each for each in requests if each["status"] == 200]
    )


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://localhost:3000", 200), ("http://127.0.0.1:1", 200), ("https://evil.example", 403)],
)
def test_pages_of_other_sites_are_refused(gateway: Callable[..., Gateway], origin: str, status: int) -> None:
    """A browser names where a page came from; the protocol demands that servers look."""
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    answer = gateway().request(
        "POST",
        "/mcp",
        json=asked,
        headers={"origin": origin, "accept": "application/json, text/event-stream"},
    )

    assert answer.status_code == status, answer.text


def test_there_are_no_streams_and_no_sessions_to_open(gateway: StartGateway) -> None:
    """Stateless: GET and DELETE are 405, a body that is no message is 400, a notification 202."""
    running = gateway()
    headers = {"accept": "application/json, text/event-stream"}
    opened = running.request("GET", "/mcp", headers={"accept": "text/event-stream"})
    ended = running.request("DELETE", "/mcp")
    broken = running.request(
        "POST", "/mcp", content=b"{", headers={**headers, "content-type": "application/json"}
    )
    noted = running.request(
        "POST", "/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=headers
    )

    assert [opened.status_code, ended.status_code, broken.status_code, noted.status_code] == [
        405,
        405,
        400,
        202,
    ]
