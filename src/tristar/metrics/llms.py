"""Upstream attempts: how they ended, how long they took, what they produced, what followed."""

from collections.abc import Iterable, Mapping
from typing import Final, get_args

from tristar.exchange import Account, Attempt, AttemptStatus
from tristar.metrics.family import FOLDED, Cell, Counter, Example, Family, Gauge, Histogram, Labels
from tristar.metrics.labels import CAP, OTHER, VALUE_CHARS, Vocabulary
from tristar.relay.failure import ERROR_TYPES

Pair = tuple[str, str]
"""The upstream's name of a model, and the provider's configured name."""

LLM_BOUNDS_S: Final = (
    *(0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15),
    *(20, 25, 30, 45, 60, 90, 120, 180, 300, 600),
)
FIRST_TOKEN_BOUNDS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 20, 30, 60, 120)
INTER_TOKEN_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
TOKEN_RATE_BOUNDS: Final = (1, 2, 5, 10, 20, 30, 40, 50, 75, 100, 150, 200, 300, 400)
TOKEN_BOUNDS: Final = tuple(4**power for power in range(11))

STATUSES: Final = get_args(AttemptStatus)
TIMED_STATUSES: Final = frozenset(("success", "timeout"))
TOKEN_TYPES: Final = ("input", "output")
TOKEN_KINDS: Final = ("cache_read", "cache_write", "reasoning")
CAUSES: Final = ("unknown", *sorted(ERROR_TYPES))

_CALLS: Final = "ailinux_llm_calls_total"
_BY_LLM: Final = ("model", "provider")


class Llms:
    """The books of upstream attempts.

    A configured (model, provider) pair has its usual series from the start. Any other pair
    is `_other` until one of its attempts succeeds: what clients merely type mints nothing.
    """

    def __init__(self, overflows: Counter, llm_ids: Vocabulary, pairs: Iterable[Pair]) -> None:
        self._families = _LlmFamilies()
        self._configured: set[Pair] = set()
        self._earned = 0
        self._bound: dict[Pair, _Llm] = {}
        self._models = Vocabulary(_CALLS, "model", overflows, cap=0)
        self._providers = Vocabulary(_CALLS, "provider", overflows)
        self._error_types = Vocabulary(
            self._families.errors.name, "error_type", overflows, known=CAUSES, cap=0
        )
        self._llm_ids = llm_ids
        causes = (*CAUSES, "breaker_open", "hedge")
        self._reasons = Vocabulary(self._families.retries.name, "reason", overflows, known=causes, cap=0)
        self.set_models(pairs)

    @property
    def families(self) -> tuple[Family, ...]:
        """Every metric of this subject."""
        return self._families.all

    def set_models(self, pairs: Iterable[Pair]) -> None:
        """Make `pairs` the configured ones. Series of pairs that left stay: a counter never falls."""
        self._configured = set(pairs)
        self._providers.know(provider for _, provider in self._configured)
        for pair in sorted(self._configured):
            if pair not in self._bound:
                self._bound[pair] = _Llm(self._families, *pair)

    def count(self, account: Account, example: Example | None = None) -> None:
        """Enter every attempt of one closed exchange."""
        previous: Attempt | None = None
        for attempt in account.attempts:
            llm = self._bound.get((attempt.model, attempt.provider)) or self._find(attempt)
            llm.count(attempt, account.streamed, example)
            if attempt.error_type is not None:
                llm.error(self._error_types.admit(attempt.error_type))
            if previous is not None:
                self._follow(previous.llm_id, attempt)
            elif attempt.reason is not None and account.asked is not None:
                self._follow(account.asked, attempt)
            previous = attempt

    def show_in_flight(self, attempts: Mapping[Pair, int] | None) -> None:
        """The attempts in progress; configured pairs that have none show 0. None: not known."""
        labelled: dict[Labels, float] = {} if attempts is None else dict.fromkeys(self._configured, 0)
        for (model, provider), count in (attempts or {}).items():
            known = (model, provider) in self._bound
            pair = (model, provider) if known else (OTHER, self._providers.place(provider) or OTHER)
            labelled[pair] = labelled.get(pair, 0) + count
        self._families.in_flight.values = labelled

    def _find(self, attempt: Attempt) -> "_Llm":
        pair = (attempt.model, attempt.provider)
        provider = self._providers.admit(attempt.provider)
        if attempt.status == "success" and self._has_room(attempt, provider):
            self._earned += 1
            self._llm_ids.know((attempt.llm_id,))
        else:
            pair = (self._models.refuse(), provider)
        llm = self._bound.get(pair)
        if llm is None:
            llm = self._bound[pair] = _Llm(self._families, *pair)
        return llm

    def _has_room(self, attempt: Attempt, provider: str) -> bool:
        short = len(attempt.model) <= VALUE_CHARS and len(attempt.llm_id) <= VALUE_CHARS
        return short and provider == attempt.provider and self._earned < CAP

    def _follow(self, before: str, attempt: Attempt) -> None:
        """Enter that `attempt` was made instead of another one on the llm `before`."""
        reason = self._reasons.admit(attempt.reason or "unknown")
        family = self._families.retries if attempt.llm_id == before else self._families.fallbacks
        llm_ids = self._llm_ids.admit(before), self._llm_ids.admit(attempt.llm_id)
        family.bind(*llm_ids, reason).value += 1


class _LlmFamilies:
    """Every family that is labelled by what an attempt was sent to."""

    def __init__(self) -> None:
        self.calls = Counter(_CALLS, "Upstream attempts by how they ended.", (*_BY_LLM, "status"))
        self.latency = Histogram(
            "ailinux_llm_latency_seconds",
            "Length of an upstream attempt that succeeded or timed out.",
            LLM_BOUNDS_S,
            _BY_LLM,
        )
        self.tokens = Counter("ailinux_llm_tokens_total", "Tokens in and out.", (*_BY_LLM, "type"))
        self.first_token = Histogram(
            "ailinux_llm_time_to_first_token_seconds",
            "From the start of a streamed attempt to its first token.",
            FIRST_TOKEN_BOUNDS_S,
            _BY_LLM,
        )
        self.inter_token = Histogram(
            "ailinux_llm_inter_token_seconds",
            "Mean gap between two chunks of one completed stream.",
            INTER_TOKEN_BOUNDS_S,
            _BY_LLM,
        )
        self.token_rate = Histogram(
            "ailinux_llm_output_tokens_per_second",
            "Output tokens of one successful attempt over its whole length.",
            TOKEN_RATE_BOUNDS,
            _BY_LLM,
        )
        self.tokens_detail = Counter(
            "ailinux_llm_tokens_detail_total",
            "Parts of the input and output tokens; they are counted there too.",
            (*_BY_LLM, "kind"),
        )
        self.cost = Counter(
            "ailinux_llm_cost_usd_total", "US dollars of every attempt whose price is known.", _BY_LLM
        )
        self.unpriced = Counter(
            "ailinux_llm_unpriced_calls_total",
            "Attempts that used tokens and whose price is not known: no cost counts them.",
            _BY_LLM,
        )
        self.request_tokens = Histogram(
            "ailinux_llm_request_tokens", "Tokens of one attempt.", TOKEN_BOUNDS, ("model", "type")
        )
        self.errors = Counter(
            "ailinux_llm_errors_total", "Attempts that failed, by cause.", (*_BY_LLM, "error_type")
        )
        self.in_flight = Gauge("ailinux_llm_in_flight", "Upstream attempts in progress.", _BY_LLM)
        follows = ("from", "to", "reason")
        self.retries = Counter(
            "ailinux_llm_retries_total", "Attempts that repeat the one before on the same llm.", follows
        )
        self.fallbacks = Counter(
            "ailinux_llm_fallbacks_total", "Attempts on another llm than the one before.", follows
        )

    @property
    def all(self) -> tuple[Family, ...]:
        return (
            *(self.calls, self.latency, self.tokens, self.first_token, self.inter_token, self.token_rate),
            *(self.tokens_detail, self.cost, self.unpriced, self.request_tokens, self.errors, self.in_flight),
            *(self.retries, self.fallbacks),
        )


class _Llm:
    """The series of one (model, provider) pair, looked up once."""

    __slots__ = (
        "_calls",
        "_cost",
        "_cost_family",
        "_cost_nanousd",
        "_detail",
        "_error_family",
        "_errors",
        "_first_token",
        "_input",
        "_inter_token",
        "_latency",
        "_output",
        "_pair",
        "_request_input",
        "_request_output",
        "_token_rate",
        "_unpriced",
    )

    def __init__(self, families: _LlmFamilies, model: str, provider: str) -> None:
        pair = self._pair = (model, provider)
        self._calls = {status: families.calls.bind(*pair, status) for status in STATUSES}
        self._latency = families.latency.bind(*pair)
        self._first_token = families.first_token.bind(*pair)
        self._inter_token = families.inter_token.bind(*pair)
        self._token_rate = families.token_rate.bind(*pair)
        self._input, self._output = (families.tokens.bind(*pair, kind) for kind in TOKEN_TYPES)
        self._detail = tuple(families.tokens_detail.bind(*pair, kind) for kind in TOKEN_KINDS)
        self._cost_family = families.cost
        self._cost: Cell | None = None  # an llm without a price has no cost, not one of 0
        self._cost_nanousd = 0
        self._unpriced = families.unpriced.bind(*pair)
        self._request_input, self._request_output = (
            families.request_tokens.bind(model, kind) for kind in TOKEN_TYPES
        )
        self._error_family = families.errors
        self._errors: dict[str, Cell] = {kind: families.errors.bind(*pair, kind) for kind in CAUSES}

    def count(self, attempt: Attempt, streamed: bool, example: Example | None) -> None:
        status, duration_s = attempt.status, attempt.duration_s
        calls = self._calls[status]
        calls.value += 1
        if status in TIMED_STATUSES:
            if example is None:
                self._latency.note(duration_s)
            else:
                self._latency.observe(duration_s, example)
        if attempt.tokens_source != "none":
            self._count_tokens(attempt)
            self._count_cost(attempt)
        if status == "success" and attempt.tokens_output > 0 and duration_s > 0:
            self._token_rate.note(attempt.tokens_output / duration_s)
        if streamed and attempt.first_token_s is not None:
            self._first_token.note(attempt.first_token_s)
            if status == "success" and attempt.chunks > 1:
                gap_s = (duration_s - attempt.first_token_s) / (attempt.chunks - 1)
                self._inter_token.note(max(0.0, gap_s))
        if not calls.value % FOLDED:
            self._fold()

    def _fold(self) -> None:
        for series in (self._latency, self._first_token, self._inter_token, self._token_rate):
            series.fold()
        self._request_input.fold()
        self._request_output.fold()

    def _count_cost(self, attempt: Attempt) -> None:
        if attempt.price == "unknown":
            self._unpriced.value += 1
        elif attempt.price != "none":
            if self._cost is None:
                self._cost = self._cost_family.bind(*self._pair)
            # whole numbers, divided once: the sum is that of the audit log to the last digit
            self._cost_nanousd += max(0, attempt.cost_nanousd)
            self._cost.value = self._cost_nanousd / 1e9

    def error(self, error_type: str) -> None:
        cell = self._errors.get(error_type)
        if cell is None:
            cell = self._errors[error_type] = self._error_family.bind(*self._pair, error_type)
        cell.value += 1

    def _count_tokens(self, attempt: Attempt) -> None:
        # A provider that reports fewer than none must not make a counter fall.
        tokens_in = attempt.tokens_input if attempt.tokens_input > 0 else 0  # noqa: FURB136 - half the cost of max()
        tokens_out = attempt.tokens_output if attempt.tokens_output > 0 else 0  # noqa: FURB136 - the same
        self._input.value += tokens_in
        self._output.value += tokens_out
        self._request_input.note(tokens_in)
        self._request_output.note(tokens_out)
        if attempt.tokens_cache_read > 0:
            self._detail[0].value += attempt.tokens_cache_read
        if attempt.tokens_cache_write > 0:
            self._detail[1].value += attempt.tokens_cache_write
        if attempt.tokens_reasoning > 0:
            self._detail[2].value += attempt.tokens_reasoning
