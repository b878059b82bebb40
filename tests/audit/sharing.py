"""A process that appends to a shared log through the library.

Run as `python -m tests.audit.sharing ROOT NAME COUNT [CONCURRENT]`: every acknowledged event id goes to
standard output once it is acknowledged.
"""

import asyncio
import os
import sys
from pathlib import Path

from tests.audit.bench import Own, draft

from tristar.audit.access import AuditAccess
from tristar.audit.signing import Signer
from tristar.audit.writer import WriterOptions
from tristar.clock import SystemClock


def access_to(root: Path, seed: str, *, timeout_s: float = 20.0) -> AuditAccess:
    """The library's way to the log under this root."""
    clock = SystemClock()
    return AuditAccess(
        root / "audit",
        options=WriterOptions(
            max_segment_bytes=100_000, publish_s=0.05, retention_days=36_500, reserve_bytes=4096
        ),
        signer=lambda: Signer.load_or_create(root / "data", name="tristar-audit/test/00000001"),
        clock=clock,
        internal=Own(clock, seed=f"own-{seed}"),
        timeout_s=timeout_s,
    )


async def _lane(access: AuditAccess, names: list[str]) -> None:
    for name in names:
        await access.append(draft(name, details={"pad": "x" * 200}))
        os.write(1, f"{name}\n".encode())


async def main() -> None:
    """Append so many records, so many at a time."""
    root, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    lanes = int(sys.argv[4]) if len(sys.argv) > 4 else 10
    names = [f"{name}-{number}" for number in range(count)]
    access = access_to(root, name)
    await asyncio.gather(*(_lane(access, names[lane::lanes]) for lane in range(lanes)))


if __name__ == "__main__":
    asyncio.run(main())
