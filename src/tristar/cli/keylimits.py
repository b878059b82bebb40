"""What a key may use, as options of `tristar keys create`: under the names that the API has."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from tristar.auth.actor import Limits
from tristar.auth.terms import LLM_LIMITS_AT_MOST, microusd
from tristar.cli.endings import Misused

_COUNTS = ("requests_per_minute", "tokens_per_minute", "max_concurrent")
_BUDGETS = ("budget_usd_per_day", "budget_usd_per_month")
_COUNT_LIMIT = 10**12
_USD_LIMIT = 10**9

RequestsOption = Annotated[
    str | None, typer.Option("--requests-per-minute", metavar="N", help="Requests per minute.")
]
TokensOption = Annotated[
    str | None, typer.Option("--tokens-per-minute", metavar="N", help="Tokens per minute, in and out.")
]
ConcurrentOption = Annotated[
    str | None, typer.Option("--max-concurrent", metavar="N", help="Requests at the same time.")
]
DayBudgetOption = Annotated[
    str | None, typer.Option("--budget-usd-per-day", metavar="USD", help="Money per calendar day, UTC.")
]
MonthBudgetOption = Annotated[
    str | None, typer.Option("--budget-usd-per-month", metavar="USD", help="Money per calendar month, UTC.")
]
UnpricedOption = Annotated[
    bool, typer.Option("--allow-unpriced", help="Under a budget: llms without a known price too.")
]
LlmLimitOption = Annotated[
    list[str] | None,
    typer.Option(
        "--llm-limit",
        metavar="L,NAME=N…",
        help="Limits on one llm: fast,requests_per_minute=10,budget_usd_per_day=2. Repeatable.",
    ),
]


def limits_of(told: Mapping[str, str | None], *, allow_unpriced: bool, where: str = "") -> Limits:
    """The limits that these words and figures name; None is not told. `where` leads each message.

    Raises:
        Misused: a figure is out of its range.
    """
    counts = {name: _count(where, name, told.get(name)) for name in _COUNTS}
    day, month = (_dollars(where, name, told.get(name)) for name in _BUDGETS)
    return Limits(
        **counts,
        budget_day_microusd=microusd(day),
        budget_month_microusd=microusd(month),
        allow_unpriced=allow_unpriced,
    )


def limits_by_llm(given: Sequence[str] | None, *, allow_unpriced: bool) -> dict[str, Limits] | None:
    """What `--llm-limit` says, by llm.

    Raises:
        Misused: it is not an llm and its limits, or the llm was named before.
    """
    if not given:
        return None
    if len(given) > LLM_LIMITS_AT_MOST:
        raise Misused(f"--llm-limit: a key has limits on {LLM_LIMITS_AT_MOST} llms at most.")
    found: dict[str, Limits] = {}
    for text in given:
        llm, *pairs = text.split(",")
        if not llm or len(llm) > 128 or not llm.isprintable() or llm != llm.strip() or llm in found:
            raise _unreadable(text, "name an llm, each once")
        told = dict(_pair(text, pair) for pair in pairs)
        if not told:
            raise _unreadable(text, "name at least one limit")
        found[llm] = limits_of(told, allow_unpriced=allow_unpriced, where=f"--llm-limit {llm[:80]}: ")
    return found


def _pair(text: str, pair: str) -> tuple[str, str]:
    name, equals, figure = pair.strip().partition("=")
    if not equals or name not in {*_COUNTS, *_BUDGETS}:
        raise _unreadable(text, f"limits are {', '.join((*_COUNTS, *_BUDGETS))}")
    return name, figure


def _count(where: str, name: str, text: str | None) -> int | None:
    if text is None:
        return None
    digits = text.isascii() and text.isdigit() and len(text) <= 13
    if not digits or not 1 <= int(text) <= _COUNT_LIMIT:
        raise _wrong(where, name, text, f"a whole number from 1 to {_COUNT_LIMIT}")
    return int(text)


def _dollars(where: str, name: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        dollars = float(text)
    except ValueError:
        dollars = math.nan
    if not 0 < dollars <= _USD_LIMIT:
        raise _wrong(where, name, text, f"US dollars, above 0 and up to {_USD_LIMIT}")
    return dollars


def _wrong(where: str, name: str, text: str, allowed: str) -> Misused:
    named = f"{where}{name}" if where else "--" + name.replace("_", "-")
    return Misused(f"{named} = {text[:80]!r}: use {allowed}.")


def _unreadable(text: str, wanted: str) -> Misused:
    return Misused(f"--llm-limit = {text[:80]!r}: {wanted}, as in fast,requests_per_minute=10.")
