"""The caller of a request, as authentication found it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tristar.auth.scopes import ALL_SCOPES, Scope
from tristar.exchange import PromptPolicy

ANONYMOUS_ID = "anonymous"
BOOTSTRAP_ID = "bootstrap"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a key may use; None is no limit. Budgets are millionths of a US dollar."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_concurrent: int | None = None
    budget_day_microusd: int | None = None
    budget_month_microusd: int | None = None
    allow_unpriced: bool = False
    """Under a budget, whether an llm without a known price may be used at all."""

    @property
    def has_budget(self) -> bool:
        """Whether money is limited."""
        return self.budget_day_microusd is not None or self.budget_month_microusd is not None


NO_LIMITS = Limits()
"""Those of a key that may use what it likes."""


@dataclass(frozen=True, slots=True)
class Actor:
    """One key, or nobody in particular; shared between requests and never changed.

    `key_id` is `anonymous`, `bootstrap` or the key's id. `llms` and `projects` of None mean all;
    an llm may also be named as `provider/*`, also in `llm_limits`: what limits the key on single llms
    beside `limits`. `prompt_policy` of None leaves it to the llms.
    """

    key_id: str
    name: str
    scopes: frozenset[Scope]
    llms: frozenset[str] | None = None
    projects: frozenset[str] | None = None
    limits: Limits = NO_LIMITS
    prompt_policy: PromptPolicy | None = None
    llm_limits: Mapping[str, Limits] | None = field(default=None, hash=False)

    def allows(self, scope: Scope) -> bool:
        """Whether the actor has this scope, itself or implied."""
        return scope in self.scopes

    def may_use(self, llm_id: str) -> bool:
        """Whether the actor may call this llm."""
        if self.llms is None or llm_id in self.llms:
            return True
        provider, slash, _ = llm_id.partition("/")
        return bool(slash) and f"{provider}/*" in self.llms


ANONYMOUS = Actor(ANONYMOUS_ID, "anonymous", ALL_SCOPES)
BOOTSTRAP = Actor(BOOTSTRAP_ID, "bootstrap", ALL_SCOPES)
