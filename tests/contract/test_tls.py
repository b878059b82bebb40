"""HTTPS by the gateway itself: its certificate, another one while it runs, and what it refuses."""

import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from tests.gateway import Gateway, assert_books_balance, document, server
from tests.gateway.fixtures import StartGateway
from tests.upstream.tls import Authority

WORKERS = pytest.mark.parametrize("workers", [1, 2])


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Makes certificates that a client can check."""
    return Authority(tmp_path)


def secured(start: StartGateway, folder: Path, pem: Path, **options: object) -> Gateway:
    """A gateway with the certificate of this file, as `current.pem` in the folder."""
    current = folder / "current.pem"
    current.write_bytes(pem.read_bytes())
    toml = document(server(tls_cert=str(current), tls_key=str(current)))
    return start(toml=toml, **options)


def serial(running: Gateway) -> int:
    """The serial number of the certificate that a new connection is shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", running.port), 10) as plain,
        context.wrap_socket(plain) as wrapped,
    ):
        shown = wrapped.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


def of(pem: Path) -> int:
    """The serial number of a file's certificate."""
    return x509.load_pem_x509_certificate(pem.read_bytes()).serial_number


def ends(pem: Path) -> float:
    """When a file's certificate ends."""
    return x509.load_pem_x509_certificate(pem.read_bytes()).not_valid_after_utc.timestamp()


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for what the gateway does in its own time."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@WORKERS
def test_clients_that_check_the_certificate_are_served(
    gateway: StartGateway, authority: Authority, tmp_path: Path, workers: int
) -> None:
    """HTTP/1.1 over TLS, streams and refusals included; the printed address is https."""
    running = secured(gateway, tmp_path, authority.pem(), workers=workers)
    trusted = ssl.create_default_context(cafile=authority.ca_file)
    body = {"model": "echo", "stream": True, "messages": [{"role": "user", "content": "guide me home"}]}
    with httpx.Client(verify=trusted, timeout=30, trust_env=False) as http:
        streamed = http.post(f"{running.url}/v1/chat/completions", json=body)
        refused = http.post(f"{running.url}/v1/chat", content=b"{")
        large = http.post(f"{running.url}/v1/chat", content=b" " * (33 << 20))
        page = http.get(f"{running.url}/console")

    assert running.url.startswith("https://")
    assert streamed.text.endswith("data: [DONE]\n\n")
    assert (refused.status_code, large.status_code) == (400, 413)
    assert page.headers["strict-transport-security"] == "max-age=86400"
    assert "strict-transport-security" not in streamed.headers
    assert_books_balance(running)


@WORKERS
def test_a_new_certificate_is_shown_without_a_restart(
    gateway: StartGateway, authority: Authority, tmp_path: Path, workers: int
) -> None:
    """To new connections, while one that is open goes on. Files that do not work change nothing."""
    first, second = authority.pem(), authority.pem(days=2)
    running = secured(gateway, tmp_path, first, workers=workers)
    current = tmp_path / "current.pem"
    with httpx.Client(verify=False, timeout=30, trust_env=False) as http:
        assert http.get(f"{running.url}/health/live").status_code == 200
        current.write_bytes(first.read_bytes()[:300])
        eventually(lambda: "the former one stays" in running.errors())
        kept = serial(running)
        current.write_bytes(second.read_bytes())
        eventually(lambda: {serial(running) for _ in range(4 * workers)} == {of(second)})
        still = http.get(f"{running.url}/health/live")

    shown = "ailinux_tls_certificate_end_timestamp_seconds"
    eventually(lambda: running.scrape().value(shown) == ends(second))

    assert ends(first) < ends(second)
    assert kept == of(first)
    assert still.status_code == 200
    assert "PRIVATE KEY" not in running.output()


def test_a_certificate_is_read_again_at_a_reload(
    gateway: StartGateway, authority: Authority, tmp_path: Path
) -> None:
    """At once: who reloads need not wait for the next look."""
    second = authority.pem()
    running = secured(gateway, tmp_path, authority.pem())
    (tmp_path / "current.pem").write_bytes(second.read_bytes())
    assert running.request("POST", "/admin/reload").status_code == 200

    assert serial(running) == of(second)


def test_plain_http_and_old_tls_are_refused(
    gateway: StartGateway, authority: Authority, tmp_path: Path
) -> None:
    """A client that speaks neither TLS 1.2 nor 1.3 gets no connection; others are served meanwhile."""
    running = secured(gateway, tmp_path, authority.pem())
    old = ssl.create_default_context()
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", running.port), 10) as plain:
        plain.sendall(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = plain.recv(1000)
    with socket.create_connection(("127.0.0.1", running.port), 10) as silent:
        with socket.create_connection(("127.0.0.1", running.port), 10) as other, pytest.raises(OSError):  # noqa: PT011 - a reset or an SSL error
            old.wrap_socket(other)
        served = running.request("GET", "/health/live")
        silent.close()

    assert not answer.startswith(b"HTTP/1.1 200")
    assert served.status_code == 200
