"""The fixtures of `tests/conftest.py` that start gateways."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.gateway.house import House, Lane, open_house, watched
from tests.gateway.process import Gateway

StartGateway = Callable[..., Gateway]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[StartGateway]:
    """Starts gateways: `gateway(toml=…, env=…, workers=…, args=…)`; all are ended with the test."""
    with ExitStack() as stack:

        def start(
            *,
            toml: str | None = None,
            env: Mapping[str, str] | None = None,
            workers: int = 1,
            args: Sequence[str] = (),
            under: Sequence[str] = (),
            name: str = "gateway",
        ) -> Gateway:
            made = Gateway(tmp_path / name, toml=toml, env=env, workers=workers, args=args, under=under)
            return stack.enter_context(watched(made)).start()

        yield start


@pytest.fixture(scope="module", params=[1, 2], ids=["1-worker", "2-workers"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One gateway with two upstreams for all tests of a module, with one worker and with two."""
    with open_house(tmp_path_factory.mktemp("house"), workers=request.param) as running:
        yield running


@pytest.fixture
def lane(house: House) -> Lane:
    """Llms of this test alone, in the shared gateway."""
    return house.lane()
