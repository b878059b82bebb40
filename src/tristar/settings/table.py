"""Every setting as one row: where it is read, what it may be, what it means.

The reading, the checks, the messages and `docs/settings.md` all come from these rows; the
defaults come from the dataclass that a row fills. The rows of llms and providers are in
`llmtable`, those of the audit log's sinks and anchors in `sinktable`.
"""

from collections.abc import Sequence
from typing import Final

from tristar.metrics.llms import LLM_BOUNDS_S
from tristar.settings import lists, texts
from tristar.settings.kinds import Number, OneOf, Switch, Whole, choice
from tristar.settings.llmtable import BREAKER, LLM, POOL, PRICE, PROVIDER
from tristar.settings.model import Audit, Auth, Dependencies, Logs, Memory, Metrics, Server, Settings, Slo
from tristar.settings.row import DAY_S, OBJECTIVE, Row

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
        Number(0, DAY_S, above=True),
        "one request, its retries and fallbacks included",
    ),
    Row(
        "drain_s",
        Server,
        "drain_s",
        Number(0, DAY_S),
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
        Number(0, DAY_S),
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
        OBJECTIVE,
        "the part of API requests that must not end in a 5xx; then `tristar rules build`",
    ),
    Row(
        "llm_success",
        Slo,
        "llm_success",
        OBJECTIVE,
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
