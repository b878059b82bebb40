"""One gateway and two upstreams shared by many tests, each with llms of its own.

Starting a gateway takes most of a second; a lane costs nothing. What one test does to its
lane's breaker, limits and scripts no other test can see.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from tests.gateway.process import Gateway
from tests.gateway.toml import document, llm, provider, server
from tests.upstream import Call, Step, Upstream

LANES = 66
TIMEOUT_S = 2.0
FIRST_TOKEN_TIMEOUT_S = 0.8
IDLE_TIMEOUT_S = 0.8
ATTEMPTS = 3
"""The first try and two retries, as configured by default."""


@dataclass
class Lane:
    """The llms of one test.

    `llm` is served by the primary upstream and falls back to `spare_llm`, which the spare
    upstream serves; `alone` is served by the primary under the same upstream model, without
    a fallback.
    """

    number: int
    primary: Upstream
    spare: Upstream

    @property
    def llm(self) -> str:
        """The llm_id with a fallback."""
        return f"lane{self.number}"

    @property
    def alone(self) -> str:
        """The llm_id without one."""
        return f"alone{self.number}"

    @property
    def spare_llm(self) -> str:
        """The llm_id of the fallback."""
        return f"spare{self.number}"

    @property
    def model(self) -> str:
        """The primary upstream's name for it."""
        return f"m{self.number}"

    @property
    def spare_model(self) -> str:
        """The spare upstream's name for the fallback."""
        return f"s{self.number}"

    def on(self, *steps: Step) -> None:
        """What the calls of the primary meet."""
        self.primary.on(self.model, *steps)

    def spare_on(self, *steps: Step) -> None:
        """What the calls of the fallback meet."""
        self.spare.on(self.spare_model, *steps)

    def calls(self) -> list[Call]:
        """What reached the primary."""
        return self.primary.journal.of(self.model)

    def spare_calls(self) -> list[Call]:
        """What reached the fallback."""
        return self.spare.journal.of(self.spare_model)


@dataclass
class House:
    """The shared gateway with its two upstreams, and the lanes that are still free."""

    gateway: Gateway
    primary: Upstream
    spare: Upstream
    unmatched_elsewhere: int = 0
    """Requests that tests made to unknown routes outside the audited ones."""
    _numbers: Iterator[int] = field(default_factory=count)

    def lane(self) -> Lane:
        """A lane that nobody has used."""
        number = next(self._numbers)
        assert number < LANES, "more tests than lanes: raise LANES"
        return Lane(number, self.primary, self.spare)


def lanes_toml(primary: Upstream, spare: Upstream) -> str:
    """The configuration of a house."""
    tables = [
        server(max_body_mb=32),
        provider("primary", primary.base_url, api_key_env="PRIMARY_KEY"),
        provider("spare", spare.base_url),
    ]
    times: dict[str, Any] = {
        "timeout_s": TIMEOUT_S,
        "first_token_timeout_s": FIRST_TOKEN_TIMEOUT_S,
        "idle_timeout_s": IDLE_TIMEOUT_S,
    }
    for number in range(LANES):
        lane = Lane(number, primary, spare)
        tables += [
            llm(lane.llm, "primary", model=lane.model, fallbacks=[lane.spare_llm], **times),
            llm(lane.alone, "primary", model=lane.model, **times),
            llm(lane.spare_llm, "spare", model=lane.spare_model, **times),
        ]
    return document(*tables)


@contextmanager
def open_house(folder: Path, workers: int = 1) -> Iterator[House]:
    """A running house; stopped in order at the end, and its exit judged."""
    with Upstream() as primary, Upstream() as spare:
        gateway = Gateway(
            folder,
            toml=lanes_toml(primary, spare),
            env={"PRIMARY_KEY": "sk-canary-operator-key-0000"},
            workers=workers,
        )
        with watched(gateway):
            yield House(gateway.start(), primary, spare)


@contextmanager
def watched(gateway: Gateway) -> Iterator[Gateway]:
    """Ends a gateway: if it still runs, in order, with code 0, no traceback and nothing left running."""
    try:
        yield gateway
        if gateway.url and gateway.process.poll() is None:
            code = gateway.stop()
            assert code == 0, f"exit code {code} after SIGTERM\n{gateway.output()}"
            assert not gateway.processes(), f"left running: {gateway.processes()}"
        assert "Traceback" not in gateway.errors(), gateway.errors()
    finally:
        print(gateway.output())  # noqa: T201 - pytest shows it with a failed test
        gateway.close()
