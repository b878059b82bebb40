"""LiteLLM and Portkey beside the gateway: same upstream, cores and load, each in an environment of its own.

Installed from their registries into `.cache/peers` by lock files with hashes (`benchmarks/locks`).
LiteLLM runs with a key and Prometheus, as its users run it, and without Prometheus. Its version is the newest
one that reports on its compromised releases call clean, with dependencies of that day. Portkey has neither
keys nor metrics; as installed it answers every stream with 500, so its streams run with the oldest HTTP
adapter that it allows.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import load
from benchmarks.machine import free_port, memory_mb, pinned, stop
from benchmarks.nginx import Served
from benchmarks.plan import GATEWAY_CORE, STREAM_CLIENTS, Plan, median

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache" / "peers"
LOCKS = Path(__file__).with_name("locks")

START_WITHIN_S = 90
KEY = "sk-bench"
CONFIG = """\
model_list:
  - model_name: bench
    litellm_params: {{model: openai/bench, api_base: "http://127.0.0.1:{upstream}/v1", api_key: none}}
litellm_settings: {{callbacks: {callbacks}}}
general_settings: {{master_key: {key}}}
"""


def measure(folder: Path, upstream: int, streaming: int, plan: Plan) -> dict[str, Any]:
    """Every row of JSON and of streams, the memory after each, and the versions."""
    _install()
    slow = replace(plan, seconds=4 * plan.seconds)  # LiteLLM needs seconds for one stream of 64
    rows: dict[str, Any] = {"versions": versions(), "json": {}, "sse": {}}
    for name in ("litellm, prometheus", "litellm", "portkey"):
        with _peer(name, folder / f"{name}-json", upstream) as served:
            cells = {str(clients): median(served, folder, clients, plan) for clients in plan.clients}
            resident = memory_mb(served.pid).largest_resident
            rows["json"][name] = cells | {"resident_mb": resident}
        with _peer(f"{name}-streams", folder / f"{name}-sse", streaming) as served:
            cell = median(served, folder, STREAM_CLIENTS, slow, stream=True)
            rows["sse"][name] = {str(STREAM_CLIENTS): cell}
    return rows


def versions() -> dict[str, str]:
    """As the lock files have them."""
    line = next(
        line for line in (LOCKS / "litellm.lock").read_text().splitlines() if line.startswith("litellm==")
    )
    wanted = json.loads((LOCKS / "portkey" / "package.json").read_text())["dependencies"]
    return {"litellm": line.split("==")[1].split()[0], "portkey": wanted["@portkey-ai/gateway"]}


@contextmanager
def _peer(name: str, folder: Path, upstream: int) -> Iterator[Served]:
    """One of them, ready, on the gateway's core; `-streams` where it is to be asked for streams."""
    folder.mkdir(parents=True)
    port = free_port()
    command, headers = (
        _litellm(folder, upstream, port, prometheus="prometheus" in name)
        if name.startswith("litellm")
        else _portkey(name, upstream, port)
    )
    env = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            pinned(GATEWAY_CORE, command),
            cwd=folder,
            env=env,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            _await_answer(port, headers, folder, stream=name.endswith("-streams"))
            yield Served(process.pid, port, headers)
        finally:
            stop(process)


def _litellm(
    folder: Path, upstream: int, port: int, *, prometheus: bool
) -> tuple[Sequence[str], Mapping[str, str]]:
    config = folder / "config.yaml"
    callbacks = '["prometheus"]' if prometheus else "[]"
    config.write_text(CONFIG.format(upstream=upstream, callbacks=callbacks, key=KEY))
    listen = ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1", "--telemetry", "False"]
    command = [str(CACHE / "litellm" / "bin" / "litellm"), "--config", str(config), *listen]
    return command, {"Authorization": f"Bearer {KEY}"}


def _portkey(name: str, upstream: int, port: int) -> tuple[Sequence[str], Mapping[str, str]]:
    server = CACHE / name / "node_modules/@portkey-ai/gateway/build/start-server.js"
    headers = {
        "Authorization": "Bearer none",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1",
    }
    return ["node", str(server), "--headless", f"--port={port}"], headers


def _await_answer(port: int, headers: Mapping[str, str], folder: Path, *, stream: bool) -> None:
    """Until it answers one request: what is measured works."""
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        load.request(stream=stream).encode(),
        {"Content-Type": "application/json", **headers},
    )
    deadline = time.monotonic() + START_WITHIN_S
    while True:
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:
                answer.read()
        except OSError as error:
            if time.monotonic() > deadline:
                said = (folder / "output.txt").read_text()[-2000:]
                raise RuntimeError(f"no answer within {START_WITHIN_S} s: {error}\n{said}") from error
            time.sleep(0.1)
        else:
            return


def _install() -> None:
    """Bring each environment to its lock file; nothing is done for one that is there already."""
    CACHE.mkdir(parents=True, exist_ok=True)
    for name in ("litellm", "portkey", "portkey-streams"):
        place, lock = (
            CACHE / name,
            LOCKS / (f"{name}.lock" if name == "litellm" else f"{name}/package-lock.json"),
        )
        stamp = place / "installed.lock"
        if stamp.exists() and stamp.read_bytes() == lock.read_bytes():
            continue
        print(f"installing {name} into {place.relative_to(ROOT)}", file=sys.stderr)
        shutil.rmtree(place, ignore_errors=True)
        (_install_litellm if name == "litellm" else _install_portkey)(place, lock)
        shutil.copyfile(lock, stamp)


def _install_litellm(place: Path, lock: Path) -> None:
    uv = Path(sys.prefix) / "tools" / "bin" / "uv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    python = str(place / "bin" / "python")
    subprocess.run([uv, "pip", "sync", "--quiet", "--python", python, "--require-hashes", lock], check=True)


def _install_portkey(place: Path, lock: Path) -> None:
    place.mkdir()
    for file in (lock, lock.with_name("package.json")):
        shutil.copy(file, place)
    options = ["--omit=dev", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    subprocess.run(["npm", "ci", *options], cwd=place, check=True, env=os.environ | {"CI": "1"})
