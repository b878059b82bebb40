"""What tokens cost, to the last thousand-millionth of a dollar."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from tristar.routing.price import DAY_S, FREE, UNKNOWN, Price, Rates, Tariff, Term, pico, price_of

rates = st.integers(0, 10**9)
tokens = st.integers(0, 10**8)


def test_a_price_is_per_million_tokens() -> None:
    """0.15 USD in, 0.60 USD out."""
    price = price_of(0.15, 0.60)

    assert price.cost_nanousd(1_000_000, 0) == 150_000_000
    assert price.cost_nanousd(1_000, 100) == 150_000 + 60_000
    assert price.cost_nanousd(1, 0) == 150


def test_cached_and_reasoning_tokens_are_parts_and_not_additions() -> None:
    """Of 1000 in, 400 cached and 100 written; of 50 out, 30 thought."""
    price = Price(Rates(input=1000, output=10_000, cache_read=100, cache_write=1250, reasoning=20_000))
    pico_usd = 500 * 1000 + 400 * 100 + 100 * 1250 + 20 * 10_000 + 30 * 20_000

    assert price.cost_nanousd(1000, 50, 400, 100, 30) == pico_usd // 1000


def test_cached_input_without_a_price_of_its_own_costs_as_input() -> None:
    """No discount is invented."""
    assert price_of(2, 8).cost_nanousd(100, 0, 50, 50) == price_of(2, 8).cost_nanousd(100, 0)


@given(st.tuples(rates, rates, rates, rates), st.tuples(tokens, tokens, tokens, tokens))
def test_the_cost_is_the_exact_one_rounded_once(
    priced: tuple[int, int, int, int], used: tuple[int, int, int, int]
) -> None:
    """Against fractions; parts that exceed the whole count as the whole."""
    inward, out, read, written = priced
    n_in, n_out, n_read, n_written = used
    read_tokens = min(n_read, n_in)
    written_tokens = min(n_written, n_in - read_tokens)
    plain_tokens = n_in - read_tokens - written_tokens
    exact = plain_tokens * inward + read_tokens * read + written_tokens * written + n_out * out
    cost = Price(Rates(inward, out, read, written, out)).cost_nanousd(*used)

    assert abs(cost - Fraction(exact, 1000)) <= Fraction(1, 2)


@given(st.decimals(0, 1000, allow_nan=False, places=6))
def test_rates_are_exact_to_six_decimals(usd: object) -> None:
    """What an operator writes is what is charged."""
    assert pico(float(str(usd))) == Fraction(str(usd)) * 10**6


def test_a_long_prompt_pays_its_tier_for_all_of_its_tokens() -> None:
    """At the threshold not yet, one token above it for everything."""
    cheap, dear = Rates(1000, 2000, 1000, 1000, 2000), Rates(2000, 3000, 2000, 2000, 3000)
    price = Price(cheap, ((200_000, dear),))

    assert price.cost_nanousd(200_000, 10) == 200_000 + 20
    assert price.cost_nanousd(200_001, 10) == 400_002 + 30


def test_the_last_term_in_force_is_the_price() -> None:
    """From a day on; daily between two times, over midnight too."""
    usual, later, nightly = price_of(1, 1), price_of(2, 2), price_of(0.5, 0.5)
    tariff = Tariff("list", (Term(usual), Term(later, from_day=100), Term(nightly, daily_s=(82_800, 3_600))))

    assert tariff.at(99 * DAY_S + 50_000) is usual
    assert tariff.at(100 * DAY_S + 50_000) is later
    assert tariff.at(100 * DAY_S + 3_599) is nightly
    assert tariff.at(100 * DAY_S + 3_600) is later
    assert tariff.at(100 * DAY_S + 82_800) is nightly


def test_what_is_not_known_is_not_free() -> None:
    """And what is free is known."""
    assert UNKNOWN.at(0) is None
    free = FREE.at(0)
    assert free is not None
    assert free.cost_nanousd(1000, 1000) == 0
