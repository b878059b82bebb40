"""What Redis and PostgreSQL have to bear: commands and transactions per request, and at rest.

One gateway with both stores, a static upstream, wrk with a key that has limits. Writes
benchmarks/stores.json: `python -m benchmarks.stores`.
"""

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from benchmarks import load, nginx
from benchmarks.gateway import CONFIG
from benchmarks.machine import facts
from tests.gateway.process import Gateway
from tests.limits.servers import Server, listening
from tests.storage.postgres import PostgresServer, new_postgres

RESULT = Path(__file__).parent / "stores.json"
ADMIN = "admin-key-of-the-measurement"
RUN_S = 10
REST_S = 20
CLIENTS = 32
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "bench",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "word " * 100}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 120, "completion_tokens": 100, "total_tokens": 220},
    }
).encode()
LIMITS = {"requests_per_minute": 10**9, "tokens_per_minute": 10**12, "max_concurrent": 10**6}
CASES: dict[str, dict[str, Any]] = {
    "a key without limits": {},
    "a key with limits on requests, tokens and concurrency": LIMITS,
    "a key with a budget, too": LIMITS | {"budget_usd_per_day": 10**6, "allow_unpriced": True},
}


class Meter:
    """Reads both stores' own counters."""

    def __init__(self, redis: Server, postgres: PostgresServer) -> None:
        self._redis = redis
        self._psql = ["psql", postgres.url_of(), "--tuples-only", "--no-align", "--command"]

    def read(self) -> dict[str, int]:
        """What both have done since their start; a script counts once, and once for each command in it."""
        with self._redis.client() as client:
            commands = int(client.info("stats")["total_commands_processed"])
            scripts = client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]
        # Counters of a session are told at most every second.
        time.sleep(1.5)
        query = "SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database WHERE datname = 'postgres'"
        done = subprocess.run([*self._psql, query], capture_output=True, text=True, check=True)
        return {
            "redis_scripts": int(scripts),
            "redis_commands": commands,
            "postgres_transactions": int(done.stdout),
        }

    def over(self, seconds: float) -> dict[str, float]:
        """What each bears per second while nobody calls."""
        before = self.read()
        began = time.monotonic()
        time.sleep(seconds)
        after = self.read()
        took = time.monotonic() - began
        return {f"{name}_per_s": round((after[name] - before[name]) / took, 2) for name in after}


@contextmanager
def _running(folder: Path) -> Iterator[tuple[Gateway, Meter]]:
    with ExitStack() as stack:
        url, redis = stack.enter_context(listening())
        postgres = stack.enter_context(new_postgres())
        postgres.start()
        upstream = stack.enter_context(nginx.static(folder / "upstream", ANSWER, core=1))
        environment = {
            "TRISTAR_ADMIN_KEY": ADMIN,
            "REDIS_URL": url,
            "DATABASE_URL": postgres.url_of(),
            "AUDIT_MODE": "relaxed",
        }
        toml = CONFIG.format(port=upstream.port)
        gateway = stack.enter_context(Gateway(folder / "gateway", toml=toml, env=environment))
        yield gateway, Meter(redis, postgres)


def _measure(
    gateway: Gateway, meter: Meter, rest: dict[str, float], folder: Path, limits: dict[str, Any]
) -> dict[str, float]:
    admin = {"authorization": f"Bearer {ADMIN}"}
    asked = {"name": "measured", **limits}
    key = httpx.post(f"{gateway.url}/admin/keys", json=asked, headers=admin).raise_for_status().json()["key"]
    script = load.script(folder, stream=False, headers={"Authorization": f"Bearer {key}"})
    command = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{RUN_S}", "-s", script, f"{gateway.url}/v1/chat/completions"]
    before = meter.read()
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.rpartition("RESULT ")[2])
    after = meter.read()
    took = time.monotonic() - began
    requests = told["requests"]
    return {
        "requests_per_s": round(requests / told["duration_s"]),
        "errors": told["errors"],
        **{
            f"{name}_per_1000_requests": round(
                1000 * max(0.0, after[name] - before[name] - rest[f"{name}_per_s"] * took) / requests, 1
            )
            for name in after
        },
    }


def main() -> None:
    """Measure every case and write the results."""
    with tempfile.TemporaryDirectory() as name, _running(Path(name)) as (gateway, meter):
        machine = facts(Path(name))
        rest = meter.over(REST_S)
        cases = {case: _measure(gateway, meter, rest, Path(name), limits) for case, limits in CASES.items()}
    result = {"machine": machine, "clients": CLIENTS, "at_rest": rest, "cases": cases}
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
