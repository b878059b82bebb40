"""Bad input gets a clear error of the right status in OpenAI's envelope, and nothing reaches the upstream."""

import json
import socket

import openai
import pytest
from tests.gateway.fixtures import StartGateway
from tests.gateway.house import House, Lane
from tests.gateway.toml import document, llm, provider
from tests.gateway.view import look
from tests.upstream import Upstream

JSON = {"content-type": "application/json"}
MB = 1024 * 1024


def test_an_unknown_model_is_a_404_that_the_sdk_understands(house: House) -> None:
    """`model_not_found`, naming the field."""
    with house.gateway.client() as client, pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="no-such-model", messages=[{"role": "user", "content": "hi"}])

    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert "no-such-model" in caught.value.message


MESSAGES = '"messages":[{"role":"user","content":"hi"}]'


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "null",
        "[]",
        '"text"',
        "{}",
        f"{{{MESSAGES}}}",
        f'{{"model":7,{MESSAGES}}}',
        f'{{"model":null,{MESSAGES}}}',
        f'{{"model":"LLM",{MESSAGES},"stream":"yes"}}',
        f'{{"model":"LLM",{MESSAGES},"stream":1}}',
        f'{{"model":"LLM",{MESSAGES},"fallbacks":"x"}}',
        f'{{"model":"LLM",{MESSAGES},"stream":true,"stream_options":7}}',
        '{"model":"LLM","messages":"hi"}',
        '{"model":"LLM","messages":{}}',
        '{"model":"LLM"}',
        f'{{"model":"LLM",{MESSAGES}',
        f'{{"model":"LLM",{MESSAGES}}} trailing',
        '{"model":"LLM","messages":[' + "[" * 100_000,
        "\xff\xfe",
    ],
)
def test_malformed_bodies_are_400(house: House, lane: Lane, body: str) -> None:
    """In the envelope, recorded, and nothing goes upstream."""
    content = body.replace("LLM", lane.llm).encode("latin-1")
    answer = house.gateway.request("POST", "/v1/chat/completions", content=content, headers=JSON)
    error = answer.json()["error"]

    assert answer.status_code == 400
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert set(error) >= {"message", "type", "code", "param"}
    assert lane.calls() == []
    assert house.gateway.record_of(answer.headers["x-tristar-trace-id"])["status"] == 400


def test_the_field_at_fault_is_named(house: House, lane: Lane) -> None:
    """`param` says which."""
    view = look(house.gateway, lane.llm, messages="hi")

    assert view.error is not None
    assert view.error["param"] == "messages"


def test_a_40_mb_body_is_413(house: House, lane: Lane) -> None:
    """Announced by its length: refused without reading it to its end."""
    body = json.dumps(
        {"model": lane.llm, "messages": [{"role": "user", "content": "x" * (40 * MB)}]}
    ).encode()
    answer = house.gateway.request("POST", "/v1/chat/completions", content=body, headers=JSON)

    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "request_too_large"
    assert lane.calls() == []


def test_a_40_mb_body_without_a_length_is_413(house: House, lane: Lane) -> None:
    """Chunked: refused as soon as it is too much."""
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", house.gateway.port), timeout=20) as sock:
        sock.sendall(head + b"transfer-encoding: chunked\r\n\r\n")
        try:
            for _ in range(40):
                sock.sendall(b"100000\r\n" + b"x" * MB + b"\r\n")
        except OSError:
            pass  # refused before all of it was sent
        answer = _first_bytes(sock)

    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_under_the_limit_is_not_refused(gateway: StartGateway, upstream: Upstream) -> None:
    """31 MB of 32, without the shared gateway's short timeouts."""
    running = gateway(toml=document(provider("up", upstream.base_url), llm("fast", "up")))
    view = look(running, "fast", messages=[{"role": "user", "content": "x" * (31 * MB)}])

    assert view.status == 200


@pytest.mark.parametrize("path", ["/v1/nope", "/v1/chat/completions/extra", "/v1/"])
def test_an_unknown_route_is_404_in_the_envelope(house: House, path: str) -> None:
    """Under /v1 it is audited."""
    answer = house.gateway.request("POST", path, json={})

    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"
    assert house.gateway.record_of(answer.headers["x-tristar-trace-id"]).action == "request"


def test_an_unknown_route_elsewhere_is_404_and_only_counted(house: House) -> None:
    """One series for all of them."""
    house.unmatched_elsewhere += 2
    statuses = [house.gateway.request("GET", path).status_code for path in ("/nope", "/favicon.ico")]
    scrape = house.gateway.scrape()

    assert statuses == [404, 404]
    assert scrape.value("ailinux_request_count", endpoint="_unmatched", status="404") >= 2
    assert not scrape.series("ailinux_request_count", endpoint="/nope")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("DELETE", "/v1/chat", "POST"),
        ("POST", "/v1/models", "GET"),
    ],
)
def test_a_wrong_method_is_405_and_says_which_is_right(
    house: House, method: str, path: str, allowed: str
) -> None:
    """With `Allow`, in the envelope."""
    answer = house.gateway.request(method, path)

    assert answer.status_code == 405
    assert allowed in answer.headers["allow"]
    assert answer.json()["error"]["code"] == "method_not_allowed"


def test_an_unknown_fallback_is_refused(house: House, lane: Lane) -> None:
    """Before anything is sent upstream."""
    view = look(house.gateway, lane.llm, fallbacks=["no-such-model"])

    assert view.status == 404
    assert lane.calls() == []


def test_bad_http_gets_400_or_a_closed_connection(house: House) -> None:
    """Bytes that are no HTTP do no harm."""
    with socket.create_connection(("127.0.0.1", house.gateway.port), timeout=10) as sock:
        sock.sendall(b"\x16\x03\x01\x02\x00 no http \r\n\r\n")
        answer = _first_bytes(sock)
    alive = house.gateway.request("GET", "/health/live").status_code

    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")
    assert alive == 200


def test_a_body_that_never_comes_leaves_no_trace_of_success(house: House, lane: Lane) -> None:
    """The client announces a body, sends half and leaves."""
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n\r\n"
    with socket.create_connection(("127.0.0.1", house.gateway.port), timeout=10) as sock:
        sock.sendall(head + b'{"model":')

    assert house.gateway.request("GET", "/health/live").status_code == 200
    assert lane.calls() == []


def _first_bytes(sock: socket.socket) -> bytes:
    try:
        return sock.recv(65536)
    except ConnectionResetError:
        return b""
