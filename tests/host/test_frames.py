"""Frames arrive whole and in order, however the socket cuts them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tristar.audit.draft import Draft
from tristar.exchange import Account, Attempt
from tristar.host.frames import Admit, Close, FromWorker, Hello, Report, Scrape, from_workers, pack

ATTEMPT = Attempt("fast", "openai", "gpt", 0.1, status="success", tokens_input=3, tokens_output=4)
ACCOUNT = Account("/v1/chat", "POST", 200, 0.5, "llm_call", streamed=True, attempts=[ATTEMPT])
FRAMES: list[FromWorker] = [
    Hello(7, "/tmp/x.slots"),
    Close(1, 3, Draft(b'{"seq":', b"}", "id"), ACCOUNT),
    Close(2, -1, None, None),
    Admit(3, "fast"),
    Report("fast", 1, well=False, retry_after_s=2.5),
    Scrape(4, None),
]


@given(
    st.lists(st.sampled_from(range(len(FRAMES))), max_size=10), st.lists(st.integers(0, 5000), max_size=12)
)
def test_any_cut_gives_the_same_frames(order: list[int], cuts: list[int]) -> None:
    """Every field comes through as it was sent."""
    sent = [FRAMES[n] for n in order]
    stream = b"".join(pack(frame) for frame in sent)
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    taken: list[FromWorker] = []
    unpacker = from_workers(taken.append)
    for a, b in pairwise(places):
        unpacker.feed(stream[a:b])

    assert taken == sent


def test_a_peer_that_speaks_something_else_is_refused() -> None:
    """A length beyond the limit is no frame of ours; nothing is allocated for it."""
    with pytest.raises(ValueError, match="a frame of"):
        from_workers(lambda _: None).feed(b"\xff\xff\xff\xff")
