"""What a process does that appends to a shared log through the library."""

import asyncio
import contextlib
import itertools
import os
from collections.abc import Iterable
from pathlib import Path

from tests.audit.bench import Own, draft

from tristar.audit.access import AuditAccess
from tristar.audit.signing import Signer
from tristar.audit.writer import WriterOptions
from tristar.clock import SystemClock
from tristar.errors import AuditUnavailable

ENDLESS = -1


def access_to(root: Path, seed: str, *, timeout_s: float = 20.0, segment_bytes: int = 100_000) -> AuditAccess:
    """The library's way to the log under this root."""
    clock = SystemClock()
    return AuditAccess(
        root / "audit",
        options=WriterOptions(
            max_segment_bytes=segment_bytes, publish_s=0.05, retention_days=36_500, reserve_bytes=4096
        ),
        signer=lambda: Signer.load_or_create(root / "data", name="tristar-audit/test/00000001"),
        clock=clock,
        internal=Own(clock, seed=f"own-{seed}"),
        timeout_s=timeout_s,
    )


async def _lane(access: AuditAccess, names: Iterable[str], told: int) -> None:
    for name in names:
        with contextlib.suppress(AuditUnavailable):  # nobody was told, so nothing is promised
            await access.append(draft(name, details={"pad": "x" * 200}))
            os.write(told, f"{name}\n".encode())


async def append_all(access: AuditAccess, name: str, count: int, lanes: int, told: int) -> None:
    """Append `<name>-0`, `<name>-1`, … (`ENDLESS`: until killed), so many lanes at once.

    Each lane takes every so manieth number, one after the other. `told` is where the acknowledged go.
    """

    def numbers(lane: int) -> Iterable[int]:
        return itertools.count(lane, lanes) if count == ENDLESS else range(lane, count, lanes)

    await asyncio.gather(
        *(_lane(access, (f"{name}-{number}" for number in numbers(lane)), told) for lane in range(lanes))
    )
