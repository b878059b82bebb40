"""Clients that leave, and clients that read slowly."""

import asyncio
import socket
import time
from collections.abc import Callable

import httpx
import pytest
from tests.gateway import assert_books_balance, document, llm, provider
from tests.gateway.fixtures import StartGateway
from tests.gateway.house import House, Lane
from tests.gateway.view import CHAT, MESSAGES, Surface, look, request_bytes
from tests.upstream import Answer, Call, Gate, Hang, Stall, Status, Step, Upstream, Wire

MB = 1024 * 1024


def leave(house: House, lane: Lane, when: Callable[[], bool], *, stream: bool) -> Call:
    """Ask, wait until `when`, vanish; the upstream's call once it knows."""
    with socket.create_connection(("127.0.0.1", house.gateway.port), timeout=10) as sock:
        sock.sendall(request_bytes(lane.alone, stream=stream))
        house.primary.journal.wait(when)
    left_s = time.monotonic()
    house.primary.journal.wait(lambda: lane.calls()[0].ended)
    call = lane.calls()[0]

    assert call.gone_s is not None, "the upstream was not told"
    assert call.gone_s - left_s < 5.0  # at once, on a busy machine; the answer would have taken for ever
    return call


def cancelled(house: House) -> float:
    """Requests that were counted as 499."""
    return house.gateway.scrape().value("ailinux_request_count", status="499")


@pytest.mark.parametrize(
    ("stream", "step", "events"),
    [
        (False, Hang(), 0),
        (True, Hang(), 0),
        (True, Answer(fault=Stall(after=0)), 0),
        (True, Answer(fault=Stall(after=3)), 3),
        (False, Answer(wire=Wire(split_bytes=50, piece_gap_s=0.05)), 0),
    ],
    ids=[
        "before-headers",
        "before-headers-streamed",
        "before-the-first-token",
        "amid-the-stream",
        "amid-the-body",
    ],
)
def test_the_upstream_is_cancelled_at_once(
    house: House, lane: Lane, step: Step, events: int, *, stream: bool
) -> None:
    """Recorded as `cancelled`, counted as 499, the attempt as `cancelled`."""
    before = cancelled(house)
    lane.on(step)
    leave(house, lane, lambda: bool(lane.calls()) and lane.calls()[0].events_sent >= events, stream=stream)
    house.primary.journal.wait(lambda: cancelled(house) == before + 1)
    records = [
        record for record in house.gateway.records() if record.details.get("model_asked") == lane.alone
    ]

    assert len(lane.calls()) == 1
    assert [(record["outcome"], record["status"]) for record in records] == [("cancelled", 499)]
    assert records[0].statuses == ["cancelled"]
    assert house.gateway.scrape().value("ailinux_llm_calls_total", model=lane.model, status="cancelled") == 1


def test_tokens_so_far_are_counted_and_marked(house: House, lane: Lane) -> None:
    """After a disconnect they are estimates and say so."""
    before = cancelled(house)
    lane.on(Answer(words=("word " * 20,) * 10, fault=Stall(after=6)))
    leave(house, lane, lambda: bool(lane.calls()) and lane.calls()[0].events_sent >= 6, stream=True)
    house.primary.journal.wait(lambda: cancelled(house) == before + 1)
    record = next(
        record for record in house.gateway.records() if record.details.get("model_asked") == lane.alone
    )

    assert record.details["tokens_source"] == "estimated"
    assert record.details["tokens_output"] > 50


def test_a_client_that_leaves_while_we_wait_to_retry_ends_the_waiting(house: House, lane: Lane) -> None:
    """No further attempt is made for nobody."""
    before = cancelled(house)
    lane.on(Status(429, retry_after="20"))
    with socket.create_connection(("127.0.0.1", house.gateway.port), timeout=10) as sock:
        sock.sendall(request_bytes(lane.alone, stream=False))
        house.primary.journal.wait(lambda: bool(lane.calls()) and lane.calls()[0].ended)
    house.primary.journal.wait(lambda: cancelled(house) == before + 1)

    assert len(lane.calls()) == 1


async def test_the_sdk_closes_a_stream(house: House, lane: Lane) -> None:
    """`await stream.close()` is enough."""
    gate = Gate()
    lane.on(Answer(gate=gate, gate_at=3))
    async with house.gateway.async_client() as client:
        stream = await client.chat.completions.create(
            model=lane.alone, messages=[{"role": "user", "content": "hi"}], stream=True
        )
        await gate.reached()
        await stream.close()
        await house.primary.journal.until(lambda: lane.calls()[0].ended)

    assert lane.calls()[0].cancelled


async def test_a_cancelled_task_cancels_its_upstream(house: House, lane: Lane) -> None:
    """The application gave up waiting."""
    lane.on(Hang())
    async with house.gateway.async_client() as client:
        asking = asyncio.create_task(
            client.chat.completions.create(model=lane.alone, messages=[{"role": "user", "content": "hi"}])
        )
        await house.primary.journal.until(lambda: bool(lane.calls()))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await house.primary.journal.until(lambda: lane.calls()[0].ended)

    assert lane.calls()[0].cancelled


def test_a_client_that_half_closes_still_gets_its_answer_or_is_cancelled(house: House, lane: Lane) -> None:
    """Either is right; silence is not."""
    with socket.create_connection(("127.0.0.1", house.gateway.port), timeout=10) as sock:
        sock.sendall(request_bytes(lane.alone, stream=False))
        sock.shutdown(socket.SHUT_WR)
        answer = sock.recv(65536)

    assert answer == b"" or answer.startswith(b"HTTP/1.1 200")


def test_a_finished_answer_is_no_cancellation(house: House, lane: Lane) -> None:
    """The client that leaves after the last byte was served."""
    before = cancelled(house)
    for stream in (False, True):
        look(house.gateway, lane.alone, stream=stream)

    assert cancelled(house) == before


@pytest.mark.parametrize("surface", [CHAT, MESSAGES], ids=lambda surface: surface.path)
def test_a_slow_client_slows_the_upstream(
    gateway: StartGateway, upstream: Upstream, surface: Surface
) -> None:
    """While it does not read, the upstream is held back and memory stays bounded; then all arrives."""
    upstream.default = Answer(words=("x" * 10_000,) * 4_000, wire=Wire(send_buffer_bytes=65_536))
    running = gateway(toml=document(provider("p", upstream.base_url), llm("fast", "p")))
    resident_before = running.resident_bytes()
    streamed = True
    body = surface.ask("fast", streamed)
    transport = httpx.HTTPTransport(socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)])
    with (
        httpx.Client(transport=transport, timeout=30) as http,
        http.stream("POST", running.url + surface.path, json=body) as answer,
    ):
        held_at = _steady(lambda: upstream.journal.calls[0].bytes_sent)
        grown = running.resident_bytes() - resident_before
        received = _count(answer)

    assert held_at < 15 * MB
    assert grown < 20 * MB
    assert received == 4_000
    assert_books_balance(running)


def _count(answer: httpx.Response) -> int:
    """Events with a word, read to the end."""
    return sum(1 for line in answer.iter_lines() if line.startswith("data: {") and "xxxx" in line)


def _steady(value: Callable[[], int]) -> int:
    """The value once it has not moved for 0.5 s."""
    last, since = -1, time.monotonic()
    while time.monotonic() - since < 0.5:
        if value() != last:
            last, since = value(), time.monotonic()
        time.sleep(0.02)
    return last
