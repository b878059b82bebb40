"""Events are the same however the network cuts the stream."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tristar.relay.sse import EventSplitter, data_lines, data_of, event_of, events_in

LINES = st.sampled_from(
    [b"data: {}", b"data: [DONE]", b": comment", b"event: x", b"data:", b"id: 7", b'data: {"a":"\\n"}']
)
EVENTS = st.lists(st.lists(LINES, min_size=1, max_size=3), max_size=6)
PARTS = st.sampled_from([b"data: ", b"data: {}", b"data:", b"\n", b"\n\n", b"\r\n", b"\r", b": x", b"id: 7"])
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
    found = [event for piece in split(stream, cuts) for event in events_in(splitter.feed(piece))]
    if ending == b"\r" and stream:
        found += events_in(splitter.feed(b"\n"))  # a CR at the end of all may still be half of a CR LF

    assert found == [b"\n".join(lines) + b"\n\n" for lines in events]
    assert not splitter.rest.strip()


@given(st.binary(max_size=200), st.lists(st.integers(0, 1000), max_size=8))
def test_any_bytes_in_any_pieces_give_what_they_give_in_one(stream: bytes, cuts: list[int]) -> None:
    """The splitter has no memory but the unfinished event."""
    whole, parts = EventSplitter(), EventSplitter()
    at_once = events_in(whole.feed(stream))
    in_pieces = [event for piece in split(stream, cuts) for event in events_in(parts.feed(piece))]

    assert in_pieces == at_once
    assert parts.rest == whole.rest


@given(st.one_of(st.binary(max_size=60), st.lists(PARTS, max_size=12).map(b"".join)))
def test_events_of_a_line_each_are_read_in_one_go_as_they_are_one_by_one(stream: bytes) -> None:
    """Both ways give the same data and the same events; where one has more lines, there is one way."""
    block = EventSplitter().feed(stream)
    lines, events = data_lines(block), events_in(block)

    are_lines = all(event.startswith(b"data: ") and event.count(b"\n") == 2 for event in events)
    assert (lines is not None) == (are_lines and b"".join(events) == block != b"")
    if lines is not None:
        assert lines == [data_of(event) for event in events]
        assert event_of(*lines) == block


def test_data_is_what_follows_the_field_name() -> None:
    """One space after the colon belongs to the format; several lines are joined; a comment has none."""
    assert data_of(b"data: {}\n\n") == b"{}"
    assert data_of(b"data:{}\n\n") == b"{}"
    assert data_of(b"event: x\ndata: a\ndata: b\n\n") == b"a\nb"
    assert data_of(b": ping\n\n") is None
