"""Everything at once: faults upstream, clients that leave, kill -9 of workers and of whole gateways."""

import itertools
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tests.audit.trials.outcome import Outcome
from tests.gateway import Gateway, document, llm, provider
from tests.gateway.process import SOURCE
from tests.gateway.view import CHAT, EMBEDDINGS, PRESENT, Surface, look
from tests.upstream import Answer, Cut, Hang, Malformed, ResetBeforeHeaders, Status, Upstream

_STEPS = (
    Answer(), Answer(gap_s=0.002), Status(500), Status(429, retry_after="0.1"), Answer(fault=Cut(after=4)),
    Answer(fault=Malformed(at=2)), ResetBeforeHeaders(), Hang(),
)  # fmt: skip
_TIMES: dict[str, Any] = {"timeout_s": 1, "first_token_timeout_s": 0.3, "idle_timeout_s": 0.3, "retries": 1}
_PATIENCE_S = 60.0


@dataclass
class Crowd:
    """Clients that ask and sometimes leave, whichever gateway stands at the moment; what they were given."""

    gateway: Gateway | None = None
    models: Sequence[str] = ("main",)
    surfaces: Sequence[Surface] = (CHAT,)
    headers: Mapping[str, str] = field(default_factory=dict)
    complete: list[str] = field(default_factory=list)
    left: int = 0
    failed: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def asking(self, clients: int) -> Iterator["Crowd"]:
        """Keep asking while the block runs."""
        threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def wait_for(self, more: int) -> None:
        """Until so many more answers are complete."""
        wanted, deadline = len(self.complete) + more, time.monotonic() + _PATIENCE_S
        while len(self.complete) < wanted:
            if time.monotonic() > deadline:
                raise AssertionError(f"only {len(self.complete)} of {wanted} answers after {_PATIENCE_S} s")
            time.sleep(0.005)

    def _ask(self, number: int) -> None:
        dice = random.Random(number)
        while not self._stop.is_set():
            gateway, model = self.gateway, dice.choice(self.models)
            PRESENT.set(dice.choice(self.surfaces))  # a thread's context is its own
            stream = PRESENT.get() is not EMBEDDINGS and dice.random() < 0.5
            if gateway is None:
                time.sleep(0.01)
            elif dice.random() < 0.2:
                self._leave(gateway, model, dice.uniform(0.001, 0.05), stream=stream)
            else:
                view = look(gateway, model, stream=stream, headers=self.headers)
                if view.complete and view.trace_id:
                    self.complete.append(view.trace_id)
                else:
                    self.failed += 1

    def _leave(self, gateway: Gateway, model: str, after_s: float, *, stream: bool) -> None:
        surface = PRESENT.get()
        body = surface.ask(model, stream)
        url = gateway.url + surface.path
        try:
            httpx.post(url, json=body, headers=dict(self.headers), timeout=after_s, trust_env=False)
        except httpx.TransportError:
            self.left += 1


def storm(
    folder: Path, *, kills: int, clients: int = 8, every: int = 25, whole: int = 4, seed: int = 5
) -> Outcome:
    """So many kills, each `every` answers; each `whole`th takes supervisor and workers together.

    Afterwards each complete answer has one record, the log verifies, the books of the last gateway balance.
    """
    outcome, chance, crowd = Outcome(), random.Random(seed), Crowd()
    with Upstream() as sick, Upstream() as well, ExitStack() as stack:
        toml = document(
            provider("sick", sick.base_url),
            provider("well", well.base_url),
            llm("main", "sick", fallbacks=["spare"], **_TIMES),
            llm("spare", "well", **_TIMES),
        )

        def start() -> Gateway:
            made = Gateway(folder / "gateway", toml=toml, workers=2, env={"AUDIT_MAX_SIZE_MB": "1"})
            return stack.enter_context(made)

        crowd.gateway = gateway = start()
        with crowd.asking(clients):
            for number in range(kills):
                sick.default = chance.choice(_STEPS)
                crowd.wait_for(every)
                if number % whole == whole - 2:
                    crowd.gateway = None
                    gateway.kill()
                    outcome.count("gateways killed")
                    crowd.gateway = gateway = start()
                else:
                    gateway.kill_worker()
                    outcome.count("workers killed")
            sick.default = Answer()
            crowd.wait_for(every)
        outcome.figures |= {"complete": len(crowd.complete), "failed": crowd.failed, "left": crowd.left}
        _judge(gateway, crowd, outcome)
    return outcome


def _judge(gateway: Gateway, crowd: Crowd, outcome: Outcome) -> None:
    told = _reconciled(gateway)
    outcome.require(told["ok"], f"verify: {told['faults']}")
    outcome.require(told["reconciled"]["ok"] is True, f"the books do not balance: {told['reconciled']}")
    outcome.figures["requests in the last books"] = told["reconciled"].get("requests", 0)
    terminal = [record for record in gateway.records() if record.terminal]
    outcome.figures["orphaned"] = sum(record["outcome"] == "orphaned" for record in terminal)
    found = Counter(str(record["trace_id"]) for record in terminal if record["outcome"] == "success")
    outcome.faults += [f"{trace} has {found[trace]} records" for trace in crowd.complete if found[trace] != 1]
    ids = Counter(str(record["event_id"]) for record in gateway.records())
    outcome.faults += [f"{name} is there {times} times" for name, times in ids.items() if times > 1]


def _reconciled(gateway: Gateway) -> dict[str, Any]:
    """What `tristar audit verify --reconcile` says, once what hangs upstream has run into its timeout."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(SOURCE),
        "AUDIT_LOG_DIR": str(gateway.folder / "audit"),
        "TRISTAR_DATA_DIR": str(gateway.folder / "data"),
    }
    command = [sys.executable, "-m", "tristar", "audit", "verify", "--json"]
    deadline = time.monotonic() + 15
    for _ in itertools.count():
        done = subprocess.run(
            [*command, "--reconcile", f"{gateway.url}/metrics"],
            cwd=gateway.folder, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        said: dict[str, Any] = json.loads(done.stdout)
        if done.returncode == 0 or time.monotonic() > deadline:
            break
    return said
