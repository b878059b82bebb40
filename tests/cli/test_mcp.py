"""`tristar mcp`, started by the official client as a program that it runs."""

import asyncio
import subprocess
import sys

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from tests.gateway.fixtures import StartGateway
from tests.gateway.process import SOURCE

ADMIN_KEY = "admin-key-of-the-stdio-tests"


def command(url: str, key: str = "") -> StdioServerParameters:
    """How an MCP client starts it."""
    return StdioServerParameters(
        command=sys.executable,
        args=["-m", "tristar", "mcp", "--url", url, "--key-env", "THE_KEY"],
        env={"PYTHONPATH": str(SOURCE), "THE_KEY": key},
    )


def test_a_program_without_http_reaches_the_same_memory(gateway: StartGateway) -> None:
    """Tools, results and refusals are those of /mcp, under the key's scopes; calls are recorded there."""
    running = gateway(env={"TRISTAR_ADMIN_KEY": ADMIN_KEY})

    async def talk() -> tuple[list[str], str, str]:
        async with Client(stdio_client(command(running.url, ADMIN_KEY))) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            stored = await client.call_tool("memory_store", {"content": "over stdio"})
            missing = await client.call_tool("memory_get", {"id": "mem_0"})
            return tools, stored.structured_content["id"], str(missing.content)

    tools, entry_id, missing = asyncio.run(talk())
    read = running.request("GET", f"/v1/memory/{entry_id}", headers={"authorization": f"Bearer {ADMIN_KEY}"})

    assert "memory_store" in tools
    assert read.json()["content"] == "over stdio"
    assert "not_found" in missing
    assert [each["user_id"] for each in running.records() if each["action"] == "memory_written"] == [
        "bootstrap"
    ]


def test_what_is_wrong_is_said_in_one_line(gateway: StartGateway) -> None:
    """A wrong key, no gateway, no address: exit code and next step, and no traceback."""
    running = gateway(env={"TRISTAR_ADMIN_KEY": ADMIN_KEY})
    told = []
    for url in (running.url, "http://127.0.0.1:1", "nonsense"):
        asked = command(url, "tsk_wrong")
        done = subprocess.run(
            [asked.command, *asked.args],
            env=asked.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        told.append((done.returncode, done.stderr))

    assert [code for code, _ in told] == [1, 1, 2]
    assert "TRISTAR_API_KEY" in told[0][1]
    assert "start the gateway" in told[1][1]
    assert all("Traceback" not in text and "tsk_wrong" not in text for _, text in told)
