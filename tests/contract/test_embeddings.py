"""`POST /v1/embeddings` through the official SDK."""

import openai
import pytest
from tests.gateway.fixtures import StartGateway
from tests.gateway.house import House, Lane
from tests.gateway.toml import document, llm, provider
from tests.upstream import Embedded, Status, Upstream


def test_the_sdk_gets_its_vectors_and_the_books_their_tokens(house: House, lane: Lane) -> None:
    """One attempt, its input tokens, no output; the route is counted under its own name."""
    lane.on(Embedded(vector=(0.25, 0.5), tokens=9))
    with house.gateway.client() as client:
        raw = client.embeddings.with_raw_response.create(
            model=lane.llm, input=["a", "b"], encoding_format="float", extra_body={"truncate": "END"}
        )
    got = raw.parse()
    sent = lane.calls()[0]
    record = house.gateway.record_of(raw.headers["x-tristar-trace-id"])

    assert [each.embedding for each in got.data] == [[0.25, 0.5]] * 2
    assert (got.usage.prompt_tokens, raw.headers["x-tristar-llm"]) == (9, lane.llm)
    assert sent.path == "/v1/embeddings"
    assert sent.json == {
        "model": lane.model,
        "input": ["a", "b"],
        "encoding_format": "float",
        "truncate": "END",
    }
    assert (record["resource"], record["action"], record["outcome"]) == (
        "/v1/embeddings",
        "llm_call",
        "success",
    )
    assert (record["details"]["tokens_input"], record["details"]["tokens_output"]) == (9, 0)
    assert house.gateway.scrape().value("ailinux_request_count", endpoint="/v1/embeddings", status="200") >= 1


def test_a_failing_upstream_is_tried_again(house: House, lane: Lane) -> None:
    """Retries and their attempts are those of every llm call."""
    lane.on(Status(503), Embedded())
    answer = house.gateway.request("POST", "/v1/embeddings", json={"model": lane.llm, "input": "a"})

    assert answer.status_code == 200
    assert answer.headers["x-tristar-attempts"] == "2"


def test_a_fallback_with_another_model_never_answers(house: House, lane: Lane) -> None:
    """Its vectors could not be compared with those that the client has."""
    lane.on(Status(503))
    lane.spare_on(Embedded())
    answer = house.gateway.request("POST", "/v1/embeddings", json={"model": lane.llm, "input": "a"})

    assert answer.status_code == 503
    assert lane.spare_calls() == []


def test_a_fallback_with_the_same_model_does(gateway: StartGateway, upstream: Upstream) -> None:
    """The same model at another provider."""
    with Upstream() as other:
        upstream.on("embed", Status(503))
        running = gateway(
            toml=document(
                provider("one", upstream.base_url),
                provider("two", other.base_url),
                llm("near", "one", model="embed", fallbacks=["far"], retries=0),
                llm("far", "two", model="embed"),
            )
        )
        answer = running.request("POST", "/v1/embeddings", json={"model": "near", "input": "a"})

    assert (answer.status_code, answer.headers["x-tristar-llm"]) == (200, "far")


def test_the_built_in_llm_embeds(gateway: StartGateway) -> None:
    """Without a provider: texts that share words point the same way; the SDK's own encoding is spoken."""
    with gateway().client() as client:
        data = client.embeddings.create(model="echo", input=["red fox", "fox red", "blue whale"]).data
    red, same, blue = (each.embedding for each in data)

    assert red == pytest.approx(same)
    assert sum(a * b for a, b in zip(red, same, strict=True)) == pytest.approx(1.0, abs=1e-5)
    assert sum(a * b for a, b in zip(red, blue, strict=True)) < 0.9


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": "a"}, "model"),
        ({"model": "m"}, "input"),
        ({"model": "m", "input": 7}, "input"),
        ({"model": 7, "input": "a"}, "model"),
        ({"model": "m", "input": "a", "fallbacks": "x"}, "fallbacks"),
    ],
)
def test_bad_input_is_refused_by_its_field(house: House, body: dict[str, object], param: str) -> None:
    """400, nothing sent upstream."""
    answer = house.gateway.request("POST", "/v1/embeddings", json=body)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_an_unknown_model_is_404(house: House) -> None:
    """As for a chat."""
    with house.gateway.client() as client, pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="no-such-model", input="a")
