"""Limits of a key on single llms, as `/admin/keys` takes and shows them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from tristar.auth.actor import Limits
from tristar.auth.terms import LLM_LIMITS_AT_MOST, microusd
from tristar.errors import BadRequest

_COUNT_LIMIT = 10**12
_USD_LIMIT = 10**9

Count = Annotated[int, Field(ge=1, le=_COUNT_LIMIT)]
Usd = Annotated[float, Field(gt=0, le=_USD_LIMIT, allow_inf_nan=False)]
LlmName = Annotated[str, Field(min_length=1, max_length=128)]


class LlmLimits(BaseModel):
    """What the key may use of one llm. What is left out is not limited."""

    model_config = ConfigDict(extra="forbid")

    requests_per_minute: Count | None = Field(default=None, strict=True)
    tokens_per_minute: Count | None = Field(default=None, strict=True)
    max_concurrent: Count | None = Field(default=None, strict=True)
    budget_usd_per_day: Usd | None = Field(default=None, strict=True)
    budget_usd_per_month: Usd | None = Field(default=None, strict=True)


ByLlm = Annotated[
    dict[LlmName, LlmLimits],
    Field(
        min_length=1,
        max_length=LLM_LIMITS_AT_MOST,
        description="Limits on single llms beside those of the key, drawn on together with the llm's own;"
        " `provider/*` limits all of one provider's open models together.",
    ),
]


def limits_by_llm(told: dict[str, LlmLimits] | None, *, allow_unpriced: bool) -> dict[str, Limits] | None:
    """The limits that a request names.

    Raises:
        BadRequest: a name is not printable, or its limits are empty.
    """
    if told is None:
        return None
    found = {}
    for name, each in told.items():
        if not name.isprintable() or name != name.strip():
            raise BadRequest(
                "llm_limits names llms: printable, without spaces around it.", param="llm_limits"
            )
        limits = Limits(
            requests_per_minute=each.requests_per_minute,
            tokens_per_minute=each.tokens_per_minute,
            max_concurrent=each.max_concurrent,
            budget_day_microusd=microusd(each.budget_usd_per_day),
            budget_month_microusd=microusd(each.budget_usd_per_month),
            allow_unpriced=allow_unpriced,
        )
        if limits == Limits(allow_unpriced=allow_unpriced):
            raise BadRequest(f"llm_limits: {name[:80]!r} limits nothing; leave it out.", param="llm_limits")
        found[name] = limits
    return found
