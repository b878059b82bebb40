"""Search by meaning in a running gateway: the embeddings, their books, and what happens without them."""

import time
from collections import Counter
from typing import Any

import pytest
from tests.contract.test_mcp import call, connected
from tests.gateway.books import assert_books_balance
from tests.gateway.fixtures import StartGateway
from tests.gateway.process import Gateway
from tests.gateway.toml import document, llm, provider
from tests.storage.fixtures import empty_postgres, postgres_server
from tests.upstream import Gate, Hang, Meant, Status, Step, Upstream

__all__ = ["empty_postgres", "postgres_server"]

MEMORY = '[memory]\nembedding_llm = "embed"\n'
CAR = "my automobile is red"


def toml(upstream: Upstream, **keys: Any) -> str:  # noqa: ANN401 - values of the configuration
    """A gateway whose memory asks the llm `embed`."""
    return document(MEMORY, provider("up", upstream.base_url), llm("embed", "up", **{"retries": 0} | keys))


def remember(gateway: Gateway, content: str, **fields: object) -> dict[str, Any]:
    """A new entry."""
    made = gateway.request("POST", "/v1/memory", json={"content": content, **fields})
    assert made.status_code == 201, made.text
    entry: dict[str, Any] = made.json()
    return entry


def search(gateway: Gateway, q: str, **params: str) -> dict[str, Any]:
    """A page of finds."""
    answer = gateway.request("GET", "/v1/memory/search", params={"q": q, **params})
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


def await_vectors(gateway: Gateway, waiting: int = 0) -> None:
    """Return once so many entries wait for their vector."""
    deadline = time.monotonic() + 60
    while (left := gateway.scrape().value("ailinux_memory_unembedded_entries")) != waiting:
        assert time.monotonic() < deadline, f"{left} entries still wait"
        time.sleep(0.05)


def await_words(gateway: Gateway, words: str) -> None:
    """Return once the gateway's log has these words."""
    deadline = time.monotonic() + 60
    while words not in gateway.errors():
        assert time.monotonic() < deadline, gateway.errors()
        time.sleep(0.05)


def embedded(gateway: Gateway) -> list[dict[str, Any]]:
    """The records of the memory's own requests."""
    records = [each for each in gateway.records() if each["resource"] == "/v1/memory/embeddings"]
    return [each.fields for each in records]


def test_what_means_the_same_is_found(gateway: StartGateway, upstream: Upstream) -> None:
    """By default words and meaning together; each way alone where it is asked for."""
    upstream.on("embed", Meant())
    running = gateway(toml=toml(upstream))
    car = remember(running, CAR)
    remember(running, "lunch is at noon")
    await_vectors(running)
    found = {mode: search(running, "car", mode=mode) for mode in ("text", "semantic", "hybrid")}
    default = search(running, "car")
    by_body = running.request("POST", "/v1/memory/search", json={"q": "car", "mode": "semantic"}).json()
    listed = running.request("GET", "/v1/memory").json()

    assert found["text"]["data"] == []
    assert found["semantic"]["data"][0]["id"] == found["hybrid"]["data"][0]["id"] == car["id"]
    assert {name: page["mode"] for name, page in found.items()} == {name: name for name in found}
    assert (default["mode"], by_body["data"], "mode" in listed) == (
        "hybrid",
        found["semantic"]["data"],
        False,
    )


def test_each_question_is_a_call_in_the_books(gateway: StartGateway, upstream: Upstream) -> None:
    """Made by `memory`, under a name of its own, with attempts, tokens and a record without the words."""
    upstream.on("embed", Meant())
    running = gateway(toml=toml(upstream, prompts="full"))
    remember(running, CAR)
    await_vectors(running)
    answer = running.request("GET", "/v1/memory/search", params={"q": "fast car"})
    assert_books_balance(running)
    entries, query = embedded(running)
    scrape = running.scrape()

    assert (entries["user_id"], entries["details"]["purpose"], entries["details"]["tokens_input"]) == (
        *("memory", "entries"),
        4,
    )
    assert (query["details"]["purpose"], query["details"]["on_behalf_of"]) == ("query", "anonymous")
    assert query["trace_id"] == answer.headers["x-tristar-trace-id"]
    assert "automobile" not in str(entries), "the llm's own policy would keep the words"
    assert scrape.value("ailinux_llm_calls_total", model="embed", status="success") == 2
    assert scrape.value("ailinux_llm_tokens_total", model="embed", type="input") == 6
    assert scrape.value("ailinux_memory_embedding_calls_total", status="200") == 2
    assert scrape.value("ailinux_memory_operations_total", operation="embed") == 2


@pytest.mark.parametrize("step", [Status(503), Status(429), Hang()], ids=["503", "429", "silent"])
def test_a_search_falls_back_to_words_and_says_so(
    gateway: StartGateway, upstream: Upstream, step: Step
) -> None:
    """Within its deadline, whatever the llm does; the books balance."""
    upstream.on("embed", Meant(), step)
    running = gateway(toml=toml(upstream))
    car = remember(running, "my car is red")
    await_vectors(running)
    began = time.monotonic()
    page = search(running, "car")
    took_s = time.monotonic() - began
    assert_books_balance(running)

    failed = running.scrape().by("ailinux_memory_embedding_calls_total", "status") - Counter({("200",): 99})
    statuses = {status for (status,) in running.scrape().by("ailinux_request_count", "status")}

    assert failed, "the memory's own call has failed"
    assert statuses <= {"200", "201"}, "and none of a client's: HighErrorRate has nothing to count"
    assert [each["id"] for each in page["data"]] == [car["id"]]
    assert page["mode"] == "text"
    assert page["notice"].startswith("Ranked by words alone: the meaning is not known (")
    assert took_s < 10


def test_a_write_neither_waits_nor_fails_while_the_llm_is_away(
    gateway: StartGateway, upstream: Upstream
) -> None:
    """What waits is counted, and gets its vector when the llm is back, at a restart too."""
    upstream.on("embed", Status(503))
    running = gateway(toml=toml(upstream, breaker={"cooldown_s": 0.2, "max_cooldown_s": 0.2}))
    for number in range(3):
        remember(running, f"automobile number {number}")
    running.scrape()
    await_vectors(running, waiting=3)
    # They wait from the first moment on: that the llm was asked, and refused, is what is told.
    await_words(running, "wait for their vectors")
    upstream.on("embed", Meant())
    assert running.stop() == 0
    again = gateway(toml=toml(upstream))
    await_vectors(again)

    assert len(search(again, "car")["data"]) == 3


def test_a_slow_llm_holds_up_no_write(gateway: StartGateway, upstream: Upstream) -> None:
    """The entry is there while its vector is being made."""
    gate = Gate()
    upstream.on("embed", Meant(gate=gate))
    running = gateway(toml=toml(upstream))
    entry = remember(running, CAR)
    gate.wait_reached()
    read = running.request("GET", f"/v1/memory/{entry['id']}")
    active = running.scrape().value("ailinux_active_connections")
    gate.release()
    await_vectors(running)

    assert read.status_code == 200
    assert active == 0, "nobody's connection"


def test_a_stop_breaks_the_question_off(gateway: StartGateway, upstream: Upstream) -> None:
    """It is recorded as cancelled, and the entry waits for the next start."""
    upstream.on("embed", Hang())
    running = gateway(toml=toml(upstream))
    remember(running, CAR)
    upstream.journal.wait_for_calls(1)
    began = time.monotonic()
    code = running.stop()

    assert code == 0
    assert time.monotonic() - began < 20, "it does not wait for the llm"
    assert [(each["status"], each["outcome"]) for each in embedded(running)] == [(499, "cancelled")]


def test_a_killed_worker_leaves_its_question_as_an_orphan(gateway: StartGateway, upstream: Upstream) -> None:
    """Recorded and counted for it, as every request; another takes the entry on when the lease is over."""
    upstream.on("embed", Hang())
    running = gateway(toml=toml(upstream), workers=2)
    remember(running, CAR)
    upstream.journal.wait_for_calls(1)
    deadline = time.monotonic() + 20
    while not embedded(running):
        running.kill_worker()
        time.sleep(0.5)
        assert time.monotonic() < deadline
    orphan, *others = embedded(running)

    assert (orphan["outcome"], orphan["status"], orphan["user_id"]) == ("orphaned", 500, "memory")
    assert others == []
    assert running.scrape().value("ailinux_memory_unembedded_entries") == 1
    assert_books_balance(running)


def test_one_bad_entry_holds_up_no_other(gateway: StartGateway, upstream: Upstream) -> None:
    """The llm refuses the lot: each is asked for alone."""
    upstream.on("embed", Status(503))
    running = gateway(toml=toml(upstream, breaker={"failures": 50, "min_calls": 100}))
    for number in range(3):
        remember(running, f"automobile {number}")
    upstream.on("embed", Status(400), Status(400), Meant())  # all three wait by now: the lot, then one alone
    await_vectors(running, waiting=1)

    assert len(search(running, "car", mode="semantic")["data"]) == 2
    assert_books_balance(running)


def test_the_limits_of_the_llm_hold_for_the_memory(gateway: StartGateway, upstream: Upstream) -> None:
    """What is over the limit waits; searches are by words meanwhile."""
    upstream.on("embed", Meant())
    running = gateway(toml=toml(upstream, requests_per_minute=1))
    remember(running, CAR)
    await_vectors(running)
    page = search(running, "automobile")
    assert_books_balance(running)

    assert (page["mode"], len(page["data"])) == ("text", 1)
    assert "rate_limit_exceeded" in page["notice"]
    assert len(upstream.journal.calls) == 1


def test_another_model_embeds_everything_anew(gateway: StartGateway, upstream: Upstream) -> None:
    """With the reload that names it; vectors of both are never compared."""
    upstream.on("old", Meant("old"))
    upstream.on("new", Meant("new"))
    running = gateway(toml=toml(upstream, model="old"))
    car = remember(running, CAR)
    await_vectors(running)
    (running.folder / "tristar.toml").write_text(toml(upstream, model="new"))
    reloaded = running.request("POST", "/admin/reload")
    deadline = time.monotonic() + 30
    while not [each for each in upstream.journal.of("new") if CAR in str(each.json)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    await_vectors(running)

    assert reloaded.status_code == 200
    assert search(running, "car", mode="semantic")["data"][0]["id"] == car["id"]


def test_each_entry_is_embedded_once_by_four_workers_and_two_replicas(
    gateway: StartGateway, upstream: Upstream, empty_postgres: str
) -> None:
    """On one PostgreSQL; and all of them find it."""
    upstream.on("embed", Meant())
    env = {"DATABASE_URL": empty_postgres}
    replicas = [gateway(toml=toml(upstream), env=env, workers=4, name=f"replica-{n}") for n in range(2)]
    for number in range(60):
        remember(replicas[number % 2], f"automobile {number}")
    for replica in replicas:
        await_vectors(replica)
        assert_books_balance(replica)
    asked = Counter(text for each in upstream.journal.calls for text in each.json["input"])
    time.sleep(0.3)  # what another process has added is found a quarter of a second later
    found = [search(replicas[n % 2], f"car {n}", mode="semantic", limit="100") for n in range(8)]

    assert asked == {f"automobile {number}": 1 for number in range(60)}
    assert {len(page["data"]) for page in found} == {60}


def test_without_an_embedding_llm_meaning_is_refused(gateway: StartGateway) -> None:
    """By the field, with the setting that is missing; searches are by words."""
    running = gateway()
    remember(running, CAR)
    refused = running.request("GET", "/v1/memory/search", params={"q": "car", "mode": "semantic"})
    page = search(running, "automobile")

    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "mode")
    assert "embedding_llm" in refused.json()["error"]["message"]
    assert (page["mode"], page["notice"], len(page["data"])) == ("text", None, 1)
    assert running.scrape().series("ailinux_memory_unembedded_entries") == {}


async def test_an_llm_searches_by_meaning_over_mcp(gateway: StartGateway, upstream: Upstream) -> None:
    """The tool knows the modes, and says by which it searched."""
    upstream.on("embed", Meant())
    running = gateway(toml=toml(upstream))
    async with connected(running) as client:
        stored = await call(client, "memory_store", content=CAR)
        await_vectors(running)
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        near = await call(client, "memory_search", q="car")
        exact = await call(client, "memory_search", q="car", mode="text")

    assert "semantic" in str(tools["memory_search"].input_schema)
    assert (near["mode"], [each["id"] for each in near["data"]]) == ("hybrid", [stored["id"]])
    assert (exact["mode"], exact["data"]) == ("text", [])
