"""Everything looked at, in the order in which an operator would."""

import asyncio

from tristar.doctor import machine, providers, stores
from tristar.doctor.finding import Finding, good
from tristar.settings import Settings


def examine(settings: Settings) -> list[Finding]:
    """All findings. Waits for the slowest of what it asks, 10 s at most; changes nothing."""
    return asyncio.run(_examine(settings))


async def _examine(settings: Settings) -> list[Finding]:
    asked = await asyncio.gather(
        providers.examine(providers.providers_of(settings.catalog)),
        stores.examine_redis(settings),
        stores.examine_database(settings),
    )
    return [
        _configuration(settings),
        *(finding for findings in asked for finding in findings),
        *machine.examine_directories(settings),
        *await asyncio.to_thread(machine.examine_audit, settings),
        *machine.examine_clock(),
        *machine.examine_files(),
        *await asyncio.to_thread(machine.examine_port, settings),
        *machine.examine_certificates(settings),
    ]


def _configuration(settings: Settings) -> Finding:
    catalog = settings.catalog
    source = settings.config_path or "no file"
    told = f"{source}: {len(catalog.llms)} llms, {len(catalog.open_providers)} open providers"
    return good("configuration", told)
