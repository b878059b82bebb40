"""What is released: the same bytes twice, everything in it, and running where nothing else is."""

import hashlib
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from benchmarks.newcomer import machine_environment, travel
from tests.gateway.process import Gateway
from tests.repo.test_tracked_files import repository_files

import tristar

ROOT = Path(__file__).parents[2]
UV = ROOT / ".venv/tools/bin/uv"
BOUND_S = 120
"""From a clone to the first answer, downloads included."""


def copied(folder: Path) -> Path:
    """The repository's files in a folder of their own, all touched anew."""
    parts = (
        ROOT / "src/tristar/edge/static/parts"
    ).iterdir()  # not in git: scripts/console-parts fetches them
    for path in (*repository_files(), *parts):
        place = folder / path.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    return folder


def built(source: Path, into: Path) -> dict[str, str]:
    """Wheel and source distribution of this copy, and their digests."""
    subprocess.run(
        [ROOT / ".venv/bin/hatchling", "build", "-d", into],
        cwd=source,
        env={"PATH": os.environ["PATH"], "SOURCE_DATE_EPOCH": "1795000000"},
        check=True,
        capture_output=True,
        timeout=120,
    )
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(into.iterdir())}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one release."""
    folder = tmp_path_factory.mktemp("release")
    built(copied(folder / "source"), folder / "dist")
    return folder / "dist"


def test_building_twice_in_different_places_gives_the_same_bytes(release: Path, tmp_path: Path) -> None:
    """Wheel and source distribution: whoever builds the tag can compare."""
    first = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(release.iterdir())}
    again = built(copied(tmp_path / "another/place"), tmp_path / "dist")

    assert len(first) == 2
    assert again == first


def test_the_wheel_holds_what_runs_and_nothing_else(release: Path) -> None:
    """Console, scripts for Redis, the alerts of the demo, types; no tests, no `app`."""
    (wheel,) = release.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    static = ROOT / "src/tristar/edge/static"
    needed = [
        f"tristar/edge/static/{path.relative_to(static)}" for path in static.rglob("*") if path.is_file()
    ]
    needed += ["tristar/demo/alerts.yml", "tristar/limits/limits.lua", "tristar/py.typed"]

    assert [name for name in needed if name not in names] == []
    assert [name for name in names if not name.startswith(("tristar/", "tristar-"))] == []


@contextmanager
def installed(release: Path, folder: Path) -> Iterator[Path]:
    """An environment of its own with the wheel and the locked packages, as `pipx install` makes one."""
    python = folder / "venv/bin/python"
    (wheel,) = release.glob("*.whl")
    for words in (
        ("venv", "--quiet", folder / "venv"),
        ("pip", "sync", "--quiet", "--python", python, "--require-hashes", ROOT / "requirements/run.lock"),
        ("pip", "install", "--quiet", "--python", python, "--no-deps", "--offline", wheel),
    ):
        subprocess.run([UV, *words], check=True, timeout=300)
    yield folder / "venv/bin/tristar"


class Released(Gateway):
    """A gateway that runs from the wheel, far from the checkout."""

    def __init__(self, folder: Path, program: Path) -> None:
        super().__init__(folder)
        del self._env["PYTHONPATH"]
        self._command = [str(program), "serve", "--port", "0"]


def test_the_wheel_runs_in_an_empty_environment(release: Path, tmp_path: Path) -> None:
    """Version, a chat, and the console with every file that its page names."""
    with installed(release, tmp_path) as program:
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        with Released(tmp_path / "run", program) as running:
            chat = running.chat("echo")
            page = running.request("GET", "/console")
            script = running.request("GET", "/console/app.js")

    assert version.strip() == f"tristar {tristar.__version__}"
    assert [each.status_code for each in (chat, page, script)] == [200, 200, 200]


def test_a_newcomer_has_an_answer_within_two_minutes(tmp_path: Path) -> None:
    """A clone, `make run`, the curl line that it prints; how long it took is printed, too."""
    journey = travel(tmp_path, machine_environment())
    print(f"\nclone {journey.clone_s} s, running {journey.running_s} s, answer {journey.answer_s} s")  # noqa: T201 - the figure

    assert '"content":"Hello, TriStar!"' in journey.answer
    assert journey.total_s < BOUND_S
