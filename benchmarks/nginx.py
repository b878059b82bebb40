"""nginx twice: as the static upstream that everything is measured against, and as a plain proxy."""

import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.machine import free_port, pinned, stop

COMMON = """\
daemon off;
worker_processes 1;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 600;
    client_max_body_size 32m;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{body}
}}
"""

STATIC = """\
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /v1/chat/completions {{
            default_type application/json;
            return 200 '{answer}';
        }}
        location / {{ return 200 'up'; }}
    }}
"""

PROXY = """\
    upstream static {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://static;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering {buffering};
        }}
    }}
"""


@dataclass(frozen=True)
class Served:
    """Something that answers chat on a port of the loopback address, to requests with these headers."""

    pid: int
    port: int
    headers: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def static(folder: Path, answer: bytes, core: int) -> Iterator[Served]:
    """The upstream: one fixed answer to every chat request."""
    port = free_port()
    with _running(folder, STATIC.format(port=port, answer=answer.decode()), port, core) as served:
        yield served


@contextmanager
def proxy(folder: Path, upstream: int, core: int, *, buffering: bool = True) -> Iterator[Served]:
    """nginx between client and upstream, doing nothing else: the practical limit."""
    port = free_port()
    body = PROXY.format(port=port, upstream=upstream, buffering="on" if buffering else "off")
    with _running(folder, body, port, core) as served:
        yield served


@contextmanager
def _running(folder: Path, body: str, port: int, core: int) -> Iterator[Served]:
    folder.mkdir()
    user = "user root;" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(COMMON.format(user=user, folder=folder, body=body))
    process = subprocess.Popen(
        pinned(core, ["nginx", "-p", str(folder), "-c", str(config)]),
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _await_port(port)
        yield Served(process.pid, port)
    finally:
        stop(process)


def _await_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/up", timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
