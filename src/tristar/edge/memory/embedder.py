"""The memory as a caller of the gateway's own llms: what do these texts mean?

Each question is a call of its own, made by nobody outside: recorded, limited and rescued like every other,
under the endpoint `EMBEDDINGS` and the actor `memory`. It is no HTTP request and is counted apart: a search
whose question fails is served all the same.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from tristar.auth.actor import Actor
from tristar.clock import Clock
from tristar.corridor import Asked, Headers, Reply, upstream_headers
from tristar.edge.closing import describe
from tristar.errors import AllTargetsOpen, GatewayError, NoRecord, Unavailable, UpstreamBroken
from tristar.exchange import Exchange, Ids, Outcome
from tristar.ledger import Ledger
from tristar.memory.entry import Meaning, Packed
from tristar.memory.vectors import Vectors
from tristar.metrics.memories import EMBEDDINGS
from tristar.relay.departure import ClientGone, apart
from tristar.routing.board import Breakers
from tristar.routing.catalog import Llm
from tristar.routing.router import Router, Wish

QUERY_WITHIN_S: Final = 2.0
ENTRIES_WITHIN_S: Final = 60.0
KNOWN_QUERIES: Final = 256
CANCELLED_STATUS: Final = 499

MEMORY: Final = Actor("memory", "memory", frozenset({"chat"}), prompt_policy="metadata")
"""The audit log names contents by their hash and never holds them, whatever the llm's own policy."""

Endpoint = Callable[[Asked, Reply], Awaitable[None]]


class _Vector(msgspec.Struct):
    embedding: list[float]
    index: int = 0


class _Vectors(msgspec.Struct):
    data: list[_Vector]


_answer = msgspec.json.Decoder(_Vectors)


class _Heard:
    """See `Reply`: an answer that stays in this process."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.departure = apart(loop)
        self.body = b""

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """See `Reply.whole`."""
        del status, headers
        self.body = body

    async def begin(self, status: int, headers: Headers) -> None:
        """See `Reply.begin`."""

    async def send(self, piece: bytes) -> None:
        """See `Reply.send`."""
        self.body += piece

    def push(self, piece: bytes) -> bool:
        """See `Reply.push`."""
        self.body += piece
        return True

    async def end(self, piece: bytes) -> None:
        """See `Reply.end`."""
        self.body += piece


class Embedder:
    """Turns texts into vectors by the configured llm. One per process; event-loop thread only.

    `ask` serves a request for embeddings, `require` raises where no llm may be called now.
    """

    def __init__(
        self,
        *,
        llm_id: str | None,
        ask: Endpoint,
        require: Callable[[], None],
        router: Router,
        breakers: Breakers,
        ledger: Ledger,
        vectors: Vectors,
        clock: Clock,
    ) -> None:
        self._llm_id = llm_id
        self._ask = ask
        self._require = require
        self._router = router
        self._breakers = breakers
        self._ledger = ledger
        self._vectors = vectors
        self._clock = clock
        self._ids = Ids()
        self._running: set[_Heard] = set()
        self._known: OrderedDict[tuple[str, str], Meaning] = OrderedDict()

    @property
    def configured(self) -> bool:
        """Whether there is an llm to ask."""
        return self._llm_id is not None

    @property
    def model(self) -> str:
        """What vectors are compared under: the upstream's name of the model.

        Raises:
            ModelNotFound: a reload took the llm away.
        """
        return self._route()[0].model

    def adopt(self, llm_id: str | None) -> None:
        """Ask this llm from now on."""
        self._llm_id = llm_id

    def rest_s(self) -> float:
        """For how long no breaker on the llm's route lets anything through. Raises ModelNotFound."""
        return min(self._breakers.wait_s(llm.llm_id) for llm in self._route())

    async def meaning(self, text: str, story: Exchange) -> Meaning:
        """What a search is for, within `QUERY_WITHIN_S`.

        Raises:
            GatewayError: nobody can tell now.
        """
        key = (self.model, text)
        known = self._known.get(key)
        if known is None:
            for_whom: dict[str, object] = {"purpose": "query", "on_behalf_of": story.actor}
            (packed,) = await self._asked([text], QUERY_WITHIN_S, for_whom, story.trace_id)
            known = self._known[key] = Meaning(key[0], packed.dims, packed.vector)
        self._known.move_to_end(key)
        if len(self._known) > KNOWN_QUERIES:
            self._known.popitem(last=False)
        return known

    async def embed(self, texts: Sequence[str]) -> Sequence[Packed]:
        """The vectors of these texts, in their order.

        Raises:
            GatewayError: there are none; nothing is known about single texts.
        """
        return await self._asked(texts, ENTRIES_WITHIN_S, {"purpose": "entries", "entries": len(texts)})

    def stop(self) -> None:
        """Break off what runs."""
        for heard in self._running:
            heard.departure.announce()

    def _route(self) -> Sequence[Llm]:
        return self._router.route(str(self._llm_id), None, Wish(one_model=True))

    async def _asked(
        self, texts: Sequence[str], within_s: float, details: dict[str, object], trace_id: str | None = None
    ) -> Sequence[Packed]:
        self._require()
        self._ledger.check()
        if (wait_s := self.rest_s()) > 0:
            raise AllTargetsOpen("The embedding llm is resting after failures.", retry_after_s=wait_s)
        exchange = self._begun(details, trace_id)
        body = msgspec.json.encode({"model": self._llm_id, "input": texts, "encoding_format": "float"})
        heard = _Heard(asyncio.get_running_loop())
        self._running.add(heard)
        try:
            self._ledger.begin(exchange)
            deadline = exchange.started + within_s
            headers = upstream_headers(exchange)
            await self._ask(Asked(exchange, MEMORY, body, deadline, headers, []), heard)
        except ClientGone as gone:
            await self._end(exchange, gone)
            raise Unavailable("The gateway is shutting down.", retry_after_s=1) from gone
        except BaseException as error:
            await self._end(exchange, error)
            raise
        finally:
            self._running.discard(heard)
        return self._read(heard.body, len(texts))

    def _begun(self, details: dict[str, object], trace_id: str | None) -> Exchange:
        exchange = Exchange(
            method="POST",
            resource=EMBEDDINGS,
            endpoint=EMBEDDINGS,
            started=self._clock.monotonic(),
            started_at=self._clock.time(),
            audited=True,
            internal=True,
            trace_id=trace_id or "",
            ids=self._ids.draw(),
        )
        exchange.action, exchange.actor = "llm_call", MEMORY.key_id
        exchange.operation, exchange.details = "embed", details
        return exchange

    async def _end(self, exchange: Exchange, error: BaseException) -> None:
        """Close what the corridor left open; a record that is lost is counted as every other."""
        if exchange.closed:
            return
        status, outcome = 500, "error"
        if isinstance(error, GatewayError):
            describe(exchange, error)
            status, outcome = error.status, "refused" if error.status < 500 else "error"
        elif isinstance(error, ClientGone | asyncio.CancelledError):
            status, outcome = CANCELLED_STATUS, "cancelled"
        with contextlib.suppress(NoRecord):
            await self._ledger.close(exchange, status, _OUTCOMES[outcome])

    def _read(self, body: bytes, count: int) -> Sequence[Packed]:
        try:
            told = sorted(_answer.decode(body).data, key=lambda each: each.index)
            packed = [self._vectors.pack(each.embedding) for each in told]
        except (msgspec.DecodeError, ValueError) as error:
            raise UpstreamBroken(f"The embedding llm's answer is not what was asked for: {error}") from error
        if len(packed) != count:
            raise UpstreamBroken(f"The embedding llm gave {len(packed)} vectors for {count} texts.")
        return packed


_OUTCOMES: Final[dict[str, Outcome]] = {"error": "error", "refused": "refused", "cancelled": "cancelled"}
