"""What one request takes along to every attempt, and what it brings home."""

from typing import Protocol

import msgspec

from tristar.auth.actor import Actor
from tristar.exchange import Attempt, Exchange, attempt_span_id
from tristar.providers.dialect import Headers as ClientHeaders
from tristar.providers.neutral import Completion, Usage
from tristar.providers.surface import BYTES_PER_TOKEN, Call, StreamWriter
from tristar.relay.departure import Departure
from tristar.relay.quota import UNLIMITED, Share
from tristar.relay.stream import NOTHING
from tristar.routing.catalog import Llm


class Answered(Protocol):
    """What an attempt that succeeds gives."""

    @property
    def llm(self) -> Llm:
        """Who answered."""
        ...


class Errand(msgspec.Struct):
    """What one request brings to every attempt. Times are readings of the monotonic clock."""

    exchange: Exchange
    call: Call
    departure: Departure
    deadline: float
    started: float
    headers: bytes
    """The request's own header lines for the upstream, each ending in CR LF."""
    actor: Actor
    """Whose request it is: a key may have limits of its own on each llm."""
    client_headers: ClientHeaders = []
    """The client's headers that mean something to upstreams of one dialect or another."""
    sent: str = ""
    """Text that the client already has from an llm whose stream broke."""
    share: Share = UNLIMITED
    """What the llm that is tried now has given; settled with the end of its attempts."""
    fresh: bool = False
    """Whether the next attempt takes a new connection: the last one met a kept one that was closing."""
    begun: StreamWriter | None = None
    """What wrote the client's stream so far, where one has begun."""
    prefill: str = ""
    """`sent` without white space at its end, while an llm is asked to carry it on, not to begin anew."""
    rival: bool = False
    """Whether another llm is asked at the same time: this one is not tried again, and may be cancelled."""
    asked: set[str] = msgspec.field(default_factory=set)
    """The llms that were such rivals: their turn is over."""

    def branch(self) -> "Errand":
        """The same errand for one of two that race: it waits, draws and is cancelled by itself."""
        return msgspec.structs.replace(self, departure=self.departure.child(), share=UNLIMITED)

    @property
    def lines(self) -> bytes:
        """The request's own header lines; of a traced one the upstream continues the attempt's own span."""
        exchange = self.exchange
        if not exchange.traced:
            return self.headers
        own = attempt_span_id(exchange.span_id, len(exchange.attempts))
        return self.headers.replace(exchange.span_id.encode(), own.encode(), 1)

    @property
    def is_answered(self) -> bool:
        """Whether an answer that is not streamed is on its way: then it is a matter of its length."""
        attempts = self.exchange.attempts
        return not self.call.stream and bool(attempts) and attempts[-1].http_status in range(200, 300)

    def count(self, attempt: Attempt, usage: Usage | None, output_chars: int) -> None:
        """Enter an attempt's tokens: the provider's own figures, else estimates that say so."""
        if usage is None:
            attempt.tokens_input = -(-len(self.call.prompt) // BYTES_PER_TOKEN)
            attempt.tokens_output = -(-output_chars // BYTES_PER_TOKEN)
            attempt.tokens_source = "estimated"
            return
        attempt.tokens_source = "provider"
        attempt.tokens_input = usage.input
        attempt.tokens_output = usage.output
        attempt.tokens_cache_read = usage.cache_read
        attempt.tokens_cache_write = usage.cache_write
        attempt.tokens_reasoning = usage.reasoning


class WholeAnswer(msgspec.Struct):
    """A complete answer in the words of the client's surface, and what it says of itself."""

    llm: Llm
    body: bytes
    completion: Completion


def usage_of(*attempts: Attempt) -> Usage:
    """The tokens of attempts together."""
    total = NOTHING
    for attempt in attempts:
        if attempt.tokens_input or attempt.tokens_output:
            total = total + Usage(
                attempt.tokens_input,
                attempt.tokens_output,
                attempt.tokens_cache_read,
                attempt.tokens_cache_write,
                attempt.tokens_reasoning,
            )
    return total
