"""A real Prometheus that scrapes real books over HTTP, with rules whose minutes are seconds."""

import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from tristar.metrics.books import Books

ROOT: Final = Path(__file__).parents[2]
WINDOW: Final = "4s"

_PACE: Final = "500ms"
_STARTING: Final = {"MetricsAbsent", "InstanceDown"}
_READY_WITHIN_S: Final = 60.0
_SEEN_WITHIN_S: Final = 60.0

Rules = dict[str, Any]
"""The content of one rule file."""

_Seen = TypeVar("_Seen")


def until(look: Callable[[], _Seen], *, within_s: float = _SEEN_WITHIN_S) -> _Seen:
    """What `look` gives once that is true; fails if it never is."""
    deadline = time.monotonic() + within_s
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not within {within_s} s; last seen: {seen!r}"
        time.sleep(0.1)
    return seen


class Station:
    """Asks one running Prometheus."""

    def __init__(self, address: str) -> None:
        self._address = address

    def get(self, path: str, **query: str) -> Any:  # noqa: ANN401 - decoded JSON of Prometheus' own shapes
        """The `data` of one call of its HTTP API."""
        url = f"http://{self._address}{path}" + (f"?{urlencode(query)}" if query else "")
        with urlopen(url, timeout=5) as answer:
            return json.load(answer)["data"]

    def query(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of every series that an instant query returns."""
        found = self.get("/api/v1/query", query=expr)["result"]
        return [(each["metric"], float(each["value"][1])) for each in found]

    def alerts(self, *states: str) -> set[str]:
        """Names of the alerts that are in one of these states now."""
        alerts = self.get("/api/v1/alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] in states}

    def firing(self) -> set[str]:
        """Names of the alerts that fire now."""
        return self.alerts("firing")


@contextmanager
def station(books: Books, directory: Path) -> Iterator[Station]:
    """Prometheus on a free port with its data in `directory`, scraping `books`; ended at the end."""
    with _served(books) as target, scraping(target, directory) as asked:
        yield asked


@contextmanager
def scraping(
    target: str, directory: Path, *, pace: str = _PACE, rules: Callable[[Path], Rules] | None = None
) -> Iterator[Station]:
    """As `station`, of whatever serves /metrics at `target` (host:port).

    `rules` reads each rule file; without it their minutes are seconds.
    """
    _write_configuration(directory, target, pace, rules or shortened)
    address = f"127.0.0.1:{_free_port()}"
    with _prometheus(directory, address):
        asked = Station(address)
        until(lambda: _up(asked), within_s=_READY_WITHIN_S)
        yield asked


@contextmanager
def _served(books: Books) -> Iterator[str]:
    class Scrape(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body, content_type = books.render(self.headers.get("Accept"))
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Scrape)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def _prometheus(directory: Path, address: str) -> Iterator[None]:
    command = [
        "prometheus",
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
        "--enable-feature=exemplar-storage",
    ]
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=20)


def _up(asked: Station) -> bool:
    try:
        found = asked.query('up{job="tristar"} == 1')
        # Rules that ran before the first scrape had every reason to miss the gateway.
        return bool(found) and not asked.alerts("pending", "firing") & _STARTING
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _write_configuration(directory: Path, target: str, pace: str, read: Callable[[Path], Rules]) -> None:
    config = yaml.safe_load((ROOT / "prometheus/prometheus.yml").read_text())
    paces = ("scrape_interval", "scrape_timeout", "evaluation_interval")
    config["global"] = dict.fromkeys(paces, pace)
    config["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    for name in config["rule_files"]:
        (directory / name).write_text(yaml.safe_dump(read(ROOT / "prometheus" / name)))


def shortened(path: Path, window: str = WINDOW) -> Rules:
    """The rules of a file with every window cut to `window` and every `for` to a second."""
    rules: Rules = yaml.safe_load(path.read_text())
    for group in rules["groups"]:
        group.pop("interval", None)
        for rule in group["rules"]:
            rule["expr"] = re.sub(r"\[\d+[smhd]\]", f"[{window}]", rule["expr"])
            if "for" in rule:
                rule["for"] = "1s"
    return rules
