"""What the hub and its workers say to each other: MessagePack arrays, each behind a 4-byte length.

The socket is in the audit directory (0600); both ends run the same version of this code.
"""

import struct
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from tristar.audit.draft import Draft
from tristar.exchange import Account
from tristar.ledger import Notice
from tristar.limits.allowance import Amount, Subject
from tristar.limits.usage import Refusal, Standings
from tristar.routing.credentials import Setback

FRAME_LIMIT_BYTES = 64 * 1024 * 1024

_LENGTH = struct.Struct("<I")


class Hello(msgspec.Struct, array_like=True, tag=0):
    """The first frame of a worker: where its table of requests in progress is."""

    pid: int
    slots_path: str


class Close(msgspec.Struct, array_like=True, tag=1):
    """One closed exchange, or one event: what to record and what to count. `n` counts per link."""

    n: int
    slot: int
    draft: Draft | None
    account: Account | None


class Admit(msgspec.Struct, array_like=True, tag=2):
    """May one call of this llm go? Answered by `Permit`."""

    n: int
    llm_id: str


class Report(msgspec.Struct, array_like=True, tag=3):
    """How a permitted call ended: True well, False ill, None says nothing."""

    llm_id: str
    permit: int
    well: bool | None
    retry_after_s: float | None = None


class Scrape(msgspec.Struct, array_like=True, tag=4):
    """One scrape, answered by `Page`."""

    n: int
    accept: str | None


class Order(msgspec.Struct, array_like=True, tag=5):
    """An operator's order to the hub, answered by `Done`; see `host.orders` for names and subjects."""

    n: int
    name: str
    subject: str = ""


class Flying(msgspec.Struct, array_like=True, tag=6):
    """The answer to `Fly`: (model, provider, attempts in progress), and the tasks of the worker's loop."""

    n: int
    attempts: list[tuple[str, str, int]]
    tasks: int = 0


class Reserve(msgspec.Struct, array_like=True, tag=7):
    """May one request of that size go, within the limits of all these? Answered by `Ruling`."""

    n: int
    subjects: list[Subject]
    need: Amount
    lease_s: float


class Settle(msgspec.Struct, array_like=True, tag=8):
    """What the reservation asked for with question `n` really took; None: not known."""

    n: int
    actual: Amount | None


class Abandon(msgspec.Struct, array_like=True, tag=9):
    """Nobody waits for the answer to `Reserve` number `n` any more: what it gave is given back."""

    n: int


class Fates(msgspec.Struct, array_like=True, tag=10):
    """What became of records: numbers that are durable, numbers that are lost."""

    durable: list[int]
    lost: list[int]


class Permit(msgspec.Struct, array_like=True, tag=11):
    """The answer to `Admit`."""

    n: int
    llm_id: str
    permit: int | None


class Breaker(msgspec.Struct, array_like=True, tag=12):
    """An llm's breaker as it is now: its free permit, or when the next probe may go (monotonic)."""

    llm_id: str
    free_permit: int | None
    open_until: float


class Page(msgspec.Struct, array_like=True, tag=13):
    """The answer to `Scrape`."""

    n: int
    body: bytes
    kind: str


class Health(msgspec.Struct, array_like=True, tag=14):
    """Why no record can be made durable now; empty when it can."""

    reason: str


class Done(msgspec.Struct, array_like=True, tag=15):
    """The answer to `Order`: the problems that kept it from being carried out, none if it was."""

    n: int
    problems: list[str]


class Adopt(msgspec.Struct, array_like=True, tag=16):
    """A new configuration, pickled by the hub for its own workers."""

    settings: bytes


class Fly(msgspec.Struct, array_like=True, tag=17):
    """Which attempts are in progress? Answered by `Flying`."""

    n: int


class Ruling(msgspec.Struct, array_like=True, tag=18):
    """The answer to `Reserve`: admitted unless `refusal` says why not; not `known`: it cannot be said."""

    n: int
    refusal: Refusal | None
    standings: Standings
    known: bool = True


class Fares(msgspec.Struct, array_like=True, tag=19):
    """How one of the things that the host leans on fares: see `conditions.Condition`."""

    name: str
    status: str
    reason: str


class Ailing(msgspec.Struct, array_like=True, tag=22):
    """Why each of the audit log's sinks and anchors that is degraded is so, by its dependency's name."""

    reasons: dict[str, str]


class Lag(msgspec.Struct, array_like=True, tag=30):
    """How late one timer of this worker's event loop fired."""

    seconds: float


class Revoked(msgspec.Struct, array_like=True, tag=42):
    """How long this worker still took a key that was revoked."""

    seconds: float


class Look(msgspec.Struct, array_like=True, tag=40):
    """What an operator wants to see of the host, answered by `Told`; see `host.lookout`."""

    n: int
    what: str
    after: int
    limit: int


class Told(msgspec.Struct, array_like=True, tag=41):
    """The answer to `Look`: JSON, or why there is none."""

    n: int
    body: bytes
    problem: str = ""


class KeyRefused(msgspec.Struct, array_like=True, tag=31):
    """A provider does not take one of the operator's keys: it is to be set aside for so long."""

    provider: str
    fingerprint: str
    reason: str
    rest_s: float


class KeyAccepted(msgspec.Struct, array_like=True, tag=32):
    """A provider took a key whose time aside was over."""

    provider: str
    fingerprint: str


class KeysAside(msgspec.Struct, array_like=True, tag=33):
    """The keys of a provider that are set aside now, no others, by fingerprint."""

    provider: str
    setbacks: dict[str, Setback]


FromWorker = (
    Hello
    | Close
    | Admit
    | Report
    | Scrape
    | Order
    | Flying
    | Reserve
    | Settle
    | Abandon
    | Notice
    | Lag
    | Look
    | Revoked
    | KeyRefused
    | KeyAccepted
)
FromHub = (
    Fates | Permit | Breaker | Page | Health | Done | Adopt | Fly | Ruling | Fares | Ailing | Told | KeysAside
)

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()


def pack(frame: FromWorker | FromHub) -> bytes:
    """One frame as bytes."""
    body = _encoder.encode(frame)
    return _LENGTH.pack(len(body)) + body


class Unpacker(Generic[T]):
    """Cuts frames out of a byte stream and hands each to `take`."""

    def __init__(self, decode: Callable[[bytes], T], take: Callable[[T], None]) -> None:
        self._decode = decode
        self._take = take
        self._buffer = b""

    def feed(self, data: bytes) -> None:
        """Take what arrived.

        Raises:
            ValueError: a frame exceeds `FRAME_LIMIT_BYTES`: the peer speaks something else.
        """
        buffer = self._buffer + data if self._buffer else data
        at, end = 0, len(buffer)
        while end - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, at)
            if length > FRAME_LIMIT_BYTES:
                raise ValueError(f"a frame of {length} bytes")
            if end - at - _LENGTH.size < length:
                break
            at += _LENGTH.size + length
            self._take(self._decode(buffer[at - length : at]))
        self._buffer = buffer[at:]


def from_workers(take: Callable[[FromWorker], None]) -> Unpacker[FromWorker]:
    """The hub's end."""
    return Unpacker(msgspec.msgpack.Decoder(FromWorker).decode, take)


def from_hub(take: Callable[[FromHub], None]) -> Unpacker[FromHub]:
    """A worker's end."""
    return Unpacker(msgspec.msgpack.Decoder(FromHub).decode, take)
