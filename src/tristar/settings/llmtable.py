"""The rows of `[providers.NAME]` and `[llms.NAME]`: whom the gateway asks, and how."""

from collections.abc import Sequence
from typing import Final

from tristar.exchange import PROMPT_POLICIES
from tristar.metrics.llms import LLM_BOUNDS_S
from tristar.providers.registry import AUTH_HEADERS, DIALECTS
from tristar.routing.catalog import BreakerPolicy, Llm, Pool, Provider
from tristar.settings import texts
from tristar.settings.kinds import Names, Number, Numbers, OneOf, OneOrMore, Switch, Whole, choice
from tristar.settings.model import PriceTable
from tristar.settings.row import DAY_S, OBJECTIVE, Row

_PLENTY: Final = 1_000_000_000

PROVIDER: Final[Sequence[Row]] = (
    Row(
        "dialect",
        Provider,
        "dialect",
        choice(*DIALECTS),
        "the protocol that the upstream speaks",
        default_text='that of the known provider of that name, else `"openai"`',
    ),
    Row(
        "base_url",
        Provider,
        "base_url",
        texts.BASE_URL,
        "the address before `/chat/completions`; `{model}` stands for the model, a query goes to the end",
        default_text="that of the known provider of that name, else of the dialect's own",
    ),
    Row(
        "api_key_env",
        Provider,
        "keys",
        OneOrMore(texts.VARIABLE),
        "the variable that holds the key, or several keys separated by commas; a list of variables holds "
        "more; without it no key is sent",
    ),
    Row(
        "auth",
        Provider,
        "auth",
        choice(*AUTH_HEADERS),
        "how the key travels: in `Authorization`, in a header of that name, or as `key` in the query",
        default_text="that of the known provider of that name, else of the dialect's own",
    ),
    Row(
        "responses",
        Provider,
        "responses",
        Switch(),
        "true: the upstream has /v1/responses itself; false: translated",
    ),
    Row(
        "price_list",
        Provider,
        "price_list",
        texts.PRICE_LIST,
        "whose published prices apply, as genai-prices names them (`openai`, `anthropic`, `google` …)",
        default_text="found by `base_url`; none for private addresses",
    ),
)

LLM: Final[Sequence[Row]] = (
    Row(
        "provider",
        Llm,
        "provider",
        texts.MODEL,
        "a `[providers.NAME]` of this file, or one switched on by its variable",
        default_text="required",
    ),
    Row("model", Llm, "model", texts.MODEL, "the upstream's name for it", default_text="the llm's own name"),
    Row("fallbacks", Llm, "fallbacks", Names(), "other llms or pools, tried in this order"),
    Row("retries", Llm, "retries", Whole(0, 10), "on the same llm, for errors worth retrying"),
    Row(
        "timeout_s",
        Llm,
        "timeout_s",
        Number(0, DAY_S, above=True),
        "one attempt, from connect to the last byte",
    ),
    Row(
        "first_token_timeout_s",
        Llm,
        "first_token_timeout_s",
        Number(0, DAY_S, above=True),
        "streams only: until the first token",
    ),
    Row(
        "idle_timeout_s",
        Llm,
        "idle_timeout_s",
        Number(0, DAY_S, above=True),
        "silence between two chunks of a stream",
    ),
    Row(
        "context_tokens",
        Llm,
        "context_tokens",
        Whole(1, _PLENTY),
        "its context; an llm that does not say counts as larger",
    ),
    Row("prefill", Llm, "prefill", Switch(), "the upstream continues a trailing assistant message"),
    Row(
        "stream_guarantee",
        Llm,
        "stream_guarantee",
        choice("live", "whole"),
        "whole: output is held back until the answer is complete",
    ),
    Row(
        "hedge_after_s",
        Llm,
        "hedge_after_s",
        Number(0, DAY_S, above=True),
        "without an answer after so long the next llm is asked too; at most one request in 20 (routing.md)",
    ),
    Row(
        "hedge_percentile",
        Llm,
        "hedge_percentile",
        Number(50, 99.9),
        "the same, after the time within which so many per cent of its latest answers began",
    ),
    Row(
        "prompts",
        Llm,
        "prompts",
        choice(*PROMPT_POLICIES),
        "what the audit log keeps of prompts and answers; the strictest of this, the route's other llms "
        "and the key wins",
        default_text='`"metadata"`',
    ),
    Row("requests_per_minute", Llm, "requests_per_minute", Whole(1, _PLENTY), "for all callers together"),
    Row(
        "tokens_per_minute",
        Llm,
        "tokens_per_minute",
        Whole(1, _PLENTY),
        "input and output, for all callers together",
    ),
    Row(
        "max_concurrent",
        Llm,
        "max_concurrent",
        Whole(1, 1_000_000),
        "requests at the same time, for all callers together",
    ),
    Row(
        "slo_success",
        Llm,
        "slo_success",
        OBJECTIVE,
        "in place of `llm_success` of `[slo]`",
        default_text="that of `[slo]`",
    ),
    Row(
        "slo_within_s",
        Llm,
        "slo_within_s",
        OneOf(LLM_BOUNDS_S),
        "in place of `llm_within_s` of `[slo]`",
        default_text="that of `[slo]`",
    ),
)

POOL: Final[Sequence[Row]] = (
    Row("pool", Pool, "pool", Names(), "the llms that answer under this name, at most 16", "required"),
    Row(
        "choose",
        Pool,
        "choose",
        choice("weighted", "least_busy", "lowest_latency"),
        "which is tried first: by `weights`; with the fewest attempts in progress; by the time to answer. "
        "The others follow in that order",
    ),
    Row(
        "weights",
        Pool,
        "weights",
        Numbers(1_000_000),
        "one for each of `pool`, in its order; a weight of 3 takes three times as much",
        default_text="all the same",
    ),
    Row("fallbacks", Pool, "fallbacks", Names(), "llms or pools, tried in this order when no member answers"),
)

_RATE: Final = Number(0, 1_000_000)

PRICE: Final[Sequence[Row]] = (
    Row("input", PriceTable, "input", _RATE, "USD per million tokens of the prompt", default_text="required"),
    Row("output", PriceTable, "output", _RATE, "the same of the answer, reasoning included", "required"),
    Row("cache_read", PriceTable, "cache_read", _RATE, "prompt tokens from a cache", "as `input`"),
    Row("cache_write", PriceTable, "cache_write", _RATE, "prompt tokens put into a cache", "as `input`"),
)

BREAKER: Final[Sequence[Row]] = (
    Row(
        "failures",
        BreakerPolicy,
        "failures",
        Whole(1, 1_000_000),
        "consecutive failures that open the breaker",
    ),
    Row(
        "failure_ratio",
        BreakerPolicy,
        "failure_ratio",
        Number(0, 1, above=True),
        "or this share of at least `min_calls` within `window_s`",
    ),
    Row("min_calls", BreakerPolicy, "min_calls", Whole(1, 1_000_000), "calls before the ratio counts"),
    Row("window_s", BreakerPolicy, "window_s", Number(0, DAY_S, above=True), "how far back the ratio looks"),
    Row(
        "cooldown_s",
        BreakerPolicy,
        "cooldown_s",
        Number(0, DAY_S, above=True),
        "how long it stays open; doubles per consecutive re-open",
    ),
    Row(
        "max_cooldown_s",
        BreakerPolicy,
        "max_cooldown_s",
        Number(0, DAY_S, above=True),
        "the longest it stays open; at least `cooldown_s`",
    ),
    Row("probes", BreakerPolicy, "probes", Whole(1, 1_000), "concurrent calls let through while half-open"),
    Row(
        "slow_call_s",
        BreakerPolicy,
        "slow_call_s",
        Number(0, DAY_S, above=True),
        "an answer that takes longer counts as a failure; of a stream, its first token",
    ),
)
