"""The demo's gateway: a folder of its own, its configuration, and `tristar serve` as a process in it."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tristar.errors import StartRefused

NOTICE: Final = (
    "SIMULATED: providers, clients and figures are those of `tristar demo`; nothing here is real traffic."
)
READY_S: Final = 60.0
STOP_S: Final = 15.0

_TRISTAR: Final = (sys.executable, "-m", "tristar")
_LISTENING = re.compile(r"listening on (http://\S+)")
_KEPT: Final = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "PYTHONPATH",
    "PYTHONUNBUFFERED",
    "VIRTUAL_ENV",
)
"""Of the environment that the demo is started in, the gateway sees this and no more: no key, no database."""

_LLMS: Final = """
[llms.fast]
provider = "aurora"
model = "aurora-mini"
prefill = true
max_concurrent = 20
[llms.fast.price_usd_per_mtok]
input = 0.15
output = 0.6

[llms.smart]
provider = "cascade"
model = "cascade-large"
fallbacks = ["fast"]
[llms.smart.breaker]
failures = 3
cooldown_s = 4
max_cooldown_s = 8
[llms.smart.price_usd_per_mtok]
input = 2.5
output = 10.0

[llms.lonely]
provider = "cascade"
model = "cascade-small"
retries = 0
[llms.lonely.breaker]
failures = 6
cooldown_s = 10
max_cooldown_s = 10
[llms.lonely.price_usd_per_mtok]
input = 0.5
output = 2.0

[llms.gusty]
provider = "borealis"
model = "borealis-turbo"
requests_per_minute = 600
tokens_per_minute = 200000
[llms.gusty.price_usd_per_mtok]
input = 0.3
output = 1.2

[llms.writer]
provider = "drift"
model = "drift-writer"
retries = 0
fallbacks = ["fast"]
[llms.writer.breaker]
failures = 50
failure_ratio = 1.0
min_calls = 1000
[llms.writer.price_usd_per_mtok]
input = 1.0
output = 4.0

[llms.thinker]
provider = "drift"
model = "drift-thinker"
retries = 0
[llms.thinker.breaker]
failures = 50
failure_ratio = 1.0
min_calls = 1000
slow_call_s = 30
[llms.thinker.price_usd_per_mtok]
input = 5.0
output = 25.0

[llms.embedder]
provider = "aurora"
model = "aurora-embed" # its price is not known: such attempts are counted apart

[memory]
embedding_llm = "embedder"
"""

_OUTLETS: Final = """
[audit.sinks.simulated-siem]
type = "webhook"
url = "{siem}"
secret_env = "SIEM_SECRET"
linger_s = 0.5
mandatory = true

[audit.anchors.simulated-vault]
type = "file"
path = "{vault}"
interval_s = 5
"""


@dataclass(frozen=True)
class Running:
    """The gateway that runs: its address and where it writes what it has to say."""

    url: str
    log: Path
    process: asyncio.subprocess.Process


def configuration(providers: Mapping[str, str], siem: str, vault: Path) -> str:
    """The demo's `tristar.toml`: base URLs by provider, the address that takes audit records."""
    tables = [f'[server]\ndrain_s = 2\nnotice = "{NOTICE}"\n']
    tables += [f'[providers.{name}]\nbase_url = "{url}/v1"\n' for name, url in providers.items()]
    return "\n".join([*tables, _LLMS, _OUTLETS.format(siem=siem, vault=vault)])


@asynccontextmanager
async def gateway(folder: Path, toml: str, port: int, admin_key: str) -> AsyncIterator[Running]:
    """`tristar serve` in this folder until the end of the block.

    Raises:
        StartRefused: it did not start; the message is its own.
    """
    (folder / "tristar.toml").write_text(toml, encoding="utf-8")
    log = folder / "gateway.log"
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *_TRISTAR,
            "serve",
            "--port",
            str(port),
            cwd=folder,
            env=_environment(admin_key),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # Ctrl-C is for the demo alone: it ends the gateway last
        )
    try:
        yield Running(await _address(process, log), log, process)
    finally:
        await end(process)


async def verdict(folder: Path, url: str, admin_key: str) -> str:
    """What `tristar audit verify` says of the demo's log, compared with its metrics."""
    process = await asyncio.create_subprocess_exec(
        *_TRISTAR,
        "audit",
        "verify",
        "--reconcile",
        f"{url}/metrics",
        cwd=folder,
        env=_environment(admin_key),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return said.decode(errors="replace").strip()


def _environment(admin_key: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | {"TRISTAR_ADMIN_KEY": admin_key, "SIEM_SECRET": admin_key}


async def end(process: asyncio.subprocess.Process) -> None:
    """Let the process finish what it does; after `STOP_S` it is killed."""
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_S)
    except TimeoutError:
        process.kill()
        await process.wait()


async def _address(process: asyncio.subprocess.Process, log: Path) -> str:
    assert process.stdout is not None  # noqa: S101 - asked for above
    try:
        async with asyncio.timeout(READY_S):
            while line := await process.stdout.readline():
                found = _LISTENING.search(line.decode())
                if found:
                    return found[1]
            await process.wait()
    except TimeoutError:
        pass
    raise StartRefused(last_words(log) or "The demo's gateway did not start, and did not say why.")


def last_words(log: Path) -> str:
    """The end of what the gateway wrote."""
    return log.read_text(encoding="utf-8", errors="replace").strip()[-2000:]
