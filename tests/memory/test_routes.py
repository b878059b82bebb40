"""`/v1/memory` over HTTP."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.storage.routes import TRACE_ID, Control, control_of

from tristar.auth.actor import ANONYMOUS, Actor
from tristar.auth.scopes import Scope, expand
from tristar.clock import ManualClock
from tristar.edge.memory import rest
from tristar.edge.memory.desk import Desk
from tristar.errors import NoRecord
from tristar.memory.entry import content_hash
from tristar.memory.opening import open_store
from tristar.memory.store import Store
from tristar.storage.opening import open_engine

CANARY = "the launch code is 0000"


@pytest.fixture(params=["FastAPI alone", "with the busiest in front"])
def control(store: Store, request: pytest.FixtureRequest) -> Control:
    """The control routes with the memory, and what they record; both ways must do the same."""
    made = control_of(lambda events: rest.router(Desk(store, events)))
    if request.param == "FastAPI alone":
        return made
    return Control(made.make, direct=lambda events: rest.direct(Desk(store, events)))


async def add(control: Control, **fields: object) -> dict[str, Any]:
    """A new entry, as the client got it."""
    made = await control.ask("POST", "/v1/memory", {"content": CANARY, **fields})
    assert made.status == 201
    return made.json


async def test_an_entry_is_made_read_changed_and_forgotten(control: Control, clock: ManualClock) -> None:
    """201, 200, 200, 204, 404; every field where the contract says."""
    control.actor = Actor("key_1", "n", ANONYMOUS.scopes)
    made = await add(control, type="decision", project="blue", tags=["t"], llm_id="fast", ttl_s=60)
    path = f"/v1/memory/{made['id']}"
    read = await control.ask("GET", path)
    changed = await control.ask("PATCH", path, {"content": "new"}, headers={"if-match": read.headers["etag"]})
    removed = await control.ask("DELETE", path)
    now = datetime.fromtimestamp(clock.time(), UTC)

    assert made | {"id": 0} == {
        "id": 0,
        "object": "memory",
        "content": CANARY,
        "type": "decision",
        "project": "blue",
        "tags": ["t"],
        "importance": 0.5,
        "confidence": 0.5,
        "created_by": "key_1",
        "llm_id": "fast",
        "trace_id": TRACE_ID,
        "version": 1,
        "content_hash": content_hash(CANARY),
        "created_at": made["created_at"],
        "updated_at": made["created_at"],
        "expires_at": made["expires_at"],
        "subject": None,
    }
    assert datetime.fromisoformat(made["created_at"]) == now
    assert datetime.fromisoformat(made["expires_at"]) == now + timedelta(seconds=60)
    assert (read.json, read.headers["etag"]) == (made, '"1"')
    assert (changed.status, changed.json["version"], changed.headers["etag"]) == (200, 2, '"2"')
    assert (removed.status, removed.text) == (204, "")
    assert (await control.ask("GET", path)).status == 404


async def test_every_write_read_and_deletion_is_recorded_by_hash(control: Control) -> None:
    """The audit log never holds what was remembered or asked for."""
    made = await add(control)
    path = f"/v1/memory/{made['id']}"
    await control.ask("GET", path)
    await control.ask("GET", "/v1/memory")
    await control.ask("GET", "/v1/memory/search?q=launch")
    await control.ask("GET", f"{path}/history")
    await control.ask("POST", f"{path}/validate", {"llm_id": "fast"})
    await control.ask("PATCH", path, {"content": "the launch code is 1111"})
    await control.ask("DELETE", path)
    told = json.dumps(control.recorded)

    assert [action for action, _, _ in control.recorded] == [
        "memory_written",
        *["memory_read"] * 4,
        *["memory_written"] * 2,
        "memory_deleted",
    ]
    assert [details.get("change") for _, _, details in control.recorded if "change" in details] == [
        "created",
        "validated",
        "updated",
    ]
    assert "launch" not in told
    assert content_hash(CANARY) in told
    assert content_hash("the launch code is 1111") in json.dumps(control.recorded[-1])


async def test_a_change_that_cannot_be_recorded_is_not_acknowledged(control: Control) -> None:
    """503 rather than a success that the audit log does not know."""
    control.fails = NoRecord("The audit log is full.")

    assert (await control.ask("POST", "/v1/memory", {"content": "x"})).status == 503


async def test_if_match_guards_changes_and_deletions(control: Control) -> None:
    """Strong, weak or bare; `*` is any version."""
    path = f"/v1/memory/{(await add(control))['id']}"
    statuses = [
        (await control.ask("PATCH", path, {"importance": 0.1}, headers={"if-match": tag})).status
        for tag in ('"1"', 'W/"2"', "3", "*", '"1"', "x", '"1", "2"', "9" * 30)
    ]
    deleted = [
        (await control.ask("DELETE", path, headers={"if-match": tag})).status for tag in ('"4"', '"5"')
    ]

    assert statuses == [200, 200, 200, 200, 412, 400, 400, 400]
    assert deleted == [412, 204]


async def test_ttl_null_removes_the_end_and_no_ttl_leaves_it(control: Control) -> None:
    """The one field where null says something."""
    path = f"/v1/memory/{(await add(control, ttl_s=60))['id']}"
    left = await control.ask("PATCH", path, {"importance": 0.1})
    removed = await control.ask("PATCH", path, {"ttl_s": None})

    assert left.json["expires_at"] is not None
    assert removed.json["expires_at"] is None


async def test_search_takes_a_query_or_a_body(control: Control) -> None:
    """Both find the same; tags are repeated or separated by commas."""
    made = await add(control, tags=["a", "b"], type="code")
    await add(control, content="launch without tags")
    asked = [
        await control.ask("GET", "/v1/memory/search?q=launch&tags=a&tags=b&type=code&limit=5"),
        await control.ask("GET", "/v1/memory/search?q=launch&tags=a,b&min_confidence=0.5"),
        await control.ask(
            "POST", "/v1/memory/search", {"q": "launch", "tags": ["a", "b"], "project": "default"}
        ),
    ]

    for found in asked:
        (entry,) = found.json["data"]
        assert entry.pop("score") > 0
        assert entry == made


async def test_lists_go_on_by_cursor(control: Control) -> None:
    """`data` and `next_cursor`, in lists and searches."""
    for number in range(3):
        await add(control, content=f"word {number}")
    for path in ("/v1/memory?", "/v1/memory/search?q=word&"):
        first = (await control.ask("GET", f"{path}limit=2")).json
        second = (await control.ask("GET", f"{path}limit=2&cursor={first['next_cursor']}")).json
        assert (len(first["data"]), len(second["data"]), second["next_cursor"]) == (2, 1, None)


async def test_votes_and_history_tell_who_confirmed_what(control: Control) -> None:
    """Confidence moves; the history says by which llm."""
    path = f"/v1/memory/{(await add(control))['id']}"
    up = await control.ask("POST", f"{path}/validate", {"llm_id": "fast"})
    down = await control.ask("POST", f"{path}/contradict", {"llm_id": "deep"})
    history = (await control.ask("GET", f"{path}/history")).json["data"]

    assert [up.json["confidence"], down.json["confidence"]] == [0.55, 0.45]
    assert [(past["version"], past["change"], past["llm_id"]) for past in history] == [
        (1, "created", None),
        (2, "validated", "fast"),
        (3, "contradicted", "deep"),
    ]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"\xff\xfe", None),
        (b"[" * 100_000, None),
        ([], None),
        (None, None),
        ({}, "content"),
        ({"content": 1}, "content"),
        ({"content": ""}, "content"),
        (b'{"content": "\\ud800"}', "content"),
        (b'{"content": "a\\u0000b"}', "content"),
        ({"content": "x" * 5_000_000}, "content"),
        ({"content": "é" * 200_000}, "content"),
        ({"content": "x", "created_by": "root"}, "created_by"),
        ({"content": "x", "version": 7}, "version"),
        ({"content": "x", "type": "rumour"}, "type"),
        ({"content": "x", "tags": "t"}, "tags"),
        ({"content": "x", "tags": ["a,b"]}, "tags"),
        ({"content": "x", "confidence": "0.5"}, "confidence"),
        ({"content": "x", "confidence": True}, "confidence"),
        (b'{"content": "x", "confidence": NaN}', "confidence"),
        (b'{"content": "x", "ttl_s": 1e999}', "ttl_s"),
        ({"content": "x", "ttl_s": -1}, "ttl_s"),
        ({"content": "x", "project": "\u0000"}, "project"),
    ],
)
async def test_a_bad_entry_is_400_and_names_the_field(
    control: Control, body: object, param: str | None
) -> None:
    """The message is short, and nothing is stored."""
    refused = await control.ask("POST", "/v1/memory", body)
    error = refused.json["error"]

    assert refused.status == 400
    assert param is None or error["param"] == param
    assert error["code"] == "invalid_request"
    assert len(refused.text) < 700
    assert (await control.ask("GET", "/v1/memory")).json["data"] == []


async def test_what_is_exported_can_be_imported(control: Control) -> None:
    """As it is, one JSON object per line, with its end; a portion's size does not show."""
    for number in range(5):
        await add(control, content=f"entry {number}", tags=["a"], importance=0.25, ttl_s=60)
    await add(control, content="left out")
    lines = (await control.ask("GET", "/v1/memory/export?tags=a&limit=2", parse=False)).text.splitlines()
    again = [json.loads(line) for line in lines]
    imported = await control.ask("POST", "/v1/memory/import", "\n".join(lines).encode())

    assert [entry["content"] for entry in again] == [f"entry {number}" for number in (4, 3, 2, 1, 0)]
    assert (imported.status, imported.json["imported"], len(set(imported.json["ids"]))) == (201, 5, 5)
    first = (await control.ask("GET", f"/v1/memory/{imported.json['ids'][0]}")).json
    same = ("content", "tags", "importance", "type", "project", "confidence", "expires_at", "content_hash")
    assert {name: first[name] for name in same} == {name: again[0][name] for name in same}
    assert first["id"] != again[0]["id"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "1 to 1000 lines; this one has 0"),
        (b'{"content":"x"}\n' * 1001, "this one has 1001"),
        (b'{"content":"x"}\n\n{"content":', "Line 3: it: Invalid JSON"),
        (b'{"content":"x"}\n{"content":1}', "Line 2: content: "),
        (b'{"content":"x"}\n{"content":"a\\u0000"}', "Line 2: content holds a null character"),
        (b'{"content":"x","colour":"red"}', "Line 1: colour: "),
        (b'{"content":"x","expires_at":"2030-01-01T00:00:00"}', "Line 1: expires_at: "),
        (b"\xff\xfe", "Line 1: it: Invalid JSON"),
    ],
)
async def test_an_import_with_a_bad_line_stores_nothing(control: Control, body: bytes, told: str) -> None:
    """And says which line it is."""
    refused = await control.ask("POST", "/v1/memory/import", body)

    assert refused.status == 400
    assert told in refused.json["error"]["message"]
    assert (await control.ask("GET", "/v1/memory")).json["data"] == []


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=1e3",
        "limit=" + "9" * 400,
        "cursor=x",
        "type=rumour",
        "min_confidence=2",
        "min_confidence=nan",
        "project=%00",
        "project=" + "x" * 200,
        "tags=%00",
        "typo=1",
    ],
)
async def test_a_bad_condition_is_400(control: Control, query: str) -> None:
    """In lists and searches; a misspelt condition does not silently find everything."""
    for path in ("/v1/memory", "/v1/memory/search"):
        assert (await control.ask("GET", f"{path}?{query}")).status == 400


@pytest.mark.parametrize("query", ["%00", "%ff", "%22", "%27%20OR%201%3D1", "NEAR(", "a%20AND%20("])
async def test_a_strange_search_is_answered_plainly(control: Control, query: str) -> None:
    """An empty result, not an error."""
    found = await control.ask("GET", f"/v1/memory/search?q={query}")

    assert (found.status, found.json) == (
        200,
        {"data": [], "next_cursor": None, "mode": "text", "notice": None},
    )


@pytest.mark.parametrize(
    ("scope", "method", "path", "status"),
    [
        ("memory:read", "POST", "/v1/memory", 403),
        ("memory:read", "PATCH", "/v1/memory/mem_0", 403),
        ("memory:read", "DELETE", "/v1/memory/mem_0", 403),
        ("memory:read", "POST", "/v1/memory/mem_0/validate", 403),
        ("memory:read", "POST", "/v1/memory/mem_0/contradict", 403),
        ("memory:read", "GET", "/v1/memory", 200),
        ("memory:read", "GET", "/v1/memory/search", 200),
        ("memory:read", "POST", "/v1/memory/search", 200),
        ("memory:read", "GET", "/v1/memory/mem_0", 404),
        ("memory:write", "GET", "/v1/memory", 403),
        ("memory:write", "GET", "/v1/memory/search", 403),
        ("memory:write", "POST", "/v1/memory/search", 403),
        ("memory:write", "GET", "/v1/memory/mem_0", 403),
        ("memory:write", "GET", "/v1/memory/mem_0/history", 403),
        ("memory:write", "DELETE", "/v1/memory/mem_0", 404),
        ("chat", "GET", "/v1/memory", 403),
        ("memory:read", "POST", "/v1/memory/import", 403),
        ("memory:write", "GET", "/v1/memory/export", 403),
        ("chat", "POST", "/v1/memory", 403),
        ("admin", "GET", "/v1/memory", 200),
    ],
)
async def test_each_route_needs_its_scope(
    control: Control, scope: str, method: str, path: str, status: int
) -> None:
    """Reading and writing are granted apart."""
    control.actor = Actor("key_1", "n", expand([scope]))  # type: ignore[list-item]  # scopes from a table
    bodies = {"POST": {"content": "x"}, "PATCH": {"content": "x"}}
    body = {} if path.endswith("search") else {"llm_id": "a"} if "mem_0/" in path else bodies.get(method)

    assert (await control.ask(method, path, body if method in bodies else None)).status == status


async def test_a_tenant_gets_404_for_the_entries_of_others(control: Control) -> None:
    """Not 403, which would tell that they exist; writing elsewhere is 403."""
    foreign = await add(control, project="red")
    control.actor = Actor("key_1", "n", ANONYMOUS.scopes, projects=frozenset({"blue"}))
    path = f"/v1/memory/{foreign['id']}"
    own = await add(control)

    assert own["project"] == "blue"
    assert [(await control.ask(method, path)).status for method in ("GET", "DELETE")] == [404, 404]
    assert (await control.ask("PATCH", path, {"content": "x"})).status == 404
    assert (await control.ask("POST", "/v1/memory", {"content": "x", "project": "red"})).status == 403
    assert [entry["id"] for entry in (await control.ask("GET", "/v1/memory")).json["data"]] == [own["id"]]


async def test_a_database_that_is_down_is_503_with_retry_after(tmp_path: Path, clock: ManualClock) -> None:
    """In the envelope, with no word about the database's address."""
    away = open_engine("postgresql://tristar@127.0.0.1:1/memory", tmp_path)
    control = control_of(lambda events: rest.router(Desk(open_store(away, clock), events)))
    refused = await control.ask("GET", "/v1/memory")
    await away.close()

    assert (refused.status, refused.json["error"]["code"]) == (503, "unavailable")
    assert int(refused.headers["retry-after"]) >= 1
    assert "127.0.0.1" not in refused.text


def test_the_openapi_document_tells_every_status(control: Control) -> None:
    """No route promises FastAPI's own 422, and each refusal has the envelope."""
    document = control.app.openapi()
    told = {
        f"{method} {path}": set(route["responses"])
        for path, methods in document["paths"].items()
        for method, route in methods.items()
    }

    assert len(told) == 12
    assert all({"400", "401", "403", "503"} < statuses for statuses in told.values())
    assert all("422" not in statuses for statuses in told.values())
    assert {"404", "412"} < told["patch /v1/memory/{entry_id}"]
    assert "201" in told["post /v1/memory"]
    assert "ErrorEnvelope" in document["components"]["schemas"]


_Case = tuple[str, str, object, dict[str, str]]
GOOD: tuple[_Case, ...] = (
    ("GET", "/v1/memory?limit=2&tags=a&tags=b,c", None, {}),
    ("GET", "/v1/memory/search?q=launch&min_confidence=0.2&type=fact&limit=1", None, {}),
    ("GET", "/v1/memory/search?q=%22launch+code%22+-moon", None, {}),
    ("GET", "/v1/memory/search?limit=1&limit=2", None, {}),
    ("POST", "/v1/memory/search", {"q": "launch", "tags": ["a"]}, {}),
    ("POST", "/v1/memory/search", {"q": "launch"}, {"content-type": "application/json; charset=utf-8"}),
)
BAD: tuple[_Case, ...] = (
    ("GET", "/v1/memory?limit=0", None, {}),
    ("GET", "/v1/memory?limit=x", None, {}),
    ("GET", "/v1/memory?unknown=1", None, {}),
    ("GET", "/v1/memory/search?mode=telepathy", None, {}),
    ("GET", "/v1/memory/search?q=-launch", None, {}),
    ("GET", "/v1/memory/search?q=%ff%00", None, {}),
    ("GET", "/v1/memory/search?cursor=x", None, {}),
    ("HEAD", "/v1/memory/search?q=launch", None, {}),
    ("PUT", "/v1/memory", {"content": "x"}, {}),
    ("POST", "/v1/memory/search", b"", {}),
    ("POST", "/v1/memory/search", b"{", {}),
    ("POST", "/v1/memory/search", b"[]", {}),
    ("POST", "/v1/memory/search", b'{"q": "\\ud800"}', {}),
    ("POST", "/v1/memory/search", b'{"limit": NaN}', {}),
    ("POST", "/v1/memory/search", b'{"limit": "5"}', {}),
    ("POST", "/v1/memory/search", b"[" * 100_000, {}),
    ("POST", "/v1/memory/search", b'{"q": "launch"}', {"content-type": "text/plain"}),
    ("POST", "/v1/memory/search?limit=1", {"q": "launch"}, {}),
    ("POST", "/v1/memory", {"content": ""}, {}),
    ("POST", "/v1/memory", {"content": "x", "importance": 2}, {}),
    ("POST", "/v1/memory", {"content": "x", "more": 1}, {}),
    ("POST", "/v1/memory", b'{"content": "x", "content": 5}', {}),
)


@pytest.mark.parametrize(("method", "path", "body", "headers"), GOOD + BAD)
async def test_what_is_served_in_front_of_fastapi_is_what_fastapi_serves(
    store: Store, method: str, path: str, body: object, headers: dict[str, str]
) -> None:
    """The same answer to a byte, and the same records; refusals too."""
    plain = control_of(lambda events: rest.router(Desk(store, events)))
    quick = Control(plain.make, direct=lambda events: rest.direct(Desk(store, events)))
    await add(plain, tags=["a", "b", "c"])
    quick.recorded.clear()
    plain.recorded.clear()

    slow, fast = [await each.ask(method, path, body, headers=headers, parse=False) for each in (plain, quick)]

    assert (fast.status, fast.text, fast.headers) == (slow.status, slow.text, slow.headers)
    assert quick.recorded == plain.recorded


@pytest.mark.parametrize("scopes", [("memory:read",), ("memory:write",), ("chat",)])
async def test_scopes_hold_in_front_of_fastapi(control: Control, scopes: tuple[Scope, ...]) -> None:
    """Who may only read does not write, and the other way round."""
    control.actor = Actor("key_1", "n", expand(scopes))
    seen = [
        (await control.ask(*asked)).status
        for asked in (
            ("GET", "/v1/memory"),
            ("GET", "/v1/memory/search?q=x"),
            ("POST", "/v1/memory/search", {"q": "x"}),
            ("POST", "/v1/memory", {"content": "x"}),
        )
    ]
    may_read = control.actor.allows("memory:read")
    may_write = control.actor.allows("memory:write")
    assert seen == [200 if may_read else 403] * 3 + [201 if may_write else 403]
