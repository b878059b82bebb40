"""On what terms a key is given: its limits in the words of the API, and as the database keeps them."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from tristar.auth.actor import Limits

LLM_LIMITS_AT_MOST = 1000
"""Llms that one key may have limits of its own for."""


def microusd(usd: float | None) -> int | None:
    """Dollars in millionths; at least one: a budget that rounds to nothing would read as none."""
    return None if usd is None else max(1, round(usd * 1e6))


def usd(millionths: int | None) -> float | None:
    """Millionths of a dollar in dollars."""
    return None if millionths is None else millionths / 1e6


def shown(limits: Limits) -> dict[str, object]:
    """Limits under the names that the API has for them, `allow_unpriced` apart."""
    return {
        "requests_per_minute": limits.requests_per_minute,
        "tokens_per_minute": limits.tokens_per_minute,
        "max_concurrent": limits.max_concurrent,
        "budget_usd_per_day": usd(limits.budget_day_microusd),
        "budget_usd_per_month": usd(limits.budget_month_microusd),
    }


def shown_by_llm(limits: Mapping[str, Limits] | None) -> dict[str, dict[str, object]] | None:
    """Limits of a key on single llms; of each only those that are set."""
    if limits is None:
        return None
    return {
        name: {word: limit for word, limit in shown(each).items() if limit is not None}
        for name, each in limits.items()
    }


def stored_by_llm(limits: Mapping[str, Limits] | None) -> dict[str, dict[str, int]] | None:
    """The same as JSON for the database: in whole numbers."""
    if limits is None:
        return None
    return {
        name: {
            word.name: limit
            for word in fields(Limits)
            if word.name != "allow_unpriced" and (limit := getattr(each, word.name)) is not None
        }
        for name, each in limits.items()
    }


def restored_by_llm(stored: Mapping[str, Any] | None, limits: Limits) -> dict[str, Limits] | None:
    """What `stored_by_llm` gave; whether unpriced llms may be used is the key's own `limits` to say."""
    if stored is None:
        return None
    return {
        name: Limits(**each, allow_unpriced=limits.allow_unpriced)  # names and numbers of `stored_by_llm`
        for name, each in stored.items()
    }
