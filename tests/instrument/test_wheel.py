"""docs/instrument.md followed by somebody who has the wheel and no checkout."""

import re
import subprocess
import zipfile
from pathlib import Path

from tests.gateway.house import watched
from tests.guide.plain_uvicorn import PlainUvicorn

ROOT = Path(__file__).parents[2]
ROUTES = """
@app.get("/health/ready")
@app.get("/where")
async def where() -> str:
    import tristar

    return tristar.__file__
"""


class Theirs(PlainUvicorn):
    """Their application under uvicorn's command line, with what a wheel holds and nothing of the checkout."""

    def __init__(self, folder: Path, installed: Path) -> None:
        super().__init__(folder, workers=1)
        self._env["PYTHONPATH"] = str(installed)
        self._command = ["theirs:app" if part == "app.main:app" else part for part in self._command]


def unpacked(folder: Path) -> Path:
    """The wheel built from this checkout, unpacked as an installer does it."""
    uv = ROOT / ".venv" / "tools" / "bin" / "uv"
    options = ["--offline", "--no-build-isolation", "--python", str(ROOT / ".venv" / "bin" / "python")]
    command = [str(uv), "build", "--wheel", "--quiet", *options, "--out-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_pages_own_lines_work_from_the_wheel_alone(tmp_path: Path) -> None:
    """Its first block is the application: counted, timed and recorded, with `/metrics` beside it."""
    (lines,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/instrument.md").read_text(), re.DOTALL)
    installed = unpacked(tmp_path / "wheel")
    running = Theirs(tmp_path / "theirs" / "checkout", installed)
    (running.folder / "theirs.py").write_text(lines + ROUTES)
    with watched(running):
        running.start()
        where = running.request("GET", "/where")
        scrape = running.scrape()
        running.stop()  # uvicorn ends with the signal's own code
        records = [record["resource"] for record in running.records() if record.terminal]

    assert where.json() == str(installed / "tristar" / "__init__.py")
    assert scrape.value("ailinux_request_count", endpoint="/where", status="200") == 1
    assert "/where" in records
    assert {"x-request-id", "x-tristar-trace-id"} <= where.headers.keys()
