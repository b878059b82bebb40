"""What the configuration says, typed and checked; the field defaults here are the defaults."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tristar.audit.anchors.options import AnchorOptions
from tristar.audit.sinks.options import SinkOptions
from tristar.auth.address import ProxyHeader
from tristar.routing.catalog import Catalog

Without = Literal["degrade", "refuse"]
AuditMode = Literal["strict", "relaxed"]
LogFormat = Literal["auto", "console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True)
class Server:
    """Where the gateway listens, and the bounds of one request. Times in seconds."""

    host: str = "127.0.0.1"
    port: int = 9100
    workers: int = 1
    deadline_s: float = 900.0
    drain_s: float = 30.0
    max_body_mb: int = 32
    tls_cert: Path | None = None
    tls_key: Path | None = None
    hsts_s: int = 86_400
    trusted_proxies: tuple[str, ...] = ()
    proxy_header: ProxyHeader = "x-forwarded-for"
    cors_origins: tuple[str, ...] = ()
    notice: str = ""

    @property
    def loopback(self) -> bool:
        """True when only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True)
class Audit:
    """Where the audit log lives, how long, how large, and what happens when it cannot be written."""

    dir: Path = Path("logs/audit")
    retention_days: int = 30
    max_size_mb: int = 100
    total_size_mb: int | None = None
    mode: AuditMode = "strict"
    sinks: tuple[SinkOptions, ...] = ()
    min_retention_days: int | None = None
    erasable: bool = False
    anchors: tuple[AnchorOptions, ...] = ()


@dataclass(frozen=True)
class Metrics:
    """Whether anything is measured, and where it is scraped."""

    enabled: bool = True
    path: str = "/metrics"


@dataclass(frozen=True)
class Slo:
    """The objectives: the part of API requests without a 5xx, and of attempts that end well in time.

    `llm_success` and `llm_within_s` hold for every llm that has none of its own.
    """

    availability: float = 0.995
    llm_success: float = 0.95
    llm_within_s: float = 30.0


@dataclass(frozen=True)
class Logs:
    """How the gateway's own log on standard error looks; `auto` is for people on a terminal, else JSON."""

    format: LogFormat = "auto"
    level: LogLevel = "info"
    access: bool = False


@dataclass(frozen=True)
class Auth:
    """The bootstrap key, and what becomes of keys that are not good. Times in seconds."""

    key_grace_s: float = 300.0
    failed_logins_per_minute: int = 60
    admin_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class PriceTable:
    """What an llm costs by its own table. US dollars per million tokens."""

    input: float | None = None
    output: float | None = None
    cache_read: float | None = None
    cache_write: float | None = None


@dataclass(frozen=True)
class Memory:
    """By which llm entries of the shared memory are embedded; None: they are found by their words alone."""

    embedding_llm: str | None = None


@dataclass(frozen=True)
class Dependencies:
    """What is done while something is away: get by without it, or refuse with 503."""

    redis: Without = "degrade"
    database: Without = "degrade"


@dataclass(frozen=True)
class Settings:
    """The whole configuration. Paths are absolute; no secret is in its `repr`.

    `redis_url` None means limits and breakers stay on this host; `database_url` None means
    SQLite under `data_dir`; `config_path` None means that no file was read.
    """

    catalog: Catalog
    server: Server = Server()
    audit: Audit = Audit()
    metrics: Metrics = Metrics()
    auth: Auth = Auth()
    dependencies: Dependencies = Dependencies()
    slo: Slo = Slo()
    logs: Logs = Logs()
    memory: Memory = Memory()
    redis_url: str | None = field(default=None, repr=False)
    database_url: str | None = field(default=None, repr=False)
    data_dir: Path = Path("data")
    config_path: Path | None = None
    otel: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The variables that begin with OTEL_; what they mean is OpenTelemetry's."""
