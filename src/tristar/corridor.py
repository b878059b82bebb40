"""The request path of an llm call, top to bottom.

    parse -> may this key? -> route -> can it be recorded? -> its limits -> relay -> close -> last byte

Nothing here knows HTTP's frameworks: the edge hands in a body and a `Reply`, and turns what is
raised into the surface's own error. An exchange is closed here on success, after output was sent,
and on departure; every other end is raised and closed at the edge.
"""

import functools
from collections.abc import Awaitable, Sequence
from typing import Protocol

import msgspec

from tristar.auth.actor import Actor
from tristar.clock import Clock
from tristar.errors import BadRequest, GatewayError, NoRecord, Unavailable, UpstreamFailed
from tristar.exchange import WORDS_KEPT, Exchange, PromptPolicy, strictest
from tristar.ledger import Ledger
from tristar.limits.headers import rate_limit_headers
from tristar.limits.usage import Refusal, tightest
from tristar.memory.recall import Recollection, Scope
from tristar.providers.anthropic.messages import parse_count, parse_messages
from tristar.providers.openai.chat import parse_chat
from tristar.providers.openai.embeddings import parse_embedding
from tristar.providers.responses.call import parse_responses
from tristar.providers.surface import BYTES_PER_TOKEN, Call, MemoryAsk, Talk
from tristar.relay.attempts import Relay
from tristar.relay.departure import ClientGone, Departure
from tristar.relay.errand import Errand, usage_of
from tristar.relay.quota import UNLIMITED, Quota, Share, refuse
from tristar.relay.speech import dialect_for
from tristar.relay.stream import LiveStream, nobody
from tristar.routing.catalog import Llm
from tristar.routing.router import Router, Wish

Headers = list[tuple[bytes, bytes]]
JSON: Headers = [(b"content-type", b"application/json")]
EVENTS: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class Reply(Protocol):
    """The way to the client. Sending waits while the client is slower than the upstream."""

    departure: Departure

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """The one and only piece."""
        ...

    async def begin(self, status: int, headers: Headers) -> None:
        """Status and headers; `send` and `end` follow."""
        ...

    async def send(self, piece: bytes) -> None:
        """One piece of the body."""
        ...

    def push(self, piece: bytes) -> bool:
        """One piece of the body, not empty; False: it was not sent, as it would have to wait."""
        ...

    async def end(self, piece: bytes) -> None:
        """The last piece."""
        ...


class Memory(Protocol):
    """The shared memory, asked on behalf of a request and recorded."""

    async def recall(self, question: str, scope: Scope, actor: Actor, story: Exchange) -> Recollection:
        """What there is to say about a question.

        Raises:
            Forbidden, BadRequest: the caller may not read it, or the scope is out of range.
            Unavailable: it cannot be read; `NoRecord`: the reading cannot be recorded.
        """
        ...


class Asked(msgspec.Struct):
    """What the edge knows of a request before its body is read as a chat."""

    exchange: Exchange
    actor: Actor
    body: bytes
    deadline: float
    """Monotonic time."""
    upstream_headers: bytes
    """Header lines for the upstream, each ending in CR LF."""
    client_headers: Headers
    """Those of the client's headers that mean something to some upstream."""


class Corridor:
    """Serves chat requests. One per process; safe for any number of requests at a time."""

    def __init__(
        self,
        *,
        router: Router,
        relay: Relay,
        quota: Quota,
        memory: Memory,
        ledger: Ledger,
        clock: Clock,
    ) -> None:
        self.router = router
        self._relay = relay
        self._quota = quota
        self._memory = memory
        self._ledger = ledger
        self._clock = clock

    # The coroutine is returned, not waited for: one frame less that every wake-up goes through.

    def chat(self, asked: Asked, reply: Reply) -> Awaitable[None]:
        """Answer one chat request of OpenAI's.

        Raises:
            GatewayError: nothing was sent to the client; the exchange is still open, unless
                the error is `NoRecord`.
            ClientGone: the client left; the exchange is still open.
        """
        return self._talk(parse_chat(asked.body), asked, reply)

    def messages(self, asked: Asked, reply: Reply) -> Awaitable[None]:
        """Answer one messages request of Anthropic's; errors as `chat`."""
        return self._talk(parse_messages(asked.body), asked, reply)

    def responses(self, asked: Asked, reply: Reply) -> Awaitable[None]:
        """Answer one responses request of OpenAI's; errors as `chat`."""
        return self._talk(parse_responses(asked.body), asked, reply)

    async def count_tokens(self, asked: Asked, reply: Reply) -> None:
        """Tell how many tokens a messages request has: counted by the provider, else estimated; as `chat`."""
        call = parse_count(asked.body)
        route = self._begin(call, asked)
        asked.exchange.prompt_policy = _policy(asked.actor, route[:1])
        self._ledger.check()
        if call.passes(dialect_for(route[0], call)):
            await self._serve(call, route[:1], asked, reply)
            return
        exchange, body = asked.exchange, call.estimate()
        exchange.llm_id, exchange.answer = route[0].llm_id, body
        await self._ledger.close(exchange, 200, "success")
        await reply.whole(200, [*JSON, (b"x-tristar-estimated", b"input_tokens")], body)

    def _talk(self, call: Talk, asked: Asked, reply: Reply) -> Awaitable[None]:
        route = self._begin(call, asked)
        exchange = asked.exchange
        exchange.prompt_policy = _policy(asked.actor, route)
        if call.stream and exchange.prompt_policy in WORDS_KEPT:
            exchange.answer_calls = []
        self._ledger.check()
        if call.memory is not None:
            return self._talk_remembering(call, call.memory, route, asked, reply)
        return self._serve(call, route, asked, reply)

    async def _talk_remembering(
        self, call: Talk, memory: MemoryAsk, route: Sequence[Llm], asked: Asked, reply: Reply
    ) -> None:
        await self._recall(call, memory, asked)
        await self._serve(call, route, asked, reply)

    async def embed(self, asked: Asked, reply: Reply) -> None:
        """Answer one request for embeddings; errors as `chat`.

        Vectors of different models cannot be compared: only a fallback with the same model may answer.
        """
        call = parse_embedding(asked.body)
        route = self._begin(call, asked, one_model=True)
        asked.exchange.prompt_policy = _policy(asked.actor, route)
        self._ledger.check()
        await self._serve(call, route, asked, reply)

    def _begin(self, call: Call, asked: Asked, *, one_model: bool = False) -> Sequence[Llm]:
        """Note what is asked for; the llms that may answer."""
        exchange = asked.exchange
        exchange.action = "llm_call"
        exchange.model_asked = call.model
        exchange.prompt = call.prompt
        exchange.end_user = call.end_user or exchange.end_user
        exchange.streamed = call.stream
        return self._route(call, asked.actor, one_model=one_model)

    async def _serve(self, call: Call, route: Sequence[Llm], asked: Asked, reply: Reply) -> None:
        exchange = asked.exchange
        route = _able(route, call)
        errand = Errand(
            exchange,
            call,
            reply.departure,
            asked.deadline,
            exchange.started,
            asked.upstream_headers,
            asked.actor,
            asked.client_headers,
        )
        subjects, key = self._quota.of_key(asked.actor), UNLIMITED
        if subjects:
            if asked.actor.limits.has_budget:
                route = await self._quota.affordable(route, asked.actor)
            wanted = subjects, call, exchange.attempts, errand.deadline, route
            drawn = self._quota.draw_now(*wanted) or await self._quota.draw(*wanted)
            if isinstance(drawn, Refusal):
                raise refuse(exchange, drawn)
            key = drawn
        try:
            if call.stream:
                await self._stream(route, errand, key, reply)
            else:
                await self._whole(route, errand, key, reply)
        finally:  # whatever happened, no lease stays behind
            if not errand.share.reservation.settled:
                errand.share.settle()
            if not key.reservation.settled:
                key.settle()

    async def _recall(self, call: Talk, wanted: MemoryAsk, asked: Asked) -> None:
        """Let what the memory knows go along; a memory that is away costs the note, not the answer."""
        exchange = asked.exchange
        scope = Scope(
            project=wanted.project,
            type=wanted.type,
            tags=tuple(wanted.tags),
            min_confidence=wanted.min_confidence,
            limit=wanted.limit,
            max_tokens=wanted.max_tokens,
        )
        try:
            found = await self._memory.recall(call.question(), scope, asked.actor, exchange)
        except NoRecord:
            raise
        except Unavailable:
            exchange.operation, exchange.recalled = None, "unavailable"
        else:
            exchange.recalled = ",".join(entry.id for entry in found.entries)
            if found.note:
                call.add_note(found.note)
        exchange.details = {**(exchange.details or {}), "memory": exchange.recalled}

    def _route(self, call: Call, actor: Actor, *, one_model: bool) -> Sequence[Llm]:
        tokens = 0
        if self.router.catalog.pools:  # nobody else asks
            tokens = len(call.prompt) // BYTES_PER_TOKEN + (call.output_limit or 0)
        wish = Wish(actor.may_use, tokens, streamed=call.stream, one_model=one_model)
        return self.router.route(call.model, call.fallbacks, wish)

    async def _whole(self, route: Sequence[Llm], errand: Errand, key: Share, reply: Reply) -> None:
        answer = await self._relay.whole(route, errand)
        if errand.share is not UNLIMITED:
            errand.share.settle()
        if key is not UNLIMITED:
            key.settle()  # before the last byte: the client's next request finds its lease free
        exchange = errand.exchange
        exchange.llm_id = answer.llm.llm_id
        exchange.finish_reason = answer.completion.finish_reason
        exchange.answer = answer.body
        await self._ledger.close(exchange, 200, "success")
        await reply.whole(200, with_limits(JSON, key, errand.share), answer.body)

    async def _stream(self, route: Sequence[Llm], errand: Errand, key: Share, reply: Reply) -> None:
        """Relay a stream; one that breaks is carried on by a fallback where that is possible."""
        stream = await self._relay.stream(route, errand)
        exchange = errand.exchange
        exchange.llm_id = stream.llm.llm_id
        whole = route[0].stream_guarantee == "whole"
        held: list[bytes] = []
        if not whole:
            await self._guard(stream, errand, reply.begin(200, with_limits(EVENTS, key, errand.share)))
        while True:
            failure = await self._pump(stream, errand, reply, held if whole else None)
            if failure is None:
                break
            rescue, told = await self._rescue(route, errand, stream, failure, seen=not whole)
            if rescue is None:
                if whole:
                    raise told
                key.settle()
                await self._break_off(told, stream, errand, reply)
                return
            stream = rescue
            exchange.llm_id = stream.llm.llm_id
        exchange.finish_reason = stream.finish_reason
        key.settle()
        if whole:
            await reply.begin(200, with_limits(EVENTS, key, errand.share))
            await reply.send(b"".join(held))
        await self._end(stream, errand, reply)

    async def _pump(
        self, stream: LiveStream, errand: Errand, reply: Reply, held: list[bytes] | None
    ) -> UpstreamFailed | None:
        """Read a stream to its end, into `held` or to the client; what broke it, if it broke."""
        push = reply.push if held is None else nobody
        try:
            while (piece := await stream.next(push)) is not None:
                if held is not None:
                    held.append(piece)
                    continue
                await reply.send(piece)
                if reply.departure.gone:
                    raise ClientGone  # noqa: TRY301 - a send to a vanished client does not raise by itself
        except UpstreamFailed as failure:
            if held is not None:
                held.clear()
            else:
                _note_answer(stream, errand)
            return failure
        except BaseException:
            self._relay.cancel(stream, errand)
            if held is None:
                _note_answer(stream, errand)
            raise
        self._relay.finish(stream, errand)
        _note_answer(stream, errand)
        return None

    async def _guard(self, stream: LiveStream, errand: Errand, sending: Awaitable[None]) -> None:
        try:
            await sending
        except BaseException:
            self._relay.cancel(stream, errand)
            raise

    async def _rescue(
        self, route: Sequence[Llm], errand: Errand, stream: LiveStream, failure: UpstreamFailed, *, seen: bool
    ) -> tuple[LiveStream | None, GatewayError]:
        """What carries the stream on, or what the client is told."""
        try:
            self._relay.fail(stream, failure, errand)
            return await self._relay.resume(route, errand, stream, failure, seen=seen), failure
        except GatewayError as error:
            return None, error

    async def _end(self, stream: LiveStream, errand: Errand, reply: Reply) -> None:
        """The terminator leaves only after the record is durable."""
        exchange = errand.exchange
        try:
            await self._ledger.close(exchange, 200, "success")
        except NoRecord as error:
            told = errand.call.surface.error_event(error, exchange.request_id, stream.writer.position)
            await reply.end(told)
            return
        await reply.end(stream.writer.end(usage_of(*exchange.attempts)))

    async def _break_off(self, told: GatewayError, stream: LiveStream, errand: Errand, reply: Reply) -> None:
        """Output has been sent: the client gets an error event and no terminator."""
        status = 504 if told.status == 504 else 502
        errand.exchange.log_level = "ERROR"
        try:
            await self._ledger.close(errand.exchange, status, "error")
        except NoRecord as error:
            told = error
        surface, request_id = errand.call.surface, errand.exchange.request_id
        await reply.end(surface.error_event(told, request_id, stream.writer.position))


def _able(route: Sequence[Llm], call: Call) -> Sequence[Llm]:
    """Those whose provider can be told what is asked; what the others have no words for is known beforehand.

    Raises:
        BadRequest: none can; what the first one lacks.
    """
    able: list[Llm] = []
    refused: BadRequest | None = None
    for llm in route:
        dialect = dialect_for(llm, call)
        try:
            if not call.passes(dialect):
                call.sent_to(dialect, llm.model)
        except BadRequest as error:
            refused = refused or error
        else:
            able.append(llm)
    if refused is not None and not able:
        raise refused
    return able


def _policy(actor: Actor, route: Sequence[Llm]) -> PromptPolicy:
    """What the record keeps of the words: what the strictest of the key and the llms that may answer says."""
    if len(route) == 1:
        return _stricter(actor.prompt_policy, route[0].prompts)
    return strictest({actor.prompt_policy, *(llm.prompts for llm in route)})


@functools.cache
def _stricter(key: PromptPolicy | None, llm: PromptPolicy | None) -> PromptPolicy:
    return strictest((key, llm))


def _note_answer(stream: LiveStream, errand: Errand) -> None:
    """The text of the answer so far, once for each llm that gave a part of it; tool calls are apart.

    Only text is carried on by another llm: calls are all of the last one.
    """
    text = errand.sent + "".join(stream.texts)[stream.skipped_chars :]
    errand.exchange.answer = text.encode(errors="replace")
    if stream.calls is not None:
        errand.exchange.answer_calls = stream.calls


def with_limits(headers: Headers, key: Share, llm: Share) -> Headers:
    """The headers of an answer, with how far the limits are used that it drew upon."""
    if key is UNLIMITED and llm is UNLIMITED:
        return headers
    told = key.reservation.standings
    if llm is not UNLIMITED:
        told = tightest(told, llm.reservation.standings)
    return headers + rate_limit_headers(told)


def upstream_headers(exchange: Exchange) -> bytes:
    """The request's own header lines for an upstream: trace and request id."""
    trace = f"traceparent: 00-{exchange.trace_id}-{exchange.span_id}-{exchange.trace_flags}\r\n"
    return f"{trace}x-request-id: {exchange.request_id}\r\n".encode()
