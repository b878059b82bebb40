"""Every setting as one row: where it is read, what it may be, what it means.

The reading, the checks, the messages and `docs/settings.md` all come from these rows; the
defaults come from the dataclass that a row fills.
"""

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Final

from tristar.exchange import PROMPT_POLICIES
from tristar.metrics.llms import LLM_BOUNDS_S
from tristar.providers.registry import AUTH_HEADERS, DIALECTS
from tristar.routing.catalog import BreakerPolicy, Llm, Pool, Provider
from tristar.settings import lists, texts
from tristar.settings.kinds import Kind, Names, Number, Numbers, OneOf, OneOrMore, Switch, Whole, choice
from tristar.settings.model import (
    Audit,
    Auth,
    Dependencies,
    Logs,
    Memory,
    Metrics,
    PriceTable,
    Server,
    Settings,
    Slo,
)

_DAY_S: Final = 86_400.0
_PLENTY: Final = 1_000_000_000
_OBJECTIVE: Final = Number(0.94, 0.99999)
"""Below 0.94 the steepest burn-rate alert (14.4 times the budget) would ask for more than everything."""


@dataclass(frozen=True)
class Row:
    """One setting: `field` of `owner`, read from the variable or TOML key `name`.

    `default_text` replaces the dataclass default in the reference page where the default is
    worked out at start. The value of a `secret` row is in no message.
    """

    name: str
    owner: type
    field: str
    kind: Kind
    meaning: str
    default_text: str | None = None
    secret: bool = False

    @property
    def default(self) -> object:
        """The default of the field that this row fills; None where it has none."""
        default = next(each.default for each in fields(self.owner) if each.name == self.field)
        return None if default is MISSING else default


VARIABLES: Final[Sequence[Row]] = (
    Row(
        "METRICS_ENABLED",
        Metrics,
        "enabled",
        Switch(),
        "off: `METRICS_PATH` answers 404 and nothing is measured",
    ),
    Row(
        "METRICS_PATH",
        Metrics,
        "path",
        texts.METRICS_PATH,
        "where Prometheus scrapes; answers 200 without a redirect",
    ),
    Row("AUDIT_LOG_DIR", Audit, "dir", texts.PATH, "the audit log; created with mode 0700 at start"),
    Row(
        "AUDIT_RETENTION_DAYS",
        Audit,
        "retention_days",
        Whole(1, 36_500),
        "closed segments whose newest record is older are deleted",
    ),
    Row(
        "AUDIT_MAX_SIZE_MB",
        Audit,
        "max_size_mb",
        Whole(1, 100_000),
        "the active segment is closed and compressed at this size",
    ),
    Row(
        "AUDIT_TOTAL_SIZE_MB",
        Audit,
        "total_size_mb",
        Whole(1, 100_000_000),
        "the whole directory: a warning at 80 %, as a full disk at 100 %; at least `AUDIT_MAX_SIZE_MB`",
    ),
    Row(
        "AUDIT_MODE",
        Audit,
        "mode",
        choice("strict", "relaxed"),
        "strict: a response ends only once its record is durable, no record gives 503; "
        "relaxed: never waits, what is lost is counted",
    ),
    Row(
        "AUDIT_MIN_RETENTION_DAYS",
        Audit,
        "min_retention_days",
        Whole(1, 36_500),
        "a floor that a law or contract sets: `AUDIT_RETENTION_DAYS` may not be less",
    ),
    Row(
        "AUDIT_ERASABLE",
        Audit,
        "erasable",
        Switch(),
        "what identifies a person is encrypted under a key of theirs that `tristar audit erase` destroys",
    ),
    Row(
        "REDIS_URL",
        Settings,
        "redis_url",
        texts.REDIS_URL,
        "limits and breakers are shared through this Redis",
        secret=True,
    ),
    Row(
        "DATABASE_URL",
        Settings,
        "database_url",
        texts.DATABASE_URL,
        "where keys and memory live",
        default_text="SQLite in `TRISTAR_DATA_DIR`",
        secret=True,
    ),
    Row(
        "TRISTAR_CONFIG",
        Settings,
        "config_path",
        texts.PATH,
        "the configuration file",
        default_text="`tristar.toml` if present",
    ),
    Row(
        "TRISTAR_ADMIN_KEY",
        Auth,
        "admin_key",
        texts.ADMIN_KEY,
        "bootstrap admin key; closes access, and is required when `host` is not loopback",
        secret=True,
    ),
    Row("TRISTAR_DATA_DIR", Settings, "data_dir", texts.PATH, "SQLite and the audit signing key"),
)

SERVER: Final[Sequence[Row]] = (
    Row(
        "host",
        Server,
        "host",
        texts.HOST,
        "the address to listen on; other than loopback needs `TRISTAR_ADMIN_KEY`",
    ),
    Row("port", Server, "port", Whole(0, 65_535), "the port to listen on; 0 takes a free one"),
    Row("workers", Server, "workers", Whole(1, 64), "processes that serve requests"),
    Row(
        "deadline_s",
        Server,
        "deadline_s",
        Number(0, _DAY_S, above=True),
        "one request, its retries and fallbacks included",
    ),
    Row(
        "drain_s",
        Server,
        "drain_s",
        Number(0, _DAY_S),
        "how long requests in flight may finish after SIGTERM",
    ),
    Row("max_body_mb", Server, "max_body_mb", Whole(1, 1_024), "a larger request body gets 413"),
    Row(
        "tls_cert",
        Server,
        "tls_cert",
        texts.PATH,
        "the certificate chain (PEM) to serve HTTPS with; read again when it changes; needs `tls_key`",
    ),
    Row("tls_key", Server, "tls_key", texts.PATH, "its private key (PEM, not encrypted)"),
    Row(
        "hsts_s",
        Server,
        "hsts_s",
        Whole(0, 63_072_000),
        "under TLS, how long browsers that opened the console insist on it for this host name, whatever the "
        "port; 0: not at all",
    ),
    Row(
        "trusted_proxies",
        Server,
        "trusted_proxies",
        lists.NETWORKS,
        "proxies whose word on a client's address is taken, in the audit log and in throttling",
    ),
    Row(
        "proxy_header",
        Server,
        "proxy_header",
        choice("x-forwarded-for", "forwarded"),
        "where they say it; the proxy must set this header, or whoever connects to it can",
    ),
    Row(
        "cors_origins",
        Server,
        "cors_origins",
        lists.ORIGINS,
        'origins whose pages may call the API from a browser; ["*"]: any',
    ),
    Row(
        "notice",
        Server,
        "notice",
        texts.NOTICE,
        "told to everybody who opens the console or asks `/health/ready`: planned maintenance, a test system",
    ),
)

AUTH: Final[Sequence[Row]] = (
    Row(
        "key_grace_s",
        Auth,
        "key_grace_s",
        Number(0, _DAY_S),
        "how long known keys keep working while the key store is down",
    ),
    Row(
        "failed_logins_per_minute",
        Auth,
        "failed_logins_per_minute",
        Whole(0, 1_000_000),
        "requests without a good key from one address (IPv6: /64); more get 429, and good keys always pass; "
        "0: never",
    ),
)

SLO: Final[Sequence[Row]] = (
    Row(
        "availability",
        Slo,
        "availability",
        _OBJECTIVE,
        "the part of API requests that must not end in a 5xx; then `tristar rules build`",
    ),
    Row(
        "llm_success",
        Slo,
        "llm_success",
        _OBJECTIVE,
        "the part of an llm's attempts that must end well within `llm_within_s`",
    ),
    Row(
        "llm_within_s",
        Slo,
        "llm_within_s",
        OneOf(LLM_BOUNDS_S),
        "how long such an attempt may take; a bound of `ailinux_llm_latency_seconds`",
    ),
)

LOGS: Final[Sequence[Row]] = (
    Row(
        "format",
        Logs,
        "format",
        choice("auto", "console", "json"),
        "the gateway's own log: console on a terminal and JSON elsewhere, or always the one",
    ),
    Row("level", Logs, "level", choice("debug", "info", "warning", "error"), "what is less is left out"),
    Row("access", Logs, "access", Switch(), "one line for each request that ended, scrapes apart"),
)

MEMORY: Final[Sequence[Row]] = (
    Row(
        "embedding_llm",
        Memory,
        "embedding_llm",
        texts.MODEL,
        "the llm (one for embeddings) by which the memory is searched by meaning, too",
    ),
)

DEPENDENCIES: Final[Sequence[Row]] = (
    Row(
        "redis",
        Dependencies,
        "redis",
        choice("degrade", "refuse"),
        "while Redis is away: limits and breakers are this host's own, or llm calls get 503",
    ),
    Row(
        "database",
        Dependencies,
        "database",
        choice("degrade", "refuse"),
        "while the key store is away: known keys work for `key_grace_s`, or only `TRISTAR_ADMIN_KEY` does",
    ),
)

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
        Number(0, _DAY_S, above=True),
        "one attempt, from connect to the last byte",
    ),
    Row(
        "first_token_timeout_s",
        Llm,
        "first_token_timeout_s",
        Number(0, _DAY_S, above=True),
        "streams only: until the first token",
    ),
    Row(
        "idle_timeout_s",
        Llm,
        "idle_timeout_s",
        Number(0, _DAY_S, above=True),
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
        Number(0, _DAY_S, above=True),
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
        _OBJECTIVE,
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
    Row("window_s", BreakerPolicy, "window_s", Number(0, _DAY_S, above=True), "how far back the ratio looks"),
    Row(
        "cooldown_s",
        BreakerPolicy,
        "cooldown_s",
        Number(0, _DAY_S, above=True),
        "how long it stays open; doubles per consecutive re-open",
    ),
    Row(
        "max_cooldown_s",
        BreakerPolicy,
        "max_cooldown_s",
        Number(0, _DAY_S, above=True),
        "the longest it stays open; at least `cooldown_s`",
    ),
    Row("probes", BreakerPolicy, "probes", Whole(1, 1_000), "concurrent calls let through while half-open"),
    Row(
        "slow_call_s",
        BreakerPolicy,
        "slow_call_s",
        Number(0, _DAY_S, above=True),
        "an answer that takes longer counts as a failure; of a stream, its first token",
    ),
)

SECTIONS: Final[dict[str, Sequence[Row]]] = {
    "server": SERVER,
    "auth": AUTH,
    "dependencies": DEPENDENCIES,
    "slo": SLO,
    "logs": LOGS,
    "memory": MEMORY,
    "providers.NAME": PROVIDER,
    "llms.NAME": LLM,
    "llms.NAME.breaker": BREAKER,
    "llms.NAME.price_usd_per_mtok": PRICE,
    "llms.POOL": POOL,
}
"""Every table of the configuration file; NAME is the operator's own."""
