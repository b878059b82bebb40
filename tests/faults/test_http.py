"""Everything that HTTP/1.1 allows an upstream to do, and some that it does all the same."""

import socket

import pytest
from tests.gateway.house import House, Lane
from tests.gateway.view import look
from tests.upstream import Answer, Raw, Wire
from tests.upstream.stage import Stage
from tests.upstream.wire import INFORMATIONAL, huge_headers

WIRES = {
    "plain": Wire(),
    "chunked": Wire(framing="chunked"),
    "length": Wire(framing="length"),
    "close": Wire(framing="close"),
    "every-byte": Wire(split_bytes=1),
    "every-byte-chunked": Wire(split_bytes=1, framing="chunked", extensions=True, trailers=(("x-t", "1"),)),
    "sevens": Wire(split_bytes=7, framing="close"),
    "informational": Wire(preface=INFORMATIONAL),
    "extensions-and-trailers": Wire(
        framing="chunked", extensions=True, trailers=(("x-a", "1"), ("x-b", "2"))
    ),
    "closed-afterwards": Wire(afterwards="close"),
    "half-closed": Wire(framing="close", afterwards="half_close"),
    "large-headers": Wire(headers=huge_headers(16_000)),
    "slow": Wire(split_bytes=300, piece_gap_s=0.02),
}


class Pushing:
    """A good answer, and behind it in the same segment one that nobody asked for."""

    async def play(self, stage: Stage) -> None:
        """Send both; keep the connection."""
        good = Answer(words=("right",)).body(stage.call)
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(good)
        evil = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"
        await Raw(head + good + evil, then="keep").play(stage)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", WIRES)
def test_an_answer_is_whole_however_it_travels(house: House, lane: Lane, name: str, *, stream: bool) -> None:
    """Twice in a row, so that the connection's state afterwards is right too; one attempt each."""
    lane.on(Answer(wire=WIRES[name]))
    views = [look(house.gateway, lane.alone, stream=stream) for _ in range(2)]

    assert [view.text for view in views] == [Answer().text] * 2
    assert all(view.complete for view in views)
    assert all(view.done for view in views) or not stream
    assert [house.gateway.record_of(view.trace_id).statuses[-1] for view in views] == ["success"] * 2
    assert len([call for call in lane.calls() if not call.cancelled]) == 2


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_the_keep_alive_race_is_not_the_clients_problem(house: House, lane: Lane, *, stream: bool) -> None:
    """A connection that the upstream closes as we write to it: another is used, at once."""
    lane.on(Answer(wire=Wire(afterwards="close_on_next")))
    views = [look(house.gateway, lane.alone, stream=stream) for _ in range(6)]

    assert all(view.complete for view in views)
    assert all(view.llm == lane.alone for view in views)
    assert house.gateway.scrape().value("ailinux_circuit_breaker_state", llm_id=lane.alone) == 0


def test_idle_connections_that_the_upstream_closed_are_not_used(house: House, lane: Lane) -> None:
    """As after a server's keep-alive timeout or restart."""
    before = look(house.gateway, lane.alone)
    house.primary.drop_idle()
    house.primary.journal.wait(lambda: house.primary.journal.open_connections() == 0)
    after = look(house.gateway, lane.alone)

    assert before.complete
    assert after.complete
    assert after.headers["x-tristar-attempts"] == "1"


def test_connections_are_used_again(house: House, lane: Lane) -> None:
    """Twenty requests one after the other need no more than one connection per worker."""
    for _ in range(20):
        look(house.gateway, lane.alone)

    assert len({call.connection for call in lane.calls()}) <= house.gateway.workers


def test_headers_without_end_are_refused(house: House, lane: Lane) -> None:
    """A megabyte of headers is an attack or a defect: 502, bounded memory."""
    lane.on(Answer(wire=Wire(headers=huge_headers(1_000_000))))
    view = look(house.gateway, lane.alone)

    assert view.status == 502
    assert house.gateway.record_of(view.trace_id)["outcome"] == "error"


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n2\r\n{}\r\n0\r\n\r\n!!",
        b"HTTP/1.1 999 Strange\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 15\r\n\r\n<h1>welcome</h1",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ],
    ids=["two-lengths", "negative", "bad-chunk", "both", "999", "empty", "204", "html", "101"],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_nonsense_is_an_error_and_never_a_200(house: House, lane: Lane, data: bytes, *, stream: bool) -> None:
    """The client gets 5xx in the envelope; the gateway goes on."""
    lane.on(Raw(data))
    view = look(house.gateway, lane.alone, stream=stream)

    assert 500 <= view.status < 600
    assert view.error is not None
    assert house.gateway.record_of(view.trace_id)["outcome"] == "error"


def test_a_pushed_second_answer_is_given_to_nobody(house: House, lane: Lane) -> None:
    """Bytes after the answer belong to no request: response splitting must not reach the next one."""
    lane.on(Pushing(), Answer())
    views = [look(house.gateway, lane.alone) for _ in range(3)]

    assert views[0].text in {"right", Answer().text}
    assert [view.text for view in views[1:]] == [Answer().text] * 2
    assert not any(b"evil" in view.body for view in views)


def test_two_requests_in_one_segment_are_both_answered(house: House, lane: Lane) -> None:
    """A client may pipeline; answers come in order."""
    lane.on(Answer(words=("first",)), Answer(words=("second",)))
    body = b'{"model":"%s","messages":[{"role":"user","content":"hi"}]}' % lane.alone.encode()
    one = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    data = b""
    with socket.create_connection(("127.0.0.1", house.gateway.port), timeout=5) as sock:
        sock.sendall(one + one)
        while b"second" not in data:
            data += sock.recv(65536)

    assert data.index(b"first") < data.index(b"second")
