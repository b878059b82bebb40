"""`make bench`: requests per second, latency and processor time, beside nginx as a plain proxy.

The gateway runs alone on core 0; load (wrk) and upstream (nginx, a fixed 900-byte answer; for
streams a small server that writes 50 separate chunks) share core 1. Every figure is the median
of three runs. `--quick` takes under a minute, changes no file, and compares with
`benchmarks/results.json`. Absolute figures drift from machine to machine: compare ratios.
"""

import argparse
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import load, nginx, report
from benchmarks.gateway import gateway
from benchmarks.machine import facts, free_port, pinned, resident_mb, stop
from benchmarks.nginx import Served

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results.json"
GATEWAY_CORE, LOAD_CORE = 0, 1
ANSWER_BYTES = 900
WARM_UP_S = 1
OPEN_RATE = 500


@dataclass(frozen=True)
class Plan:
    """How much to measure."""

    repeats: int
    seconds: int
    clients: Sequence[int]


FULL = Plan(repeats=3, seconds=5, clients=(1, 16, 64))
QUICK = Plan(repeats=1, seconds=2, clients=(1, 64))
STREAM_CLIENTS = 64


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute; compares, writes nothing")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the figures go")
    options = parser.parse_args()
    missing = [tool for tool in ("nginx", "wrk", "taskset") if shutil.which(tool) is None]
    if missing:
        print(
            f"missing: {', '.join(missing)}. Run: apt-get install nginx-light wrk util-linux", file=sys.stderr
        )
        return 2
    plan = QUICK if options.quick else FULL
    with tempfile.TemporaryDirectory(prefix="tristar-bench-") as name:
        folder = Path(name)
        results = {
            "machine": facts(folder),
            "json": _measure_json(folder, plan),
            "sse": _measure_sse(folder, plan),
            "more": {} if options.quick else _measure_more(folder, plan),
        }
    _print(results)
    if options.quick:
        _compare(results, options.output)
    else:
        options.output.write_text(json.dumps(results, indent=2) + "\n")
        print(f"\nwritten: {options.output}")
        if options.output == RESULTS:
            report.write(results)
    return 0


def _measure_json(folder: Path, plan: Plan) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    lua = load.script(folder, stream=False)
    with nginx.static(folder / "static", _answer(), LOAD_CORE) as upstream:
        for name in ("direct", "nginx", "relaxed", "strict"):
            with _served(name, folder, upstream.port) as served:
                rows[name] = {str(clients): _median(served, lua, clients, plan) for clients in plan.clients}
                if name in {"relaxed", "strict"}:
                    rows[name]["resident_mb"] = round(resident_mb(served.pid), 1)
    for name, row in rows.items():
        for clients in (str(number) for number in plan.clients):
            for quantile in ("p50_ms", "p99_ms"):
                added = row[clients][quantile] - rows["direct"][clients][quantile]
                row[clients][f"added_{quantile}"] = round(added, 3) if name != "direct" else 0.0
    return rows


def _measure_sse(folder: Path, plan: Plan) -> dict[str, Any]:
    rows = {}
    lua = load.script(folder, stream=True)
    with _sse_upstream() as upstream:
        for name in ("direct", "nginx", "relaxed", "strict"):
            with _served(f"{name}", folder / "sse", upstream.port, buffering=False) as served:
                rows[name] = {str(STREAM_CLIENTS): _median(served, lua, STREAM_CLIENTS, plan)}
    return rows


def _measure_more(folder: Path, plan: Plan) -> dict[str, Any]:
    """Two workers, a fixed rate, many llms: each beside the row it is to be compared with."""
    rows: dict[str, Any] = {}
    lua = load.script(folder, stream=False)
    both, alone = f"{GATEWAY_CORE},{LOAD_CORE}", str(GATEWAY_CORE)
    with nginx.static(folder / "more", _answer(), LOAD_CORE) as upstream:
        rows["direct, 500 req/s open loop"] = _open_loop(upstream.port, plan)
        for workers in (1, 2):
            place = folder / f"workers{workers}"
            with gateway(place, upstream.port, "relaxed", cores=both, workers=workers) as served:
                rows[f"relaxed, {workers} workers on both cores"] = _row(served, lua, plan)
        for llms in (1, 1_000):
            with gateway(folder / f"llms{llms}", upstream.port, "relaxed", cores=alone, llms=llms) as served:
                rows[f"relaxed, {llms} llms"] = _row(served, lua, plan)
        for mode in ("relaxed", "strict"):
            with gateway(folder / f"open-{mode}", upstream.port, mode, cores=alone) as served:
                rows[f"{mode}, 500 req/s open loop"] = _open_loop(served.port, plan)
    return rows


def _row(served: Served, lua: Path, plan: Plan) -> dict[str, float]:
    return _median(served, lua, 64, plan) | {"resident_mb": round(resident_mb(served.pid), 1)}


def _open_loop(port: int, plan: Plan) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.open_loop", str(port), str(OPEN_RATE), str(2 * plan.seconds)]
    done = subprocess.run(pinned(LOAD_CORE, command), capture_output=True, text=True, check=True, cwd=ROOT)
    told = json.loads(done.stdout)
    return {"req_per_s": told["answered"] * OPEN_RATE} | {name: told[name] for name in ("p50_ms", "p99_ms")}


def _median(served: Served, lua: Path, clients: int, plan: Plan) -> dict[str, float]:
    pid = served.pid or None
    load.run(served.port, lua, clients=clients, seconds=WARM_UP_S, core=LOAD_CORE, pid=None)
    samples = [
        load.run(served.port, lua, clients=clients, seconds=plan.seconds, core=LOAD_CORE, pid=pid)
        for _ in range(plan.repeats)
    ]
    return {
        name: round(statistics.median(getattr(sample, name) for sample in samples), 3)
        for name in asdict(samples[0])
        if name != "requests"
    }


@contextmanager
def _served(name: str, folder: Path, upstream: int, *, buffering: bool = True) -> Iterator[Served]:
    """What the row `name` measures, on its port; pid 0 where there is nothing between."""
    folder.mkdir(exist_ok=True)
    with ExitStack() as stack:
        if name == "direct":
            yield Served(0, upstream)
        elif name == "nginx":
            proxy = nginx.proxy(folder / "proxy", upstream, GATEWAY_CORE, buffering=buffering)
            yield stack.enter_context(proxy)
        else:
            yield stack.enter_context(gateway(folder / name, upstream, name, cores=str(GATEWAY_CORE)))


@contextmanager
def _sse_upstream() -> Iterator[Served]:
    port = free_port()
    process = subprocess.Popen(
        pinned(LOAD_CORE, [sys.executable, "-m", "benchmarks.sse_upstream", str(port)]),
        cwd=ROOT,
        start_new_session=True,
    )
    try:
        _await_connect(port)
        yield Served(process.pid, port)
    finally:
        stop(process)


def _await_connect(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _answer() -> bytes:
    """A chat completion of `ANSWER_BYTES`."""
    body: dict[str, Any] = {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1750000000,
        "model": "bench",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 120, "completion_tokens": 80, "total_tokens": 200},
        "system_fingerprint": "fp_bench",
    }
    body["choices"][0]["message"]["content"] = "w" * (ANSWER_BYTES - len(json.dumps(body)))
    return json.dumps(body).encode()


def _print(results: dict[str, Any]) -> None:
    machine = results["machine"]
    print(
        f"{machine['cores']} cores, {machine['cpu']}, Python {machine['python']}, nginx {machine['nginx']}, "
        f"fdatasync p50 {machine['fdatasync_p50_ms']} ms p99 {machine['fdatasync_p99_ms']} ms, "
        f"load before {machine['load_average']}\n"
    )
    head = f"{'':10}{'clients':>8}{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'+p50':>9}{'+p99':>9}{'CPU us':>9}"
    print(head)
    for name, row in results["json"].items():
        for clients, cell in row.items():
            if isinstance(cell, dict):
                print(_line(name, clients, cell))
    print(f"\n50 real chunks per stream\n{head.replace('req/s', 'str./s')}")
    for name, row in results["sse"].items():
        for clients, cell in row.items():
            print(_line(name, clients, cell))
    for name, cell in results["more"].items():
        print(f"{name:40}" + "".join(f"{key} {value:>9.2f}  " for key, value in cell.items()))


def _line(name: str, clients: str, cell: dict[str, float]) -> str:
    added = [f"{cell[key]:>9.2f}" if key in cell else f"{'':9}" for key in ("added_p50_ms", "added_p99_ms")]
    return (
        f"{name:10}{clients:>8}{cell['req_per_s']:>9.0f}{cell['p50_ms']:>9.2f}{cell['p99_ms']:>9.2f}"
        f"{added[0]}{added[1]}{cell['cpu_us']:>9.1f}"
    )


def _compare(results: dict[str, Any], baseline: Path) -> None:
    """Ratios, which a busy or another machine changes least."""
    most = str(max(QUICK.clients))
    known = json.loads(baseline.read_text()) if baseline.exists() else None
    print()
    for kind, clients in (("json", most), ("sse", str(STREAM_CLIENTS))):
        for mode in ("relaxed", "strict"):
            now = _ratio(results, kind, mode, clients)
            then = f", baseline {_ratio(known, kind, mode, clients):.3f}" if known else ", no baseline yet"
            print(f"{kind} {mode}: {now:.3f} of nginx's rate at {clients} clients{then}")


def _ratio(results: dict[str, Any], kind: str, mode: str, clients: str) -> float:
    rows = results[kind]
    return float(rows[mode][clients]["req_per_s"] / rows["nginx"][clients]["req_per_s"])


if __name__ == "__main__":
    raise SystemExit(main())
