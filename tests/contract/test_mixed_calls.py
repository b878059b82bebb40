"""An upstream that alternates between its parallel calls: the SDKs of every surface get each one whole."""

import json
from collections.abc import Iterator
from contextlib import closing

import pytest
from tests.contract.pairs.answers import SURFACES
from tests.contract.pairs.clients import CLIENTS
from tests.gateway import Gateway, document, llm, provider
from tests.gateway.house import watched
from tests.upstream import Raw, Upstream

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
WANTED = (("weather", '{"city":"Kiel","at":{"h":1}}'), ("tide", '{"days":2}'), ("stars", "{}"))


def chunk(*calls: tuple[int, str, str], finish: str | None = None) -> bytes:
    """One event: index, name (with its id, where a call begins) and arguments of each call."""
    told = [
        {"index": index, "function": {"arguments": arguments}}
        | ({"id": f"c{index}", "function": {"name": name, "arguments": arguments}} if name else {})
        for index, name, arguments in calls
    ]
    choice = {"index": 0, "delta": {"tool_calls": told} if told else {}, "finish_reason": finish}
    event = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    usage = {"usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}} if finish else {}
    return b"data: " + json.dumps(event | usage).encode() + b"\n\n"


MIXED = (
    chunk((0, "weather", ""), (1, "tide", ""))
    + chunk((0, "", '{"city":'), (1, "", '{"da'))
    + chunk((2, "stars", ""))
    + chunk((1, "", 'ys":'))
    + chunk((0, "", '"Kiel","at":{"h":1}'))
    + chunk((1, "", "2}"))
    + chunk((0, "", "}"))
    + chunk((2, "", "{}"))
    + chunk(finish="tool_calls")
    + b"data: [DONE]\n\n"
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Before one upstream that mixes."""
    with Upstream() as upstream:
        upstream.on("mixing", Raw(HEAD + MIXED))
        gateway = Gateway(
            tmp_path_factory.mktemp("mixed"),
            toml=document(provider("o", upstream.base_url), llm("mixing", "o", retries=0)),
        )
        with watched(gateway):
            yield gateway.start()


@pytest.mark.parametrize("surface", SURFACES)
def test_mixed_calls_are_heard_whole(gateway: Gateway, surface: str) -> None:
    """Names, arguments and order; and the stream ends as it should."""
    with closing(CLIENTS[surface](gateway.url)) as client:
        heard, _ = client.hear("mixing", stream=True)

    assert heard.calls == WANTED
    assert heard.finish == "tool_calls"
