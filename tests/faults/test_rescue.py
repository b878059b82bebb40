"""A stream cut after output was sent, and a fallback that can carry it on."""

import pytest
from tests.faults.verdicts import BUSY_S
from tests.gateway import Gateway, assert_books_balance, document, llm, provider
from tests.gateway.fixtures import StartGateway
from tests.gateway.view import View, look
from tests.upstream import Answer, Cut, Hang, Stall, Status, Upstream

WORDS = Answer().words
FAULTS = pytest.mark.parametrize(
    "fault", [Cut(after=4), Cut(after=4, how="rst"), Stall(after=4)], ids=["fin", "rst", "stall"]
)


def pair(
    gateway: StartGateway, one: Upstream, other: Upstream, *, prefill: bool = False, guarantee: str = "live"
) -> Gateway:
    """A gateway whose llm `main` is served by `one` and falls back to `spare`, served by `other`."""
    times = {"timeout_s": 5, "first_token_timeout_s": 1, "idle_timeout_s": 0.5, "retries": 0}
    return gateway(
        toml=document(
            provider("one", one.base_url),
            provider("other", other.base_url),
            llm("main", "one", fallbacks=["spare"], stream_guarantee=guarantee, **times),
            llm("spare", "other", prefill=prefill, **times),
        )
    )


def assert_rescued(running: Gateway, view: View) -> None:
    """The client has one whole answer, each word once; both attempts are in the record."""
    record = running.record_of(view.trace_id)

    assert view.complete
    assert view.done
    assert view.text == Answer().text
    assert record.statuses[0] in {"error", "timeout"}
    assert record.statuses[-1] == "success"
    assert record["outcome"] == "success"
    assert record["status"] == 200
    assert_books_balance(running)


@FAULTS
def test_a_fallback_with_prefill_streams_the_remainder(
    gateway: StartGateway, upstream: Upstream, fault: Cut | Stall
) -> None:
    """It gets the text so far as a trailing assistant message."""
    with Upstream(default=Answer(words=WORDS[3:])) as other:
        upstream.default = Answer(fault=fault)
        running = pair(gateway, upstream, other, prefill=True)
        view = look(running, "main", stream=True)

        assert_rescued(running, view)
        assert other.journal.calls[0].json["messages"][-1] == {
            "role": "assistant",
            "content": "Three stars guide",
        }


@FAULTS
def test_a_refused_prefill_is_not_what_the_client_sees(
    gateway: StartGateway, upstream: Upstream, fault: Cut | Stall
) -> None:
    """The fallback is asked again from the start."""
    with Upstream() as other:
        other.on("spare", Status(400), Answer())
        upstream.default = Answer(fault=fault)
        running = pair(gateway, upstream, other, prefill=True)
        view = look(running, "main", stream=True)

        assert_rescued(running, view)


@FAULTS
def test_a_restart_that_begins_the_same_streams_the_rest(
    gateway: StartGateway, upstream: Upstream, fault: Cut | Stall
) -> None:
    """What was already sent is not sent twice."""
    with Upstream() as other:
        upstream.default = Answer(fault=fault)
        running = pair(gateway, upstream, other)
        view = look(running, "main", stream=True)

        assert_rescued(running, view)
        assert other.journal.calls[0].json["messages"][-1]["role"] == "user"


@FAULTS
def test_a_restart_that_begins_otherwise_ends_in_an_error_event(
    gateway: StartGateway, upstream: Upstream, fault: Cut | Stall
) -> None:
    """No `[DONE]`, and no word of the other answer."""
    with Upstream(default=Answer(words=("Something", " else", "."))) as other:
        upstream.default = Answer(fault=fault)
        running = pair(gateway, upstream, other)
        view = look(running, "main", stream=True)

        assert view.error is not None
        assert not view.done
        assert view.text == "Three stars guide"
        assert running.record_of(view.trace_id)["outcome"] == "error"
        assert_books_balance(running)


def test_a_fallback_that_hangs_leaves_an_error_event(gateway: StartGateway, upstream: Upstream) -> None:
    """The rescue is bounded too."""
    with Upstream(default=Hang()) as other:
        upstream.default = Answer(fault=Cut(after=4))
        running = pair(gateway, upstream, other)
        view = look(running, "main", stream=True)

        assert view.error is not None
        assert not view.done
        assert view.seconds < 1 + BUSY_S
        assert_books_balance(running)


@FAULTS
def test_whole_streams_are_always_rescued(
    gateway: StartGateway, upstream: Upstream, fault: Cut | Stall
) -> None:
    """`stream_guarantee = "whole"`: nothing was sent, so any other answer will do."""
    with Upstream(default=Answer(words=("Something", " else", "."))) as other:
        upstream.default = Answer(fault=fault)
        running = pair(gateway, upstream, other, guarantee="whole")
        view = look(running, "main", stream=True)

        assert view.complete
        assert view.done
        assert view.text == "Something else."
        assert_books_balance(running)


def test_the_usage_of_a_rescued_stream_is_the_sum_of_both_parts(
    gateway: StartGateway, upstream: Upstream
) -> None:
    """In the usage chunk as in the books."""
    with Upstream(default=Answer(words=WORDS[3:], tokens=(20, 3))) as other:
        upstream.default = Answer(fault=Cut(after=4))
        running = pair(gateway, upstream, other, prefill=True)
        view = look(running, "main", stream=True, stream_options={"include_usage": True})
        details = running.record_of(view.trace_id).details

        assert view.usage is not None
        assert view.usage["completion_tokens"] == details["tokens_output"]
        assert details["tokens_output"] > 3
        assert_books_balance(running)
