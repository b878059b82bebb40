"""Section 9: every query returns data from a real Prometheus that scrapes the real gateway."""

import math

import pytest
from tests.guide.household import Household
from tests.guide.page import GERMAN, statements

QUERIES = [query for block in GERMAN.blocks(9, "promql") for query in statements(block)]


def test_the_guide_still_has_its_four_queries() -> None:
    """To the letter; what follows them in the guide is beside the point here."""
    rates = (
        "rate(ailinux_request_latency_seconds_sum[5m])",
        "rate(ailinux_request_latency_seconds_count[5m])",
    )

    assert QUERIES[:4] == [
        "rate(ailinux_request_count[1m])",
        "sum(increase(ailinux_llm_calls_total[1h])) by (provider)",
        f"avg({' / '.join(rates)})",
        "sum(rate(ailinux_llm_tokens_total[1m])) by (type)",
    ]


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_returns_data(household: Household, query: str) -> None:
    """Above zero, as there is traffic."""
    found = household.shown(f"({query}) > 0")

    assert all(math.isfinite(number) for _, number in found)


def test_the_rates_carry_the_labels_of_the_guide(household: Household) -> None:
    """What a reader groups by is there."""
    rates = household.shown("rate(ailinux_request_count[1m]) > 0")
    providers = household.shown("sum(increase(ailinux_llm_calls_total[1h])) by (provider) > 0")
    types = household.shown("sum(rate(ailinux_llm_tokens_total[1m])) by (type) > 0")

    assert all({"endpoint", "method", "status"} <= labels.keys() for labels, _ in rates)
    assert [labels for labels, _ in providers] == [{"provider": "star"}]
    assert sorted(labels["type"] for labels, _ in types) == ["input", "output"]
