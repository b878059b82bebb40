"""What calls cost, as metrics and audit log tell it: the same, and what nobody knows is never 0."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.gateway import Gateway, assert_books_balance, document, llm, provider
from tests.gateway.fixtures import StartGateway
from tests.gateway.house import watched
from tests.gateway.records import Record
from tests.gateway.view import View, look
from tests.upstream import Answer, Cut, Status, Upstream

PRICE = {"input": 2.0, "output": 10.0, "cache_read": 0.5, "cache_write": 2.5}
CACHED = {
    "prompt_tokens_details": {"cached_tokens": 400, "cache_creation_tokens": 100},
    "completion_tokens_details": {"reasoning_tokens": 30},
}


@dataclass
class Till:
    """A gateway with priced llms, and what it has charged."""

    gateway: Gateway
    upstream: Upstream

    def ask(self, model: str, *, stream: bool = False) -> tuple[View, Record]:
        """One chat and its record."""
        view = look(self.gateway, model, stream=stream)
        return view, self.gateway.record_of(view.trace_id)

    def cost(self, model: str) -> float | None:
        """The model's cost so far; None if there is no such series."""
        series = self.gateway.scrape().series("ailinux_llm_cost_usd_total", model=model)
        return sum(series.values()) if series else None

    def unpriced(self, model: str) -> float:
        """Attempts of the model whose price is not known."""
        return self.gateway.scrape().value("ailinux_llm_unpriced_calls_total", model=model)


@pytest.fixture(scope="module")
def till(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Till]:
    """One gateway with two workers for all tests here."""
    with Upstream() as upstream:
        gateway = Gateway(
            tmp_path_factory.mktemp("till"),
            toml=document(
                provider("p", upstream.base_url),
                provider("relay", upstream.base_url, price_list="openai"),
                *(llm(name, "p", price_usd_per_mtok=PRICE) for name in ("whole", "streamed", "cut")),
                llm("thoughtful", "p", price_usd_per_mtok=PRICE),
                llm("first", "p", price_usd_per_mtok=PRICE, fallbacks=["second"], retries=0),
                llm("second", "p", price_usd_per_mtok={"input": 1.0, "output": 1.0}),
                llm("rough", "p", fallbacks=["second"], retries=0),
                llm("nameless", "p"),
                llm("listed", "relay", model="gpt-4o-mini"),
            ),
            workers=2,
        )
        with watched(gateway):
            yield Till(gateway.start(), upstream)
            assert_books_balance(gateway)


@pytest.mark.parametrize(("model", "stream"), [("whole", False), ("streamed", True)])
def test_every_token_is_paid_once(till: Till, model: str, *, stream: bool) -> None:
    """Cached tokens at their own price and not again as input; reasoning as the output that it is."""
    till.upstream.on(model, Answer(tokens=(1000, 50), usage_parts=CACHED))
    _, record = till.ask(model, stream=stream)
    usd = (500 * 2.0 + 400 * 0.5 + 100 * 2.5 + 50 * 10.0) / 1e6

    assert record.details["cost_usd"] == pytest.approx(usd, abs=1e-12)
    assert record.details["price"] == "configured"
    assert record.attempts[0]["cost_usd"] == record.details["cost_usd"]
    assert till.cost(model) == pytest.approx(usd, abs=1e-12)


def test_reasoning_that_is_told_in_the_total_alone_is_paid(till: Till) -> None:
    """Some providers leave it out of the completion's tokens."""
    till.upstream.on("thoughtful", Answer(tokens=(100, 20), usage_parts={"total_tokens": 150}))
    _, record = till.ask("thoughtful")

    assert record.attempts[0]["tokens_output"] == 50
    assert record.attempts[0]["tokens_reasoning"] == 30
    assert record.details["cost_usd"] == pytest.approx((100 * 2.0 + 50 * 10.0) / 1e6, abs=1e-12)


def test_a_failed_attempt_without_output_costs_nothing(till: Till) -> None:
    """The answer costs what the llm costs that gave it."""
    till.upstream.on("first", Status(500))
    till.upstream.on("second", Answer(tokens=(10, 10)))
    view, record = till.ask("first")

    assert view.llm == "second"
    assert "cost_usd" not in record.attempts[0]
    assert record.details["cost_usd"] == pytest.approx(20 / 1e6, abs=1e-12)
    assert till.cost("first") is None


def test_a_cut_stream_costs_what_was_received(till: Till) -> None:
    """Estimated, and said to be."""
    till.upstream.on("cut", Answer(fault=Cut()))
    _, record = till.ask("cut", stream=True)
    attempt = record.attempts[0]

    assert attempt["tokens_source"] == "estimated"
    tokens = attempt["tokens_input"] * 2.0 + attempt["tokens_output"] * 10.0
    assert attempt["cost_usd"] == pytest.approx(tokens / 1e6, abs=1e-12)


def test_an_unknown_price_is_counted_as_unknown_and_not_as_nothing(till: Till) -> None:
    """No cost in the record, no series of 0 in the metrics, one on the counter of such calls."""
    _, record = till.ask("nameless")

    assert record.details["price"] == "unknown"
    assert record.details["cost_usd"] is None
    assert "cost_usd" not in record.attempts[0]
    assert till.cost("nameless") is None
    assert till.unpriced("nameless") == 1


def test_a_sum_of_which_a_part_is_unknown_says_so(till: Till) -> None:
    """What is known of it is told."""
    till.upstream.on("rough", Answer(fault=Cut()))
    till.upstream.on("second", Answer(tokens=(10, 10)))
    _, record = till.ask("rough", stream=True)
    known = [attempt["cost_usd"] for attempt in record.attempts if "cost_usd" in attempt]

    assert [attempt["price"] for attempt in record.attempts] == ["unknown", "configured"]
    assert record.details["price"] == "unknown"
    assert record.details["cost_usd"] == pytest.approx(sum(known))


def test_a_published_price_needs_no_configuration(till: Till) -> None:
    """The list is read when the first request comes, or before."""
    till.upstream.on("gpt-4o-mini", Answer(tokens=(1_000_000, 0)))
    _, record = till.ask("listed")

    assert record.details["price"] == "list"
    assert record.details["cost_usd"] == pytest.approx(0.15)
    assert till.cost("gpt-4o-mini") == pytest.approx(0.15)


def test_the_built_in_echo_is_free_and_says_so(gateway: StartGateway) -> None:
    """A cost of 0 that is known."""
    running = gateway()
    view = look(running, "echo")
    record = running.record_of(view.trace_id)

    assert (record.details["price"], record.details["cost_usd"]) == ("free", 0)
    assert running.scrape().series("ailinux_llm_cost_usd_total", model="echo")
    assert_books_balance(running)
