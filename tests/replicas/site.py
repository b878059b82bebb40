"""Two hosts behind nginx that share a Redis and a PostgreSQL: as deploy/nginx and docs/scaling.md have it."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tests.gateway.house import watched
from tests.gateway.process import Gateway
from tests.gateway.toml import document, llm, provider, server
from tests.limits.servers import listening
from tests.replicas.network import Doors, Host, machines
from tests.storage.postgres import new_postgres
from tests.upstream import Answer, Status, Upstream

ROOT = Path(__file__).parents[2]
PORT = 9100
ADMIN = "admin-key-of-the-two-hosts"
SHIPPED = ROOT / "deploy/nginx/tristar.conf"
LIMIT = 20
"""Requests per minute of the llm `limited`."""

_AROUND = """\
daemon off;
worker_processes 1;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/tristar.conf;
}}
"""


@dataclass
class Site:
    """What runs: the hosts with their gateways, nginx in front of them, the upstream behind."""

    hosts: list[Host]
    gateways: list[Gateway]
    upstream: Upstream
    url: str

    def client(self) -> httpx.Client:
        """A client of nginx, with the admin key."""
        return httpx.Client(base_url=self.url, headers=bearer(ADMIN), timeout=30, trust_env=False)

    def restart(self, number: int) -> int:
        """An upgrade of one host: SIGTERM, then a new process in the same place; the old one's exit code."""
        gateway = self.gateways[number]
        said = gateway.process.stdout
        code = gateway.stop()
        if said is not None:
            said.close()
        gateway.start()
        return code


def bearer(key: str) -> dict[str, str]:
    """The header that carries a key."""
    return {"authorization": f"Bearer {key}"}


@contextmanager
def open_site(folder: Path) -> Iterator[Site]:
    """Two hosts, ready; everything is ended and the books of both are judged elsewhere."""
    with ExitStack() as stack:
        hosts = stack.enter_context(machines(2))
        redis_url, _ = stack.enter_context(listening())
        postgres = stack.enter_context(new_postgres())
        postgres.start()
        upstream = stack.enter_context(Upstream())
        upstream.default = Answer(gap_s=0.005)
        upstream.on("failing", Status(500))
        doors = Doors()
        stack.callback(doors.close)
        shared = (int(redis_url.rpartition(":")[2]), postgres.port, upstream.port)
        gateways = [
            stack.enter_context(
                watched(_gateway(folder, host, [doors.open(host.gate, port) for port in shared]))
            )
            for host in hosts
        ]
        for gateway in gateways:
            gateway.start()
        url = stack.enter_context(_nginx(folder / "nginx", hosts))
        yield Site(hosts, gateways, upstream, url)


def _gateway(folder: Path, host: Host, ports: list[int]) -> Gateway:
    redis, postgres, upstream = ports
    toml = document(
        server(trusted_proxies=[host.gate]),
        provider("star", f"http://{host.gate}:{upstream}/v1"),
        llm("fast", "star", retries=0),
        llm("limited", "star", retries=0, requests_per_minute=LIMIT),
        llm("failing", "star", retries=0, breaker={"failures": 3, "cooldown_s": 600}),
    )
    environment = {
        "TRISTAR_ADMIN_KEY": ADMIN,
        "REDIS_URL": f"redis://{host.gate}:{redis}/0",
        "DATABASE_URL": f"postgresql://tristar@{host.gate}:{postgres}/postgres",
    }
    made = Gateway(
        folder / host.namespace,
        toml=toml,
        env=environment,
        args=["--host", host.address, "--port", str(PORT)],
        under=host.under,
    )
    made._http.headers.update(bearer(ADMIN))
    return made


@contextmanager
def _nginx(folder: Path, hosts: list[Host]) -> Iterator[str]:
    """The shipped configuration with these hosts in it, listening at the first host's gate."""
    folder.mkdir()
    text = SHIPPED.read_text()
    for shown, host in zip(("192.0.2.11", "192.0.2.12"), hosts, strict=True):
        assert shown in text
        text = text.replace(shown, host.address)
    listen = f"{hosts[0].gate}:8080"
    (folder / "tristar.conf").write_text(re.sub(r"listen 80;", f"listen {listen};", text))
    (folder / "nginx.conf").write_text(_AROUND.format(folder=folder, user="user root;"))
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    process = subprocess.Popen(
        [program, "-c", folder / "nginx.conf", "-p", folder, "-e", folder / "error.log"]
    )
    try:
        _await(f"http://{listen}/health/live")
        yield f"http://{listen}"
    finally:
        process.terminate()
        process.wait(20)


def _await(url: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            if httpx.get(url, timeout=2, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, "nginx does not answer"
        time.sleep(0.05)


def question(model: str, *, stream: bool = False) -> dict[str, Any]:
    """A chat body."""
    return {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": stream}
