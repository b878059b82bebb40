"""What every process of a host opens alike, from the settings."""

import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tristar import __version__
from tristar.audit.reader import Snapshot
from tristar.audit.record import Origin, Scribe
from tristar.audit.subjects import Keyring
from tristar.audit.writer import WriterOptions
from tristar.clock import Clock
from tristar.host.orphans import slots_path
from tristar.host.slots import SlotTable
from tristar.routing.catalog import Catalog
from tristar.settings import Settings

HUB_SOCKET: Final = "hub.sock"
"""In the audit directory: where a host's hub listens for the other processes."""

FINGERPRINT_FILE = "fingerprint.key"
RELAXED_LINGER_S = 0.02
"""No request waits for a relaxed record: it may wait for company, which costs a tenth."""
STRICT_LINGER_S = 0.001
STRICT_CROWD = 4


def model_pairs(catalog: Catalog) -> list[tuple[str, str]]:
    """The configured (model, provider) pairs: the label values that exist from the start."""
    return [(llm.model, llm.provider.name) for llm in catalog.llms.values()]


def writer_options(settings: Settings) -> WriterOptions:
    """The audit settings in the writer's units."""
    total_mb = settings.audit.total_size_mb
    relaxed = settings.audit.mode == "relaxed"
    return WriterOptions(
        linger_s=RELAXED_LINGER_S if relaxed else STRICT_LINGER_S,
        crowd=1 if relaxed else STRICT_CROWD,
        max_segment_bytes=settings.audit.max_size_mb * 1024 * 1024,
        retention_days=settings.audit.retention_days,
        total_bytes=None if total_mb is None else total_mb * 1024 * 1024,
    )


def open_scribe(settings: Settings, clock: Clock) -> Scribe:
    """This process's scribe; the fingerprint key is the installation's, made on first use."""
    origin = Origin(host=socket.gethostname(), worker=str(os.getpid()), version=__version__)
    keyring = Keyring.make(settings.audit.dir) if settings.audit.erasable else None
    return Scribe(origin, clock=clock, fingerprint_key=_fingerprint_key(settings.data_dir), keyring=keyring)


def _fingerprint_key(data_dir: Path) -> bytes:
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = data_dir / FINGERPRINT_FILE
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes()
    with os.fdopen(descriptor, "wb") as file:
        key = secrets.token_bytes(32)
        file.write(key)
    return key


def open_slots(settings: Settings) -> SlotTable:
    """This process's table of requests in progress."""
    path = slots_path(settings.audit.dir, os.getpid(), secrets.token_hex(4))
    return SlotTable(path, addresses=not settings.audit.erasable)


def recorded_in(directory: Path) -> Callable[[set[str], float], set[str]]:
    """For `recover`: which of these ids are in the log already."""

    def recorded(event_ids: set[str], since: float) -> set[str]:
        del since
        wanted = {event_id: event_id.encode() for event_id in event_ids}
        found: set[str] = set()
        for line in Snapshot.take(directory).lines():
            found.update(event_id for event_id, needle in wanted.items() if needle in line)
        return found

    return recorded
