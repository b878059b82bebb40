"""The published prices: the `genai-prices` package, read into plain tariffs.

Loading it takes some 40 ms and 13 MB, so it is loaded where a price is first asked for, in a thread
(`Prices`), and only for providers that it may know. Prices are those of the installed package: nothing
is fetched.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING

import structlog

from tristar.routing.price import UNKNOWN, Price, Rates, Tariff, Term, pico

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

_EPOCH = date(1970, 1, 1)
_REQUESTS_TO_PICO = 1_000_000_000
"""USD per thousand requests to pico-USD per request."""

_log = structlog.get_logger("tristar.prices")


def look_up(base_url: str, price_list: str | None, model: str) -> Tariff:
    """What a model costs at the provider of that address, or of that list; `UNKNOWN` if it is not listed."""
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - heavy: loaded here alone

    snapshot = get_snapshot()
    try:
        provider = snapshot.find_provider(None, price_list, base_url if price_list is None else None)
    except LookupError:
        if price_list is not None:
            _log.warning("no such price list; prices of this provider are unknown", price_list=price_list)
        return UNKNOWN
    found = provider.find_model(model, all_providers=snapshot.providers)
    terms = [] if found is None else list(_terms(found))
    return Tariff("list", terms) if terms else UNKNOWN


def _terms(model: "ModelInfo") -> Iterable[Term]:
    """Its prices with their conditions. One that is not per token is left out."""
    listed = model.prices
    if not isinstance(listed, list):
        price = _price(listed)
        if price is not None:
            yield Term(price)
        return
    for each in listed:
        price, when = _price(each.prices), each.constraint
        if price is None:
            continue
        if when is None:
            yield Term(price)
        elif hasattr(when, "start_date"):
            yield Term(price, from_day=(when.start_date - _EPOCH).days)
        else:
            yield Term(price, daily_s=(_second(when.start_time), _second(when.end_time)))


def _second(moment: time) -> int:
    """A time of day, UTC unless it says otherwise, as the second of the day in UTC."""
    zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    at = datetime.combine(_EPOCH, zoned).astimezone(UTC)
    return at.hour * 3600 + at.minute * 60 + at.second


def _price(listed: "ModelPrice") -> Price | None:
    """One set of prices; None where input or output is not sold by the token."""
    if listed.input_mtok is None or listed.output_mtok is None:
        return None
    named = {
        "input": listed.input_mtok,
        "output": listed.output_mtok,
        "cache_read": listed.cache_read_mtok,
        "cache_write": listed.cache_write_mtok,
        "reasoning": listed.output_reasoning_mtok,
    }
    starts = sorted({tier.start for value in named.values() for tier in getattr(value, "tiers", ())})
    per_request = listed.requests_kcount
    request = 0 if not isinstance(per_request, Decimal) else round(per_request * _REQUESTS_TO_PICO)
    base, *higher = [_rates(named, above, request) for above in (-1, *starts)]
    return Price(base, tuple(zip(starts, higher, strict=True)))


def _rates(named: Mapping[str, object], above: int, request: int) -> Rates:
    """The rates of calls with more than `above` input tokens; below 0: of the smallest."""
    rate = {name: _at(value, above) for name, value in named.items()}
    input_, output = rate["input"] or 0, rate["output"] or 0

    def own(name: str, otherwise: int) -> int:
        value = rate[name]
        return otherwise if value is None else value

    return Rates(
        input_,
        output,
        own("cache_read", input_),
        own("cache_write", input_),
        own("reasoning", output),
        request,
    )


def _at(value: object, above: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, Decimal):
        return pico(value)
    price: Decimal = value.base  # type: ignore[attr-defined]  # a TieredPrices, whose import is heavy
    for tier in value.tiers:  # type: ignore[attr-defined]  # the same
        if tier.start <= above:
            price = tier.price
    return pico(price)
