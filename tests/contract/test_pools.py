"""Pools as clients and operators meet them: one name, several llms, each with its own books and breaker."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.gateway import Gateway, assert_books_balance, document, llm, pool, provider
from tests.gateway.house import watched
from tests.gateway.view import EMBEDDINGS, PRESENT, look
from tests.upstream import Answer, Embedded, Gate, Status, Upstream, context_length_exceeded


@dataclass
class Lido:
    """A gateway with pools, and the upstream behind all of their members."""

    gateway: Gateway
    upstream: Upstream


@pytest.fixture(scope="module")
def lido(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lido]:
    """Every test has a pool of its own; its members have names that begin with it."""
    with Upstream() as upstream:
        tables = [provider("p", upstream.base_url), llm("behind", "p", retries=0)]
        for name, told in {
            "sick": {},
            "spent": {},
            "tight": {},
            "busy": {"choose": "least_busy"},
            "fast": {"choose": "lowest_latency"},
            "vectors": {},
        }.items():
            members = [f"{name}-{letter}" for letter in "ab"]
            tables += [llm(members[0], "p", retries=0, context_tokens=1000)]
            tables += [llm(members[1], "p", retries=0, context_tokens=9000)]
            tables += [pool(name, members, fallbacks=["behind"], **told)]
        gateway = Gateway(tmp_path_factory.mktemp("lido"), toml=document(*tables))
        with watched(gateway):
            yield Lido(gateway.start(), upstream)
            assert_books_balance(gateway)


def test_a_pool_is_listed_with_its_members(lido: Lido) -> None:
    """Beside the llms; it has no upstream model of its own."""
    listed = lido.gateway.request("GET", "/v1/models").json()["data"]
    one = lido.gateway.request("GET", "/v1/models/busy").json()

    assert one in listed
    assert (one["owned_by"], one["pool"]) == ("tristar-pool", ["busy-a", "busy-b"])
    assert "upstream_model" not in one
    assert "pool" not in next(each for each in listed if each["id"] == "behind")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_the_answer_and_the_books_name_the_member(lido: Lido, *, stream: bool) -> None:
    """Metrics are those of the llms; the record keeps what was asked for."""
    views = [look(lido.gateway, "fast", stream=stream) for _ in range(4)]
    calls = lido.gateway.scrape().by("ailinux_llm_calls_total", "model", "status")
    record = lido.gateway.record_of(views[0].trace_id)

    assert all(view.complete for view in views)
    assert {view.llm for view in views} == {"fast-a", "fast-b"}, "each is tried once before one is known"
    assert sum(calls[(f"fast-{letter}", "success")] for letter in "ab") >= 4
    assert not any(model == "fast" for model, _ in calls)
    assert record.attempts[0]["model"] == views[0].llm


def test_a_member_that_rests_is_passed_over(lido: Lido) -> None:
    """Its breaker is its own; with all of them resting the fallback answers."""
    for name in ("sick-a", "sick-b"):
        views = [look(lido.gateway, "sick") for _ in range(6)]
        forced = lido.gateway.request("POST", f"/admin/breakers/{name}/open")

        assert forced.status_code < 300, forced.text
        assert {view.llm for view in views} <= {"sick-a", "sick-b"}
    after_one = {view.llm for view in views}
    last = look(lido.gateway, "sick")

    assert after_one == {"sick-b"}
    assert last.llm == "behind"
    assert lido.gateway.record_of(last.trace_id).attempts[0]["reason"] == "breaker_open"


def test_every_member_is_tried_before_the_fallback(lido: Lido) -> None:
    """In the order of the choice, and each once."""
    lido.upstream.on("spent-a", Status(503))
    lido.upstream.on("spent-b", Status(503))
    view = look(lido.gateway, "spent")
    record = lido.gateway.record_of(view.trace_id)

    assert view.llm == "behind"
    assert sorted(attempt["model"] for attempt in record.attempts[:2]) == ["spent-a", "spent-b"]
    assert record.statuses == ["error", "error", "success"]


def test_a_prompt_too_long_goes_to_the_larger_member(lido: Lido) -> None:
    """At once where that can be told, and after the refusal where it cannot."""
    lido.upstream.on("tight-a", context_length_exceeded())
    long = [{"role": "user", "content": "word " * 1200}]
    told = [look(lido.gateway, "tight", messages=long) for _ in range(3)]
    untold = [look(lido.gateway, "tight") for _ in range(3)]

    assert {view.llm for view in told + untold} == {"tight-b"}
    assert all(view.headers["x-tristar-attempts"] == "1" for view in told)


def test_the_least_busy_member_gets_the_next_request(lido: Lido) -> None:
    """While one of two is held up, all that comes goes to the other."""
    gate = Gate()
    for name in ("busy-a", "busy-b"):
        lido.upstream.on(name, Answer(gate=gate), Answer())
    held = threading.Thread(target=look, args=(lido.gateway, "busy"))
    held.start()
    gate.wait_reached()
    (taken,) = {call.model for call in lido.upstream.journal.calls if call.model.startswith("busy")}
    gate_free = "busy-b" if taken == "busy-a" else "busy-a"
    lido.upstream.on(gate_free, Answer())
    views = [look(lido.gateway, "busy") for _ in range(4)]
    gate.release()
    held.join(10)

    assert {view.llm for view in views} == {gate_free}


def test_vectors_come_from_one_model(lido: Lido) -> None:
    """Of a pool with several models only the first is asked: its vectors compare with each other's."""
    lido.upstream.on("vectors-a", Embedded())
    token = PRESENT.set(EMBEDDINGS)
    try:
        views = [look(lido.gateway, "vectors") for _ in range(4)]
    finally:
        PRESENT.reset(token)

    assert {view.llm for view in views} == {"vectors-a"}
