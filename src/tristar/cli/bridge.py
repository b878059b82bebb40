"""An MCP server on standard input and output that hands on what a gateway's `/mcp` says.

Importing it needs the extra `mcp`, and half a second.
"""

from typing import Any

import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams

import tristar
from tristar.errors import TriStarError

CONNECT_S = 10.0
CALL_S = 60.0

Context = ServerRequestContext[Any]


class NoGateway(TriStarError):
    """The gateway's `/mcp` could not be reached, or refused the key; no tool was offered."""


async def bridge(url: str, key: str) -> None:
    """Serve until standard input ends: the official server on this side, the official client on the other.

    Raises:
        NoGateway: with what to do about it.
    """
    headers = {"authorization": f"Bearer {key}"} if key else {}
    limits = httpx2.Timeout(CALL_S, connect=CONNECT_S)
    async with httpx2.AsyncClient(headers=headers, timeout=limits, trust_env=False) as http:
        await _greet(http, url)
        async with Client(streamable_http_client(url, http_client=http)) as gateway:
            await _serve(gateway)


async def _serve(gateway: Client) -> None:
    async def listed(_: Context, __: PaginatedRequestParams | None) -> ListToolsResult:
        return await gateway.list_tools()

    async def called(_: Context, params: CallToolRequestParams) -> CallToolResult:
        return await gateway.call_tool(params.name, params.arguments)

    server: Server[Any] = Server(
        "tristar-memory",
        version=tristar.__version__,
        instructions=gateway.instructions,
        on_list_tools=listed,
        on_call_tool=called,
    )
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


async def _greet(http: httpx2.AsyncClient, url: str) -> None:
    """One plain request first: its refusal is a sentence, the client's would be a traceback."""
    ping = {"jsonrpc": "2.0", "id": 0, "method": "ping"}
    accept = {"accept": "application/json, text/event-stream"}
    try:
        answer = await http.post(url, json=ping, headers=accept)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise NoGateway(
            f"{url} cannot be reached ({error}); start the gateway, or name it with --url."
        ) from error
    if answer.status_code in {401, 403}:
        raise NoGateway(
            f"{url} wants a key with memory scopes: put it into TRISTAR_API_KEY, or see --key-env."
        )
    if answer.status_code >= 400:
        raise NoGateway(f"{url} answered {answer.status_code}; is it a TriStar gateway?")
