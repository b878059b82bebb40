"""The OpenAPI document is complete and true: nothing that is asked meets anything that is not in it."""

from collections.abc import Iterator, Mapping

import pytest
from tests.contract.fuzzing import ADMIN, fuzz, fuzzed_gateway
from tests.gateway import Gateway
from tests.gateway.house import watched

EXAMPLES = 4


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway for all of it."""
    gateway = fuzzed_gateway(tmp_path_factory.mktemp("fuzzed"))
    with watched(gateway):
        yield gateway.start()


@pytest.mark.parametrize("headers", [ADMIN, {}], ids=["operator", "nobody"])
def test_no_request_meets_a_500_or_an_undocumented_status(
    fuzzed: Gateway, headers: Mapping[str, str]
) -> None:
    """Good and bad requests of every operation; answers fit their schemas."""
    outcome = fuzz(fuzzed, headers, examples=EXAMPLES if headers else 2, repeatable=True)

    assert int(outcome.figures["requests"]) > 100
    assert outcome.faults == []


def test_every_route_of_the_gateway_is_in_the_document(fuzzed: Gateway) -> None:
    """Also those in front of FastAPI, and where the metrics are."""
    document = fuzzed.request("GET", "/openapi.json", headers=ADMIN).json()
    in_front = {"/v1/chat", "/v1/chat/completions", "/v1/embeddings", "/v1/messages", "/metrics"}

    assert in_front | {"/mcp", "/docs", "/openapi.json"} <= document["paths"].keys()
    assert not [path for path, item in document["paths"].items() if "422" in str(item)]


def test_every_operation_says_what_it_does(fuzzed: Gateway) -> None:
    """A summary, a tag, an id that no other has: what generated clients are made from."""
    document = fuzzed.request("GET", "/openapi.json", headers=ADMIN).json()
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    ids = [operation["operationId"] for operation in operations]

    assert all(operation.get("summary") and operation.get("tags") for operation in operations)
    assert len(set(ids)) == len(ids)
