"""Each step does on the wire what it says: seen by a plain socket and by the `openai` SDK."""

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import openai
import pytest
from tests.upstream import (
    Answer,
    BlackHole,
    CloseBeforeHeaders,
    ClosedPort,
    Cut,
    Garbage,
    Gate,
    Hang,
    Malformed,
    Mirror,
    ResetBeforeHeaders,
    Stall,
    Status,
    Step,
    ToolCall,
    Upstream,
    Wire,
    context_length_exceeded,
)
from tests.upstream.wire import INFORMATIONAL, huge_headers


@dataclass
class Seen:
    """What a plain client read, and how the connection ended."""

    data: bytes = b""
    end: str = "open"
    pieces: list[bytes] = field(default_factory=list)


def request(model: str = "m", *, stream: bool = False, usage: bool = False) -> bytes:
    """The bytes of one chat completion request."""
    body: dict[str, object] = {
        "model": model,
        "messages": [{"role": "user", "content": "hi"}],
        "stream": stream,
    }
    if usage:
        body["stream_options"] = {"include_usage": True}
    encoded = json.dumps(body).encode()
    return b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (
        len(encoded),
        encoded,
    )


def talk(upstream: Upstream, data: bytes, timeout_s: float = 0.5) -> Seen:
    """Send `data` and read until the end, or until nothing comes for `timeout_s`."""
    seen = Seen()
    with socket.create_connection(("127.0.0.1", upstream.port), timeout=timeout_s) as sock:
        sock.sendall(data)
        try:
            while piece := sock.recv(65536):
                seen.data += piece
                seen.pieces.append(piece)
            seen.end = "fin"
        except ConnectionResetError:
            seen.end = "rst"
        except TimeoutError:
            pass
    return seen


@pytest.fixture
def client(upstream: Upstream) -> Iterator[openai.OpenAI]:
    """The official SDK, straight at the upstream."""
    with openai.OpenAI(base_url=upstream.base_url, api_key="k", max_retries=0) as client:
        yield client


def test_the_sdk_reads_a_whole_answer(upstream: Upstream, client: openai.OpenAI) -> None:
    """Text, usage and the asked model come through."""
    got = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])

    assert got.choices[0].message.content == Answer().text
    assert got.usage is not None
    assert (got.model, got.usage.prompt_tokens, got.usage.completion_tokens) == ("m", 11, 6)
    assert upstream.journal.calls[0].header("authorization") == "Bearer k"


def test_the_sdk_reads_a_stream_with_its_usage(upstream: Upstream, client: openai.OpenAI) -> None:
    """The usage chunk comes last and only when it was asked for."""
    stream = client.chat.completions.create(
        model="m",
        messages=[{"role": "user", "content": "hi"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == Answer().text
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert upstream.journal.calls[0].events_sent == len(chunks)


def test_a_stream_without_include_usage_has_no_usage(upstream: Upstream, client: openai.OpenAI) -> None:
    """As the service itself: no extra chunk."""
    chunks = list(
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}], stream=True)
    )

    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


def test_tools_are_streamed_with_their_arguments_in_parts(upstream: Upstream, client: openai.OpenAI) -> None:
    """Two parallel calls, told apart by their index."""
    tools = (ToolCall("weather", '{"city":"Graz"}', "a"), ToolCall("time", '{"zone":"CET"}', "b"))
    upstream.on("m", Answer(words=(), tools=tools))
    stream = client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "hi"}], stream=True
    )
    arguments = ["", ""]
    finish = None
    for chunk in stream:
        finish = chunk.choices[0].finish_reason or finish
        for call in chunk.choices[0].delta.tool_calls or []:
            assert call.function is not None
            arguments[call.index] += call.function.arguments or ""

    assert arguments == ['{"city":"Graz"}', '{"zone":"CET"}']
    assert finish == "tool_calls"


def test_steps_are_met_in_turn_and_the_last_for_ever(upstream: Upstream, client: openai.OpenAI) -> None:
    """A script per model; other models are not touched by it."""
    upstream.on("m", Status(503), Status(429, retry_after="7"), Answer())
    statuses = []
    for _ in range(4):
        try:
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
            statuses.append(200)
        except openai.APIStatusError as error:
            statuses.append(error.status_code)

    assert statuses == [503, 429, 200, 200]
    assert [call.status for call in upstream.journal.of("m")] == [503, 429, 200, 200]


def test_one_call_can_be_scripted_by_its_number(upstream: Upstream, client: openai.OpenAI) -> None:
    """`at` wins over the model's script."""
    upstream.at(1, context_length_exceeded())

    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert caught.value.code == "context_length_exceeded"


def test_the_mirror_sends_back_what_arrived(upstream: Upstream, client: openai.OpenAI) -> None:
    """Images included."""
    image = "data:image/png;base64,iVBORw0KGgo="
    upstream.on("m", Mirror())
    got = client.chat.completions.create(
        model="m",
        messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": image}}]}],
    )

    assert json.loads(got.choices[0].message.content or "")[0]["image_url"]["url"] == image


@pytest.mark.parametrize(
    ("step", "end", "status"),
    [
        (ResetBeforeHeaders(), "rst", b""),
        (CloseBeforeHeaders(), "fin", b""),
        (Hang(), "open", b""),
        (Garbage(), "fin", b"\x16"),
        (Answer(fault=Stall(after=0)), "open", b"HTTP/1.1 200"),
        (Answer(fault=Cut(after=3)), "fin", b"HTTP/1.1 200"),
        (Answer(fault=Cut(after=3, how="rst")), "rst", b"HTTP/1.1 200"),
        (Answer(fault=Stall(after=3)), "open", b"HTTP/1.1 200"),
        (Answer(wire=Wire(framing="close")), "fin", b"HTTP/1.1 200"),
        (Answer(wire=Wire(afterwards="close")), "fin", b"HTTP/1.1 200"),
        (Answer(wire=Wire(afterwards="half_close")), "fin", b"HTTP/1.1 200"),
        (Answer(), "open", b"HTTP/1.1 200"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_the_connection_ends_as_scripted(
    upstream: Upstream, step: Step, end: str, status: bytes, *, stream: bool
) -> None:
    """FIN, RST or silence, before or after the headers."""
    upstream.on("m", step)
    seen = talk(upstream, request(stream=stream))

    assert seen.end == end
    assert seen.data.startswith(status)
    assert bool(seen.data) == bool(status)


@pytest.mark.parametrize("fault", [Cut(after=3), Stall(after=3)])
def test_a_cut_stream_has_exactly_the_events_before_the_cut(upstream: Upstream, fault: Cut | Stall) -> None:
    """Three whole events, no `[DONE]`, no last chunk."""
    upstream.on("m", Answer(fault=fault))
    seen = talk(upstream, request(stream=True))

    assert seen.data.count(b"data: {") == 3
    assert b"[DONE]" not in seen.data
    assert not seen.data.endswith(b"0\r\n\r\n")
    assert upstream.journal.calls[0].events_sent == 3


def test_a_cut_body_is_shorter_than_announced(upstream: Upstream) -> None:
    """Content-Length says more than is sent."""
    upstream.on("m", Answer(fault=Cut()))
    seen = talk(upstream, request())
    headers, _, body = seen.data.partition(b"\r\n\r\n")

    assert (
        f"content-length: {2 * len(body)}".encode() in headers or f"{2 * len(body) + 1}".encode() in headers
    )


def test_a_malformed_event_stands_between_good_ones(upstream: Upstream) -> None:
    """Only the event that was named is broken."""
    upstream.on("m", Answer(fault=Malformed(at=1, data=b"{oops"), wire=Wire(framing="close")))
    seen = talk(upstream, request(stream=True))
    events = [line[6:] for line in seen.data.split(b"\n") if line.startswith(b"data: ")]

    assert events[1] == b"{oops"
    assert [json.loads(event)["object"] for index, event in enumerate(events[:-1]) if index != 1]
    assert events[-1] == b"[DONE]"


def test_done_can_be_left_out(upstream: Upstream) -> None:
    """A whole stream, properly framed, without its last word."""
    upstream.on("m", Answer(done=False))
    seen = talk(upstream, request(stream=True))

    assert b"[DONE]" not in seen.data
    assert seen.data.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
@pytest.mark.parametrize("split_bytes", [0, 1, 7])
def test_the_sdk_reads_every_framing(
    upstream: Upstream, client: openai.OpenAI, framing: str, split_bytes: int
) -> None:
    """Chunked, counted or delimited by the end, in pieces of any size, with everything HTTP allows."""
    wire = Wire(
        framing=framing,  # type: ignore[arg-type]  # the parameter's values are the literal's
        split_bytes=split_bytes,
        preface=INFORMATIONAL,
        extensions=True,
        trailers=(("x-trailer", "t"),),
    )
    upstream.on("m", Answer(wire=wire))
    stream = client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "hi"}], stream=True
    )

    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == Answer().text


def test_huge_headers_are_as_huge_as_asked(upstream: Upstream) -> None:
    """About 100 kB of header lines."""
    upstream.on("m", Answer(wire=Wire(headers=huge_headers(100_000))))
    seen = talk(upstream, request())

    assert seen.data.index(b"\r\n\r\n") > 100_000


def test_a_gate_holds_the_stream_until_it_is_released(upstream: Upstream, client: openai.OpenAI) -> None:
    """Two events before it, the rest after."""
    gate = Gate()
    upstream.on("m", Answer(gate=gate, gate_at=2))
    stream = client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "hi"}], stream=True
    )
    gate.wait_reached()
    held_at = upstream.journal.calls[0].events_sent
    gate.release()

    assert held_at == 2
    assert len(list(stream)) == 8


def test_the_journal_tells_a_client_that_left_from_one_that_stayed(
    upstream: Upstream, client: openai.OpenAI
) -> None:
    """A closed stream is `cancelled`, and how far it got is known."""
    gate = Gate()
    upstream.on("m", Answer(gate=gate), Answer())
    stream = client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "hi"}], stream=True
    )
    gate.wait_reached()
    stream.close()
    upstream.journal.wait(lambda: upstream.journal.calls[0].ended)
    client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])

    assert upstream.journal.calls[0].cancelled
    assert upstream.journal.calls[0].events_sent == 2
    assert not upstream.journal.calls[1].cancelled


def test_a_client_that_does_not_read_slows_the_upstream(upstream: Upstream) -> None:
    """`bytes_sent` stops at what the buffers hold."""
    upstream.on("m", Answer(words=("x" * 10_000,) * 2_000, wire=Wire(send_buffer_bytes=16_384)))
    with socket.create_connection(("127.0.0.1", upstream.port)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        sock.sendall(request(stream=True))
        upstream.journal.wait(
            lambda: bool(upstream.journal.calls) and upstream.journal.calls[0].events_sent > 1
        )
        steady = _steady(upstream)

    assert steady < 15_000_000


def test_the_keep_alive_race_closes_on_the_second_request(upstream: Upstream) -> None:
    """The first is answered on a connection that looks alive, the second finds it closed."""
    upstream.on("m", Answer(wire=Wire(afterwards="close_on_next")), Answer())
    with socket.create_connection(("127.0.0.1", upstream.port), timeout=2) as sock:
        sock.sendall(request())
        first = sock.recv(65536)
        while not first.endswith(b"}}}"):
            first += sock.recv(65536)
        sock.sendall(request())
        second = _read_or_reset(sock)

    assert first.startswith(b"HTTP/1.1 200")
    assert second == b""
    assert len(upstream.journal.calls) == 1


def test_one_connection_carries_many_calls(upstream: Upstream) -> None:
    """Keep-alive, and pipelined requests are answered in order."""
    seen = talk(upstream, request("one") + request("two"))

    assert seen.data.count(b"HTTP/1.1 200") == 2
    assert seen.data.index(b'"model":"one"') < seen.data.index(b'"model":"two"')
    assert [call.connection for call in upstream.journal.calls] == [1, 1]


def test_down_refuses_and_up_answers_on_the_same_port(upstream: Upstream) -> None:
    """For breakers: an upstream that is away and comes back."""
    before = talk(upstream, request())
    upstream.go_down()
    with pytest.raises(ConnectionRefusedError):
        talk(upstream, request())
    upstream.come_up()
    after = talk(upstream, request())

    assert before.data[:12] == after.data[:12] == b"HTTP/1.1 200"


def test_a_closed_port_refuses_and_a_black_hole_swallows() -> None:
    """Two ways of not being there."""
    with ClosedPort() as closed, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", closed.port), timeout=1)
    with BlackHole() as hole, pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", hole.port), timeout=0.3)


def _steady(upstream: Upstream) -> int:
    """`bytes_sent` of the first call once it has not moved for 0.3 s."""
    call = upstream.journal.calls[0]
    last, since = -1, time.monotonic()
    while time.monotonic() - since < 0.3:
        if call.bytes_sent != last:
            last, since = call.bytes_sent, time.monotonic()
        time.sleep(0.02)
    return last


def _read_or_reset(sock: socket.socket) -> bytes:
    try:
        return sock.recv(65536)
    except ConnectionResetError:
        return b""
