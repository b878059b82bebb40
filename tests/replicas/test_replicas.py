"""Two hosts, one gateway: what they share holds across them, through a cut cable and through upgrades."""

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial

import httpx
import pytest
from tests.gateway.books import imbalances
from tests.gateway.process import Gateway
from tests.prometheus.station import until
from tests.replicas.network import Host
from tests.replicas.site import LIMIT, Site, bearer, open_site, question
from tests.upstream import Answer

CLIENTS = 6


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The two hosts for all tests of the module; the books of each balance at the end."""
    with open_site(tmp_path_factory.mktemp("site")) as running:
        yield running


def test_a_limit_is_one_for_both_hosts(site: Site) -> None:
    """A burst of the limit in all, whichever host is asked; one more comes back every three seconds."""
    asked = [site.gateways[number % 2].chat("limited").status_code for number in range(2 * LIMIT)]
    counted = Counter(asked)

    assert set(counted) == {200, 429}
    assert LIMIT <= counted[200] <= LIMIT + 3


def test_a_breaker_is_one_for_both_hosts(site: Site) -> None:
    """Opened by failures of the first, it keeps the second from calling at all."""
    first, second = site.gateways
    for _ in range(3):
        first.chat("failing")
    until(lambda: second.scrape().value("ailinux_circuit_breaker_state", llm_id="failing") == 1)
    before = len(site.upstream.journal.of("failing"))
    refused = second.chat("failing")

    assert refused.status_code == 503
    assert len(site.upstream.journal.of("failing")) == before


def test_a_key_works_everywhere_and_is_revoked_everywhere(site: Site) -> None:
    """Made at the first, used at the second; revoked at the first, refused at the second."""
    first, second = site.gateways
    made = first.request("POST", "/admin/keys", json={"name": "roaming"}).json()
    used = second.chat("fast", headers=bearer(made["key"])).status_code
    first.request("DELETE", f"/admin/keys/{made['id']}")
    until(lambda: second.chat("fast", headers=bearer(made["key"])).status_code == 401, within_s=10)

    assert used == 200


def test_the_memory_is_one(site: Site) -> None:
    """Written at the first, found at the second; both count the same entries."""
    first, second = site.gateways
    written = first.request("POST", "/v1/memory", json={"content": "the hosts share a memory"})
    found = second.request("GET", f"/v1/memory/{written.json()['id']}")

    assert (written.status_code, found.status_code) == (201, 200)
    assert until(
        lambda: all(each.scrape().value("ailinux_memory_entries_total") == 1 for each in site.gateways)
    )


def test_a_long_stream_is_finished_after_sigterm(site: Site) -> None:
    """To its last word and `[DONE]`; meanwhile the host is not ready and takes nothing new."""
    gateway = site.gateways[0]
    site.upstream.on("fast", Answer(words=(" word",) * 40, gap_s=0.05))
    with httpx.stream(
        "POST",
        f"{gateway.url}/v1/chat/completions",
        json=question("fast", stream=True),
        headers=gateway._http.headers,
        timeout=30,
    ) as answer:
        lines = answer.iter_lines()
        first = next(line for line in lines if "word" in line)
        gateway.process.send_signal(signal.SIGTERM)
        rest = [first, *(line for line in lines if line)]
    code = site.restart(0)
    site.upstream.on("fast", Answer(gap_s=0.005))

    assert code == 0
    assert rest[-1] == "data: [DONE]"
    assert sum("word" in line for line in rest) == 40


def serves(gateway: Gateway) -> bool:
    """Whether nginx has sent it requests since it was started."""
    scrape = gateway.scrape()
    return scrape.value("ailinux_request_count", endpoint="/v1/chat/completions", status="200") > 0


def test_an_upgrade_host_by_host_loses_no_request(site: Site) -> None:
    """Under load through nginx, whole and streamed: every answer is whole, in one log once, of one call."""
    calls_before = len(site.upstream.journal.of("fast"))
    ids: list[str] = []
    faults: list[str] = []
    stop = threading.Event()

    def load(number: int) -> None:
        with site.client() as client:
            while not stop.is_set():
                stream = (len(ids) + number) % 2 == 0
                try:
                    answer = client.post("/v1/chat/completions", json=question("fast", stream=stream))
                except httpx.HTTPError as error:
                    faults.append(repr(error))
                    continue
                ids.append(answer.headers.get("x-request-id", ""))
                if answer.status_code != 200 or (stream and not answer.text.endswith("data: [DONE]\n\n")):
                    faults.append(f"{answer.status_code} {answer.text[-300:]}")

    threads = [threading.Thread(target=load, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        codes = []
        for number, gateway in enumerate(site.gateways):
            codes.append(site.restart(number))
            until(partial(serves, gateway))  # nginx leaves it alone for a while
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    recorded = Counter(
        record["event_id"] for each in site.gateways for record in each.records() if record.terminal
    )

    assert faults == []
    assert codes == [0, 0]
    assert len(ids) > 2 * CLIENTS
    assert [each for each in ids if recorded[each.removeprefix("req_")] != 1] == []
    assert len(site.upstream.journal.of("fast")) - calls_before == len(ids)


def test_a_host_that_is_cut_off_is_done_without_and_comes_back(site: Site) -> None:
    """nginx serves from the other; cut off, a host is on its own; back on the cable it shares again."""
    first, second = site.gateways
    site.hosts[1].cut()
    try:
        with site.client() as client:
            alone = [client.post("/v1/chat/completions", json=question("fast")).status_code for _ in range(6)]
        told = until(lambda: degraded(site.hosts[1], second))
    finally:
        site.hosts[1].mend()
    until(lambda: ready(second) == "ok")
    made = first.request("POST", "/admin/keys", json={"name": "after the cut"}).json()

    assert alone == [200] * 6
    assert {"redis", "storage"} <= told
    assert second.chat("fast", headers=bearer(made["key"])).status_code == 200
    assert second.chat("failing").status_code == 503


def test_the_books_of_each_host_balance(site: Site) -> None:
    """After all of the above: what each has counted since its start is what its log has since then."""
    faults = {gateway.url: until_balanced(gateway) for gateway in site.gateways}

    assert faults == {url: [] for url in faults}


def until_balanced(gateway: Gateway) -> list[str]:
    """What does not agree, once it has had time to."""
    deadline = time.monotonic() + 20
    while True:
        records = gateway.records()
        start = max(number for number, record in enumerate(records) if record.action == "service_started")
        faults = imbalances(gateway.scrape(), records[start:])
        if not faults or time.monotonic() > deadline:
            return faults
        time.sleep(0.1)


def ready(gateway: Gateway) -> str:
    """What it says of itself."""
    return str(gateway.request("GET", "/health/ready").json()["status"])


def degraded(host: Host, gateway: Gateway) -> set[str]:
    """What a host that nobody else can reach says is not well, once Redis and the database are not."""
    said = json.loads(host.run("curl", "--silent", "--max-time", "10", f"{gateway.url}/health/ready"))
    found = {name for name, part in said["dependencies"].items() if part["status"] != "ok"}
    return found if {"redis", "storage"} <= found else set()
