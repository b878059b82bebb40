"""`make bench`: requests per second, latency, processor time and memory, beside nginx as a plain proxy.

The gateway runs alone on core 0; load (wrk) and upstream (nginx, a fixed 900-byte answer; for
streams a small server that writes 50 separate chunks) share core 1. Every figure is the median
of three runs. `--peers` adds LiteLLM and Portkey, `--scale` many keys, streams and scrapes; with `--only`
nothing else is measured, and the other figures of the output file stay. `--quick` takes about a minute,
changes no file, and compares. Absolute figures drift from machine to machine: compare ratios.
"""

import argparse
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import nginx, peers, report, scale
from benchmarks.gateway import gateway
from benchmarks.machine import facts, free_port, memory_mb, pinned, stop
from benchmarks.nginx import Served
from benchmarks.plan import FULL, GATEWAY_CORE, LOAD_CORE, QUICK, STREAM_CLIENTS, Plan, median

from tristar.auth.actor import NO_LIMITS

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results.json"
ANSWER_BYTES = 900
OPEN_RATE = 500


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute; compares, writes nothing")
    parser.add_argument("--peers", action="store_true", help="LiteLLM and Portkey too, fetched if need be")
    parser.add_argument(
        "--scale", action="store_true", help="100,000 keys, 10,000 streams, 1,000 scrapes too"
    )
    parser.add_argument("--only", action="store_true", help="nothing but what --peers and --scale name")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the figures go")
    options = parser.parse_args()
    missing = _missing(("nginx", "wrk", "taskset", *(("npm", "node") if options.peers else ())))
    if missing:
        print(f"missing: {', '.join(missing)}. Run: apt-get install {_packages(missing)}", file=sys.stderr)
        return 2
    results: dict[str, Any] = json.loads(options.output.read_text()) if options.only else {}
    with tempfile.TemporaryDirectory(prefix="tristar-bench-") as name:
        for part, figures in _measured(Path(name), options):
            results[part] = figures
            if not options.quick:  # what was measured is kept, whatever becomes of the rest
                options.output.write_text(json.dumps(results, indent=2) + "\n")
    _print(results)
    if options.quick:
        _compare(results, options.output)
    else:
        print(f"\nwritten: {options.output}")
        if options.output == RESULTS:
            report.write(results)
    return 0


def _missing(tools: tuple[str, ...]) -> list[str]:
    return [tool for tool in tools if shutil.which(tool) is None]


def _packages(tools: list[str]) -> str:
    names = {"nginx": "nginx-light", "taskset": "util-linux", "node": "nodejs"}
    return " ".join(names.get(tool, tool) for tool in tools)


def _measured(folder: Path, options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each part of the results by its name, as soon as it is known."""
    plan = QUICK if options.quick else FULL
    if not options.only:
        yield "machine", facts(folder)
        yield "json", _measure_json(folder, plan)
        yield "sse", _measure_sse(folder, plan)
        yield "more", {} if options.quick else _measure_more(folder, plan)
    with nginx.static(folder / "others", _answer(), LOAD_CORE) as upstream:
        if options.peers:
            with _sse_upstream() as streaming:
                yield "peers", peers.measure(folder / "peers", upstream.port, streaming.port, plan)
        if options.scale:
            yield "scale", scale.measure(folder / "scale", upstream.port, plan)


def _measure_json(folder: Path, plan: Plan) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    with nginx.static(folder / "static", _answer(), LOAD_CORE) as upstream:
        for name in ("direct", "nginx", "relaxed", "strict"):
            with _served(name, folder, upstream.port) as served:
                rows[name] = {str(clients): median(served, folder, clients, plan) for clients in plan.clients}
                if name in {"relaxed", "strict"}:
                    rows[name]["memory_mb"] = asdict(memory_mb(served.pid))
    for name, row in rows.items():
        for clients in (str(number) for number in plan.clients):
            for quantile in ("p50_ms", "p99_ms"):
                added = row[clients][quantile] - rows["direct"][clients][quantile]
                row[clients][f"added_{quantile}"] = round(added, 3) if name != "direct" else 0.0
    return rows


def _measure_sse(folder: Path, plan: Plan) -> dict[str, Any]:
    rows = {}
    with _sse_upstream() as upstream:
        for name in ("direct", "nginx", "relaxed", "strict"):
            with _served(name, folder / "sse", upstream.port, buffering=False) as served:
                cell = median(served, folder, STREAM_CLIENTS, plan, stream=True)
                rows[name] = {str(STREAM_CLIENTS): cell}
    return rows


def _measure_more(folder: Path, plan: Plan) -> dict[str, Any]:
    """Two workers, no limits, a fixed rate, each beside the row it is to be compared with."""
    rows: dict[str, Any] = {}
    both, alone = f"{GATEWAY_CORE},{LOAD_CORE}", str(GATEWAY_CORE)
    with nginx.static(folder / "more", _answer(), LOAD_CORE) as upstream:
        direct = Served(0, upstream.port)
        rows["direct, 500 req/s open loop"] = _open_loop(direct, plan)
        for workers in (1, 2):
            place = folder / f"workers{workers}"
            with gateway(place, upstream.port, "relaxed", cores=both, workers=workers) as served:
                row = median(served, folder, 64, plan)
                memory = memory_mb(served.pid)
                row |= {"resident_mb": memory.largest_resident, "proportional_mb": memory.proportional}
                rows[f"relaxed, {workers} workers on both cores"] = row | {"ready_s": served.ready_s}
        with gateway(folder / "free", upstream.port, "relaxed", cores=alone, limits=NO_LIMITS) as served:
            rows["relaxed, a key without limits"] = median(served, folder, 64, plan)
        for mode in ("relaxed", "strict"):
            with gateway(folder / f"open-{mode}", upstream.port, mode, cores=alone) as served:
                rows[f"{mode}, 500 req/s open loop"] = _open_loop(served, plan)
    return rows


def _open_loop(served: Served, plan: Plan) -> dict[str, float]:
    asked = [str(served.port), str(OPEN_RATE), str(2 * plan.seconds), served.headers.get("Authorization", "")]
    command = [sys.executable, "-m", "benchmarks.open_loop", *asked]
    done = subprocess.run(pinned(LOAD_CORE, command), capture_output=True, text=True, check=True, cwd=ROOT)
    told = json.loads(done.stdout)
    return {"req_per_s": told["answered"] * OPEN_RATE} | {name: told[name] for name in ("p50_ms", "p99_ms")}


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
    others = results.get("peers", {})
    head = f"{'':24}{'clients':>8}{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'+p50':>9}{'+p99':>9}{'CPU us':>9}"
    for title, kind in ((head, "json"), (f"\n50 real chunks per stream\n{head}", "sse")):
        print(title)
        for name, row in {**results[kind], **others.get(kind, {})}.items():
            for clients, cell in row.items():
                if clients.isdigit():
                    print(_line(name, clients, cell))
    for name, cell in (results["more"] | results.get("scale", {})).items():
        print(f"{name:44}" + "".join(f"{key} {value:,.2f}  " for key, value in cell.items()))


def _line(name: str, clients: str, cell: dict[str, float]) -> str:
    added = [f"{cell[key]:>9.2f}" if key in cell else f"{'':9}" for key in ("added_p50_ms", "added_p99_ms")]
    return (
        f"{name:24}{clients:>8}{cell['req_per_s']:>9.0f}{cell['p50_ms']:>9.2f}{cell['p99_ms']:>9.2f}"
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
