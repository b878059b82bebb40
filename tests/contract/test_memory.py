"""The shared memory under many writers, kills and hostile clients, in running gateways."""

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from tests.gateway.books import assert_books_balance
from tests.gateway.fixtures import StartGateway
from tests.gateway.house import House
from tests.gateway.process import Gateway
from tests.storage.fixtures import empty_postgres, postgres_server
from tests.storage.postgres import PostgresServer, new_postgres

__all__ = ["empty_postgres", "postgres_server"]

WRITERS = 8
BEGUN = 40


def every(gateway: Gateway) -> dict[str, dict[str, Any]]:
    """Every entry that the gateway shows, by id.

    A worker that could not connect to its database tries again after a second: each worker has its own.
    """
    deadline = time.monotonic() + 10.0
    while (export := gateway.request("GET", "/v1/memory/export")).status_code == 503:
        assert time.monotonic() < deadline, export.text
        assert export.headers["retry-after"], export.text
        time.sleep(0.05)
    assert export.status_code == 200, export.text
    return {entry["id"]: entry for entry in map(json.loads, export.text.splitlines())}


class Writing:
    """Clients that write, and change what they wrote; what was acknowledged to them."""

    def __init__(self, gateway: Gateway) -> None:
        self.url = gateway.url
        self.acknowledged: dict[str, int] = {}
        self.failed = 0
        self._stop = threading.Event()

    @contextmanager
    def going_on(self) -> Iterator["Writing"]:
        """Keep writing while the block runs."""
        with ThreadPoolExecutor(WRITERS) as pool:
            writers = [pool.submit(self._write) for _ in range(WRITERS)]
            try:
                yield self
            finally:
                self._stop.set()
                for writer in writers:
                    writer.result(60)

    def await_more(self, count: int, within_s: float = 60.0) -> None:
        """Until so many more are acknowledged."""
        goal, deadline = len(self.acknowledged) + count, time.monotonic() + within_s
        while len(self.acknowledged) < goal:
            assert time.monotonic() < deadline, f"{len(self.acknowledged)} of {goal}, {self.failed} failed"
            time.sleep(0.01)

    def _write(self) -> None:
        with httpx.Client(base_url=self.url, timeout=30.0, trust_env=False) as http:
            while not self._stop.is_set():
                try:
                    made = http.post("/v1/memory", json={"content": "kept " * 50, "tags": ["a", "b"]})
                    if made.status_code != 201:
                        self.failed += 1
                        continue
                    entry_id = made.json()["id"]
                    self.acknowledged[entry_id] = 1
                    path = f"/v1/memory/{entry_id}"
                    if http.patch(path, json={"content": "changed " * 50}).status_code == 200:
                        self.acknowledged[entry_id] = 2
                except httpx.HTTPError:
                    self.failed += 1
                    time.sleep(0.02)


def assert_all_there(gateway: Gateway, writing: Writing) -> None:
    """Each acknowledged version is there; every entry is whole: its history, its tags, its words."""
    found = every(gateway)
    lost = {entry_id for entry_id in writing.acknowledged if entry_id not in found}
    versions = {entry_id: entry["version"] for entry_id, entry in found.items()}
    older = {each for each, version in writing.acknowledged.items() if versions.get(each, version) < version}
    assert (lost, older) == (set(), set())
    for entry in found.values():
        assert entry["content"] in {"kept " * 50, "changed " * 50}
        assert entry["tags"] == ["a", "b"]
    for entry in itertools.islice(found.values(), 25):
        history = gateway.request("GET", f"/v1/memory/{entry['id']}/history").json()["data"]
        assert [past["version"] for past in history] == list(range(1, entry["version"] + 1))
    tagged = gateway.request("GET", "/v1/memory", params={"tags": "a", "limit": 100}).json()["data"]
    assert len(tagged) == min(100, len(found))
    assert gateway.scrape().value("ailinux_memory_entries_total") == len(found)


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_killed_gateway_loses_nothing_acknowledged(
    gateway: StartGateway, engine: str, request: pytest.FixtureRequest
) -> None:
    """SIGKILL to every process amid writes: what was answered is there, and nothing is half there."""
    env = {} if engine == "sqlite" else {"DATABASE_URL": request.getfixturevalue("empty_postgres")}
    running = gateway(env=env, workers=2)
    writing = Writing(running)
    with writing.going_on():
        writing.await_more(BEGUN)
        running.kill()
    again = gateway(env=env, workers=2)

    assert_all_there(again, writing)


def test_a_killed_database_loses_nothing_acknowledged_and_is_met_again(gateway: StartGateway) -> None:
    """PostgreSQL crashes in the middle of writing: 503 meanwhile; then the gateway goes on by itself."""
    with new_postgres() as server:
        server.start(durable=True)
        running = gateway(env={"DATABASE_URL": server.url_of()}, workers=2)
        writing = Writing(running)
        with writing.going_on():
            writing.await_more(BEGUN)
            crash(server)
            server.start(durable=True)
            writing.await_more(BEGUN)
        assert_all_there(running, writing)
        assert_books_balance(running)
        assert running.stop() == 0

    assert writing.failed, "the crash was noticed"


def crash(server: PostgresServer) -> None:
    """The whole server is gone at once, without a word to anybody."""
    server.stop("immediate")


def test_no_update_is_lost_by_four_workers_and_two_replicas(
    gateway: StartGateway, empty_postgres: str
) -> None:
    """Eight clients count up an entry by If-Match: a success is one step; the gauge is equal everywhere."""
    env = {"DATABASE_URL": empty_postgres}
    replicas = [gateway(env=env, workers=4, name=f"replica-{n}") for n in range(2)]
    entry = replicas[0].request("POST", "/v1/memory", json={"content": "0"}).json()
    path = f"/v1/memory/{entry['id']}"

    def count_up(number: int) -> int:
        won = 0
        with httpx.Client(base_url=replicas[number % 2].url, timeout=30.0, trust_env=False) as http:
            for _ in range(30):
                seen = http.get(path)
                change = {"content": str(int(seen.json()["content"]) + 1)}
                answer = http.patch(path, json=change, headers={"if-match": seen.headers["etag"]})
                assert answer.status_code in {200, 412}, answer.text
                won += answer.status_code == 200
        return won

    with ThreadPoolExecutor(8) as pool:
        won = sum(pool.map(count_up, range(8)))
    last = replicas[1].request("GET", path).json()
    remember = [replicas[n % 2].request("POST", "/v1/memory", json={"content": "x"}) for n in range(9)]
    gauges = [replica.scrape().value("ailinux_memory_entries_total") for replica in replicas]

    assert (last["content"], last["version"]) == (str(won), won + 1)
    assert 0 < won < 240, "some met each other"
    assert {made.status_code for made in remember} == {201}
    assert gauges == [10, 10]
    for replica in replicas:
        assert_books_balance(replica)


def body_of(content: object, **fields: object) -> bytes:
    """A new entry as it goes on the wire; lone surrogates as escapes."""
    return json.dumps({"content": content, **fields}).encode()


HOSTILE: dict[str, tuple[Callable[[], bytes], int]] = {
    "null byte": (lambda: body_of("a\0b"), 400),
    "lone surrogate": (lambda: body_of("\ud800"), 400),
    "lone surrogate in a tag": (lambda: body_of("x", tags=["\udfff"]), 400),
    "lone surrogate in the subject": (lambda: body_of("x", subject="\ud800"), 400),
    "bytes that are no UTF-8": (lambda: b'{"content": "\xff\xfe"}', 400),
    "5 MB": (lambda: body_of("x" * 5_000_000), 400),
    "over the body limit": (lambda: body_of("x" * 34_000_000), 413),
    "10,000 tags": (lambda: body_of("x", tags=[f"t{n}" for n in range(10_000)]), 400),
    "a tag of 1 MB": (lambda: body_of("x", tags=["t" * 1_000_000]), 400),
    "deep JSON": (lambda: b'{"content": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
    "deep JSON beside": (
        lambda: b'{"content": "x", "more": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001,
        400,
    ),
    "a number as content": (lambda: body_of(7), 400),
    "NaN": (lambda: b'{"content": "x", "importance": NaN}', 400),
    "a huge number": (lambda: b'{"content": "x", "ttl_s": 1e999}', 400),
    "a number of 10,000 digits": (lambda: b'{"content": "x", "ttl_s": ' + b"9" * 10_000 + b"}", 400),
    "the same key twice": (lambda: b'{"content": "x", "content": "y"}', 201),
    "right to left": (
        lambda: body_of(
            "\u202eמרחב \u2066\u0645\u0631\u062d\u0628\u0627\u2069 '; DROP TABLE memory_entries; --"
        ),
        201,
    ),
    "SQL and FTS": (lambda: body_of('" OR 1=1 -- NEAR(x, 3) * ^ : % _ \\ $1 :name {}', tags=["'; --"]), 201),
    "not JSON": (lambda: b"content=x", 400),
    "nothing": (lambda: b"", 400),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_content_is_taken_as_it_is_or_refused_plainly(house: House, name: str) -> None:
    """Never 500; a refusal says what is wrong in a line or two."""
    make, status = HOSTILE[name]
    answer = house.gateway.request(
        "POST", "/v1/memory", content=make(), headers={"content-type": "application/json"}
    )

    assert answer.status_code == status, answer.text[:500]
    if status == 201:
        read = house.gateway.request("GET", f"/v1/memory/{answer.json()['id']}")
        assert read.json()["content"] == answer.json()["content"]
    else:
        assert answer.json()["error"]["message"]
        assert len(answer.content) < 2000
    assert_books_balance(house.gateway)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/memory/search?q=%00", 200),
        ("/v1/memory/search?q=%ED%A0%80", 200),
        ("/v1/memory/search?q=" + "x" * 1001, 400),
        ("/v1/memory/search?q=a&tags=" + ",".join(f"t{n}" for n in range(40)), 400),
        ("/v1/memory/search?q=%27%3B%20DROP%20TABLE%20memory_entries%3B--", 200),
        ("/v1/memory/search?q=memory_words%20MATCH%20%22*%22%20NEAR(", 200),
        ("/v1/memory/search?q=a&mode=psychic", 400),
        ("/v1/memory/search?q=a&limit=99999999999999999999", 400),
        ("/v1/memory/search?q=a&cursor=%00%ff", 400),
        ("/v1/memory?subject=%00", 400),
        ("/v1/memory?project=%ED%A0%80", 200),
        ("/v1/memory/%00", 400),
        ("/v1/memory/..%2f..%2fetc%2fpasswd/history", 404),
    ],
)
def test_hostile_questions_are_answered_or_refused_plainly(house: House, path: str, status: int) -> None:
    """By the field at fault."""
    answer = house.gateway.request("GET", path)

    assert answer.status_code == status, answer.text[:500]
    assert_books_balance(house.gateway)
