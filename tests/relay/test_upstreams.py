"""What is sent to a provider in front of every request: its target and its key."""

import asyncio

import pytest

from tristar.relay.upstreams import Upstreams
from tristar.routing.catalog import ApiKey, AuthScheme, Provider

KEY = ApiKey("k-canary", "P_KEY")


async def head_to(provider: Provider, path: str = "/chat/completions", model: str = "m") -> list[str]:
    """The lines of the head."""
    upstreams = Upstreams(asyncio.get_running_loop(), "1")
    _, head = upstreams.at(provider, path, model, provider.keys[0] if provider.keys else None)
    return head.decode().splitlines()


@pytest.mark.parametrize(
    ("auth", "line"),
    [
        ("bearer", "Authorization: Bearer k-canary"),
        ("x-api-key", "x-api-key: k-canary"),
        ("x-goog-api-key", "x-goog-api-key: k-canary"),
        ("api-key", "api-key: k-canary"),
        ("cf-aig-authorization", "cf-aig-authorization: Bearer k-canary"),
        ("query-key", "POST /v1/chat/completions?key=k-canary HTTP/1.1"),
    ],
)
async def test_a_key_travels_as_its_provider_wants(auth: AuthScheme, line: str) -> None:
    """In that one place and in no other."""
    head = await head_to(Provider("p", "openai", "http://h/v1", (KEY,), auth))

    assert [each for each in head if "canary" in each] == [line]


async def test_without_a_key_none_is_sent() -> None:
    """A local server gets no header that it did not ask for."""
    head = await head_to(Provider("p", "openai", "http://h/v1"))

    assert [each.partition(":")[0] for each in head[1:]] == ["Content-Type", "Accept", "User-Agent"]


async def test_an_address_with_a_place_for_the_model_is_filled() -> None:
    """As Azure's deployments; what a client names cannot leave its part of the path."""
    base_url = "https://r.openai.azure.com/openai/deployments/{model}?api-version=2024-10-21"
    head = await head_to(Provider("azure", "openai", base_url, (KEY,), "api-key"), model="../a b?c#d")

    path = "/openai/deployments/..%2Fa%20b%3Fc%23d/chat/completions?api-version=2024-10-21"
    assert head[0] == f"POST {path} HTTP/1.1"


async def test_queries_of_address_and_operation_join() -> None:
    """Some dialects ask for events in the query."""
    provider = Provider("p", "openai", "http://h/v1?a=b", (ApiKey("k&1", "K"),), "query-key")
    head = await head_to(provider, path="/x:y?alt=sse")

    assert head[0] == "POST /v1/x:y?alt=sse&a=b&key=k%261 HTTP/1.1"


async def test_a_reloaded_provider_keeps_its_connections_and_changes_its_head() -> None:
    """A new key is used at once, over the pool that is there."""
    upstreams = Upstreams(asyncio.get_running_loop(), "1")
    old, new = (Provider("p", "openai", "http://h/v1", (ApiKey(key, "K"),)) for key in ("k-1", "k-2"))
    (before, _), (after, head) = (upstreams.at(each, "/x", "m", each.keys[0]) for each in (old, new))

    assert before is after
    assert b"k-2" in head


async def test_heads_of_invented_models_do_not_pile_up() -> None:
    """Models of an open provider are the clients' to name: memory stays bounded."""
    upstreams = Upstreams(asyncio.get_running_loop(), "1")
    provider = Provider("p", "openai", "http://h/{model}", (KEY,))
    heads = [upstreams.at(provider, "/x", f"m{number}", KEY)[1] for number in range(2_500)]

    assert heads[-1].startswith(b"POST /m2499/x ")
    assert len(upstreams._places["p"]._heads) <= 1_000


def test_no_key_is_in_a_repr() -> None:
    """A provider can be printed; its keys show their names."""
    shown = repr(Provider("p", "openai", "http://h/v1", (KEY,)))

    assert "canary" not in shown
    assert "P_KEY" in shown
