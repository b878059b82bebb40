"""What of an upstream's stream reaches the client, however the network cuts it and whatever is in it."""

import asyncio
from itertools import pairwise
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tristar.clock import SystemClock
from tristar.errors import UpstreamFailed
from tristar.exchange import Attempt
from tristar.providers.dialects import OPENAI
from tristar.providers.openai.streaming import ChunkWriter
from tristar.relay.departure import Departure
from tristar.relay.stream import LiveStream
from tristar.relay.transport import Response
from tristar.routing.catalog import Llm, Provider

LLM = Llm("a", Provider("p", "openai", "http://x"), "a")
GOOD = [
    b'{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}',
    '{"choices":[{"index":0,"delta":{"content":"Grüße ☆"},"finish_reason":null}]}'.encode(),
    b'{"choices":[{"index":0,"delta":{"content":" and"},"finish_reason":null}]}',
    b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}',
]
BAD = [b"{", b'{"choices":[{"delta":{"content":"br', b"\xff\xfe", b"[" * 5000, b"nonsense", b'{"a":\x00}']


class Pieces:
    """A response whose body arrives in these pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]

    async def read(self, departure: Departure, limit: float) -> bytes:
        """See `Response.read`."""
        del departure, limit
        return self._pieces.pop(0) if self._pieces else b""


async def relayed(pieces: list[bytes]) -> tuple[bytes, Attempt]:
    """What goes on to the client, and the attempt as it was noted."""
    attempt = Attempt("a", "p", "a", 0.0)
    clock = SystemClock()
    stream = LiveStream(
        cast("Response", Pieces(pieces)),
        llm=LLM,
        attempt=attempt,
        permit=1,
        departure=Departure(asyncio.get_running_loop()),
        clock=clock,
        dialect=OPENAI,
        writer=ChunkWriter("chatcmpl-1", 0, wants_usage=True),
        passes=True,
        limit=clock.monotonic() + 60,
    )
    await stream.open(clock.monotonic())
    told = []
    while (piece := await stream.next()) is not None:
        told.append(piece)
    return b"".join(told), attempt


def wire(events: list[bytes], *, done: bool = True) -> bytes:
    """As the upstream sends it."""
    return b"".join(b"data: " + event + b"\n\n" for event in [*events, *([b"[DONE]"] if done else [])])


def test_a_stream_cut_at_every_byte_is_the_same_stream() -> None:
    """Two pieces, with the cut at each place in turn, a malformed event amid it, and byte by byte."""
    stream = wire([*GOOD[:2], BAD[1], *GOOD[2:]])

    async def every() -> None:
        splits = [[stream[:at], stream[at:]] for at in range(len(stream) + 1)]
        splits.append([stream[at : at + 1] for at in range(len(stream))])
        for pieces in splits:
            told, attempt = await relayed(pieces)
            assert told == wire(GOOD, done=False)
            assert (attempt.chunks, attempt.malformed_chunks) == (4, 1)

    asyncio.run(every())


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from(BAD)), max_size=6),
    st.lists(st.integers(0, 100_000), max_size=20),
    st.booleans(),
)
def test_whatever_is_malformed_is_dropped_and_counted(
    bad: list[tuple[int, bytes]],
    cuts: list[int],
    done: bool,
) -> None:
    """Anywhere, any number, at any split, with and without `[DONE]`: the client gets the good ones alone."""
    events = [event for n, good in enumerate(GOOD) for event in [*(b for at, b in bad if at == n), good]]
    trailing = [b for at, b in bad if at == len(GOOD)]
    stream = wire([*events, *trailing], done=done)
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    told, attempt = asyncio.run(relayed([stream[a:b] for a, b in pairwise(places)]))

    assert told == wire(GOOD, done=False)
    assert attempt.chunks == len(GOOD)
    assert attempt.malformed_chunks == len(bad)


def test_a_stream_that_ends_anywhere_before_its_end_is_a_cut() -> None:
    """At every byte before the last event is whole: an error, never a short answer that looks complete."""
    stream = wire(GOOD, done=False)
    whole = len(stream)

    async def every() -> None:
        for end in range(whole - 1):
            with pytest.raises(UpstreamFailed):
                await relayed([stream[:end]])
        told, _ = await relayed([stream])
        assert told == stream

    asyncio.run(every())
