"""The machine under the measurement: its facts, its cores, the processor time of its processes."""

import os
import platform
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def facts(folder: Path) -> dict[str, Any]:
    """What a reader needs to compare figures from elsewhere."""
    p50_ms, p99_ms = fdatasync_ms(folder)
    return {
        "cores": os.cpu_count(),
        "cpu": _cpu_model(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "nginx": _version(["nginx", "-v"]),
        "filesystem": _filesystem(folder),
        "fdatasync_p50_ms": round(p50_ms, 3),
        "fdatasync_p99_ms": round(p99_ms, 3),
        "load_average": round(os.getloadavg()[0], 2),
    }


def fdatasync_ms(folder: Path, times: int = 500) -> tuple[float, float]:
    """p50 and p99 of appending 600 bytes and waiting for the device, in milliseconds."""
    took_ms = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(times):
            began = time.perf_counter()
            os.write(file.fileno(), b"r" * 600)
            os.fdatasync(file.fileno())
            took_ms.append((time.perf_counter() - began) * 1e3)
    quantiles = statistics.quantiles(took_ms, n=100)
    return quantiles[49], quantiles[98]


def cpu_s(pid: int) -> float:
    """Processor seconds, user and system, of the session that `pid` leads."""
    total = 0
    for each in _session(pid):
        try:
            fields = _fields(Path(f"/proc/{each}"))
        except OSError:
            continue  # it ended meanwhile
        total += int(fields[11]) + int(fields[12])
    return total / TICKS_PER_S


@dataclass(frozen=True)
class Memory:
    """Of the session's serving processes, in MB. Pages that several share count for each in `resident`,
    and by halves, thirds and so on in `proportional`, whose sum is what the machine really gives."""

    largest_resident: float
    resident: float
    proportional: float


def memory_mb(pid: int, *, but: str = "tristar.audit.clerk") -> Memory:
    """What the session led by `pid` holds, without its short-lived processes (their command has `but`)."""
    found = [_rollup(each) for each in _session(pid) if but not in _command(each)]
    resident = [rss for rss, _ in found]
    return Memory(
        largest_resident=round(max(resident, default=0.0), 1),
        resident=round(sum(resident), 1),
        proportional=round(sum(pss for _, pss in found), 1),
    )


def _rollup(pid: int) -> tuple[float, float]:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0, 0.0  # it ended meanwhile
    kb = dict(re.findall(r"^(Rss|Pss):\s+(\d+) kB", text, re.MULTILINE))
    return int(kb.get("Rss", 0)) * 1024 / 1e6, int(kb.get("Pss", 0)) * 1024 / 1e6


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def _session(pid: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if int(_fields(entry)[3]) == pid:
                yield int(entry.name)
        except OSError:
            continue  # it ended meanwhile


def _fields(entry: Path) -> list[str]:
    """Those of /proc/PID/stat behind the command's name."""
    return (entry / "stat").read_text().rpartition(")")[2].split()


def pinned(cores: int | str, command: Sequence[str]) -> list[str]:
    """The command, held to one core, or to several as `taskset` lists them."""
    return ["taskset", "-c", str(cores), *command]


def stop(process: "subprocess.Popen[Any]") -> None:
    """SIGTERM to what was started with a session of its own, SIGKILL if it does not listen."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)


def free_port() -> int:
    """A port that was free a moment ago: nginx cannot be given 0."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().rpartition("/")[2]


def _filesystem(folder: Path) -> str:
    done = subprocess.run(
        ["stat", "-f", "-c", "%T", str(folder)], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()
