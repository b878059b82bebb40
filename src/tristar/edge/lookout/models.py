"""What the views of `/admin` hold; the host makes them, these describe them."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from tristar.edge.health import Condition

State = Literal["closed", "open", "half_open"]
Status = Literal["success", "error", "timeout", "rate_limited", "cancelled"]
LimitName = Literal["requests", "tokens", "concurrency", "budget_day", "budget_month", "unpriced"]


class LimitUseOut(BaseModel):
    """One limit: requests or tokens per minute, requests at a time, US dollars per day or month."""

    limit: LimitName
    of: float
    used: float
    share: float = Field(description="used / of; above 1 where more was taken than estimated.")


class UseOut(BaseModel):
    """One subject of limits."""

    subject: str = Field(description="`key:ID`, `llm:ID`, or a key with an llm.")
    scope: Literal["key", "llm", "key_llm"]
    share: float = Field(description="The largest share of one of its limits.")
    near: bool = Field(description="Whether that is 0.8 or more.")
    limits: list[LimitUseOut]


class LimitsOut(BaseModel):
    """The subjects that this host has met last and every llm with limits, the nearest to one first."""

    data: list[UseOut]
    more: int = Field(description="So many further away are left out.")


class QuantilesOut(BaseModel):
    """Seconds; null where there was nothing to observe."""

    count: int
    p50_s: float | None
    p95_s: float | None


class ErrorOut(BaseModel):
    """One attempt that failed."""

    at: datetime
    status: Status
    error_type: str | None
    http_status: int | None
    trace_id: str | None


class VitalsOut(BaseModel):
    """Counts since the gateway started; latencies of successes in the last five minutes, 500 at the most."""

    calls: int
    errors: int
    by_status: dict[str, int]
    latency: QuantilesOut
    first_token: QuantilesOut = Field(description="Of streams.")
    last_errors: list[ErrorOut] = Field(description="The last ten, the newest first.")


class LlmOut(BaseModel):
    """One llm."""

    llm_id: str
    provider: str
    dialect: str
    model: str
    configured: bool = Field(description="False: one of an open provider's, known because it was called.")
    state: State = Field(description="Of its breaker.")
    in_flight: int = Field(description="Attempts in progress of this model at this provider.")
    limits: list[LimitUseOut]
    vitals: VitalsOut


class LlmsOut(BaseModel):
    """Every configured llm, and every other that was called."""

    data: list[LlmOut]


class AttemptOut(BaseModel):
    """One attempt of a call."""

    llm_id: str
    provider: str
    model: str
    status: Status
    error_type: str | None
    reason: str | None = Field(description="Why it was made; null for a first one.")
    http_status: int | None
    started_ms: float = Field(description="After the call's start.")
    duration_ms: float
    first_token_ms: float | None
    tokens_input: int
    tokens_output: int
    tokens_source: Literal["provider", "estimated", "none"]
    cost_usd: float | None = Field(description="null: the price is not known.")
    finish_reason: str | None


class CallOut(BaseModel):
    """One call of an llm that ended."""

    n: int = Field(description="Counts up on one host, from its start.")
    id: str
    trace_id: str | None
    started_at: datetime
    key_id: str | None
    endpoint: str
    status: int
    asked: str | None = Field(description="The model that the client named.")
    llm_id: str | None = Field(description="Who answered.")
    stream: bool
    duration_ms: float
    tokens_input: int
    tokens_output: int
    cost_usd: float | None = Field(description="null: nothing was called, or a price is not known.")
    rejected_by: str | None
    attempts: list[AttemptOut]


class BegunOut(BaseModel):
    """One call in progress."""

    id: str
    trace_id: str
    started_at: datetime
    key_id: str | None
    endpoint: str


class CallsOut(BaseModel):
    """Calls of all processes of this host, the newest first; the last 1,000 are kept. No content."""

    data: list[CallOut]
    in_progress: list[BegunOut] = Field(description="The longest first, `limit` at the most.")
    in_progress_count: int
    next_after: int = Field(description="As `after`, it asks for what ends from now on.")
    missed: int = Field(description="So many ended since `after` and are not shown.")


class TurnOut(BaseModel):
    """One change of a dependency's status."""

    at: datetime
    before: Condition
    now: Condition
    reason: str | None


class DependencyOut(BaseModel):
    """One thing that the gateway leans on."""

    name: str = Field(description="audit, storage, redis, sink:NAME, anchor:NAME")
    kind: str = Field(description="directory, sqlite, postgresql, redis, sink, anchor")
    status: Condition
    mode: str | None = Field(description="How the gateway gets by.")
    reason: str | None
    required: bool
    since: datetime = Field(description="Of the present status; the start where it never changed.")
    transitions: list[TurnOut] = Field(description="The last 20, the newest first.")


class DependenciesOut(BaseModel):
    """Every dependency of this host."""

    status: Condition
    data: list[DependencyOut]


class CountOut(BaseModel):
    """Live entries of one type in one project."""

    project: str
    type: str
    entries: int


class SweeperOut(BaseModel):
    """What deletes expired entries from the disk, every 30 s; nobody sees them meanwhile."""

    last_at: datetime | None
    deleted: int = Field(description="Since the start of this host.")


class MemoryOut(BaseModel):
    """The shared memory, as far as the key's projects reach."""

    entries: int = Field(description="Live ones; of the 10,000 largest pairs of project and type.")
    data: list[CountOut] = Field(description="The largest first, `limit` at the most.")
    more: int = Field(description="So many pairs of project and type are left out.")
    sweeper: SweeperOut
