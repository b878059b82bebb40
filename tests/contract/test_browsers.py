"""What browsers are told: who may read answers, and that pages are nothing but pages."""

from collections.abc import Iterator

import httpx
import pytest
from tests.gateway import Gateway, document, server
from tests.gateway.fixtures import StartGateway
from tests.gateway.house import watched
from tests.gateway.view import look

PAGE = "https://chat.example.org"
ASK = {
    "origin": PAGE,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type",
}


def said(answer: httpx.Response) -> dict[str, str]:
    """What it says of origins."""
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


def test_without_configuration_no_page_may_call(plain: Gateway) -> None:
    """No answer mentions origins, a browser's question is a request like any other."""
    answers = [
        plain.request("OPTIONS", "/v1/chat/completions", headers=ASK),
        plain.request("GET", "/v1/models", headers={"origin": PAGE}),
        plain.chat("echo", headers={"origin": PAGE}),
    ]

    assert [said(answer) for answer in answers] == [{}] * 3
    assert [answer.status_code for answer in answers] == [405, 200, 200]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that pages of one origin may call, with a key."""
    toml = document(server(cors_origins=[PAGE]))
    env = {"TRISTAR_ADMIN_KEY": "an-admin-key-for-tests"}
    with watched(Gateway(tmp_path_factory.mktemp("shared"), toml=toml, env=env)) as made:
        yield made.start()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway as it starts without any configuration."""
    with watched(Gateway(tmp_path_factory.mktemp("plain"))) as made:
        yield made.start()


def test_pages_of_a_configured_origin_may_call(shared: Gateway) -> None:
    """The question is answered without a key, and so is every refusal readable; keys are still needed."""
    asked = shared.request("OPTIONS", "/v1/chat/completions", headers=ASK)
    refused = shared.chat("echo", headers={"origin": PAGE})
    key = {"origin": PAGE, "authorization": "Bearer an-admin-key-for-tests"}
    streamed = look(shared, "echo", stream=True, headers=key)
    models = shared.request("GET", "/v1/models", headers=key)

    assert asked.status_code == 204
    assert said(asked)["access-control-allow-headers"] == "authorization,content-type"
    assert [each.status_code for each in (refused, models)] == [401, 200]
    for answer in (asked, refused, models, streamed):
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert answer.headers["vary"] == "origin"
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("origin", ["https://evil.example", PAGE + ".evil.example", "null", PAGE + ":8443"])
def test_pages_of_other_origins_may_not(shared: Gateway, origin: str) -> None:
    """Their question is refused, and no answer names them."""
    asked = shared.request("OPTIONS", "/v1/chat/completions", headers=ASK | {"origin": origin})
    answered = shared.request("GET", "/health/live", headers={"origin": origin})

    assert (asked.status_code, said(asked)) == (403, {})
    assert (answered.status_code, said(answered)) == (200, {})


def test_any_origin_is_a_choice(gateway: StartGateway) -> None:
    """`*`, which browsers take without credentials alone."""
    running = gateway(toml=document(server(cors_origins=["*"])))

    assert said(running.chat("echo", headers={"origin": "null"}))["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    "path",
    ["/admin/keys", "/admin/llms", "/v1/models", "/v1/memory", "/openapi.json", "/health/ready", "/nowhere"],
)
def test_answers_are_for_their_reader_alone(shared: Gateway, path: str) -> None:
    """No cache keeps them, no page frames them, no browser guesses what they are."""
    key = {"authorization": "Bearer an-admin-key-for-tests"}
    for headers in ({}, key):
        answer = shared.request("GET", path, headers=headers)

        if answer.status_code == 401:
            continue  # served in front of the routes: an error envelope and nothing else
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


@pytest.mark.parametrize("path", ["/docs", "/docs/docs.js", "/docs/docs.css", "/console"])
def test_pages_load_nothing_of_anybody_else(plain: Gateway, path: str) -> None:
    """Their own files alone, and nobody frames them."""
    answer = plain.request("GET", path)
    policy = answer.headers["content-security-policy"]

    assert answer.status_code == 200
    assert "http" not in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "strict-transport-security" not in answer.headers


@pytest.mark.parametrize("name", ["__init__.py", "..%2f__init__.py", "%2e%2e/health.py", "docs.js%00", "x"])
def test_no_name_reaches_the_disk(plain: Gateway, name: str) -> None:
    """The page's two files, whatever is asked for."""
    assert plain.request("GET", f"/docs/{name}").status_code in {400, 404}


def test_who_calls_through_a_proxy_is_recorded_by_their_own_address(gateway: StartGateway) -> None:
    """A proxy that is trusted is believed, its clients are not; on this machine is who connects from it."""
    toml = document(server(trusted_proxies=["127.0.0.1"]))
    running = gateway(toml=toml, env={"TRISTAR_ADMIN_KEY": "an-admin-key-for-tests"})
    headers = {"x-forwarded-for": "127.0.0.1, 203.0.113.5", "forwarded": "for=198.51.100.9"}
    answered = running.request(
        "GET", "/v1/models", headers=headers | {"authorization": "Bearer an-admin-key-for-tests"}
    )
    scraped = running.request("GET", "/metrics", headers=headers)
    record = running.record_of(answered.headers["x-tristar-trace-id"])

    assert record["ip_address"] == "203.0.113.5"
    assert scraped.status_code == 401
    assert running.request("GET", "/metrics").status_code == 200


def test_nobody_else_says_where_they_are(plain: Gateway) -> None:
    """Without trusted proxies the headers mean nothing."""
    answer = plain.request("GET", "/v1/models", headers={"x-forwarded-for": "203.0.113.5"})

    assert plain.record_of(answer.headers["x-tristar-trace-id"])["ip_address"] == "127.0.0.1"
