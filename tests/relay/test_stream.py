"""What of an upstream's stream reaches the client, however the network cuts it and whatever is in it."""

import asyncio
from itertools import cycle, pairwise
from typing import cast

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tristar.clock import SystemClock
from tristar.errors import UpstreamFailed
from tristar.exchange import Attempt
from tristar.providers.dialects import OPENAI
from tristar.providers.openai.streaming import ChunkWriter
from tristar.relay.departure import Departure, apart
from tristar.relay.stream import LiveStream
from tristar.relay.transport import Response, Take
from tristar.routing.catalog import Llm, Provider

LLM = Llm("a", Provider("p", "openai", "http://x"), "a")
GOOD = [
    b'{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}',
    '{"choices":[{"index":0,"delta":{"content":"Grüße ☆"},"finish_reason":null}]}'.encode(),
    b'{"choices":[{"index":0,"delta":{"content":" and"},"finish_reason":null}]}',
    b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}',
]
TEXT = "Grüße ☆ and"
BAD = [b"{", b'{"choices":[{"delta":{"content":"br', b"\xff\xfe", b"[" * 5000, b"nonsense", b'{"a":\x00}']


TOLD = {"id": "c", "object": "chat.completion.chunk", "model": "m"}


def chunk(delta: object, **more: object) -> bytes:
    """One chunk of one choice, the first if nothing else is said."""
    choice = {"index": more.pop("index", 0), "delta": delta, "finish_reason": more.pop("finish", None)}
    return msgspec.json.encode(TOLD | {"choices": [choice]} | more)


ALL = [
    *BAD,
    *[chunk({"content": text}) for text in ("one", " ", "", "two\n\ndata: ", "☆")],
    chunk({"content": "x", "refusal": None, "tool_calls": None}, usage=None, error=None),
    chunk({"content": "x"}, model="another"),
    chunk({"content": "x"}, model=None),
    chunk({"content": "x"}, index=1),
    chunk({"content": "x"}, finish="length"),
    chunk({"content": "x"}, error={"message": "overloaded"}),
    msgspec.json.encode(TOLD | {"choices": [{"delta": {"content": "x"}}, {"index": 1, "delta": None}]}),
    chunk({}, finish="length", index=1),
    chunk({"content": "x"}, usage={"prompt_tokens": 3, "completion_tokens": 2}),
    chunk({"content": [{"type": "text", "text": "x"}]}),
    chunk({"reasoning_content": "hm"}),
    chunk({"content": "x", "tool_calls": [{"index": 0, "id": "t", "function": {"name": "f"}}]}),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}),
    chunk(None),
    chunk({"content": 7}),
    chunk("x"),
    msgspec.json.encode(TOLD | {"choices": []}),
    msgspec.json.encode(TOLD | {"choices": None}),
    msgspec.json.encode(TOLD | {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}),
    b'{"error":{"message":"overloaded"}}',
    b"[DONE]",
    b"",
    b"1",
]


class Pieces:
    """A response whose body arrives in these pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]

    async def read(self, departure: Departure, limit: float) -> bytes:
        """See `Response.read`."""
        del departure, limit
        return self._pieces.pop(0) if self._pieces else b""

    async def flow(self, take: Take, departure: Departure, limit: float) -> None:
        """See `Response.flow`: what there is comes at once."""
        while take(await self.read(departure, limit)):
            pass


class Client:
    """Takes what is pushed, or has to be waited for, in turn as `ready` says."""

    def __init__(self, ready: list[bool]) -> None:
        self._ready = cycle(ready)
        self.told = b""

    def push(self, piece: bytes) -> bool:
        """See `Reply.push`."""
        is_ready = next(self._ready)
        if is_ready:
            self.told += piece
        return is_ready

    async def read(self, stream: LiveStream) -> bytes:
        """All that the stream has to say; what came before a failure is in `told`."""
        while (piece := await stream.next(self.push)) is not None:
            assert piece
            self.told += piece
        return self.told


class Slowly(ChunkWriter):
    """Wants to see each event."""

    def passes_texts(self) -> bool:
        """See `StreamWriter.passes_texts`."""
        return False


async def opened(
    pieces: list[bytes], attempt: Attempt, writer: type[ChunkWriter] = ChunkWriter
) -> LiveStream:
    """A stream of these pieces of which the first token has come."""
    clock = SystemClock()
    stream = LiveStream(
        cast("Response", Pieces(pieces)),
        llm=LLM,
        attempt=attempt,
        permit=1,
        departure=apart(asyncio.get_running_loop()),
        clock=clock,
        dialect=OPENAI,
        writer=writer("chatcmpl-1", 0, wants_usage=True),
        passes=True,
        limit=clock.monotonic() + 60,
    )
    await stream.open(clock.monotonic())
    return stream


async def relayed(pieces: list[bytes], ready: list[bool]) -> tuple[bytes, Attempt]:
    """What goes on to the client, and the attempt as it was noted."""
    attempt = Attempt("a", "p", "a", 0.0)
    stream = await opened(pieces, attempt)
    told = await Client(ready).read(stream)
    assert attempt.chunks == 0 or "".join(stream.texts) == TEXT
    assert stream.output_chars == len("".join(stream.texts))
    return told, attempt


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
            told, attempt = await relayed(pieces, [True])
            assert told == wire(GOOD, done=False)
            assert (attempt.chunks, attempt.malformed_chunks) == (4, 1)

    asyncio.run(every())


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from(BAD)), max_size=6),
    st.lists(st.integers(0, 100_000), max_size=20),
    st.booleans(),
    st.lists(st.booleans(), min_size=1, max_size=5),
)
def test_whatever_is_malformed_is_dropped_and_counted(
    bad: list[tuple[int, bytes]],
    cuts: list[int],
    done: bool,
    ready: list[bool],
) -> None:
    """Anywhere, any number, at any split, with and without `[DONE]`, the client ready or not: the good."""
    events = [event for n, good in enumerate(GOOD) for event in [*(b for at, b in bad if at == n), good]]
    trailing = [b for at, b in bad if at == len(GOOD)]
    stream = wire([*events, *trailing], done=done)
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    told, attempt = asyncio.run(relayed([stream[a:b] for a, b in pairwise(places)], ready))

    assert told == wire(GOOD, done=False)
    assert attempt.chunks == len(GOOD)
    assert attempt.malformed_chunks == len(bad)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.sampled_from(ALL), max_size=4),
    st.lists(st.integers(0, 100_000), max_size=3),
    st.integers(0, 1),
    st.booleans(),
)
@example(
    events=[chunk({"content": "x"}), chunk({}, finish="length", index=1)], cuts=[], first_choice=1, ends=False
)
def test_events_that_pass_unseen_are_read_as_any_other(
    events: list[bytes], cuts: list[int], first_choice: int, ends: bool
) -> None:
    """Texts in between may go by in one go: the client, the record and a fallback find the same."""
    first = wire([chunk({"content": "one"}, index=first_choice)], done=False)
    stream = wire([*events, *([GOOD[3]] if ends else [])], done=ends)
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    pieces = [first, *(stream[a:b] for a, b in pairwise(places))]

    async def read(writer: type[ChunkWriter]) -> tuple[object, ...]:
        attempt, client, failure = Attempt("a", "p", "a", 0.0), Client([True]), None
        stream = await opened(pieces, attempt, writer)
        try:
            await client.read(stream)
        except UpstreamFailed as error:
            failure = error
        text = "".join(stream.texts), stream.output_chars, stream.resumable
        attempt.first_token_s = None
        return client.told, attempt, text, stream.usage, stream.finish_reason, str(failure)

    assert asyncio.run(read(ChunkWriter)) == asyncio.run(read(Slowly))


def test_a_stream_that_ends_anywhere_before_its_end_is_a_cut() -> None:
    """At every byte before the last event is whole: an error, never a short answer that looks complete."""
    stream = wire(GOOD, done=False)
    whole = len(stream)

    async def every() -> None:
        for end in range(whole - 1):
            with pytest.raises(UpstreamFailed):
                await relayed([stream[:end]], [True])
        told, _ = await relayed([stream], [True])
        assert told == stream

    asyncio.run(every())


def test_what_came_in_one_piece_with_an_error_goes_before_it() -> None:
    """The text that a fallback would carry on is what the client has, not what was read."""
    error = b'{"error":{"message":"overloaded","type":"server_error"}}'
    client = Client([True])

    async def read() -> LiveStream:
        stream = await opened(
            [wire(GOOD[:2], done=False), wire([GOOD[2], error], done=False)], Attempt("a", "p", "a", 0.0)
        )
        with pytest.raises(UpstreamFailed):
            await client.read(stream)
        return stream

    stream = asyncio.run(read())

    assert client.told == wire(GOOD[:3], done=False)
    assert "".join(stream.texts) == TEXT
