"""Calls whose pieces an upstream mixes come out one after the other, each whole."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tristar.errors import UpstreamBroken
from tristar.providers.anthropic.streaming import EventReader
from tristar.providers.anthropic.telling import EventWriter
from tristar.providers.dialect import StreamReader
from tristar.providers.neutral import CallPiece, Piece, Usage
from tristar.providers.queue import MAX_HELD_CHARS, CallQueue
from tristar.providers.responses.output import Frame
from tristar.providers.responses.streaming import EventReader as ResponseReader
from tristar.providers.responses.telling import ResponseWriter
from tristar.providers.surface import StreamWriter
from tristar.relay.sse import EventSplitter, data_of, events_in

values = st.recursive(
    st.none() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
arguments = st.just("") | st.dictionaries(st.text(max_size=4), values, max_size=3).map(
    lambda value: msgspec.json.encode(value).decode()
)


@st.composite
def mixtures(draw: st.DrawFn) -> tuple[list[str], list[CallPiece]]:
    """The arguments of some calls, and their pieces: in order for each call, mixed among calls."""
    whole = draw(st.lists(arguments, min_size=1, max_size=4))
    waiting = []
    for index, text in enumerate(whole):
        cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
        bounds = [0, *cuts, len(text)]
        parts = [text[start:end] for start, end in pairwise(bounds)]
        first = CallPiece(index, f"c{index}", "f", parts[0])
        waiting.append([first, *(CallPiece(index, arguments=part) for part in parts[1:])])
    mixed = []
    while waiting:
        pieces = draw(st.sampled_from(waiting))
        mixed.append(pieces.pop(0))
        waiting = [each for each in waiting if each]
    return whole, mixed


@given(mixture=mixtures())
def test_mixed_calls_come_out_whole_and_in_order_of_their_beginning(
    mixture: tuple[list[str], list[CallPiece]],
) -> None:
    """A call begins once, and nothing of it comes after the next one began."""
    whole, pieces = mixture
    queue, told = CallQueue(), list[list[str]]()
    ready = [each for piece in pieces for each in queue.add(piece)] + queue.flush()
    for piece, begins in ready:
        if begins:
            assert piece.name == "f"
            told.append([piece.call_id or "", ""])
        assert piece.index == int(told[-1][0].removeprefix("c"))
        told[-1][1] += piece.arguments
    begun = dict.fromkeys(piece.call_id for piece in pieces if piece.call_id)

    assert told == [[call_id, whole[int(call_id[1:])]] for call_id in begun]


@pytest.mark.parametrize(
    ("make", "reader"),
    [
        (lambda: EventWriter("m1"), EventReader),
        (lambda: ResponseWriter(Frame("resp_1", 0, {})), ResponseReader),
    ],
    ids=["messages", "responses"],
)
@given(mixture=mixtures())
def test_a_stream_with_mixed_calls_is_written_one_call_after_the_other(
    make: Callable[[], StreamWriter],
    reader: Callable[[], StreamReader],
    mixture: tuple[list[str], list[CallPiece]],
) -> None:
    """What a client of the surface gathers is each call with its own arguments."""
    whole, pieces = mixture
    writer = make()
    written = [writer.write(Piece(calls=[piece], is_output=True)) for piece in pieces]
    written += [writer.write(Piece(finish="tool_calls", is_output=True)), writer.end(Usage())]
    heard = gathered(b"".join(written), reader())

    assert heard == {f"c{n}": msgspec.json.decode(text or "{}") for n, text in enumerate(whole)}


def gathered(stream: bytes, reader: StreamReader) -> dict[str, object]:
    """The arguments of the calls of a stream, each by its id."""
    ids: dict[int, str] = {}
    texts: dict[int, str] = {}
    for event in events_in(EventSplitter().feed(stream)):
        for call in reader.read(data_of(event) or b"{}").calls:
            ids[call.index] = call.call_id or ids[call.index]
            texts[call.index] = texts.get(call.index, "") + call.arguments
    return {ids[index]: msgspec.json.decode(text or "{}") for index, text in texts.items()}


def test_calls_that_come_one_after_the_other_wait_for_nothing() -> None:
    """Each piece goes on at once, as most upstreams send them."""
    queue = CallQueue()
    pieces = [
        CallPiece(0, "a", "f", '{"x"'),
        CallPiece(0, arguments=":1}"),
        CallPiece(1, "b", "g"),
        CallPiece(1, arguments="{}"),
    ]

    assert [queue.add(piece) for piece in pieces] == [
        [(pieces[0], True)],
        [(pieces[1], False)],
        [(pieces[2], True)],
        [(pieces[3], False)],
    ]
    assert queue.flush() == []


def test_one_index_may_serve_several_calls() -> None:
    """Some servers number every call 0: a new id with a name is a new call, an id alone is not."""
    queue = CallQueue()
    pieces: Sequence[CallPiece] = [
        CallPiece(0, "a", "f"),
        CallPiece(0, "other", arguments="{}"),
        CallPiece(0, "b", "g"),
    ]
    ready = [each for piece in pieces for each in queue.add(piece)]

    assert [(piece.call_id, begins) for piece, begins in ready] == [
        ("a", True),
        ("other", False),
        ("b", True),
    ]


def test_what_comes_for_a_call_that_is_over_breaks_the_stream() -> None:
    """Its block is closed; white space apart, which means nothing."""
    queue = CallQueue()
    queue.add(CallPiece(0, "a", "f", "{}"))
    queue.add(CallPiece(1, "b", "g"))

    assert queue.add(CallPiece(0, arguments="\n")) == []
    with pytest.raises(UpstreamBroken):
        queue.add(CallPiece(0, arguments="{}"))


def test_what_waits_is_bounded() -> None:
    """A stream that would fill the memory is broken."""
    queue = CallQueue()
    queue.add(CallPiece(0, "a", "f", "{"))
    queue.add(CallPiece(1, "b", "g", " " * MAX_HELD_CHARS))

    with pytest.raises(UpstreamBroken):
        queue.add(CallPiece(1, arguments="x"))


def test_a_call_that_looks_whole_over_and_over_waits_for_the_answers_end() -> None:
    """Text full of closing braces costs no look at each piece."""
    queue = CallQueue()
    queue.add(CallPiece(0, "a", "f", '{"x":"'))
    queue.add(CallPiece(1, "b", "g"))
    for _ in range(100):
        queue.add(CallPiece(0, arguments="}"))
        queue.add(CallPiece(1, arguments=" "))
    queue.add(CallPiece(0, arguments='"}'))

    assert queue.add(CallPiece(1, arguments="{}")) == []
    assert [(piece.index, piece.arguments.strip()) for piece, _ in queue.flush()] == [(1, "{}")]
