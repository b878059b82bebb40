"""Upstreams that cannot be reached at all: refused, unknown, swallowed, or of a false identity."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from tests.gateway import Gateway, assert_books_balance, document, llm, provider
from tests.gateway.house import watched
from tests.gateway.view import look
from tests.upstream import Answer, Authority, BlackHole, ClosedPort, Upstream

WAYS = ["refused", "dns", "black_hole", "tls_host", "tls_expired", "tls_stranger", "tls_none"]


@dataclass
class Shore:
    """A gateway whose llms are named after the way in which their upstream is out of reach."""

    gateway: Gateway
    upstreams: dict[str, Upstream]


@pytest.fixture(scope="module")
def shore(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shore]:
    """One gateway for all ways; each llm `WAY` falls back to `good`, each `WAY-alone` to nothing."""
    folder = tmp_path_factory.mktemp("shore")
    (folder / "stranger").mkdir()
    authority, stranger = Authority(folder), Authority(folder / "stranger")
    with ExitStack() as stack:
        upstreams = {
            "good": stack.enter_context(Upstream()),
            "tls_good": stack.enter_context(Upstream(tls=authority.server())),
            "tls_host": stack.enter_context(Upstream(tls=authority.server("elsewhere.test"))),
            "tls_expired": stack.enter_context(Upstream(tls=authority.server(expired=True))),
            "tls_stranger": stack.enter_context(Upstream(tls=stranger.server())),
        }
        plain = stack.enter_context(Upstream())
        urls = {name: upstream.base_url for name, upstream in upstreams.items()} | {
            "refused": stack.enter_context(ClosedPort()).base_url,
            "black_hole": stack.enter_context(BlackHole()).base_url,
            "dns": "http://no-such-host.invalid/v1",
            "tls_none": plain.base_url.replace("http:", "https:"),
        }
        tables = [provider(name, url) for name, url in urls.items()]
        for name in urls:
            tables.append(
                llm(name, name, fallbacks=["good"] if name != "good" else [], retries=1, timeout_s=2)
            )
            tables.append(llm(f"{name}-alone", name, retries=1, timeout_s=2))
        running = Gateway(
            folder / "gateway", toml=document(*tables), env={"SSL_CERT_FILE": str(authority.ca_file)}
        )
        stack.enter_context(watched(running))
        yield Shore(running.start(), upstreams)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_what_cannot_be_reached_is_fallen_back_from(shore: Shore, way: str, *, stream: bool) -> None:
    """The fallback answers; the attempts in vain are counted and recorded."""
    view = look(shore.gateway, way, stream=stream)
    record = shore.gateway.record_of(view.trace_id)

    assert view.complete
    assert (view.text, view.llm) == (Answer().text, "good")
    assert record.statuses[-1] == "success"
    assert set(record.statuses[:-1]) <= {"error", "timeout"}
    assert 1 <= len(record.statuses[:-1]) <= 2
    assert_books_balance(shore.gateway)


@pytest.mark.parametrize("way", WAYS)
def test_with_nowhere_to_go_it_is_a_502_or_504_that_says_why(shore: Shore, way: str) -> None:
    """In the envelope, without a stack or an address of ours."""
    view = look(shore.gateway, f"{way}-alone")

    assert view.status in {502, 504}
    assert view.error is not None
    assert view.error["message"]
    assert_books_balance(shore.gateway)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_good_certificate_is_accepted(shore: Shore, *, stream: bool) -> None:
    """Trusted through SSL_CERT_FILE, as everywhere."""
    view = look(shore.gateway, "tls_good-alone", stream=stream)

    assert view.complete
    assert view.text == Answer().text


def test_a_false_identity_gets_no_byte_of_the_request(shore: Shore) -> None:
    """Nothing was sent before the certificate was checked."""
    for way in ("tls_host", "tls_expired", "tls_stranger"):
        look(shore.gateway, f"{way}-alone")

        assert shore.upstreams[way].journal.calls == []
