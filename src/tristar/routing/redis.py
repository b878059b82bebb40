"""The breakers that all replicas share, in Redis: one script call for any number of reports and questions.

Times are the server's, so that replicas whose clocks differ agree. All keys carry one hash tag: a
cluster keeps them on one node, where the script is atomic.
"""

import secrets
from collections.abc import Callable, Sequence
from importlib import resources

import msgspec

from tristar.routing.breaker import Decision
from tristar.routing.catalog import BreakerPolicy
from tristar.routing.store import Ill, Known, Merge, News, Nothing, Order, Probe, Well
from tristar.sharing import Script, StoreUnavailable

_encoder = msgspec.msgpack.Encoder()


class _Change(msgspec.Struct, array_like=True):
    llm_id: str
    period: int
    till_ms: float
    forced: int
    reopened: int


class _Reply(msgspec.Struct, array_like=True):
    epoch: str
    version: int
    now_ms: float
    changes: list[_Change]
    permits: list[int]


_decoder = msgspec.msgpack.Decoder(_Reply, strict=False)


class RedisBreakers:
    """See `BreakerStore` and `Script`. `prefix` separates gateways that share a Redis.

    `clock_ms` stands in for the server's clock.

    Raises:
        SettingsInvalid: the `redis` extra is not installed.
    """

    def __init__(self, url: str, prefix: str = "tristar", clock_ms: Callable[[], int] | None = None) -> None:
        tag = f"{{{prefix}:breakers}}"
        self._keys = [f"{tag}:{part}" for part in ("states", "changes", "touched", "heard", "whole")]
        self._clock_ms = clock_ms
        self._caller = secrets.token_hex(8)
        source = resources.files(__package__).joinpath("breakers.lua").read_text(encoding="utf-8")
        self._script = Script(url, source)

    async def open(self) -> None:
        """See `BreakerStore.open`."""
        await self._script.open()
        self._caller = secrets.token_hex(
            8
        )  # probes of which nobody knows whether they were let go have another name

    async def exchange(self, orders: Sequence[Order], known: Known) -> News:
        """See `BreakerStore.exchange`."""
        now: int | str = "" if self._clock_ms is None else self._clock_ms()
        operations = _encoder.encode([_operation(order) for order in orders])
        reply = await self._script.run(
            self._keys, [known.epoch, known.version, secrets.token_hex(8), now, self._caller, operations]
        )
        if not isinstance(reply, bytes):
            raise StoreUnavailable("the script replied otherwise than it should")
        told = _decoder.decode(reply)
        changes = [Decision(c.llm_id, c.period, c.till_ms, bool(c.forced), c.reopened) for c in told.changes]
        permits = [permit or None for permit in told.permits]
        return News(Known(told.epoch, told.version), told.now_ms, changes, permits)

    async def close(self) -> None:
        """See `BreakerStore.close`."""
        await self._script.close()


def _operation(order: Order) -> list[object]:
    head = [order.llm_id, _policy(order.policy)]
    match order:
        case Well():
            return ["well", *head, order.permit, order.calls]
        case Ill():
            return ["ill", *head, order.permit, _ms(order.retry_after_s)]
        case Nothing():
            return ["none", *head, order.permit]
        case Probe():
            return ["probe", *head, _ms(order.lease_s)]
        case Merge():
            one = order.decision
            return ["merge", *head, one.period, one.till_ms, int(one.forced), one.reopened]


def _policy(policy: BreakerPolicy) -> list[float]:
    return [
        policy.failures,
        policy.failure_ratio,
        policy.min_calls,
        _ms(policy.window_s),
        _ms(policy.cooldown_s),
        _ms(policy.max_cooldown_s),
        policy.probes,
    ]


def _ms(seconds: float | None) -> float:
    return -1 if seconds is None else seconds * 1000
