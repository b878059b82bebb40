"""The llms and providers that are configured; read-only once built, replaced whole on reload."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from tristar.errors import ModelNotFound
from tristar.exchange import PromptPolicy
from tristar.routing.price import Price

Dialect = Literal["openai", "anthropic", "gemini", "echo"]
AuthScheme = Literal["bearer", "x-api-key", "x-goog-api-key", "api-key", "cf-aig-authorization", "query-key"]
StreamGuarantee = Literal["live", "whole"]
Choose = Literal["weighted", "least_busy", "lowest_latency"]


@dataclass(frozen=True)
class BreakerPolicy:
    """When an llm counts as ill, and for how long it is left alone. Times in seconds."""

    failures: int = 5
    failure_ratio: float = 0.5
    min_calls: int = 10
    window_s: float = 30.0
    cooldown_s: float = 30.0
    max_cooldown_s: float = 600.0
    probes: int = 1
    slow_call_s: float | None = None


@dataclass(frozen=True)
class ApiKey:
    """One of the operator's keys at a provider. `secret` stays out of `repr`; `name` is for people."""

    secret: str = field(repr=False)
    name: str

    @cached_property
    def fingerprint(self) -> str:
        """Tells two keys apart without giving either away."""
        return hashlib.sha256(self.secret.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Provider:
    """One upstream service. Its `keys` are used in turn; none sends no key.

    `base_url` may hold `{model}`, for the model's name, and a query, which goes behind the path.
    """

    name: str
    dialect: Dialect
    base_url: str
    keys: tuple[ApiKey, ...] = ()
    auth: AuthScheme = "bearer"
    responses: bool = False
    price_list: str | None = None


@dataclass(frozen=True)
class Llm:
    """One model at one provider under the name that clients use (the llm_id)."""

    llm_id: str
    provider: Provider
    model: str
    fallbacks: tuple[str, ...] = ()
    retries: int = 2
    timeout_s: float = 600.0
    first_token_timeout_s: float = 60.0
    idle_timeout_s: float = 30.0
    context_tokens: int | None = None
    prefill: bool = False
    stream_guarantee: StreamGuarantee = "live"
    prompts: PromptPolicy | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_concurrent: int | None = None
    slo_success: float | None = None
    slo_within_s: float | None = None
    """The objective of its attempts, where it is another than that of all llms."""
    hedge_after_s: float | None = None
    hedge_percentile: float | None = None
    breaker: BreakerPolicy = BreakerPolicy()
    price: Price | None = None

    @property
    def hedged(self) -> bool:
        """Whether the next llm may be asked while this one is at it."""
        return self.hedge_after_s is not None or self.hedge_percentile is not None

    def is_larger_than(self, outgrown: "Llm") -> bool:
        """Whether it takes more context than one that was too small; one that does not say may."""
        if self.context_tokens is None or outgrown.context_tokens is None:
            return self.context_tokens is None
        return self.context_tokens > outgrown.context_tokens


@dataclass(frozen=True)
class Pool:
    """Llms that answer under one name. It has no upstream, no limits and no breaker: its members have.

    `weights` are those of `pool`, in its order; empty means that all weigh the same. `fallbacks` are tried
    when no member answers.
    """

    llm_id: str
    pool: tuple[str, ...]
    choose: Choose = "weighted"
    weights: tuple[float, ...] = ()
    fallbacks: tuple[str, ...] = ()

    def weight(self, member: str) -> float:
        """How much of the requests this member should get, in proportion to the others' weights."""
        return self.weights[self.pool.index(member)] if self.weights else 1.0


class Catalog:
    """The configured llms by llm_id, and any `provider/model` of an open provider.

    `open_providers` are those switched on by an environment variable alone: each of
    their models works as `provider/model` without being named in a file.
    """

    def __init__(
        self, llms: Iterable[Llm], open_providers: Iterable[Provider] = (), pools: Iterable[Pool] = ()
    ) -> None:
        self.llms: Mapping[str, Llm] = {llm.llm_id: llm for llm in llms}
        """Every llm that is named in the configuration."""
        self.pools: Mapping[str, Pool] = {pool.llm_id: pool for pool in pools}
        """Every name that stands for several llms."""
        self._open: dict[str, Provider] = {provider.name: provider for provider in open_providers}

    @property
    def by_pace(self) -> bool:
        """Whether it matters how fast its llms answer: to a pool that takes the fastest, or to a hedge."""
        return any(pool.choose == "lowest_latency" for pool in self.pools.values()) or any(
            llm.hedge_percentile is not None for llm in self.llms.values()
        )

    @property
    def names(self) -> Sequence[str]:
        """Every name of the configuration that a client may ask for."""
        return [*self.llms, *self.pools]

    @property
    def open_providers(self) -> Mapping[str, Provider]:
        """Providers whose every model is reachable as `provider/model`."""
        return self._open

    def find(self, llm_id: str) -> Llm:
        """The llm of that name.

        Raises:
            ModelNotFound: no such llm, and no open provider of that prefix.
        """
        llm = self.llms.get(llm_id)
        if llm is not None:
            return llm
        prefix, slash, model = llm_id.partition("/")
        provider = self._open.get(prefix) if slash and model else None
        if provider is None:
            raise ModelNotFound(
                f"The model {llm_id[:200]!r} is not configured here; GET /v1/models lists those that are.",
                param="model",
            )
        return Llm(llm_id=llm_id, provider=provider, model=model)
