"""How much is measured, where, and the median of it."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import load
from benchmarks.nginx import Served

GATEWAY_CORE, LOAD_CORE = 0, 1
STREAM_CLIENTS = 64


@dataclass(frozen=True)
class Plan:
    """So many runs of so many seconds, with each of these numbers of clients."""

    repeats: int
    seconds: int
    clients: Sequence[int]


FULL = Plan(repeats=3, seconds=5, clients=(1, 16, 64))
QUICK = Plan(repeats=1, seconds=2, clients=(1, 64))


def median(
    served: Served, folder: Path, clients: int, plan: Plan, *, stream: bool = False
) -> dict[str, float]:
    """The median of each figure over the plan's runs, after a warm-up."""
    folder.mkdir(parents=True, exist_ok=True)
    lua = load.script(folder, stream=stream, headers=served.headers)
    load.warm_up(served.port, lua, clients=clients, core=LOAD_CORE)
    samples = [
        load.run(
            served.port, lua, clients=clients, seconds=plan.seconds, core=LOAD_CORE, pid=served.pid or None
        )
        for _ in range(plan.repeats)
    ]
    return {
        name: round(statistics.median(getattr(sample, name) for sample in samples), 3)
        for name in asdict(samples[0])
        if name != "requests"
    }
