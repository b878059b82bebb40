"""The unit: valid, closed, and what it starts keeps to its manager's protocol and inside its sandbox."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.deploy.manager import Manager
from tests.gateway.fixtures import StartGateway
from tests.gateway.process import Gateway

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy/systemd/ailinux-backend.service"
INSTALL = ROOT / "deploy/systemd/install.sh"
EXPOSURE = 1.3
"""What `systemd-analyze security` of systemd 252 says; docs/deployment.md names it."""


def setting(name: str) -> str:
    """The value of the unit's one line of this name."""
    (value,) = re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)
    return str(value)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """A manager that listens."""
    made = Manager(tmp_path)
    yield made
    made.close()


def watched(manager: Manager, period_s: float = 0.3) -> dict[str, str]:
    """The variables that this manager sets."""
    return {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": str(int(period_s * 1e6))}


def test_the_unit_is_valid(tmp_path: Path) -> None:
    """By systemd's own judgement, the program's place filled in; it finds nothing to say."""
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/ailinux-backend/.venv/bin/tristar", sys.executable))
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", copy],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (verified.returncode, verified.stderr) == (0, "")


def test_the_sandbox_is_as_tight_as_the_documents_say() -> None:
    """The score of `systemd-analyze security`, 0 to 10, less is tighter."""
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", UNIT],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    score = re.search(r"exposure level for \S+ (\d+\.\d+)", judged.stdout)

    assert score is not None
    assert float(score[1]) <= EXPOSURE
    assert f"{EXPOSURE}" in (ROOT / "docs/deployment.md").read_text()


@pytest.mark.parametrize("workers", [1, 2])
def test_the_manager_is_told_of_start_life_reload_and_end(
    gateway: StartGateway, manager: Manager, workers: int
) -> None:
    """READY once it answers, WATCHDOG while it lives, RELOADING and READY around a reload, STOPPING."""
    assert setting("ExecStart").split("/")[-1] == "tristar serve"
    running = gateway(env=watched(manager), workers=workers)
    manager.hear("READY")
    manager.hear("WATCHDOG")
    before_us = time.monotonic_ns() // 1000
    subprocess.run(setting("ExecReload").replace("$MAINPID", str(running.pid)).split(), check=True)
    reloading = manager.hear("RELOADING")
    again = manager.hear("READY")
    code = running.stop(signal.Signals[setting("KillSignal")])
    stopping = manager.hear("STOPPING")

    assert code == 0
    assert before_us <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    assert again["STATUS"] == "serving"
    assert int(stopping["EXTEND_TIMEOUT_USEC"]) == 35_000_000


def test_a_reload_that_is_refused_is_over_all_the_same(gateway: StartGateway, manager: Manager) -> None:
    """`systemctl reload` returns, and `systemctl status` says that the old configuration is in force."""
    running = gateway(env=watched(manager))
    manager.hear("READY")
    (running.folder / "tristar.toml").write_text("[server]\nworkers = 0\n")
    running.process.send_signal(signal.SIGHUP)
    manager.hear("RELOADING")

    assert "rejected" in manager.hear("READY")["STATUS"]


def test_an_event_loop_that_stands_still_shows_no_life(gateway: StartGateway, manager: Manager) -> None:
    """So that the manager can tell, and restart it."""
    running = gateway(env=watched(manager))
    manager.hear("WATCHDOG")
    running.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, running.pid, os.WSTOPPED)
    silent = manager.is_silent(for_s=1.0)
    running.process.send_signal(signal.SIGCONT)

    assert silent
    assert manager.hear("WATCHDOG")


def allowed() -> set[str]:
    """Every system call that the unit's filter lets through, sets resolved by systemd itself."""
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    sets = {
        block.split("\n", 1)[0].strip(): re.findall(r"^    (\S+)", block, re.MULTILINE)
        for block in re.split(r"\n(?=@)", listed)
    }

    def resolve(name: str) -> set[str]:
        return {name} if not name.startswith("@") else set().union(*map(resolve, sets[name]))

    return set().union(*map(resolve, setting("SystemCallFilter").split()))


def exercise(running: Gateway) -> None:
    """What a gateway does all day: chats, memory, questions to the audit log, exports."""
    running.chat("echo")
    running.chat("echo", stream=True)
    running.request("POST", "/v1/memory", json={"content": "a fact"})
    running.request("GET", "/metrics")
    asked = running.request("POST", "/admin/audit/query", json={"sql": "SELECT count(*) FROM audit"})
    assert asked.status_code == 200, asked.text


def test_all_that_it_calls_is_let_through_by_the_filter(gateway: StartGateway, tmp_path: Path) -> None:
    """Traced at work: no call outside SystemCallFilter, no memory that is both written and run."""
    trace = tmp_path / "trace"
    names = "trace=!read,write,futex,epoll_wait,clock_gettime,close,stat,newfstatat,lseek,brk,recvfrom,sendto"
    under = ["strace", "-D", "-f", "-q", "-e", names, "-e", "signal=none", "-o", str(trace)]
    running = gateway(under=under, workers=2)
    exercise(running)
    assert running.stop() == 0
    lines = trace.read_text(errors="replace").splitlines()
    called = {found[1] for line in lines if (found := re.match(r"\d+ +([a-z0-9_]+)\(", line))}
    executable = [
        line
        for line in lines
        if re.search(r" mmap\(.*PROT_WRITE.*PROT_EXEC| (pkey_)?mprotect\(.*PROT_EXEC", line)
    ]

    assert "landlock_restrict_self" in called
    assert called - allowed() == set()
    assert executable == []


def install(*arguments: str) -> str:
    """What install.sh says; fails if it fails."""
    done = subprocess.run(
        [INSTALL, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_installation_says_what_it_would_do_and_does_nothing(tmp_path: Path) -> None:
    """`--dry-run` needs no rights and leaves no trace."""
    said = install("--dry-run", "--root", str(tmp_path))
    whole = install("--dry-run")

    assert said.startswith("This will:\n")
    assert list(tmp_path.iterdir()) == []
    for step in ("system user", "/opt/ailinux-backend", ".venv", ".env", "daemon-reload", "enable"):
        assert step in whole


def test_the_installation_can_be_repeated_and_keeps_what_is_mine(tmp_path: Path) -> None:
    """Files where the unit looks for them; the second time is idle; settings are never touched."""
    install("--yes", "--root", str(tmp_path))
    settings = tmp_path / "etc/ailinux-backend/.env"
    settings.write_text("OPENAI_API_KEY=mine\n")
    again = install("--yes", "--root", str(tmp_path))
    (tmp_path / "opt/ailinux-backend/README.md").write_text("changed")
    repaired = install("--yes", "--root", str(tmp_path))

    assert (tmp_path / "etc/systemd/system" / UNIT.name).read_text() == UNIT.read_text()
    assert (tmp_path / "opt/ailinux-backend/scripts/venv").stat().st_mode & 0o111
    assert "nothing to do" in again
    assert "copy this checkout" in repaired
    assert settings.read_text() == "OPENAI_API_KEY=mine\n"
    assert not (tmp_path / "opt/ailinux-backend/.venv").exists()


def test_where_nobody_can_be_asked_it_does_nothing_without_yes(tmp_path: Path) -> None:
    """A script that forgot `--yes` is told so."""
    done = subprocess.run(
        [INSTALL, "--root", tmp_path],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )

    assert done.returncode == 1
    assert "--yes" in done.stderr
    assert list(tmp_path.iterdir()) == []
