"""Who may do what: every route, from the document itself, with every scope, and with a foreign project.

OWASP API Security Top 10 (2023), numbers 1, 3 and 5.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from tests.gateway import Gateway
from tests.gateway.house import watched

from tristar.auth.scopes import SCOPES

ADMIN = {"authorization": "Bearer an-admin-key-for-tests"}
METHODS = ("get", "post", "put", "patch", "delete")
OPEN = ("/health/", "/console")
"""Served without any key."""

BY_ANY_KEY = ("/docs", "/openapi.json", "/v1/models", "/metrics", "/mcp")
"""Any good key will do; `/metrics` not even that, from here. Each tool of `/mcp` has a scope of its own."""

NEEDS: tuple[tuple[str, str, str], ...] = (
    (r"/v1/(chat|chat/completions|messages|messages/count_tokens|responses|embeddings)", ".*", "chat"),
    (r"/v1/memory(/export|/search|/[^/]+/history|/\{entry_id\})?", "get", "memory:read"),
    (r"/v1/memory/search", "post", "memory:read"),
    (r"/v1/memory.*", ".*", "memory:write"),
    (r"/admin/history.*", "get", "metrics"),
    (r"/admin/audit(|/export|/verify|/records/.*|/public-key)", ".*", "audit:read"),
    (r"/admin/audit/holds", "get", "audit:read"),
    (r"/admin/audit/(holds/.*|erase)", ".*", "audit:admin"),
    (r"/admin/breakers/.*", "post", "audit:admin"),
    (r"/admin/.*", ".*", "admin"),
)
"""The first row that fits a route names the scope that it needs."""


@dataclass(frozen=True)
class Route:
    """One operation of the document."""

    method: str
    path: str

    @property
    def needs(self) -> str | None:
        """Its scope; None where any key will do, or none."""
        if self.path.startswith(OPEN + BY_ANY_KEY):
            return None
        for path, method, scope in NEEDS:
            if re.fullmatch(path, self.path) and re.fullmatch(method, self.method):
                return scope
        raise AssertionError(f"{self.method} {self.path} is in no row: who may call it?")

    @property
    def url(self) -> str:
        """Something that is not there, so that being let in changes nothing."""
        names = {"seq": "999999999", "name": "nothing", "key_id": "key_0000000000000000"}
        return re.sub(r"\{(\w+)(:path)?\}", lambda part: names.get(part[1], "nothing"), self.path)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose access is closed."""
    gateway = Gateway(
        tmp_path_factory.mktemp("closed"),
        toml="[auth]\nfailed_logins_per_minute = 0\n",
        env={"TRISTAR_ADMIN_KEY": "an-admin-key-for-tests"},
    )
    with watched(gateway):
        yield gateway.start()


@pytest.fixture(scope="module")
def routes(closed: Gateway) -> list[Route]:
    """Every operation there is."""
    paths = closed.request("GET", "/openapi.json", headers=ADMIN).json()["paths"]
    return [Route(method, path) for path, item in paths.items() for method in METHODS if method in item]


def key(gateway: Gateway, *scopes: str, **terms: object) -> dict[str, str]:
    """A new key with these scopes, as a header."""
    body = {"name": "k", "scopes": list(scopes), **terms}
    made = gateway.request("POST", "/admin/keys", headers=ADMIN, json=body)
    assert made.status_code == 201, made.text
    return {"authorization": f"Bearer {made.json()['key']}"}


def status(http: httpx.Client, gateway: Gateway, route: Route, headers: dict[str, str]) -> int:
    """What the route answers to a request without anything in it; a stream is not read."""
    sent = {"content-type": "application/json", **headers}
    body = b"{}" if route.method in {"post", "put", "patch"} else None
    with http.stream(route.method.upper(), gateway.url + route.url, headers=sent, content=body) as answer:
        return answer.status_code


def test_nobody_gets_in_without_a_good_key(closed: Gateway, routes: list[Route]) -> None:
    """401 on every route but health, console, and metrics from here: with none, with a revoked one."""
    revoked = key(closed, *SCOPES)
    made = closed.request("GET", "/admin/keys?limit=1", headers=ADMIN).json()["data"][0]["id"]
    closed.request("DELETE", f"/admin/keys/{made}", headers=ADMIN)
    while closed.request("GET", "/v1/models", headers=revoked).status_code != 401:
        time.sleep(0.02)
    with httpx.Client(timeout=30, trust_env=False) as http:
        told = {
            (route, kind): status(http, closed, route, headers)
            for route in routes
            for kind, headers in (("none", {}), ("revoked", revoked))
        }
    passed = {route.path for (route, _), code in told.items() if code != 401}

    assert {path for path in passed if not path.startswith(OPEN)} == {"/metrics"}


@pytest.mark.parametrize("scope", SCOPES)
def test_each_scope_opens_what_it_is_for_and_nothing_else(
    closed: Gateway, routes: list[Route], scope: str
) -> None:
    """403 where the scope is another one; anything but 401 and 403 where it is this one."""
    headers = key(closed, scope)
    implied = {scope, *(set(SCOPES) - {"audit:admin"} if scope == "admin" else ())}
    wrong = []
    with httpx.Client(timeout=30, trust_env=False) as http:
        for route in routes:
            allowed = route.needs is None or route.needs in implied
            if route.path == "/admin/reload" and allowed:
                continue  # it would be carried out
            code = status(http, closed, route, headers)
            if (code == 403) is allowed or code == 401:
                wrong.append((route, code))

    assert wrong == []


def test_the_tools_of_mcp_are_those_of_the_keys_scopes(closed: Gateway) -> None:
    """A key without a scope of the memory sees none, and calls none."""
    chat = {**key(closed, "chat"), "accept": "application/json, text/event-stream"}
    listed = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    call = {"name": "memory_search", "arguments": {"q": "x"}}
    called = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call}
    tools = closed.request("POST", "/mcp", headers=chat, json=listed).json()["result"]["tools"]
    told = closed.request("POST", "/mcp", headers=chat, json=called).json()["result"]

    assert tools == []
    assert told["isError"]
    assert "insufficient_scope" in told["content"][0]["text"]


def test_every_row_of_the_table_is_used(routes: list[Route]) -> None:
    """A row that fits no route says nothing."""
    paths = {route.path for route in routes}
    unused = [row for row in NEEDS if not any(re.fullmatch(row[0], path) for path in paths)]

    assert unused == []


FOREIGN = (
    ("GET", "/v1/memory/{id}", None),
    ("PATCH", "/v1/memory/{id}", {"content": "taken"}),
    ("PATCH", "/v1/memory/{id}", {"project": "blue"}),
    ("DELETE", "/v1/memory/{id}", None),
    ("GET", "/v1/memory/{id}/history", None),
    ("POST", "/v1/memory/{id}/validate", {"llm_id": "echo"}),
    ("POST", "/v1/memory/{id}/contradict", {"llm_id": "echo"}),
)


def test_an_entry_of_another_project_does_not_exist(closed: Gateway) -> None:
    """404 by its id, whatever is tried, as for an id that was never given; it is as it was afterwards."""
    entry = {"content": "a secret of red", "project": "red"}
    made = closed.request("POST", "/v1/memory", headers=ADMIN, json=entry).json()
    blue = key(closed, "memory:read", "memory:write", projects=["blue"])
    told = []
    for method, path, body in FOREIGN:
        for entry_id in (made["id"], "mem_" + "0" * 32):
            answer = closed.request(method, path.format(id=entry_id), headers=blue, json=body)
            told.append((answer.status_code, answer.json()["error"]["code"]))
    now = closed.request("GET", f"/v1/memory/{made['id']}", headers=ADMIN).json()

    assert set(told) == {(404, "not_found")}
    assert now == made


def test_lists_searches_and_exports_show_no_other_project(closed: Gateway) -> None:
    """By filter, by words, by file, through MCP and in a chat: nothing of it, not even a count."""
    closed.request(
        "POST", "/v1/memory", headers=ADMIN, json={"content": "a canary of green", "project": "green"}
    )
    blue = key(closed, "chat", "memory:read", "memory:write", projects=["blue"])
    call = {"name": "memory_search", "arguments": {"q": "canary", "project": "green"}}
    tool = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    mcp = {**blue, "accept": "application/json, text/event-stream"}
    chat = {
        "model": "echo",
        "messages": [{"role": "user", "content": "canary"}],
        "memory": {"project": "green"},
    }
    answers = [
        closed.request("GET", "/v1/memory", headers=blue),
        closed.request("GET", "/v1/memory?project=green", headers=blue),
        closed.request("GET", "/v1/memory/search?q=canary", headers=blue),
        closed.request("GET", "/v1/memory/export", headers=blue),
        closed.request("GET", "/v1/memory/export?project=green", headers=blue),
        closed.request("POST", "/mcp", headers=mcp, json=tool),
        closed.request("POST", "/v1/chat", headers=blue, json=chat),
    ]

    assert not [answer.text for answer in answers if "canary of green" in answer.text]


def test_nothing_is_written_into_another_project(closed: Gateway) -> None:
    """Neither one entry nor many, nor by moving one's own."""
    blue = key(closed, "memory:read", "memory:write", projects=["blue"])
    own = closed.request("POST", "/v1/memory", headers=blue, json={"content": "x"}).json()
    lines = b'{"content": "x"}\n{"content": "x", "project": "red"}'
    refused = [
        closed.request("POST", "/v1/memory", headers=blue, json={"content": "x", "project": "red"}),
        closed.request("POST", "/v1/memory/import", headers=blue, content=lines),
        closed.request("PATCH", f"/v1/memory/{own['id']}", headers=blue, json={"project": "red"}),
    ]

    assert own["project"] == "blue"
    assert [answer.status_code for answer in refused] == [403] * 3
    assert len(closed.request("GET", "/v1/memory", headers=blue).json()["data"]) == 1


WRITES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("POST", "/admin/keys", {"name": "n"}),
    ("PATCH", "/admin/keys/key_0000000000000000", {"name": "n"}),
    ("POST", "/admin/keys/key_0000000000000000/rotate", {"overlap_s": 0}),
    ("POST", "/v1/memory", {"content": "x"}),
    ("PATCH", "/v1/memory/mem_0", {"content": "x"}),
    ("POST", "/v1/memory/search", {"q": "x"}),
    ("POST", "/v1/memory/mem_0/validate", {"llm_id": "echo"}),
    ("PUT", "/admin/audit/holds/h", {"reason": "r"}),
    ("POST", "/admin/audit/query", {"sql": "SELECT 1"}),
    ("POST", "/admin/audit/verify", {}),
    ("POST", "/admin/audit/erase", {"subject": "u", "reason": "r"}),
)


@pytest.mark.parametrize("extra", ["id", "is_admin", "created_by", "key_hash", "__proto__"])
def test_fields_that_nobody_may_set_are_refused(closed: Gateway, extra: str) -> None:
    """By name, on every route of ours that takes a body; llm routes pass unknown fields on, and use none."""
    told = []
    for method, path, body in WRITES:
        answer = closed.request(method, path, headers=ADMIN, json=body | {extra: "x"})
        told.append((path, answer.status_code, answer.json()["error"]["param"]))

    assert told == [(path, 400, extra) for _, path, _ in WRITES]
