"""Which llms are tried, in which order, and which are passed over."""

import pytest
from tests.gateway import Gateway, assert_books_balance, document, llm, provider
from tests.gateway.fixtures import StartGateway
from tests.gateway.house import House, Lane
from tests.gateway.view import look
from tests.upstream import Answer, Status, Upstream, context_length_exceeded


@pytest.fixture
def ladder(gateway: StartGateway, upstream: Upstream) -> Gateway:
    """`small` (8,000 tokens) falls back to `smaller`, then `large`, then `unsaid`."""
    sizes = {"small": 8_000, "smaller": 4_000, "large": 100_000}
    tables = [
        llm(name, "p", context_tokens=size, retries=0) for name, size in sizes.items() if name != "small"
    ]
    return gateway(
        toml=document(
            provider("p", upstream.base_url),
            llm("small", "p", context_tokens=8_000, retries=0, fallbacks=["smaller", "large", "unsaid"]),
            *tables,
            llm("unsaid", "p", retries=0),
        )
    )


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_prompt_too_long_skips_smaller_llms(ladder: Gateway, upstream: Upstream, *, stream: bool) -> None:
    """What is no larger would refuse it too."""
    upstream.on("small", context_length_exceeded())
    view = look(ladder, "small", stream=stream)

    assert view.llm == "large"
    assert [call.model for call in upstream.journal.calls] == ["small", "large"]
    assert_books_balance(ladder)


def test_fallbacks_are_tried_in_order(ladder: Gateway, upstream: Upstream) -> None:
    """Each once, until one answers."""
    for name in ("small", "smaller", "large"):
        upstream.on(name, Status(503))
    view = look(ladder, "small")

    assert view.llm == "unsaid"
    assert [call.model for call in upstream.journal.calls] == ["small", "smaller", "large", "unsaid"]
    assert view.headers["x-tristar-attempts"] == "4"
    assert_books_balance(ladder)


def test_the_clients_own_fallbacks_win(house: House, lane: Lane) -> None:
    """Also when there are none."""
    lane.on(Status(401))
    own = look(house.gateway, lane.alone, fallbacks=[lane.spare_llm])
    none = look(house.gateway, lane.llm, fallbacks=[])

    assert (own.llm, own.text) == (lane.spare_llm, Answer().text)
    assert none.status == 502


def test_a_route_that_names_an_llm_twice_tries_it_once(house: House, lane: Lane) -> None:
    """No loops."""
    lane.on(Status(401))
    view = look(house.gateway, lane.llm, fallbacks=[lane.llm, lane.llm])

    assert view.status == 502
    assert len(lane.calls()) == 1
