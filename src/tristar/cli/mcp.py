"""`tristar mcp`: the memory's tools on standard input and output, for programs that start their MCP servers.

It hands on what a running gateway's `/mcp` says, under the scopes of a key: nothing is stored, counted
or recorded anywhere but there.
"""

import asyncio
import os
from typing import Annotated

import typer

from tristar.cli.configuration import ConfigOption, settings_or_refuse
from tristar.cli.endings import Misused, plain_errors
from tristar.settings import Settings


def serve(
    *,
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="The gateway; default: the one of this configuration."),
    ] = None,
    key_env: Annotated[
        str, typer.Option("--key-env", metavar="NAME", help="The variable that holds the key.")
    ] = "TRISTAR_API_KEY",
    config: ConfigOption = None,
) -> None:
    """Offer the memory as an MCP server on standard input and output; a gateway must be running."""
    with plain_errors():
        base = _checked(url) if url is not None else own_address(settings_or_refuse(config))
        try:
            from tristar.cli.bridge import bridge  # noqa: PLC0415 - half a second, and an optional extra
        except ModuleNotFoundError as error:
            raise Misused("TriStar was installed without MCP; install `tristar[mcp]`.") from error
        asyncio.run(bridge(f"{base}/mcp", os.environ.get(key_env, "")))


def own_address(settings: Settings) -> str:
    """Where the gateway of this configuration listens, as seen from this machine."""
    host = settings.server.host
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # nosec B104 # noqa: S104 - a comparison, nothing binds
    return (
        f"http://[{host}]:{settings.server.port}" if ":" in host else f"http://{host}:{settings.server.port}"
    )


def _checked(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise Misused(f"--url = {url[:80]!r}: give the gateway's address, such as http://127.0.0.1:9100.")
    return url.rstrip("/").removesuffix("/mcp")
