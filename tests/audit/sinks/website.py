"""HTTP receivers of a test's own: they decode what they get as the real ones do, and fail as told."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

from tests.audit.sinks.papers import Pair

Reply = tuple[int, bytes, Mapping[str, str]]
Answer = Callable[["Post"], Reply]


@dataclass(frozen=True)
class Post:
    """One request as it arrived."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Website:
    """Answers POSTs with `answer`, or with the next of `faults` while there are any.

    A fault is a status with headers, or None for a connection that is cut instead of answered; if `stored`
    says so, the receiver has taken the records before it fails.
    """

    answer: Answer
    faults: list[tuple[int, Mapping[str, str]] | None] = field(default_factory=list)
    stored: bool = False
    posts: list[Post] = field(default_factory=list)
    url: str = ""

    def reply(self, post: Post) -> Reply | None:
        """What this request gets; None for no answer at all."""
        self.posts.append(post)
        if not self.faults:
            return self.answer(post)
        if self.stored:
            self.answer(post)
        fault = self.faults.pop(0)
        return None if fault is None else (fault[0], b'{"error":"as told"}', fault[1])


@contextmanager
def serving(site: Website, pair: Pair | None = None) -> Iterator[Website]:
    """The site at a free port, with TLS where there is a pair."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = site.reply(Post(self.path, headers, body))
            if reply is None:
                self.close_connection = True
                return
            status, answer, more = reply
            self.send_response(status)
            for name, value in {"content-length": str(len(answer)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Nobody listens."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that hangs up is what some tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    if pair is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.cert, pair.key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    site.url = f"{'https' if pair else 'http'}://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Collector:
    """Splunk's HTTP Event Collector: a token, and acknowledgements that take one question to come."""

    token: str
    events: list[dict[str, Any]] = field(default_factory=list)
    asked: dict[int, int] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)

    def __call__(self, post: Post) -> Reply:
        """See `Answer`."""
        if post.headers.get("authorization") != f"Splunk {self.token}":
            return 403, b'{"text":"Invalid token","code":4}', {}
        if post.path.startswith("/services/collector/ack"):
            return self._acks(post)
        assert post.path == "/services/collector/event"
        decoder, text, at = json.JSONDecoder(), post.body.decode(), 0
        while at < len(text):
            event, end = decoder.raw_decode(text, at)
            self.events.append(event)
            at = end + len(text[end:]) - len(text[end:].lstrip())
        number = next(self.numbers)
        return 200, json.dumps({"text": "Success", "code": 0, "ackId": number}).encode(), {}

    def _acks(self, post: Post) -> Reply:
        channel = post.headers["x-splunk-request-channel"]
        assert post.path.endswith(f"?channel={channel}")
        acks = {}
        for number in json.loads(post.body)["acks"]:
            self.asked[number] = self.asked.get(number, 0) + 1
            acks[str(number)] = self.asked[number] > 1
        return 200, json.dumps({"acks": acks}).encode(), {}


@dataclass
class Index:
    """Elasticsearch's _bulk: creates documents by id, refuses what is there already, and as `rule` says."""

    rule: Callable[[dict[str, Any]], int] = lambda _document: 201
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    conflicts: int = 0

    def __call__(self, post: Post) -> Reply:
        """See `Answer`."""
        assert post.path == "/_bulk"
        assert post.headers["content-type"] == "application/x-ndjson"
        lines = post.body.decode().split("\n")
        assert lines.pop() == ""
        items = [
            self._create(json.loads(head)["create"], json.loads(document))
            for head, document in zip(lines[::2], lines[1::2], strict=True)
        ]
        errors = any(item["create"]["status"] >= 300 for item in items)
        return 200, json.dumps({"took": 1, "errors": errors, "items": items}).encode(), {}

    def _create(self, head: dict[str, str], document: dict[str, Any]) -> dict[str, Any]:
        status, name = self.rule(document), head["_id"]
        if name in self.documents:
            status = 409
            self.conflicts += 1
        elif status == 201:
            self.documents[name] = document
        result: dict[str, Any] = {"_index": head["_index"], "_id": name, "status": status}
        if status >= 300:
            result["error"] = {"type": "as_told", "reason": "told to"}
        return {"create": result}
