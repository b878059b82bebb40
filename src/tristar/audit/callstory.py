"""What a record tells of a call of an llm: its attempts and what they came to."""

import functools

import msgspec

from tristar.audit import plain
from tristar.audit.content import Fingerprint
from tristar.exchange import Attempt, Exchange, PriceSource, TokenSource

FIELD_CHARS = 256
"""No field that a client or an upstream may fill is longer."""

_ROUTINE_FINISHES = frozenset({"stop", "length", "tool_calls", "end_turn", "max_tokens", "tool_use"})
_NO_COST = frozenset({"none", "unknown"})


class _Try(msgspec.Struct, omit_defaults=True):
    """One attempt, as the record shows it; what is absent did not occur."""

    llm_id: str
    provider: str
    model: str
    status: str
    ms: float
    error_type: str | None = None
    http_status: int | None = None
    tokens_input: int = 0
    tokens_output: int = 0
    tokens_source: str = "none"
    tokens_cache_read: int = 0
    tokens_cache_write: int = 0
    tokens_reasoning: int = 0
    first_token_ms: float | None = None
    finish_reason: str | None = None
    malformed_chunks: int = 0
    reason: str | None = None
    price: str = "none"
    cost_usd: float | None = None


class CallStory(msgspec.Struct):
    """`details` of an `llm_call`."""

    method: str
    llm_id: str | None
    provider: str | None
    model_asked: str | None
    model_answered: str | None
    attempts: list[_Try]
    tokens_input: int
    tokens_output: int
    tokens_source: TokenSource
    price: PriceSource
    cost_usd: float | None
    first_token_ms: float | None
    finish_reason: str | None
    stream: bool
    prompt_bytes: int | None
    prompt_hmac: str | None
    answer_bytes: int | None
    answer_hmac: str | None


def call_of(exchange: Exchange, fingerprint: Fingerprint) -> CallStory:
    """What is told of a closed exchange that was a call of an llm."""
    attempts = exchange.attempts
    last = attempts[-1] if attempts else None
    finish = exchange.finish_reason
    told = exchange.prompt_policy != "none"
    return CallStory(
        exchange.method,
        exchange.llm_id,
        last.provider if last else None,
        exchange.model_asked if exchange.model_asked == exchange.llm_id else _asked(exchange),
        _answered(last) if last else None,
        [_try(attempt) for attempt in attempts],
        *(_of_one(attempts[0]) if len(attempts) == 1 else _of_all(attempts)),
        finish if finish in _ROUTINE_FINISHES else _finish(finish),
        exchange.streamed,
        *fingerprint(exchange.prompt if told else None),
        *fingerprint(exchange.answer if told else None),
    )


def _try(attempt: Attempt) -> _Try:
    first_token_s, finish = attempt.first_token_s, attempt.finish_reason
    return _Try(
        attempt.llm_id,
        attempt.provider,
        attempt.model,
        attempt.status,
        round(attempt.duration_s * 1e6) / 1e3,  # `milliseconds`, a frame less
        attempt.error_type,
        attempt.http_status,
        attempt.tokens_input,
        attempt.tokens_output,
        attempt.tokens_source,
        attempt.tokens_cache_read,
        attempt.tokens_cache_write,
        attempt.tokens_reasoning,
        None if first_token_s is None else milliseconds(first_token_s),
        finish if finish in _ROUTINE_FINISHES else _finish(finish),
        attempt.malformed_chunks,
        attempt.reason,
        attempt.price,
        None if attempt.price in _NO_COST else attempt.cost_nanousd / 1e9,
    )


def _asked(exchange: Exchange) -> str | None:
    """What the client asked for, where it is not the llm_id that answered, which needs no second look."""
    asked = exchange.model_asked
    return None if asked is None else plain.text(asked, FIELD_CHARS)


def _answered(attempt: Attempt) -> str | None:
    answered = attempt.model_answered
    return answered if answered is None or answered == attempt.model else _upstream_word(answered)


def _finish(reason: str | None) -> str | None:
    return None if reason is None else _upstream_word(reason)


@functools.lru_cache(maxsize=256)
def _upstream_word(word: str) -> str:
    """A word that providers say again and again: a model's name, a reason to stop."""
    return plain.text(word, FIELD_CHARS)


def _of_one(attempt: Attempt) -> "_Sums":
    """As `_of_all`, of the only attempt."""
    first_token_s = attempt.first_token_s
    return (
        attempt.tokens_input,
        attempt.tokens_output,
        attempt.tokens_source,
        attempt.price,
        None if attempt.price in _NO_COST else attempt.cost_nanousd / 1e9,
        None if first_token_s is None else milliseconds(attempt.started_s + first_token_s),
    )


def _of_all(attempts: list[Attempt]) -> "_Sums":
    """Tokens in and out and their source, the cost's source and the cost, the time to the first token."""
    return (
        sum(attempt.tokens_input for attempt in attempts),
        sum(attempt.tokens_output for attempt in attempts),
        _source(attempts),
        _price_source(attempts),
        _cost_usd(attempts),
        _first_token_ms(attempts),
    )


_Sums = tuple[int, int, TokenSource, PriceSource, float | None, float | None]


def _source(attempts: list[Attempt]) -> TokenSource:
    """`estimated` if any part of the sum is."""
    sources = {attempt.tokens_source for attempt in attempts}
    if "estimated" in sources:
        return "estimated"
    return "provider" if "provider" in sources else "none"


def _price_source(attempts: list[Attempt]) -> PriceSource:
    """Where the sum comes from: `unknown` if a part of it is missing, else as the last attempt that cost."""
    sources = [attempt.price for attempt in attempts if attempt.price != "none"]
    if "unknown" in sources:
        return "unknown"
    return sources[-1] if sources else "none"


def _cost_usd(attempts: list[Attempt]) -> float | None:
    """The sum of what is known; None where nothing is."""
    known = [attempt.cost_nanousd for attempt in attempts if attempt.price not in _NO_COST]
    return sum(known) / 1e9 if known else None


def _first_token_ms(attempts: list[Attempt]) -> float | None:
    """From the start of the request to the first token that any attempt gave."""
    for attempt in attempts:
        if attempt.first_token_s is not None:
            return milliseconds(attempt.started_s + attempt.first_token_s)
    return None


def milliseconds(seconds: float) -> float:
    """Milliseconds with three decimals; rounding to a whole number is several times cheaper."""
    return round(seconds * 1e6) / 1e3
