"""What tokens cost: exact integer arithmetic, no floats on the way.

A rate of 1 USD per million tokens is 1,000,000 millionths of a millionth of a dollar (pico-USD) per
token; a cost is kept in thousand-millionths (nano-USD), each attempt rounded once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from tristar.exchange import PriceSource

DAY_S = 86_400
_PICO_PER_NANO = 1_000


@dataclass(frozen=True, slots=True)
class Rates:
    """Pico-USD per token; `request` per request. Input parts that have no rate of their own cost `input`."""

    input: int
    output: int
    cache_read: int
    cache_write: int
    reasoning: int
    request: int = 0


@dataclass(frozen=True, slots=True)
class Price:
    """What one call costs. `tiers` are (input tokens, rates), ascending.

    A call with more input than that pays these rates for all its tokens, as providers do.
    """

    base: Rates
    tiers: Sequence[tuple[int, Rates]] = ()

    def cost_nanousd(
        self,
        tokens_input: int,
        tokens_output: int,
        cache_read: int = 0,
        cache_write: int = 0,
        reasoning: int = 0,
    ) -> int:
        """The cost in nano-USD. Cached tokens are part of the input, reasoning of the output."""
        rates = self.base
        for above, higher in self.tiers:
            if tokens_input > above:
                rates = higher
        if not (cache_read or cache_write or reasoning):  # nearly every call
            pico = tokens_input * rates.input + tokens_output * rates.output + rates.request
            return (pico + _PICO_PER_NANO // 2) // _PICO_PER_NANO
        read = min(max(0, cache_read), tokens_input)
        write = min(max(0, cache_write), tokens_input - read)
        thought = min(max(0, reasoning), tokens_output)
        pico = (
            (tokens_input - read - write) * rates.input
            + read * rates.cache_read
            + write * rates.cache_write
            + (tokens_output - thought) * rates.output
            + thought * rates.reasoning
            + rates.request
        )
        return (pico + _PICO_PER_NANO // 2) // _PICO_PER_NANO


@dataclass(frozen=True, slots=True)
class Term:
    """When a price is in force: from a day on (since the Unix epoch), or daily between two times, UTC."""

    price: Price
    from_day: int | None = None
    daily_s: tuple[int, int] | None = None

    def holds(self, time_s: float) -> bool:
        """Whether it is in force at this Unix time."""
        if self.from_day is not None:
            return time_s >= self.from_day * DAY_S
        if self.daily_s is None:
            return True
        begin, end = self.daily_s
        second = time_s % DAY_S
        return begin <= second < end if begin <= end else second >= begin or second < end


@dataclass(frozen=True, slots=True)
class Tariff:
    """The prices of one llm: of its terms, the last one that is in force; without terms it is not known."""

    source: PriceSource
    terms: Sequence[Term] = ()

    def at(self, time_s: float) -> Price | None:
        """The price at this Unix time; None if it is not known."""
        if len(self.terms) == 1:
            return self.terms[0].price
        for term in reversed(self.terms):
            if term.holds(time_s):
                return term.price
        return self.terms[0].price if self.terms else None


UNKNOWN = Tariff("unknown")
FREE = Tariff("free", (Term(Price(Rates(0, 0, 0, 0, 0))),))


def pico(usd_per_mtok: float | Decimal) -> int:
    """A rate in USD per million tokens as pico-USD per token."""
    return round(Decimal(str(usd_per_mtok)) * 1_000_000)


def price_of(
    usd_per_mtok_input: float,
    usd_per_mtok_output: float,
    usd_per_mtok_cache_read: float | None = None,
    usd_per_mtok_cache_write: float | None = None,
) -> Price:
    """A price without tiers from USD per million tokens; cached input that is not named costs as input."""
    input_, output = pico(usd_per_mtok_input), pico(usd_per_mtok_output)
    read = input_ if usd_per_mtok_cache_read is None else pico(usd_per_mtok_cache_read)
    write = input_ if usd_per_mtok_cache_write is None else pico(usd_per_mtok_cache_write)
    return Price(Rates(input_, output, read, write, output))
