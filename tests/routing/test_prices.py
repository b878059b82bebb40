"""Where prices come from, and that they are those of the published list."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage, calc_price

from tristar.clock import ManualClock
from tristar.exchange import Attempt
from tristar.providers.registry import KNOWN, KnownProvider
from tristar.routing.catalog import Llm, Provider
from tristar.routing.price import FREE, UNKNOWN, Tariff, Term, price_of
from tristar.routing.pricelist import look_up
from tristar.routing.prices import Prices, is_private

OPENAI = Provider("openai", "openai", "https://api.openai.com/v1")
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
LISTED = [
    ("https://api.openai.com/v1", "gpt-4o-mini"),
    ("https://api.openai.com/v1", "gpt-5"),
    ("https://api.anthropic.com/v1", "claude-sonnet-4-5"),
    ("https://generativelanguage.googleapis.com/v1beta/openai", "gemini-2.5-pro"),
    ("https://api.mistral.ai/v1", "mistral-large-latest"),
    ("https://api.groq.com/openai/v1", "llama-3.3-70b-versatile"),
    ("https://openrouter.ai/api/v1", "openai/gpt-4o"),
    ("https://api.deepseek.com/v1", "deepseek-chat"),
    ("https://api.x.ai/v1", "grok-4"),
]


def llm(provider: Provider = OPENAI, **told: object) -> Llm:
    """One llm."""
    return Llm(**({"llm_id": "fast", "provider": provider, "model": "gpt-4o-mini"} | told))  # type: ignore[arg-type]  # test values


class Listed:
    """A price list that counts who asks."""

    def __init__(self, tariff: Tariff) -> None:
        self.tariff = tariff
        self.asked: list[tuple[str, str | None, str]] = []

    def look_up(self, base_url: str, price_list: str | None, model: str) -> Tariff:
        """As the published list's `look_up`."""
        self.asked.append((base_url, price_list, model))
        return self.tariff


@pytest.mark.parametrize(("base_url", "model"), LISTED)
@pytest.mark.parametrize("usage", [(1_000, 100, 0), (150_000, 20_000, 40_000), (250_000, 9_999, 100_000)])
def test_costs_are_those_of_the_list(base_url: str, model: str, usage: tuple[int, int, int]) -> None:
    """The same as the library's own arithmetic, tiers and cached tokens included."""
    n_in, n_out, n_read = usage
    price = look_up(base_url, None, model).at(NOON.timestamp())
    theirs = calc_price(
        Usage(input_tokens=n_in, output_tokens=n_out, cache_read_tokens=n_read),
        model,
        provider_api_url=base_url,
        genai_request_timestamp=NOON,
    )
    assert price is not None
    cost = price.cost_nanousd(n_in, n_out, n_read)

    assert abs(cost - theirs.total_price * 10**9) <= Decimal("0.5")


@pytest.mark.parametrize("hour", range(24))
def test_prices_that_change_with_the_hour_do(hour: int) -> None:
    """DeepSeek's, hour by hour."""
    at = NOON.replace(hour=hour, minute=35)
    price = look_up("https://api.deepseek.com/v1", None, "deepseek-chat").at(at.timestamp())
    theirs = calc_price(
        Usage(input_tokens=10**6),
        "deepseek-chat",
        provider_id="deepseek",
        genai_request_timestamp=at,
    )

    assert price is not None
    assert price.cost_nanousd(10**6, 0) == theirs.total_price * 10**9


def test_what_is_not_listed_is_unknown() -> None:
    """An address, a list and a model that nobody knows."""
    assert look_up("https://llm.example.com/v1", None, "gpt-4o-mini") is UNKNOWN
    assert look_up("https://api.openai.com/v1", "no-such-list", "gpt-4o-mini") is UNKNOWN
    assert look_up("https://api.openai.com/v1", None, "no-such-model") is UNKNOWN


def test_a_provider_may_name_its_list() -> None:
    """A relay of one's own in front of OpenAI costs what OpenAI costs."""
    relayed = look_up("http://10.0.0.1/v1", "openai", "gpt-4o-mini")

    assert relayed == look_up("https://api.openai.com/v1", None, "gpt-4o-mini")
    assert relayed.source == "list"


async def test_the_table_of_an_llm_wins_and_no_list_is_read() -> None:
    """Nor for the built-in echo, nor for a private address."""
    listed = Listed(UNKNOWN)
    prices = Prices(ManualClock(), listed.look_up)
    own = price_of(3, 4)
    configured = prices.tariff(llm(price=own))

    assert configured == Tariff("configured", (Term(own),))
    assert prices.tariff(llm(Provider("echo", "echo", "builtin:echo"))) is FREE
    assert prices.tariff(llm(Provider("local", "openai", "http://127.0.0.1:8000/v1"))) is UNKNOWN
    assert listed.asked == []


async def test_a_list_is_read_once_per_model_whoever_asks() -> None:
    """Ten at once are one look; another llm of the same model is none."""
    listed = Listed(Tariff("list", (Term(price_of(1, 2)),)))
    prices = Prices(ManualClock(), listed.look_up)
    one = llm()
    assert prices.tariff(one) is None
    learnt = await asyncio.gather(*(prices.learn(one) for _ in range(10)))

    assert learnt == [listed.tariff] * 10
    assert prices.tariff(llm(llm_id="other")) is listed.tariff
    assert prices.tariff(one) is listed.tariff
    assert len(listed.asked) == 1


async def test_an_attempt_is_charged_at_the_price_of_its_time() -> None:
    """And one whose price is not known is marked, at no cost."""
    clock = ManualClock()
    prices = Prices(clock, Listed(UNKNOWN).look_up)
    known, unknown = llm(price=price_of(1, 2)), llm(llm_id="other")
    await prices.learn(unknown)
    attempts = [Attempt("fast", "openai", "m", 0.0, tokens_input=10, tokens_output=5) for _ in range(2)]
    for each, attempt in zip((known, unknown), attempts, strict=True):
        prices.charge(each, attempt)

    assert [(attempt.price, attempt.cost_nanousd) for attempt in attempts] == [
        ("configured", 20_000),
        ("unknown", 0),
    ]


async def test_a_reloaded_price_holds_for_the_next_request() -> None:
    """The llm is another one then, under the same name."""
    prices = Prices(ManualClock(), Listed(UNKNOWN).look_up)
    before, after = price_of(1, 2), price_of(3, 4)

    assert prices.now(llm(price=before)) is before
    assert prices.now(llm(price=after)) is after


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_known_providers_are_asked_for_and_local_ones_are_not(known: KnownProvider) -> None:
    """Only an operator's own server has a private address."""
    provider = Provider(
        known.name, "openai", known.base_url.replace("{AZURE_OPENAI_ENDPOINT}", "https://a.b")
    )

    assert is_private(provider) is known.is_server


def test_nothing_loads_the_list_before_a_price_is_asked_for() -> None:
    """It takes 40 ms and 13 MB: neither the start nor a gateway without public providers pays that."""
    program = (
        "import sys, tristar.app, tristar.gateway, tristar.routing.prices\n"
        "print([name for name in sys.modules if name.startswith('genai_prices')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)

    assert done.stdout == "[]\n"
