"""How a host fared over time: rates, shares and quantiles from slices, kept over a restart."""

import pytest

from tristar.exchange import Account, Attempt
from tristar.host.chronicle import SPANS, Chronicle, quantile
from tristar.metrics.memories import EMBEDDINGS

START = 1_750_000_000.0


def call(status: int = 200, duration_s: float = 0.2, **told: object) -> Account:
    """One llm call with one attempt."""
    attempt = Attempt("fast", "p", "m", 0.0, tokens_input=30, tokens_output=10, cost_nanousd=2_000_000)
    account = Account("/v1/chat", "POST", status, duration_s, "llm_call", streamed=False, attempts=[attempt])
    for name, value in told.items():
        setattr(account, name, value)
    return account


def fed(slices: int, per_slice: int = 10, step_s: float = 5.0) -> Chronicle:
    """A chronicle with so many slices of so many calls each."""
    chronicle = Chronicle(START)
    for n in range(1, slices + 1):
        for _ in range(per_slice):
            chronicle.take(call())
        chronicle.tick(START + n * step_s, in_flight=3, open_=1)
    return chronicle


def test_a_slice_becomes_a_point() -> None:
    """Per second, as shares, at the pace of an hour; what was at its end as it was."""
    chronicle = Chronicle(START)
    for status in (200, 200, 429, 503):
        chronicle.take(call(status))
    chronicle.tick(START + 5, in_flight=7, open_=2)
    points = chronicle.columns("15m")

    assert points.at == [START + 5]
    assert (points.requests, points.errors) == ([0.8], [0.25])
    assert (points.tokens_in, points.tokens_out) == ([24.0], [8.0])
    assert points.cost == [pytest.approx(4 * 0.002 / 5 * 3600)]
    assert (points.in_flight, points.open) == ([7], [2])


def test_a_slice_in_which_nothing_happened_has_no_share_and_no_quantile() -> None:
    """Zero requests per second, but neither zero errors nor a latency of zero."""
    points = fed(1, per_slice=0).columns("15m")

    assert (points.requests, points.errors, points.p95) == ([0.0], [None], [None])


def test_the_memorys_own_calls_cost_but_are_no_requests() -> None:
    """An embedding llm that is away shows no error that a client had."""
    chronicle = Chronicle(START)
    chronicle.take(call(503, endpoint=EMBEDDINGS))
    chronicle.tick(START + 5, in_flight=0, open_=0)
    points = chronicle.columns("15m")

    assert (points.requests, points.errors, points.p95) == ([0.0], [None], [None])
    assert points.tokens_in == [6.0]


@pytest.mark.parametrize(
    ("endpoint", "counted"),
    [("/v1/memory", 1), ("/mcp", 1), ("/v1/models", 0), ("/admin/history", 0), ("/console", 0)],
)
def test_what_operators_look_at_is_not_the_traffic(endpoint: str, counted: int) -> None:
    """Watching does not show as requests."""
    chronicle = Chronicle(START)
    chronicle.take(call(endpoint=endpoint, action="request"))

    assert chronicle.lately(START + 5, 10).requests == counted


def test_every_span_is_bounded_and_counts_everything_once() -> None:
    """A week of slices: coarse ones hold the sum of the fine ones, and no more of them are kept than said."""
    chronicle = fed(130_000, per_slice=1)
    for span, (step_s, length) in SPANS.items():
        points = chronicle.columns(span)

        assert length <= len(points.at) <= length + 1
        assert points.requests[-2] == pytest.approx(0.2)
        assert points.at[-2] - points.at[-3] == step_s


def test_lately_includes_what_just_ended() -> None:
    """A figure does not wait for the end of a slice."""
    chronicle = fed(20)
    chronicle.take(call(500))
    lately = chronicle.lately(START + 101, 10)

    assert lately.errors == 1
    assert 20 <= lately.requests - 1 <= 30
    assert 10 <= lately.seconds <= 16


def test_a_gap_shows_as_a_point_without_values() -> None:
    """Lines are not drawn over the time in which the gateway was down."""
    chronicle = fed(3)
    again = Chronicle(START + 600)
    again.restore(chronicle.dump(), START + 600)
    again.take(call())
    again.tick(START + 605, in_flight=0, open_=0)
    points = again.columns("15m")

    assert points.at == [START + 5, START + 10, START + 15, START + 600, START + 605]
    assert points.requests[3:] == [None, 0.2]


def test_what_is_too_old_is_not_restored() -> None:
    """After a day off the quarter of an hour is empty, and the week is not."""
    chronicle = fed(1000)
    again = Chronicle(START + 90_000)
    again.restore(chronicle.dump(), START + 90_000)

    assert again.columns("15m").at == []
    assert again.columns("4h").at == []
    assert len(again.columns("7d").at) == len(chronicle.columns("7d").at)


@pytest.mark.parametrize("raw", [b"", b"\x00", b"no such thing", b"\x81\xa315m\x91\x91\xa1x"])
def test_what_is_no_history_is_refused(raw: bytes) -> None:
    """As ValueError, which the start survives."""
    with pytest.raises(ValueError, match=r"."):
        Chronicle(START).restore(raw, START)


def test_a_clock_that_is_set_back_loses_a_slice_and_no_more() -> None:
    """Time goes on from where the clock is now."""
    chronicle = fed(2)
    chronicle.tick(START - 3600, in_flight=0, open_=0)
    chronicle.take(call())
    chronicle.tick(START - 3595, in_flight=0, open_=0)

    assert chronicle.columns("15m").requests[-1] == 0.2


@pytest.mark.parametrize(
    ("share", "counts", "expected"),
    [
        (0.5, [10], 0.0025),
        (0.5, [0, 10], 0.0075),
        (0.95, [90, 10], 0.0075),
        (0.95, [1] + [0] * 14 + [9], 300.0),
        (0.5, [0] * 16, None),
    ],
)
def test_quantiles_are_those_of_prometheus(share: float, counts: list[int], expected: float | None) -> None:
    """Linear within a bucket, from 0 in the lowest, the highest finite bound beyond it."""
    assert quantile(share, (counts + [0] * 16)[:16]) == expected
