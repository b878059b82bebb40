"""Requests whose process died before they were recorded: recorded for it, as `orphaned`."""

import fcntl
from collections.abc import Callable, Iterable
from pathlib import Path

from tristar.clock import Clock
from tristar.exchange import Exchange
from tristar.host.hub import Hub
from tristar.host.slots import Begun, SlotReader

ORPHAN_STATUS = 500
FOLDER = "inflight"


def slots_path(audit_dir: Path, pid: int, boot: str) -> Path:
    """Where a process keeps its table of requests in progress."""
    return audit_dir / FOLDER / f"{pid}-{boot}.slots"


def enter_orphans(hub: Hub, begun: Iterable[Begun]) -> int:
    """Record and count requests of a dead process; returns how many."""
    count = 0
    for request in begun:
        exchange = _revived(request, hub.clock)
        hub.enter(hub.scribe.from_exchange(exchange), exchange.account(), None)
        count += 1
    return count


def recover(hub: Hub, audit_dir: Path, recorded: Callable[[set[str], float], set[str]]) -> int:
    """Record the orphans of an earlier run; returns how many.

    `recorded(event_ids, since)` tells which of these are in the log already: their process died
    between its record's commit and the clearing of its slot. Call it while holding the audit
    directory; tables of living processes are left alone.
    """
    left: dict[str, Begun] = {}
    tables = []
    for path in sorted((audit_dir / FOLDER).glob("*.slots")):
        if _is_held(path):
            continue
        tables.append(path)
        reader = SlotReader(path)
        left.update({begun.event_id: begun for _, begun in reader.unrecorded()})
        reader.close()
    if left:
        since = min(begun.started_at for begun in left.values())
        for event_id in recorded(set(left), since):
            del left[event_id]
    count = enter_orphans(hub, left.values())
    for path in tables:
        path.unlink(missing_ok=True)
    return count


def _revived(begun: Begun, clock: Clock) -> Exchange:
    now, now_at = clock.monotonic(), clock.time()
    exchange = Exchange(
        method=begun.method,
        resource=begun.resource,
        endpoint=begun.endpoint,
        started=now - max(0.0, now_at - begun.started_at),
        started_at=begun.started_at,
        audited=True,
        ip_address=begun.ip_address,
        trace_id=begun.trace_id,
    )
    exchange.event_id = begun.event_id
    exchange.action = begun.action
    exchange.actor = begun.actor
    exchange.log_level = "ERROR"
    exchange.close(ORPHAN_STATUS, "orphaned", now)
    return exchange


def _is_held(path: Path) -> bool:
    """Whether the process that owns a table lives: it holds a lock on it."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
