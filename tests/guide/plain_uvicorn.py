"""`uvicorn app.main:app` as somebody starts it who has an ASGI server and no use for `tristar serve`."""

import re
import sys
import time
from pathlib import Path

from tests.gateway import Gateway
from tests.gateway.process import READY_WITHIN_S, NotReady
from tests.guide.checkout import make_checkout

RUNNING = re.compile(r"Uvicorn running on (http://\S+)")


class PlainUvicorn(Gateway):
    """A `Gateway` under uvicorn's own command line, at a repository root of its own."""

    def __init__(self, folder: Path, *, workers: int) -> None:
        super().__init__(make_checkout(folder), workers=workers)
        uvicorn = [sys.executable, "-m", "uvicorn", "app.main:app", "--port", "0"]
        self._command = [*uvicorn, "--workers", str(workers)]

    def _learn_url(self, deadline: float) -> str:
        """Uvicorn says on stderr where it listens."""
        while time.monotonic() < deadline:
            if found := RUNNING.search(self.errors()):
                return found[1]
            if self.process.poll() is not None:
                raise NotReady(f"ended with code {self.process.returncode}\n{self.output()}")
            time.sleep(0.01)
        raise NotReady(f"not running within {READY_WITHIN_S} s\n{self.output()}")
