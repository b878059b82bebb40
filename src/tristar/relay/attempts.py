"""Retries, fallbacks and the deadline: one request's way through its route.

Every request that is written to an upstream is one attempt in the exchange, also the failed
ones. The route is walked in order; what follows a failure is `failure.verdict`'s to say.
"""

from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import TypeVar

import msgspec

from tristar.clock import Clock
from tristar.errors import AllTargetsOpen, DeadlineExceeded, UpstreamBroken, UpstreamFailed
from tristar.exchange import Attempt
from tristar.limits.usage import Refusal
from tristar.providers.dialect import Dialect
from tristar.relay.departure import ClientGone
from tristar.relay.errand import Answered, Errand, WholeAnswer, usage_of
from tristar.relay.failure import SAYS_NOTHING, STATUSES, Verdict, refusal, timed_out, verdict
from tristar.relay.hedge import Hedges, NobodyToAsk, race
from tristar.relay.quota import UNLIMITED, Quota, refuse
from tristar.relay.rotation import Rotation
from tristar.relay.speech import dialect_for
from tristar.relay.stream import LiveStream
from tristar.relay.transport import Response
from tristar.relay.upstreams import Upstreams
from tristar.routing.board import Breakers
from tristar.routing.catalog import Llm
from tristar.routing.load import Loads
from tristar.routing.prices import Prices

BACKOFF_BASE_S = 0.25
BACKOFF_LIMIT_S = 8.0
ANSWER_LIMIT_BYTES = 64 * 1024 * 1024
FORCED_RETRY_S = 600.0
"""What a client is told to wait at most; an llm that an operator keeps out has no end of its own."""
TIMER_STEP_S = 0.002
"""The event loop's timers count in milliseconds and may fire one early."""

T = TypeVar("T", bound=Answered)


class Relay:
    """Carries one chat request to the first llm on its route that answers."""

    def __init__(
        self,
        *,
        upstreams: Upstreams,
        rotation: Rotation,
        breakers: Breakers,
        quota: Quota,
        prices: Prices,
        loads: Loads,
        hedges: Hedges,
        clock: Clock,
        random: Random,
    ) -> None:
        self._upstreams = upstreams
        self._rotation = rotation
        self._breakers = breakers
        self._quota = quota
        self._prices = prices
        self._loads = loads
        self._hedges = hedges
        self._clock = clock
        self._random = random
        self.in_flight: dict[tuple[str, str], int] = {}
        """Attempts in progress by (model, provider)."""

    # Both return the coroutine rather than wait for it: one frame less that every wake-up goes through.

    def whole(self, route: Sequence[Llm], errand: Errand) -> Awaitable[WholeAnswer]:
        """The whole answer of the first llm that gives one; its share is the caller's to settle.

        Raises:
            UpstreamFailed: none did; the first failure is raised.
            AllTargetsOpen: no breaker on the route lets a call through.
            LimitExceeded: the llm has spent its allowance, and so has every fallback that is well.
            DeadlineExceeded: the request's time is spent.
            ClientGone: the client left.
        """
        return self._walk(route, errand, self._whole)

    def stream(self, route: Sequence[Llm], errand: Errand) -> Awaitable[LiveStream]:
        """The stream of the first llm that gave a first token; errors as `whole`.

        The caller reads it to its end and then calls `finish`, `fail` or `cancel`, once.
        """
        return self._walk(route, errand, self._stream)

    def finish(self, stream: LiveStream, errand: Errand) -> None:
        """The stream was read to its proper end: its attempt is a success."""
        stream.release()
        self._count_stream(stream, errand)
        errand.share.settle()
        stream.attempt.finish_reason = stream.finish_reason
        self._succeed(stream.attempt, stream.permit, errand, stream.llm)

    def fail(self, stream: LiveStream, failure: UpstreamFailed, errand: Errand) -> None:
        """The stream broke after its first token: what was sent so far is counted."""
        stream.abort()
        self._count_stream(stream, errand)
        errand.share.settle()
        self._note_failure(stream.attempt, stream.permit, failure, errand)

    def cancel(self, stream: LiveStream, errand: Errand) -> None:
        """The client left: the upstream is told at once, what was sent so far is counted."""
        stream.abort()
        self._count_stream(stream, errand)
        errand.share.settle()
        self._note_cancel(stream.attempt, stream.permit, errand)

    async def resume(
        self, route: Sequence[Llm], errand: Errand, broken: LiveStream, failure: UpstreamFailed, *, seen: bool
    ) -> LiveStream | None:
        """Another llm's stream that carries on where `broken` stopped, or None if there is none.

        `fail` was called for `broken`; `seen` says whether the client has its output. The fallbacks
        after it are tried in turn: with the text so far as a prefill where the llm takes one, else
        from the start, where the answer must begin with that text.

        Raises:
            DeadlineExceeded: the request's time is spent.
            ClientGone: the client left.
        """
        if verdict(failure) is Verdict.FINAL or (seen and not broken.resumable):
            return None
        if seen:
            errand.sent += "".join(broken.texts)[broken.skipped_chars :]
            errand.begun = broken.writer
        sent = errand.sent
        later = route[route.index(broken.llm) + 1 :]
        for llm in later:
            # Some take no white space at the end of a prefill: the llm has to begin with it.
            for prefill in dict.fromkeys((sent.rstrip(), "")) if llm.prefill else ("",):
                errand.prefill = prefill
                permit = await self._permit(llm)
                if permit is None or await self._draw(llm, permit, errand) is not None:
                    break
                try:
                    return await self._try_llm(llm, permit, errand, self._stream, failure.error_type)
                except UpstreamFailed as again:
                    failure = again
                finally:
                    errand.prefill = ""
        return None

    async def _walk(self, route: Sequence[Llm], errand: Errand, once: "_Once[T]") -> T:
        told: UpstreamFailed | None = None
        reason: str | None = None
        outgrown: Llm | None = None
        refused: Refusal | None = None
        for llm in route:
            if llm.llm_id in errand.asked or (outgrown is not None and not llm.is_larger_than(outgrown)):
                continue
            permit = self._free_permit(llm)
            if permit is None and (permit := await self._permit(llm)) is None:
                reason = reason or "breaker_open"
                continue
            errand.share = UNLIMITED
            if self._quota.of_pair(errand.actor, llm) and (full := await self._draw(llm, permit, errand)):
                reason, refused = reason or "rate_limited", refused or full
                continue
            try:
                if not llm.hedged:
                    return await self._try_llm(llm, permit, errand, once, reason)
                return await self._try_hedged(route, llm, permit, errand, once, reason)
            except UpstreamFailed as failure:
                reason, told = failure.error_type, told or failure
                if verdict(failure) is Verdict.FINAL:
                    break
                if failure.error_type == "context_length":
                    outgrown = llm
        if told is not None:
            raise told
        if refused is not None:
            raise refuse(errand.exchange, refused)
        wait_s = min(self._breakers.wait_s(llm.llm_id) for llm in route)
        raise AllTargetsOpen(
            "Every llm on this route is resting after failures; nothing was sent upstream.",
            retry_after_s=min(max(1.0, wait_s), FORCED_RETRY_S),
        )

    def _free_permit(self, llm: Llm) -> int | None:
        """The permit where nobody has to be asked for it, as nearly always."""
        return None if self._prices.tariff(llm) is None else self._breakers.free_permit(llm.llm_id)

    async def _permit(self, llm: Llm) -> int | None:
        if self._prices.tariff(llm) is None:  # once per llm: before its first call, what it costs
            await self._prices.learn(llm)
        free = self._breakers.free_permit(llm.llm_id)
        return free if free is not None else await self._breakers.admit(llm.llm_id)

    async def _draw(self, llm: Llm, permit: int, errand: Errand) -> Refusal | None:
        """Reserve the llm's share, `errand.share`; or why there is none, and the permit is given up."""
        subjects = self._quota.of_pair(errand.actor, llm)
        if not subjects:
            errand.share = UNLIMITED
            return None
        try:
            drawn = await self._quota.draw(
                subjects, errand.call, errand.exchange.attempts, errand.deadline, (llm,), llm_id=llm.llm_id
            )
        except BaseException:
            self._breakers.abandoned(llm.llm_id, permit)
            raise
        if isinstance(drawn, Refusal):
            self._breakers.abandoned(llm.llm_id, permit)
            return drawn
        errand.share = drawn
        return None

    async def _try_hedged(  # noqa: PLR0917 - as `_try_llm`, and the route
        self,
        route: Sequence[Llm],
        llm: Llm,
        permit: int,
        errand: Errand,
        once: "_Once[T]",
        reason: str | None,
    ) -> T:
        """`_try_llm`, and the next llm too if this one has not answered in time."""
        delay_s = self._hedges.delay_s(llm, streamed=errand.call.stream)
        if delay_s is None:
            return await self._try_llm(llm, permit, errand, once, reason)
        branches = {llm.llm_id: errand.branch()}
        branches[llm.llm_id].share, errand.share = errand.share, UNLIMITED

        async def second() -> T:
            # All in one task: what is cancelled before it began has drawn on nothing.
            later = route[route.index(llm) + 1 :]
            found = None
            if self._hedges.allowed and not errand.is_answered:
                found = await self._rival(later, errand)
            if found is None:
                raise NobodyToAsk
            other, other_permit, branch = found
            branches[other.llm_id] = branch
            branches[llm.llm_id].rival = branch.rival = True
            errand.asked.add(other.llm_id)
            self._hedges.spend()
            return await self._try_llm(other, other_permit, branch, once, "hedge")

        def lost(answer: T) -> None:
            branch = branches[answer.llm.llm_id]
            if isinstance(answer, LiveStream):
                self.cancel(answer, branch)

        try:
            first = self._try_llm(llm, permit, branches[llm.llm_id], once, reason)
            answer = await race(first, delay_s, second, lost)
            errand.share = branches.pop(answer.llm.llm_id).share
        finally:
            for branch in branches.values():
                branch.share.settle()
        return answer

    async def _rival(self, later: Sequence[Llm], errand: Errand) -> tuple[Llm, int, Errand] | None:
        """The next llm that lets a call through, its permit, and an errand of its own."""
        for llm in later:
            if llm.llm_id in errand.asked:
                continue
            branch = errand.branch()
            permit = await self._permit(llm)
            if permit is not None and await self._draw(llm, permit, branch) is None:
                return llm, permit, branch
        return None

    async def _try_llm(
        self, llm: Llm, permit: int, errand: Errand, once: "_Once[T]", reason: str | None
    ) -> T:
        try:
            tries, spare_keys = 0, len(llm.provider.keys) - 1
            while True:
                try:
                    return await self._attempt(llm, permit, errand, once, reason)
                except UpstreamFailed as failure:
                    before, reason = failure, failure.error_type
                errand.fresh = before.error_type == "stale_connection"
                if errand.fresh:
                    continue  # once: a connection that is new cannot be stale
                if before.other_key and spare_keys > 0:
                    permit = await self._permit_again(before, llm)
                    spare_keys -= 1
                    continue
                permit = await self._wait(before, llm, permit, errand, tries)
                tries += 1
        except BaseException:
            errand.share.settle()
            errand.share = UNLIMITED
            raise

    async def _wait(self, before: UpstreamFailed, llm: Llm, permit: int, errand: Errand, tries: int) -> int:
        """Wait for the next try of the same llm; its permit. Raises `before` if there is none."""
        wait_s = self._wait_s(before, llm, tries)
        if wait_s is None or errand.rival or self._clock.monotonic() + wait_s >= errand.deadline:
            raise before
        await errand.departure.pause(wait_s + TIMER_STEP_S)  # a Retry-After is a least time
        if errand.rival:
            raise before
        # A 429 opened the breaker for later requests; this one waited as it was told.
        return permit if before.error_type == "rate_limited" else await self._permit_again(before, llm)

    async def _permit_again(self, before: UpstreamFailed, llm: Llm) -> int:
        """The permit for another attempt at the same llm. Raises `before` if there is none."""
        again = await self._permit(llm)
        if again is None:
            raise before
        return again

    def _wait_s(self, failure: UpstreamFailed, llm: Llm, tries: int) -> float | None:
        """Seconds to wait before the same llm is tried again; None: it is not."""
        if verdict(failure) is not Verdict.RETRY or tries >= llm.retries:
            return None
        if failure.retry_after_s is not None:
            return failure.retry_after_s
        # Full jitter keeps the retries of many requests apart.
        return self._random.uniform(0.0, min(BACKOFF_LIMIT_S, BACKOFF_BASE_S * 2.0**tries))

    async def _attempt(
        self, llm: Llm, permit: int, errand: Errand, once: "_Once[T]", reason: str | None
    ) -> T:
        now = self._clock.monotonic()
        if now >= errand.deadline:
            self._breakers.abandoned(llm.llm_id, permit)
            raise DeadlineExceeded("The request's time is spent.")
        attempt = Attempt(llm.llm_id, llm.provider.name, llm.model, now - errand.started, reason=reason)
        errand.exchange.attempts.append(attempt)
        place = attempt.model, attempt.provider
        self.in_flight[place] = self.in_flight.get(place, 0) + 1
        self._loads.began(llm.llm_id)
        try:
            return await once(llm, permit, attempt, errand)
        except UpstreamFailed as failure:
            self._note_failure(attempt, permit, failure, errand)
            raise
        except ClientGone:
            self._note_cancel(attempt, permit, errand)
            raise
        except BaseException:
            if errand.rival:  # whoever runs the race cancels who has lost it
                self._note_cancel(attempt, permit, errand)
                raise
            self._land(attempt)
            self._breakers.abandoned(llm.llm_id, permit)
            raise

    async def _whole(self, llm: Llm, permit: int, attempt: Attempt, errand: Errand) -> WholeAnswer:
        limit = self._limit(llm, errand)
        dialect = dialect_for(llm, errand.call)
        response = await self._send(llm, dialect, attempt, errand, limit)
        body = response.arrived()
        if body is None:
            body = await self._read_all(response, llm, errand, limit)
        try:
            completion = errand.call.read(dialect, body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamBroken("The upstream's answer is not JSON.") from error
        attempt.finish_reason = completion.finish_reason
        attempt.model_answered = completion.model
        errand.count(attempt, completion.usage, completion.output_bytes)
        self._prices.charge(llm, attempt)
        if not errand.call.passes(dialect):
            try:
                body = errand.call.told(dialect, body, usage_of(attempt))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise UpstreamBroken("The upstream's answer is not one that its API describes.") from error
        self._succeed(attempt, permit, errand, llm)
        if self._loads.timed:
            self._loads.answered(llm.llm_id, attempt.duration_s, streamed=False)
        return WholeAnswer(llm, body, completion)

    async def _stream(self, llm: Llm, permit: int, attempt: Attempt, errand: Errand) -> LiveStream:
        started = self._clock.monotonic()
        limit = self._limit(llm, errand)
        first_limit = min(limit, started + llm.first_token_timeout_s)
        dialect = dialect_for(llm, errand.call)
        response = await self._send(llm, dialect, attempt, errand, first_limit)
        stream = LiveStream(
            response,
            llm=llm,
            attempt=attempt,
            permit=permit,
            departure=errand.departure,
            clock=self._clock,
            dialect=dialect,
            writer=errand.begun.branch() if errand.begun is not None else errand.call.writer(),
            passes=errand.call.passes(dialect),
            limit=limit,
            skip=errand.sent[len(errand.prefill) :],
            before=usage_of(*errand.exchange.attempts[:-1]),
            calls=None if errand.exchange.answer_calls is None else [],
        )
        try:
            await stream.open(started)
        except BaseException:
            stream.abort()
            raise
        if self._loads.timed:
            self._loads.answered(llm.llm_id, self._clock.monotonic() - started, streamed=True)
        return stream

    async def _send(
        self, llm: Llm, dialect: Dialect, attempt: Attempt, errand: Errand, limit: float
    ) -> Response:
        asked = errand.call.sent_to(dialect, llm.model, errand.prefill)
        key = self._rotation.next(llm.provider)
        upstream, head = self._upstreams.at(llm.provider, asked.path, llm.model, key)
        lines = errand.lines if errand.exchange.traced else errand.headers
        head += lines + dialect.headers(errand.client_headers)
        response = await upstream.send(head, asked.body, errand.departure, limit, fresh=errand.fresh)
        attempt.http_status = response.status
        if not 200 <= response.status < 300:
            body = await self._read_all(response, llm, errand, limit)
            failure = refusal(dialect, response.status, response.headers, body)
            if self._rotation.failed(llm.provider, key, failure):
                failure.other_key, failure.counts = True, False  # the key is ill, not the llm
            raise failure
        self._rotation.worked(llm.provider, key)
        return response

    async def _read_all(self, response: Response, llm: Llm, errand: Errand, limit: float) -> bytes:
        pieces: list[bytes] = []
        size = 0
        try:
            while piece := await response.read(errand.departure, limit):
                pieces.append(piece)
                size += len(piece)
                _check_size(size)
        except TimeoutError as error:
            response.abort()
            raise timed_out("timeout", llm.timeout_s) from error
        except BaseException:
            response.abort()
            raise
        response.release()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _limit(self, llm: Llm, errand: Errand) -> float:
        return min(errand.deadline, self._clock.monotonic() + llm.timeout_s)

    def _land(self, attempt: Attempt) -> None:
        """The attempt is over."""
        self._loads.ended(attempt.llm_id)
        place = attempt.model, attempt.provider
        flying = self.in_flight[place] - 1
        if flying > 0:
            self.in_flight[place] = flying
        else:
            del self.in_flight[place]

    def _succeed(self, attempt: Attempt, permit: int, errand: Errand, llm: Llm) -> None:
        self._land(attempt)
        attempt.status = "success"
        attempt.duration_s = self._clock.monotonic() - errand.started - attempt.started_s
        slow_s = llm.breaker.slow_call_s
        if slow_s is not None and (attempt.first_token_s or attempt.duration_s) > slow_s:
            self._breakers.failed(attempt.llm_id, permit, None)
        else:
            self._breakers.succeeded(attempt.llm_id, permit)

    def _note_failure(self, attempt: Attempt, permit: int, failure: UpstreamFailed, errand: Errand) -> None:
        self._land(attempt)
        now = self._clock.monotonic()
        attempt.duration_s = now - errand.started - attempt.started_s
        attempt.error_type = failure.error_type
        if failure.error_type not in SAYS_NOTHING:
            self._loads.failed(attempt.llm_id, streamed=errand.call.stream)
        attempt.status = STATUSES.get(failure.error_type, "error")
        if attempt.status == "timeout" and now >= errand.deadline - TIMER_STEP_S:
            # The client's own patience ran out: that says nothing of the llm.
            self._breakers.abandoned(attempt.llm_id, permit)
            raise DeadlineExceeded("The request's time is spent.") from failure
        if failure.counts:
            self._breakers.failed(
                attempt.llm_id, permit, failure.retry_after_s if attempt.status == "rate_limited" else None
            )
        else:
            self._breakers.abandoned(attempt.llm_id, permit)

    def _note_cancel(self, attempt: Attempt, permit: int, errand: Errand) -> None:
        self._land(attempt)
        attempt.status = "cancelled"
        attempt.error_type = "hedge_lost" if errand.rival and not errand.departure.gone else "client_gone"
        attempt.duration_s = self._clock.monotonic() - errand.started - attempt.started_s
        self._breakers.abandoned(attempt.llm_id, permit)

    def _count_stream(self, stream: LiveStream, errand: Errand) -> None:
        errand.count(stream.attempt, stream.usage, stream.output_chars)
        self._prices.charge(stream.llm, stream.attempt)


_Once = Callable[[Llm, int, Attempt, Errand], Awaitable[T]]


def _check_size(answer_bytes: int) -> None:
    if answer_bytes > ANSWER_LIMIT_BYTES:
        raise UpstreamBroken(f"The upstream's answer exceeds {ANSWER_LIMIT_BYTES} bytes.")
