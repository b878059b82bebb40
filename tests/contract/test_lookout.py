"""What operators see of a running gateway, in one process and through workers."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.gateway import Gateway, assert_books_balance, document, llm, provider
from tests.gateway.fixtures import StartGateway
from tests.gateway.house import watched
from tests.gateway.view import look
from tests.upstream import Answer, Gate, Status, Upstream

ADMIN = {"authorization": "Bearer an-admin-key-for-tests"}
VIEWS = ("llms", "limits", "dependencies", "memory", "calls", "calls/stream")


@pytest.fixture(scope="module", params=[1, 2], ids=["1-worker", "2-workers"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Gateway, Upstream]]:
    """A gateway whose access is closed; each test uses llms of its own."""
    with Upstream() as upstream:
        names = ("seen", "ill", "spare", "held", "tight", "told")
        patient = {"failures": 1000, "min_calls": 1000}
        lanes = [llm(name, "p", retries=0, breaker=patient) for name in names if name not in {"ill", "tight"}]
        gateway = Gateway(
            tmp_path_factory.mktemp("served"),
            toml=document(
                provider("p", upstream.base_url),
                *lanes,
                llm("ill", "p", retries=0, fallbacks=["spare"], breaker=patient),
                llm("tight", "p", requests_per_minute=5, breaker=patient),
            ),
            env={"TRISTAR_ADMIN_KEY": "an-admin-key-for-tests"},
            workers=request.param,
        )
        with watched(gateway):
            gateway.start()
            yield gateway, upstream


def view(gateway: Gateway, path: str, **params: object) -> Any:  # noqa: ANN401 - a JSON value
    """What the route answers, as JSON."""
    answer = gateway.request("GET", f"/admin/{path}", headers=ADMIN, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def one(gateway: Gateway, llm_id: str) -> dict[str, Any]:
    """One llm's row."""
    found: list[dict[str, Any]] = [row for row in view(gateway, "llms")["data"] if row["llm_id"] == llm_id]
    assert len(found) == 1
    return found[0]


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for what another process does in its own time."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_every_llm_is_there_with_what_happened_to_it(served: tuple[Gateway, Upstream]) -> None:
    """Whichever worker answered: counts, latencies, errors with time and kind, its breaker."""
    gateway, upstream = served
    for _ in range(6):
        assert look(gateway, "seen", stream=True, headers=ADMIN).complete
    upstream.default = Status(500)
    failed = look(gateway, "seen", headers=ADMIN)
    upstream.default = Answer()
    row = one(gateway, "seen")
    vitals = row.pop("vitals")

    assert row == {
        "llm_id": "seen", "provider": "p", "dialect": "openai", "model": "seen", "configured": True,
        "state": "closed", "in_flight": 0, "limits": [],
    }  # fmt: skip
    assert (vitals["calls"], vitals["errors"]) == (7, 1)
    assert vitals["latency"]["count"] == vitals["first_token"]["count"] == 6
    assert 0 < vitals["first_token"]["p50_s"] <= vitals["latency"]["p95_s"]
    assert [(error["trace_id"], error["http_status"]) for error in vitals["last_errors"]] == [
        (failed.trace_id, 500)
    ]


def test_a_call_is_told_with_its_attempts_and_nothing_of_its_content(
    served: tuple[Gateway, Upstream],
) -> None:
    """Who asked for what, who answered, why each attempt was made, under the ids that its record has."""
    gateway, upstream = served
    upstream.on("ill", Status(500))
    seen = look(
        gateway, "ill", headers=ADMIN, messages=[{"role": "user", "content": "the canary is in its cage"}]
    )
    told = view(gateway, "calls", limit=1)
    (call,) = told["data"]

    assert (call["trace_id"], call["key_id"], call["status"]) == (seen.trace_id, "bootstrap", 200)
    assert (call["asked"], call["llm_id"], call["endpoint"]) == ("ill", "spare", "/v1/chat/completions")
    assert [(each["llm_id"], each["status"], each["reason"]) for each in call["attempts"]] == [
        ("ill", "error", None),
        ("spare", "success", "server_error"),
    ]
    assert call["id"] == seen.headers["x-request-id"]
    assert "canary" not in json.dumps(told)


def test_a_call_in_progress_is_seen_while_it_lasts(served: tuple[Gateway, Upstream]) -> None:
    """In the list of calls, and in flight at its llm; afterwards it is among those that ended."""
    gateway, upstream = served
    gate = Gate()
    upstream.on("held", Answer(gate=gate))
    with httpx.Client(timeout=30, trust_env=False) as http:
        body = {"model": "held", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        url = f"{gateway.url}/v1/chat/completions"
        with http.stream("POST", url, json=body, headers=ADMIN) as answer:
            request_id = answer.headers["x-request-id"]
            running = view(gateway, "calls")["in_progress"]
            in_flight = one(gateway, "held")["in_flight"]
            gate.release()
            answer.read()

    assert [(each["id"], each["key_id"]) for each in running] == [(request_id, "bootstrap")]
    assert in_flight == 1
    eventually(lambda: view(gateway, "calls", limit=1)["data"][0]["id"] == request_id)
    assert one(gateway, "held")["in_flight"] == 0


def test_use_of_limits_is_told_by_key_and_llm(served: tuple[Gateway, Upstream]) -> None:
    """The nearest first; in `/admin/llms` beside the llm."""
    gateway, _ = served
    made = gateway.request(
        "POST", "/admin/keys", headers=ADMIN, json={"name": "k", "requests_per_minute": 1000}
    ).json()
    for _ in range(4):
        look(gateway, "tight", headers={"authorization": f"Bearer {made['key']}"})
    told = {row["subject"]: row for row in view(gateway, "limits")["data"]}
    tight, key = told["llm:tight"], told[f"key:{made['id']}"]

    assert (tight["scope"], tight["limits"][0]["limit"], tight["limits"][0]["of"]) == ("llm", "requests", 5)
    assert 0 < key["share"] < 0.01 < tight["share"]
    assert view(gateway, "limits", limit=1)["data"][0]["subject"] == "llm:tight"
    assert one(gateway, "tight")["limits"][0]["used"] > 2


def test_dependencies_say_since_when(served: tuple[Gateway, Upstream]) -> None:
    """Each with its kind; one that never changed is so since the start."""
    gateway, _ = served
    told = view(gateway, "dependencies")

    assert told["status"] == "ok"
    assert [(row["name"], row["kind"], row["status"]) for row in told["data"]] == [
        ("audit", "directory", "ok"),
        ("storage", "sqlite", "ok"),
    ]
    assert all(row["since"] and row["transitions"] == [] for row in told["data"])


def test_a_turn_of_a_dependency_is_told_with_time_and_reason(gateway: StartGateway) -> None:
    """A Redis that is not there: degraded, since then, because of that."""
    running = gateway(env={"REDIS_URL": "redis://127.0.0.1:1/0"})

    def redis() -> dict[str, Any]:
        row: dict[str, Any] = running.request("GET", "/admin/dependencies").json()["data"][2]
        return row

    eventually(lambda: redis()["transitions"] != [])
    row = redis()

    assert (row["name"], row["status"], row["required"]) == ("redis", "degraded", False)
    assert row["since"] == row["transitions"][0]["at"]
    assert (row["transitions"][0]["before"], row["transitions"][0]["now"]) == ("ok", "degraded")
    assert row["transitions"][0]["reason"]


def test_the_memory_is_counted_by_project_and_type(served: tuple[Gateway, Upstream]) -> None:
    """Of the projects that the key may see; the sweeper tells of itself."""
    gateway, _ = served
    for project, kind in (("blue", "fact"), ("blue", "fact"), ("red", "todo")):
        body = {"content": "x", "project": project, "type": kind}
        assert gateway.request("POST", "/v1/memory", headers=ADMIN, json=body).status_code == 201
    limited = {"name": "k", "scopes": ["admin"], "projects": ["red"]}
    key = gateway.request("POST", "/admin/keys", headers=ADMIN, json=limited).json()["key"]
    told = view(gateway, "memory")
    seen = gateway.request("GET", "/admin/memory", headers={"authorization": f"Bearer {key}"}).json()

    assert told["data"][0] == {"project": "blue", "type": "fact", "entries": 2}
    assert told["entries"] == 3
    assert [row["project"] for row in seen["data"]] == ["red"]
    assert told["sweeper"]["deleted"] == 0


def events(answer: httpx.Response) -> Iterator[tuple[str, Any]]:
    """Name and data of each event as it comes."""
    name = ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield name, json.loads(line[6:])


def test_calls_are_followed_as_they_end(served: tuple[Gateway, Upstream]) -> None:
    """Each once, whichever worker it was; the stream ends with its key."""
    gateway, _ = served
    made = gateway.request(
        "POST", "/admin/keys", headers=ADMIN, json={"name": "k", "scopes": ["admin"]}
    ).json()
    viewer = {"authorization": f"Bearer {made['key']}"}
    after = view(gateway, "calls")["next_after"]
    with (
        httpx.Client(timeout=30, trust_env=False) as http,
        http.stream("GET", f"{gateway.url}/admin/calls/stream?after={after}", headers=viewer) as answer,
    ):
        coming = events(answer)
        next(coming)
        wanted = {look(gateway, "told", headers=ADMIN).headers["x-request-id"] for _ in range(5)}
        seen: list[str] = []
        while len(seen) < 5:
            seen += [call["id"] for call in next(coming)[1]["data"]]
        gateway.request("DELETE", f"/admin/keys/{made['id']}", headers=ADMIN)
        ends = [name for name, _ in coming][-1]

    assert sorted(seen) == sorted(wanted)
    assert ends == "end"
    assert answer.headers["content-type"].startswith("text/event-stream")


def test_the_views_are_for_operators_alone(served: tuple[Gateway, Upstream]) -> None:
    """Every other scope together is not enough, and the books balance after all of this."""
    gateway, _ = served
    scopes = ["chat", "memory:read", "memory:write", "metrics", "audit:read", "audit:admin"]
    key = gateway.request("POST", "/admin/keys", headers=ADMIN, json={"name": "k", "scopes": scopes})
    headers = {"authorization": f"Bearer {key.json()['key']}"}
    statuses = {gateway.request("GET", f"/admin/{path}", headers=headers).status_code for path in VIEWS}

    assert statuses == {403}
    assert_books_balance(gateway)


def test_a_stream_of_calls_does_not_keep_the_gateway_from_stopping(tmp_path: Path) -> None:
    """It ends as the gateway drains, whole."""
    gateway = Gateway(tmp_path / "gateway")
    with watched(gateway), httpx.Client(timeout=30, trust_env=False) as http:
        gateway.start()
        with http.stream("GET", f"{gateway.url}/admin/calls/stream") as answer:
            coming = events(answer)
            next(coming)
            assert gateway.stop() == 0

            assert [name for name, _ in coming] == ["end"]
