"""`tristar serve` as a user starts it: its own process, its own folder, its own environment."""

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import openai
from tests.gateway.records import Record, read_records
from tests.gateway.scrape import Scrape

SOURCE = Path(__file__).parents[2] / "src"
"""The code beside these tests is what runs, whatever else is installed."""

READY_WITHIN_S = 60.0
STOPPED_WITHIN_S = 40.0
LISTENING = re.compile(r"listening on (https?://\S+)")


class NotReady(AssertionError):
    """The gateway did not come up; the message holds what it printed."""


class Gateway:
    """One running gateway. Construct, `start`, and always `close`; or use it in a `with`.

    Args:
        folder: its working directory, new and empty; audit log and data go below it.
        toml: its `tristar.toml`; None starts it without a file.
        env: its environment beside PATH; nothing else of the test's own gets in.
        workers: as `--workers`.
        args: further arguments of `serve`.
        under: a command that runs it, `strace …` say, and becomes it: same process id.
    """

    def __init__(
        self,
        folder: Path,
        *,
        toml: str | None = None,
        env: Mapping[str, str] | None = None,
        workers: int = 1,
        args: Sequence[str] = (),
        under: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.workers = workers
        self._under = under
        self.url = ""
        self.ready_after_s = 0.0
        self.printed: list[str] = []
        self._errors = folder / "stderr.txt"
        self._env = _environment(folder) | dict(env or {})
        self._command = [
            *under,
            sys.executable,
            "-m",
            "tristar",
            "serve",
            "--port",
            "0",
            "--workers",
            str(workers),
            *args,
        ]
        self._lines: queue.Queue[str] = queue.Queue()
        self._process: subprocess.Popen[str] | None = None
        # A new connection each time: a kept one would go to the same worker, dead or alive.
        self._http = httpx.Client(
            timeout=30.0, trust_env=False, verify=False, limits=httpx.Limits(max_keepalive_connections=0)
        )
        folder.mkdir(parents=True, exist_ok=True)
        if toml is not None:
            (folder / "tristar.toml").write_text(toml)

    # -- life ---------------------------------------------------------------

    def start(self) -> Self:
        """Start it; returns once it says that it is ready.

        Raises:
            NotReady: it ended, or was not ready within a minute.
        """
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                self._command,
                cwd=self.folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        threading.Thread(target=self._read_stdout, daemon=True).start()
        began = time.monotonic()
        self.url = self._learn_url(began + READY_WITHIN_S)
        self._await_ready(began + READY_WITHIN_S)
        self.ready_after_s = time.monotonic() - began
        return self

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and return the exit code.

        Raises:
            AssertionError: it was still running after its drain time.
        """
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"still running {STOPPED_WITHIN_S} s after {how.name}\n{self.output()}"
            ) from None

    def kill(self) -> None:
        """SIGKILL to every process of it at once, as a power cut would."""
        for pid in self.processes():
            _signal(pid, signal.SIGKILL)
        self.process.wait(10)

    def close(self) -> None:
        """Make sure that nothing of it is left running."""
        self._http.close()
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        for pid in self.processes():
            _signal(pid, signal.SIGKILL)
        self._process.wait(10)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- processes ----------------------------------------------------------

    @property
    def process(self) -> subprocess.Popen[str]:
        """The process that was started: with several workers, their supervisor."""
        assert self._process is not None, "start it first"
        return self._process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def processes(self) -> list[int]:
        """Every living process of it: those of its session."""
        return [pid for pid in _pids() if _session(pid) == self.pid]

    def worker_pids(self) -> list[int]:
        """The processes that answer requests."""
        if self.workers == 1:
            return [self.pid]
        return [pid for pid in self.processes() if pid != self.pid and "tracker" not in _command_line(pid)]

    def kill_worker(self, *, but: int | None = None) -> int:
        """SIGKILL to one worker, but not to this one; its process id."""
        pid = next(pid for pid in self.worker_pids() if pid != but)
        _signal(pid, signal.SIGKILL)
        return pid

    def resident_bytes(self) -> int:
        """Memory in use by all of its processes together."""
        return sum(resident_bytes(pid) for pid in self.processes())

    # -- what it says -------------------------------------------------------

    def output(self) -> str:
        """Everything that it printed, for a failed test's report."""
        self._drain_lines()
        return f"--- stdout\n{''.join(self.printed)}\n--- stderr\n{self.errors()}"

    def errors(self) -> str:
        """What it wrote to stderr."""
        return self._errors.read_text(errors="replace") if self._errors.exists() else ""

    def scrape(self, path: str = "/metrics") -> Scrape:
        """Its metrics now; asked again if a worker died with the scrape in its hands."""
        for last in (False, False, True):
            try:
                answer = self._http.get(self.url + path)
            except httpx.TransportError:
                if last:
                    raise
            else:
                break
        answer.raise_for_status()
        return Scrape(answer.text)

    @property
    def audit_folder(self) -> Path:
        """AUDIT_LOG_DIR, as the gateway sees it: what it runs under may have given it mounts of its own."""
        path = Path(self._env["AUDIT_LOG_DIR"])
        seen = Path(f"/proc/{self.pid}/root").joinpath(*path.parts[1:]) if self._under else path
        return seen if seen.is_dir() else path

    @property
    def data_folder(self) -> Path:
        """TRISTAR_DATA_DIR."""
        return Path(self._env["TRISTAR_DATA_DIR"])

    def records(self) -> list[Record]:
        """Its audit log now."""
        return read_records(self.audit_folder)

    def record_of(self, trace_id: str | None, within_s: float = 20.0) -> Record:
        """The one terminal record with this trace id, once it is there.

        Raises:
            AssertionError: there is none after `within_s`, or more than one.
        """
        deadline = time.monotonic() + within_s
        while True:
            found = [
                record for record in self.records() if record.terminal and record["trace_id"] == trace_id
            ]
            if found or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        assert len(found) == 1, f"{len(found)} terminal records of trace {trace_id}"
        return found[0]

    # -- talking to it ------------------------------------------------------

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.url.rpartition(":")[2])

    def client(self) -> openai.OpenAI:
        """The official SDK, without retries of its own."""
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="unused", max_retries=0, timeout=30.0)

    def async_client(self) -> openai.AsyncOpenAI:
        """The official SDK's async side, without retries of its own."""
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key="unused", max_retries=0, timeout=30.0)

    def request(self, method: str, path: str, **options: object) -> httpx.Response:
        """A plain HTTP request."""
        return self._http.request(method, self.url + path, **options)  # type: ignore[arg-type]  # httpx's own options

    def chat(self, model: str, *, headers: Mapping[str, str] | None = None, **body: object) -> httpx.Response:
        """A plain chat request; `body` adds to it."""
        asked: dict[str, object] = {"model": model, "messages": [{"role": "user", "content": "hi"}], **body}
        return self._http.post(f"{self.url}/v1/chat/completions", json=asked, headers=dict(headers or {}))

    # -- inside -------------------------------------------------------------

    def _read_stdout(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def _drain_lines(self) -> None:
        while not self._lines.empty():
            self.printed.append(self._lines.get())

    def _learn_url(self, deadline: float) -> str:
        while time.monotonic() < deadline:
            self._drain_lines()
            found = LISTENING.search("".join(self.printed))
            if found:
                return found[1].rstrip("/")
            if self.process.poll() is not None:
                raise NotReady(f"ended with code {self.process.returncode}\n{self.output()}")
            time.sleep(0.01)
        raise NotReady(f"no `listening on` line within {READY_WITHIN_S} s\n{self.output()}")

    def _await_ready(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            try:
                if self._http.get(f"{self.url}/health/ready").status_code == 200:
                    return
            except httpx.TransportError:
                pass  # not listening yet
            if self.process.poll() is not None:
                raise NotReady(f"ended with code {self.process.returncode}\n{self.output()}")
            time.sleep(0.02)
        raise NotReady(f"not ready within {READY_WITHIN_S} s\n{self.output()}")


def _environment(folder: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(SOURCE),
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "error::ResourceWarning,error::RuntimeWarning",
        "AUDIT_LOG_DIR": str(folder / "audit"),
        "TRISTAR_DATA_DIR": str(folder / "data"),
    }


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _session(pid: int) -> int | None:
    """The session of a living process; None for one that is gone or a zombie."""
    try:
        state, _, _, session = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:4]
    except (OSError, ValueError):
        return None
    return None if state == "Z" else int(session)


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def resident_bytes(pid: int) -> int:
    """Memory in use by one process; 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _signal(pid: int, how: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended by itself
        os.kill(pid, how)
