"""From a clone to the first answered chat, by the README's own lines: `make run`, and the curl it prints.

`python -m benchmarks.newcomer` does it with empty caches (everything is downloaded) and with full
ones (nothing is), and writes benchmarks/newcomer.json.
"""

import io
import json
import os
import re
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.machine import facts

ROOT = Path(__file__).parent.parent
RESULT = Path(__file__).parent / "newcomer.json"
PATIENCE_S = 300

_TRY = re.compile(r"Try it:\n(  curl .*\n(?:    .*\n)*)")


@dataclass(frozen=True)
class Journey:
    """How long each part took, in seconds, and what was answered in the end."""

    clone_s: float
    running_s: float
    answer_s: float
    answer: str

    @property
    def total_s(self) -> float:
        """From nothing to the first answer."""
        return round(self.clone_s + self.running_s + self.answer_s, 2)


def machine_environment() -> dict[str, str]:
    """This machine as a newcomer has it: how it reaches the network, nothing of TriStar or Python."""
    ours = re.compile(
        r"(TRISTAR|AUDIT|METRICS|PYTHON|PYTEST|MAKE|MFLAGS|ARGS|VIRTUAL_ENV|DATABASE|REDIS|OTEL)"
    )
    keys = re.compile(r".*_(API_KEY|HOST|TOKEN)$")
    return {name: value for name, value in os.environ.items() if not (ours.match(name) or keys.match(name))}


def readme_lines() -> list[str]:
    """The commands of the README's first block."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert block is not None
    return [line.partition("#")[0].strip() for line in block[1].splitlines()]


def travel(folder: Path, environ: Mapping[str, str]) -> Journey:
    """Follow the README in `folder`, in this environment alone; ends what it started."""
    began = time.monotonic()
    _clone(folder)
    cloned = time.monotonic()
    with _making(folder, environ) as (process, curl):
        running = time.monotonic()
        answer = subprocess.run(
            ["bash", "-c", curl], cwd=folder, env=dict(environ), capture_output=True, text=True, check=True
        ).stdout
        answered = time.monotonic()
        assert process.poll() is None
    return Journey(
        clone_s=round(cloned - began, 2),
        running_s=round(running - cloned, 2),
        answer_s=round(answered - running, 2),
        answer=answer,
    )


def _clone(folder: Path) -> None:
    command = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "archive", "HEAD"]
    packed = subprocess.run(command, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")


@contextmanager
def _making(folder: Path, environ: Mapping[str, str]) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """`make run` on a free port, once it has said how to try it."""
    first = readme_lines()[0]
    assert first == "make run"
    with (folder / "stderr.txt").open("wb") as errors:
        process = subprocess.Popen(
            [*first.split(), "ARGS=--port 0"],
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    try:
        assert process.stdout is not None
        yield process, _curl(process, folder)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)
        assert process.stdout is not None
        process.stdout.close()


def _curl(process: "subprocess.Popen[str]", folder: Path) -> str:
    said = ""
    deadline = time.monotonic() + PATIENCE_S
    assert process.stdout is not None
    while time.monotonic() < deadline and (line := process.stdout.readline()):
        said += line
        found = _TRY.search(said)
        if found and found[1].rstrip().endswith("'"):
            return found[1]
    errors = (folder / "stderr.txt").read_text(errors="replace")
    raise RuntimeError(f"make run did not come up\n{said}\n{errors}")


def main() -> None:
    """Travel twice and write the results."""
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        environ = machine_environment() | {"XDG_CACHE_HOME": str(base / "cache")}
        results = {}
        for what in ("everything downloaded", "nothing downloaded"):
            folder = base / what.replace(" ", "-")
            folder.mkdir()
            journey = travel(folder, environ)
            results[what] = {**asdict(journey), "total_s": journey.total_s}
            del results[what]["answer"]
        RESULT.write_text(json.dumps({"machine": facts(base), "journeys": results}, indent=2) + "\n")
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
