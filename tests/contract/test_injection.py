"""What clients write stays data: in headers, logs, paths and names; no request says whom the gateway calls.

OWASP API Security Top 10 (2023), numbers 4, 7 and 8.
"""

import http.server
import json
import socket
import threading
from collections.abc import Iterator

import pytest
from tests.gateway import Gateway, document, llm, provider
from tests.gateway.house import watched
from tests.upstream import Upstream

ADMIN = {"authorization": "Bearer an-admin-key-for-tests"}
HEAD = b"host: x\r\nconnection: close\r\nauthorization: Bearer an-admin-key-for-tests\r\n"
LINE = '\r\n{"timestamp":"2026-01-01T00:00:00.000000Z","action":"key_created"}\r\n'


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """Remembers what it was sent."""
    with Upstream() as running:
        yield running


@pytest.fixture(scope="module")
def closed(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with an llm, whose access is closed and whose requests are told in its log."""
    gateway = Gateway(
        tmp_path_factory.mktemp("closed"),
        toml=document(provider("p", upstream.base_url), llm("fast", "p", prompts="full"))
        + "\n[logs]\naccess = true\n",
        env={"TRISTAR_ADMIN_KEY": "an-admin-key-for-tests"},
    )
    with watched(gateway):
        yield gateway.start()


@pytest.fixture
def bystander() -> Iterator[tuple[str, list[str]]]:
    """A server that nobody configured: its address, and what asked it."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Noted."""
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        do_POST = do_GET  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "field",
    ["base_url", "api_base", "url", "endpoint", "host", "proxy", "callback_url", "webhook", "extra_body"],
)
def test_no_field_of_a_request_names_whom_the_gateway_calls(
    closed: Gateway, upstream: Upstream, bystander: tuple[str, list[str]], field: str
) -> None:
    """It goes to the configured upstream, the field as data with it; nobody else is asked."""
    url, asked = bystander
    before = len(upstream.journal.calls)
    value: object = {"base_url": url} if field == "extra_body" else url
    answer = closed.chat("fast", headers={**ADMIN, "host": url.removeprefix("http://")}, **{field: value})

    assert answer.status_code == 200
    assert len(upstream.journal.calls) == before + 1
    assert asked == []


@pytest.mark.parametrize("name", ["{}/x", "http://{}/v1", "p/{}", "@{}", "..//{}"])
def test_no_model_is_an_address(closed: Gateway, bystander: tuple[str, list[str]], name: str) -> None:
    """An unknown one is 404, whatever it looks like; a picture's address is the upstream's to fetch."""
    url, asked = bystander
    unknown = closed.chat(name.format(url.removeprefix("http://")), headers=ADMIN)
    picture = {"type": "image_url", "image_url": {"url": url}}
    pictured = closed.chat("fast", headers=ADMIN, messages=[{"role": "user", "content": [picture]}])

    assert unknown.status_code == 404
    assert pictured.status_code == 200
    assert asked == []


def raw(gateway: Gateway, request: bytes) -> bytes:
    """The answer to these very bytes, to the end of the connection."""
    with socket.create_connection(("127.0.0.1", gateway.port), 10) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
    return answer


@pytest.mark.parametrize(
    "value", [b"a\rx-evil: 1", b"a\nx-evil: 1", b"a\r\n x-evil: 1", b"a\0b"], ids=["cr", "lf", "fold", "nul"]
)
@pytest.mark.parametrize(
    "name", [b"openai-organization", b"idempotency-key", b"x-session-id", b"traceparent"]
)
def test_no_header_carries_a_line_end(closed: Gateway, upstream: Upstream, name: bytes, value: bytes) -> None:
    """Neither in nor on to the upstream: what two parsers could read differently is refused, or one value."""
    before = len(upstream.journal.calls)
    body = b'{"model": "fast", "messages": [{"role": "user", "content": "hi"}]}'
    answer = raw(
        closed,
        b"POST /v1/chat HTTP/1.1\r\n"
        + HEAD
        + b"content-length: %d\r\n%b: %b\r\n\r\n%b" % (len(body), name, value, body),
    )
    sent = upstream.journal.calls[before:]

    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 200"))
    assert b"\nx-evil" not in answer.lower()
    assert not [call for call in sent if "x-evil" in {header.lower() for header in dict(call.headers)}]


@pytest.mark.parametrize("where", ["model", "path", "session", "user", "query"])
def test_a_line_in_a_name_is_no_line_of_a_log(closed: Gateway, where: str) -> None:
    """Each line of both logs is one JSON object that the gateway wrote."""
    quoted = LINE.replace("\r", "%0d").replace("\n", "%0a").replace('"', "%22").replace("{", "%7b")
    match where:
        case "model":
            closed.chat(LINE, headers=ADMIN)
        case "path":
            closed.request("GET", f"/v1/{quoted}", headers=ADMIN)
        case "query":
            closed.request("GET", f"/v1/models?q={quoted}", headers=ADMIN)
        case "session":
            closed.chat("fast", headers={**ADMIN, "x-session-id": LINE.replace("\r\n", "\\r\\n")})
        case _:
            closed.chat("fast", headers=ADMIN, user=LINE)
    told = closed.errors().splitlines()
    forged = [record for record in closed.records() if record.action == "key_created"]

    assert told
    assert all(isinstance(json.loads(line), dict) for line in told)
    assert forged == []


@pytest.mark.parametrize(
    "path",
    [
        "/console/..%2f..%2fconsole.py",
        "/console/%2e%2e/%2e%2e/gateway.py",
        "/console/..\\..\\gateway.py",
        "/console//etc/passwd",
        "/docs/..%2fdocs%2f__init__.py",
        "/admin/audit/holds/..%2f..%2fcheckpoint",
        "/v1/models/../../admin/keys",
        "/%2e%2e/%2e%2e/etc/passwd",
    ],
)
def test_no_path_leads_out_of_what_is_served(closed: Gateway, path: str) -> None:
    """Whatever is encoded in it."""
    method = b"PUT" if "holds" in path else b"GET"
    answer = raw(
        closed,
        b"%b %b HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer an-admin-key-for-tests\r\n"
        b'content-type: application/json\r\ncontent-length: 15\r\n\r\n{"reason": "r"}'
        % (method, path.encode()),
    )

    assert answer.split()[1] in {b"400", b"404", b"405"}
    assert b"root:" not in answer
    assert b"import " not in answer


@pytest.mark.parametrize("output", ["../../evil", "/tmp/evil", "evil\r\nx-evil: 1"])
def test_an_export_over_http_names_no_file(closed: Gateway, output: str) -> None:
    """It is sent, not written; its name for the browser is ours."""
    answer = closed.request(
        "GET", "/admin/audit/export", headers=ADMIN, params={"output": output, "format": "jsonl"}
    )

    assert answer.status_code in {200, 400}
    assert answer.headers.get("content-disposition", 'attachment; filename="audit.jsonl"').endswith(
        '"audit.jsonl"'
    )
    assert "x-evil" not in answer.headers


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/admin/keys", {"limit": 1001}),
        ("/admin/keys", {"limit": 0}),
        ("/admin/keys", {"cursor": "x" * 10_000}),
        ("/admin/calls", {"limit": 1001}),
        ("/admin/calls", {"after": 1 << 62}),
        ("/admin/limits", {"limit": 10**30}),
        ("/admin/memory", {"limit": -1}),
        ("/v1/memory", {"limit": 10_000}),
        ("/v1/memory/search", {"q": "x" * 30_000}),
        ("/admin/audit", {"limit": 100_000}),
    ],
)
def test_no_page_is_larger_than_its_bound(closed: Gateway, path: str, params: dict[str, object]) -> None:
    """400, or the head's own 431; never an answer without end."""
    answer = closed.request("GET", path, headers=ADMIN, params=params)

    assert answer.status_code in {400, 431}


def test_deep_and_wide_bodies_are_refused_or_carried(closed: Gateway) -> None:
    """Nesting, many names and long numbers cost one answer each, and no traceback."""
    bodies = [
        b'{"model": "fast", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"name": "n", ' + b", ".join(b'"f%d": 1' % n for n in range(10_000)) + b"}",
        b'{"name": "n", "requests_per_minute": ' + b"9" * 5_000 + b"}",
    ]
    sent = {**ADMIN, "content-type": "application/json"}
    statuses = [
        closed.request("POST", path, headers=sent, content=body).status_code
        for body in bodies
        for path in ("/v1/chat", "/admin/keys", "/v1/memory")
    ]

    assert set(statuses) == {400}
    assert closed.request("GET", "/health/live").status_code == 200
