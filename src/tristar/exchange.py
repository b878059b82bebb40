"""One request's story: asked, attempts, outcome, tokens, times; closed exactly once.

Everything that is counted or recorded about a request is derived from its closed
exchange: the metrics through `Account`, the audit log through the exchange itself.
"""

import os
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from typing import Literal, get_args

import msgspec

from tristar.errors import GatewayError

AttemptStatus = Literal["success", "error", "timeout", "rate_limited", "cancelled"]
TokenSource = Literal["provider", "estimated", "none"]
PriceSource = Literal["none", "configured", "list", "free", "unknown"]
"""Where a cost comes from. `none`: there was nothing to price; `unknown`: there was, and nobody knows how."""

Outcome = Literal["success", "refused", "error", "cancelled", "orphaned"]
PromptPolicy = Literal["none", "metadata", "redacted", "full"]
"""What the audit log keeps of prompts and answers, the strictest first: nothing, sizes and fingerprints, the
words without what identifies a person, the words. Credentials stay out of it under every policy."""

PROMPT_POLICIES: tuple[PromptPolicy, ...] = get_args(PromptPolicy)
END_USER_LIMIT = 256
"""Characters of the name by which callers tell whom a request is for; no more are read."""

WORDS_KEPT: frozenset[PromptPolicy] = frozenset({"redacted", "full"})
_RANK = {policy: rank for rank, policy in enumerate(PROMPT_POLICIES)}

_IDS_BYTES = 40
_IDS_PER_BLOCK = 500


class Attempt(msgspec.Struct, array_like=True):
    """One call of one upstream.

    Times are seconds; `started_s` counts from the exchange's start. `tokens_source` tells
    whether the provider reported the tokens or the gateway estimated them.
    """

    llm_id: str
    provider: str
    model: str
    started_s: float
    status: AttemptStatus = "error"
    error_type: str | None = None
    duration_s: float = 0.0
    first_token_s: float | None = None
    http_status: int | None = None
    tokens_input: int = 0
    tokens_output: int = 0
    tokens_source: TokenSource = "none"
    tokens_cache_read: int = 0
    tokens_cache_write: int = 0
    tokens_reasoning: int = 0
    chunks: int = 0
    malformed_chunks: int = 0
    finish_reason: str | None = None
    model_answered: str | None = None
    reason: str | None = None
    """Why this attempt was made: None for a first one, the error type it follows, `breaker_open`
    where the llms before it on the route were resting, `rate_limited` also where their own limit was
    reached, or `hedge` where the one before it was slow and still at it."""
    price: PriceSource = "none"
    cost_nanousd: int = 0
    """Thousand-millionths of a US dollar; 0 and `unknown` where the price is not known."""


def strictest(policies: "Iterable[PromptPolicy | None]") -> PromptPolicy:
    """The strictest of those that are set; `metadata` where none is."""
    found: PromptPolicy | None = None
    for policy in policies:
        if policy is not None and (found is None or _RANK[policy] < _RANK[found]):
            found = policy
    return found or "metadata"


class Account(msgspec.Struct, array_like=True):
    """What the metrics need of a closed exchange, in a form that crosses processes."""

    endpoint: str
    method: str
    status: int
    duration_s: float
    action: str
    streamed: bool
    attempts: Sequence[Attempt] = ()
    rejected_by: str | None = None
    rejected_scope: str | None = None
    auth_failure: str | None = None
    asked: str | None = None
    """The llm_id that the client named, whether there is one or not."""
    operation: str | None = None
    """What was done with the memory."""
    trace_id: str | None = None
    traced: bool = False
    """Whether an example of its latency can be looked up under its trace id."""
    request_id: str = ""
    actor: str | None = None
    llm_id: str | None = None
    """The llm that answered."""
    started_at: float = 0.0


class Ids:
    """Random ids, drawn from the system in blocks: one system call for hundreds of requests.

    One per process, made after any fork: a copy would repeat what the original gives.
    """

    __slots__ = ("_at", "_block")

    def __init__(self) -> None:
        self._block = ""
        self._at = 0

    def draw(self) -> str:
        """What one exchange needs: 80 hexadecimal digits that nobody had before."""
        at = self._at
        if at == len(self._block):
            self._block, at = os.urandom(_IDS_BYTES * _IDS_PER_BLOCK).hex(), 0
        self._at = at + 2 * _IDS_BYTES
        return self._block[at : self._at]


class Exchange(msgspec.Struct, kw_only=True, eq=False):
    """The story of one HTTP request, written by the corridor as it walks.

    `ids` come from `Ids.draw`; without them they are drawn here. Without a `trace_id` a trace begins here.
    One that is `internal` came over no connection. Not shared between tasks. `close` ends it; a second
    close is a defect and raises.
    """

    method: str
    resource: str
    endpoint: str
    started: float
    started_at: float
    audited: bool
    internal: bool = False
    ip_address: str | None = None
    ids: str = ""
    trace_id: str = ""
    span_id: str = ""
    event_id: str = ""
    request_id: str = ""
    trace_flags: str = "01"
    parent_span_id: str | None = None
    traced: bool | None = None
    action: str = "request"
    actor: str | None = None
    session_id: str | None = None
    end_user: str | None = None
    log_level: str = "INFO"
    model_asked: str | None = None
    llm_id: str | None = None
    streamed: bool = False
    attempts: list[Attempt] = []
    finish_reason: str | None = None
    prompt: bytes | None = None
    answer: bytes | None = None
    answer_calls: list[bytes] | None = None
    prompt_policy: PromptPolicy = "metadata"
    details: dict[str, object] | None = None
    rejected_by: str | None = None
    rejected_scope: str | None = None
    auth_failure: str | None = None
    operation: str | None = None
    recalled: str | None = None
    """The memory entries that went along with a chat, as the client is told."""
    readable_by: bytes | None = None
    """Of which origin pages may read the answer in a browser; None: of no other."""
    refusal: GatewayError | None = None
    """The error that the client was answered with, where the gateway made one."""
    slot: int = -1
    closed: bool = False
    status: int = 0
    outcome: Outcome = "error"
    duration_s: float = 0.0

    def __post_init__(self) -> None:
        """Take the ids apart."""
        ids = self.ids or os.urandom(_IDS_BYTES).hex()
        if not self.trace_id:
            self.trace_id = ids[:32]
        self.span_id = ids[32:48]
        self.event_id = ids[48:80]
        self.request_id = "req_" + self.event_id

    def __repr__(self) -> str:
        """Without what was asked and answered: whatever prints a request must not print that."""
        return f"Exchange({self.request_id})"

    def close(self, status: int, outcome: Outcome, now: float) -> None:
        """End the story at monotonic time `now`; from here on it does not change.

        Raises:
            RuntimeError: it was closed before; the caller has two owners for one request.
        """
        if self.closed:
            raise RuntimeError(f"exchange {self.request_id} closed twice")
        self.closed = True
        self.status = status
        self.outcome = outcome
        self.duration_s = now - self.started

    def account(self) -> Account:
        """The closed exchange as the metrics see it."""
        return Account(
            self.endpoint,
            self.method,
            self.status,
            self.duration_s,
            self.action,
            self.streamed,
            self.attempts,
            self.rejected_by,
            self.rejected_scope,
            self.auth_failure,
            self.model_asked,
            self.operation,
            self.trace_id,
            self.traced is True,
            self.request_id,
            self.actor,
            self.llm_id,
            self.started_at,
        )


in_progress: ContextVar[Exchange | None] = ContextVar("in_progress", default=None)
"""The exchange that the running task serves: what is logged meanwhile is logged under its ids."""


def attempt_span_id(span_id: str, n: int) -> str:
    """The span id of the `n`-th attempt, from 1 on, of the request with this one."""
    return f"{(int(span_id, 16) + n) % (1 << 64) or 1:016x}"
