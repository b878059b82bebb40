"""Load by wrk: one chat request of 600 bytes, again and again, over so many connections."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import cpu_s, pinned

REQUEST_BYTES = 600

LUA = """\
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
{headers}
wrk.body = [==[{body}]==]
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\\nRESULT {{"requests":%d,"duration_s":%.6f,"p50_ms":%.4f,"p99_ms":%.4f,"errors":%d}}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


@dataclass(frozen=True)
class Sample:
    """One run: what the clients saw, and what it cost the process between them and the upstream."""

    req_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    requests: int


def script(folder: Path, *, stream: bool, headers: Mapping[str, str]) -> Path:
    """wrk's script for a request of `REQUEST_BYTES` with these headers."""
    path = folder / ("stream.lua" if stream else "whole.lua")
    lines = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items())
    path.write_text(LUA.format(body=request(stream=stream), headers=lines))
    return path


def request(*, stream: bool) -> str:
    """A chat request, filled up to `REQUEST_BYTES`."""
    body = {
        "model": "bench",
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": ""},
        ],
        "temperature": 0.7,
        "max_tokens": 200,
        "stream": stream,
    }
    bare = json.dumps(body)
    return bare.replace('"content": ""', f'"content": "{"q" * (REQUEST_BYTES - len(bare))}"')


def warm_up(port: int, lua: Path, *, clients: int, core: int) -> None:
    """A second of the same load, whatever comes of it: a slow gateway has answered nothing by then."""
    _wrk(port, lua, clients, 1, core)


def run(port: int, lua: Path, *, clients: int, seconds: int, core: int, pid: int | None) -> Sample:
    """Load the port for so many whole seconds; processor time is that of the session led by `pid`.

    Raises:
        RuntimeError: wrk saw an error: the figures would be those of failures.
    """
    before_s = cpu_s(pid) if pid else 0.0
    seen = _wrk(port, lua, clients, seconds, core)
    spent_s = (cpu_s(pid) if pid else 0.0) - before_s
    if seen["errors"] or not seen["requests"]:
        raise RuntimeError(f"wrk saw {seen['errors']} errors in {seen['requests']} requests on port {port}")
    return Sample(
        req_per_s=seen["requests"] / seen["duration_s"],
        p50_ms=seen["p50_ms"],
        p99_ms=seen["p99_ms"],
        cpu_us=spent_s * 1e6 / seen["requests"],
        requests=int(seen["requests"]),
    )


def _wrk(port: int, lua: Path, clients: int, seconds: int, core: int) -> dict[str, float]:
    """What wrk's script says at its end."""
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "60s", "-s", str(lua), url]
    done = subprocess.run(pinned(core, command), capture_output=True, text=True, check=True)
    seen: dict[str, float] = json.loads(done.stdout.partition("RESULT ")[2])
    return seen
