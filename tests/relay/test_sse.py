"""Events are the same however the network cuts the stream."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tristar.relay.sse import EventSplitter, data_of

LINES = st.sampled_from(
    [b"data: {}", b"data: [DONE]", b": comment", b"event: x", b"data:", b"id: 7", b'data: {"a":"\\n"}']
)
EVENTS = st.lists(st.lists(LINES, min_size=1, max_size=3), max_size=6)
ENDINGS = st.sampled_from([b"\n", b"\r\n", b"\r"])


def split(stream: bytes, cuts: list[int]) -> list[bytes]:
    """The stream in pieces."""
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[a:b] for a, b in pairwise(places)]


@given(EVENTS, ENDINGS, st.lists(st.integers(0, 10_000), max_size=20))
def test_every_split_of_a_stream_gives_the_same_events(
    events: list[list[bytes]], ending: bytes, cuts: list[int]
) -> None:
    """Also where a cut separates CR from LF, or one newline from the next."""
    stream = b"".join(ending.join(lines) + ending * 2 for lines in events)
    splitter = EventSplitter()
    found = [event for piece in split(stream, cuts) for event in splitter.feed(piece)]
    if ending == b"\r" and stream:
        found += splitter.feed(b"\n")  # a CR at the end of all may still be half of a CR LF

    assert found == [b"\n".join(lines) + b"\n\n" for lines in events]
    assert not splitter.rest.strip()


@given(st.binary(max_size=200), st.lists(st.integers(0, 1000), max_size=8))
def test_any_bytes_in_any_pieces_give_what_they_give_in_one(stream: bytes, cuts: list[int]) -> None:
    """The splitter has no memory but the unfinished event."""
    whole, parts = EventSplitter(), EventSplitter()
    at_once = whole.feed(stream)
    in_pieces = [event for piece in split(stream, cuts) for event in parts.feed(piece)]

    assert in_pieces == at_once
    assert parts.rest == whole.rest


def test_data_is_what_follows_the_field_name() -> None:
    """One space after the colon belongs to the format; several lines are joined; a comment has none."""
    assert data_of(b"data: {}\n\n") == b"{}"
    assert data_of(b"data:{}\n\n") == b"{}"
    assert data_of(b"event: x\ndata: a\ndata: b\n\n") == b"a\nb"
    assert data_of(b": ping\n\n") is None
