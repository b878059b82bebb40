"""Limits as clients meet them: per llm and per key, whole over all workers, and nothing left behind."""

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from tests.gateway import Gateway, assert_books_balance, document, llm, provider
from tests.gateway.fixtures import StartGateway
from tests.gateway.house import watched
from tests.gateway.view import View, look, request_bytes
from tests.upstream import (
    Answer,
    Cut,
    Gate,
    Hang,
    Malformed,
    ResetBeforeHeaders,
    Stall,
    Status,
    Step,
    Upstream,
)

ADMIN = {"authorization": "Bearer the-admin-key-of-these-tests"}
PATIENT: dict[str, Any] = {"breaker": {"failures": 1000, "min_calls": 1000}, "retries": 0}
"""An llm whose breaker stays out of the way."""

QUICK: dict[str, Any] = {**PATIENT, "timeout_s": 1.0, "first_token_timeout_s": 0.3, "idle_timeout_s": 0.3}


@dataclass
class Lodge:
    """A gateway whose access is closed, with limited llms; each test uses llms and keys of its own."""

    gateway: Gateway
    upstream: Upstream

    def look(self, model: str, key: str | None = None, *, stream: bool = False, **body: object) -> View:
        """One chat, with this key or the operator's."""
        headers = ADMIN if key is None else {"authorization": f"Bearer {key}"}
        return look(self.gateway, model, stream=stream, headers=headers, **body)

    def key(self, **limits: object) -> str:
        """A new key that may chat."""
        answer = self.gateway.request(
            "POST", "/admin/keys", headers=ADMIN, json={"name": "one", "scopes": ["chat"], **limits}
        )

        assert answer.status_code == 201, answer.text
        return str(answer.json()["key"])

    def rejections(self, scope: str) -> float:
        """How often the gateway's own limits refused."""
        return self.gateway.scrape().value(
            "ailinux_rate_limit_rejections_total", scope=scope, rejected_by="gateway"
        )


def configuration(upstream: Upstream) -> str:
    """Every llm that a test here uses."""
    return document(
        provider("p", upstream.base_url),
        llm("plain", "p"),
        *(llm(name, "p", requests_per_minute=3) for name in ("few", "few-streamed")),
        llm("once", "p", requests_per_minute=1),
        llm("spared", "p", requests_per_minute=1, fallbacks=["plain"]),
        llm("cramped", "p", requests_per_minute=1, fallbacks=["once-more"]),
        llm("once-more", "p", requests_per_minute=1),
        *(llm(name, "p", max_concurrent=1) for name in ("single", "single-streamed", "shared")),
        llm("crowded", "p", max_concurrent=5),
        llm("strained", "p", max_concurrent=2, tokens_per_minute=1_000_000, **QUICK),
        llm("cut", "p", max_concurrent=1, fallbacks=["rescuer"], **PATIENT),
        llm("rescuer", "p", max_concurrent=1, requests_per_minute=2),
        llm("wordy", "p", tokens_per_minute=100),
    )


@pytest.fixture(scope="module", params=[1, 2], ids=["1-worker", "2-workers"])
def lodge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lodge]:
    """One gateway for the tests of this module, with one worker and with two; its books are balanced."""
    with Upstream() as upstream:
        gateway = Gateway(
            tmp_path_factory.mktemp("lodge"),
            toml=configuration(upstream),
            env={"TRISTAR_ADMIN_KEY": ADMIN["authorization"].removeprefix("Bearer ")},
            workers=request.param,
        )
        with watched(gateway):
            yield Lodge(gateway.start(), upstream)
            assert_books_balance(gateway)


def until(done: Callable[[], bool], what: str, within_s: float = 30.0) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.02)


def seconds(duration: str) -> float:
    """Go's notation, as far as a minute needs it."""
    found = re.fullmatch(r"(?:(\d+)m)?(?:([\d.]+)(ms|s))?", duration)
    assert found, duration
    return 60.0 * int(found[1] or 0) + float(found[2] or 0) / (1000 if found[3] == "ms" else 1)


@pytest.mark.parametrize(("model", "stream"), [("few", False), ("few-streamed", True)])
def test_an_llm_admits_its_burst_and_then_says_when_to_return(
    lodge: Lodge, model: str, *, stream: bool
) -> None:
    """Three a minute are three at once; the fourth is told 429, why, and for how long."""
    before = lodge.rejections("llm")
    views = [lodge.look(model, stream=stream) for _ in range(4)]
    refused = views[3]
    record = lodge.gateway.record_of(refused.trace_id)

    assert [view.status for view in views] == [200, 200, 200, 429]
    assert [view.headers["x-ratelimit-remaining-requests"] for view in views] == ["2", "1", "0", "0"]
    assert {view.headers["x-ratelimit-limit-requests"] for view in views} == {"3"}
    assert 15 < int(refused.headers["retry-after"]) <= 20
    assert 50 < seconds(refused.headers["x-ratelimit-reset-requests"]) <= 60
    assert refused.error is not None
    assert (refused.error["type"], refused.error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert "3 requests per minute" in refused.error["message"]
    assert len(lodge.upstream.journal.of(model)) == 3
    assert (record["action"], record["outcome"], record["status"]) == ("llm_call", "refused", 429)
    told = {name: record.details[name] for name in ("rejected_by", "rejected_scope", "limit")}
    assert told == {"rejected_by": "gateway", "rejected_scope": "llm", "limit": "requests"}
    assert record.attempts == []
    assert lodge.rejections("llm") == before + 1


def test_what_is_not_limited_says_nothing_of_limits(lodge: Lodge) -> None:
    """No header where there is no limit."""
    view = lodge.look("plain")

    assert view.complete
    assert not [name for name in view.headers if name.startswith("x-ratelimit")]


def test_parallel_requests_are_counted_together_whoever_serves_them(lodge: Lodge) -> None:
    """Ten at once of a key that may have four: exactly four are served."""
    key = lodge.key(requests_per_minute=4)
    with ThreadPoolExecutor(10) as clients:
        statuses = sorted(clients.map(lambda _: lodge.look("plain", key).status, range(10)))

    assert statuses == [200] * 4 + [429] * 6


def test_a_request_that_is_refused_consumes_nothing(lodge: Lodge) -> None:
    """What the llm's limit refuses costs the key none of its own."""
    key = lodge.key(requests_per_minute=4)
    first = [lodge.look("once", key).status for _ in range(4)]
    then = [lodge.look("plain", key).status for _ in range(4)]

    assert first == [200, 429, 429, 429]
    assert then == [200, 200, 200, 429]


def test_a_keys_limit_is_its_own(lodge: Lodge) -> None:
    """The record says so; another key goes on."""
    before = lodge.rejections("key")
    narrow, wide = lodge.key(requests_per_minute=1), lodge.key(requests_per_minute=10)
    views = [lodge.look("plain", narrow), lodge.look("plain", narrow), lodge.look("plain", wide)]
    record = lodge.gateway.record_of(views[1].trace_id)

    assert [view.status for view in views] == [200, 429, 200]
    assert views[0].headers["x-ratelimit-limit-requests"] == "1"
    assert views[2].headers["x-ratelimit-remaining-requests"] == "9"
    assert (record.details["rejected_by"], record.details["rejected_scope"]) == ("gateway", "key")
    assert lodge.rejections("key") == before + 1


def test_of_two_limits_the_tighter_is_told(lodge: Lodge) -> None:
    """The headers name the one of which less is left."""
    view = lodge.look("crowded", lodge.key(requests_per_minute=7, tokens_per_minute=5000))

    assert view.headers["x-ratelimit-limit-requests"] == "7"
    assert view.headers["x-ratelimit-limit-tokens"] == "5000"


def test_tokens_are_charged_as_they_were_used(lodge: Lodge) -> None:
    """Estimates are corrected: a wish for more than is left is refused, one that fits is not."""
    lodge.upstream.on("plain", Answer(tokens=(300, 200)), Answer(tokens=(10, 5)))
    key = lodge.key(tokens_per_minute=1000)
    views = [lodge.look("plain", key, max_tokens=size) for size in (900, 600, 100)]

    assert [view.status for view in views] == [200, 429, 200]
    assert 1 <= int(views[1].headers["retry-after"]) <= 10
    assert 450 <= int(views[1].headers["x-ratelimit-remaining-tokens"]) <= 560


def test_what_can_never_fit_is_told_not_to_come_back(lodge: Lodge) -> None:
    """No Retry-After, and SDKs are asked not to retry."""
    view = lodge.look("wordy", max_tokens=1000)

    assert view.status == 429
    assert "retry-after" not in view.headers
    assert view.headers["x-should-retry"] == "false"
    assert lodge.look("wordy").complete


def test_a_full_llm_hands_over_to_its_fallback(lodge: Lodge) -> None:
    """The client sees no refusal; the record says why the fallback was asked."""
    views = [lodge.look("spared") for _ in range(2)]
    record = lodge.gateway.record_of(views[1].trace_id)

    assert [view.llm for view in views] == ["spared", "plain"]
    assert all(view.complete for view in views)
    assert [attempt["reason"] for attempt in record.attempts] == ["rate_limited"]


def test_with_every_llm_full_the_first_ones_limit_is_told(lodge: Lodge) -> None:
    """Two requests, one each; then 429."""
    views = [lodge.look("cramped") for _ in range(3)]

    assert [view.status for view in views] == [200, 200, 429]
    assert [view.llm for view in views[:2]] == ["cramped", "once-more"]


@pytest.mark.parametrize(("model", "stream"), [("single", False), ("single-streamed", True)])
def test_a_client_that_leaves_frees_its_place(lodge: Lodge, model: str, *, stream: bool) -> None:
    """While it is there the next is refused; once it has gone the next is served."""
    lodge.upstream.on(model, Answer(gate=Gate()), Answer())
    with socket.create_connection(("127.0.0.1", lodge.gateway.port), timeout=10) as sock:
        head, _, rest = request_bytes(model, stream=stream).partition(b"\r\n")
        sock.sendall(head + b"\r\nauthorization: " + ADMIN["authorization"].encode() + b"\r\n" + rest)
        until(lambda: bool(lodge.upstream.journal.of(model)), "the call reaches the upstream")
        meanwhile = lodge.look(model)

    assert meanwhile.status == 429
    assert meanwhile.headers["retry-after"] == "1"
    until(lambda: lodge.look(model).complete, "its place is free")


def test_a_place_is_free_for_the_same_clients_next_request(lodge: Lodge) -> None:
    """One after the other is never two at a time."""
    key = lodge.key(max_concurrent=1)

    assert [lodge.look("shared", key, stream=n % 2 == 0).status for n in range(20)] == [200] * 20


FAULTS: list[tuple[Step, bool]] = [
    (step, stream)
    for step in (
        Status(500),
        Status(400),
        ResetBeforeHeaders(),
        Hang(),
        Answer(fault=Cut()),
        Answer(fault=Stall()),
        Answer(fault=Malformed()),
        Answer(fault=Stall(after=0)),
    )
    for stream in (False, True)
]


def test_no_fault_leaves_a_place_taken(lodge: Lodge) -> None:
    """After every kind of failure and of departure both places are free, and both are still places."""
    lodge.upstream.on("strained", *(step for step, _ in FAULTS))
    for number, (_, stream) in enumerate(FAULTS):
        view = lodge.look("strained", stream=stream)
        assert view.status != 429 or (view.error or {})["code"] != "rate_limit_exceeded", FAULTS[number]
    gate = Gate()
    lodge.upstream.on("strained", Answer(gate=gate), Answer(gate=gate))
    count = len(lodge.upstream.journal.of("strained"))
    assert count >= len(FAULTS), "each fault was met; a stale connection's is met twice"
    with ThreadPoolExecutor(2) as clients:
        held = [clients.submit(lodge.look, "strained") for _ in range(2)]
        until(lambda: len(lodge.upstream.journal.of("strained")) == count + 2, "both places are taken")
        third = lodge.look("strained")
        gate.release()
        statuses = [one.result().status for one in held]

    assert statuses == [200, 200]
    assert third.status == 429
    assert third.error is not None
    assert "2 requests at a time" in third.error["message"]


def test_a_rescue_draws_on_the_limits_of_the_llm_that_rescues(lodge: Lodge) -> None:
    """Two streams are carried on; for the third it is full: an error event, and no end that looks good."""
    lodge.upstream.on("cut", Answer(fault=Cut()))
    views = [lodge.look("cut", stream=True) for _ in range(3)]

    assert [view.complete for view in views] == [True, True, False]
    assert [view.done for view in views] == [True, True, False]
    assert views[2].error is not None
    assert len(lodge.upstream.journal.of("rescuer")) == 2
    assert len(lodge.upstream.journal.of("cut")) >= 3


def test_a_budget_without_a_price_is_refused_unless_the_key_allows_it(lodge: Lodge) -> None:
    """Nobody spends what cannot be counted; the operator may say otherwise."""
    strict = lodge.look("plain", lodge.key(budget_usd_per_day=5))
    lenient = lodge.look("plain", lodge.key(budget_usd_per_day=5, allow_unpriced=True))

    assert strict.status == 403
    assert strict.error is not None
    assert strict.error["code"] == "unpriced_model"
    assert lenient.complete


def test_a_killed_worker_frees_what_it_held(gateway: StartGateway, upstream: Upstream) -> None:
    """kill -9 amid an answer: its place is free as soon as it is dead."""
    gate = Gate()
    upstream.on("single", Answer(gate=gate), Answer())
    running = gateway(toml=configuration(upstream), workers=2)
    asking = threading.Thread(target=look, args=(running, "single"), kwargs={"stream": True})
    asking.start()
    gate.wait_reached()
    meanwhile = look(running, "single").status
    for pid in running.worker_pids():
        os.kill(pid, signal.SIGKILL)
    asking.join(10)
    until(lambda: _status(running, "single") == 200, "its place is free")
    gate.release()

    assert meanwhile == 429
    assert_books_balance(running)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_reloaded_limit_holds_at_once(gateway: StartGateway, upstream: Upstream, workers: int) -> None:
    """In every worker, without a restart."""

    def written(limit: int) -> str:
        return document(provider("p", upstream.base_url), llm("fast", "p", requests_per_minute=limit))

    running = gateway(toml=written(1), workers=workers)
    before = [look(running, "fast").status for _ in range(2)]
    (running.folder / "tristar.toml").write_text(written(4))
    assert running.request("POST", "/admin/reload").status_code == 200
    after = [look(running, "fast") for _ in range(4)]

    assert before == [200, 429]
    assert [view.status for view in after] == [200, 200, 200, 429]
    assert {view.headers["x-ratelimit-limit-requests"] for view in after} == {"4"}


def _status(gateway: Gateway, model: str) -> int:
    try:
        return look(gateway, model).status
    except OSError:
        return 0  # no worker is there yet
