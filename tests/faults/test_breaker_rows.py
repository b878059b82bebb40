"""An llm that is down, and healthy again later, on every surface: four views of each stage."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.faults.rows import ALL_SURFACES
from tests.gateway import Gateway, assert_books_balance, document, llm, provider
from tests.gateway.house import watched
from tests.gateway.view import PRESENT, View, look
from tests.upstream import Answer, Status, Upstream

WAYS = [
    (name, stream)
    for name in ALL_SURFACES
    for stream in (False, True)
    if not (stream and name == "embeddings")
]
on_every_surface = pytest.mark.parametrize(
    ("name", "stream"), WAYS, ids=[f"{name}-{'streamed' if stream else 'whole'}" for name, stream in WAYS]
)


@dataclass
class Ward:
    """A gateway with two workers whose llms rest after two failures, each of them one test's own."""

    gateway: Gateway
    primary: Upstream
    spare: Upstream

    def state(self, llm_id: str) -> float:
        """0 closed, 1 open, 2 half-open; one series whatever the number of workers."""
        (value,) = self.gateway.scrape().series("ailinux_circuit_breaker_state", llm_id=llm_id).values()
        return value

    def opened(self, llm_id: str) -> float:
        """How often its breaker has opened."""
        name = "ailinux_circuit_breaker_transitions_total"
        return self.gateway.scrape().value(name, llm_id=llm_id, to="open")


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """One gateway for this module; its books are balanced."""
    with Upstream() as primary, Upstream() as spare:
        tables = [provider("primary", primary.base_url), provider("spare", spare.base_url)]
        for name, stream in WAYS:
            for kind, cooldown_s in (("down", 600.0), ("heals", 0.3), ("alone", 600.0)):
                model = f"{kind}.{name}.{stream}"
                breaker = {"failures": 2, "cooldown_s": cooldown_s, "max_cooldown_s": cooldown_s}
                fallbacks = [] if kind == "alone" else [model + ".spare"]
                tables.append(
                    llm(model, "primary", model=model, retries=0, fallbacks=fallbacks, breaker=breaker)
                )
                tables.append(llm(model + ".spare", "spare", model=model, retries=0))
                primary.on(model, Status(500), Status(500), Answer())
        gateway = Gateway(tmp_path_factory.mktemp("ward"), toml=document(*tables), workers=2)
        with watched(gateway):
            yield Ward(gateway.start(), primary, spare)
            assert_books_balance(gateway)


@pytest.fixture(autouse=True)
def surface(name: str) -> Iterator[None]:
    """The surface of the case."""
    token = PRESENT.set(ALL_SURFACES[name])
    yield
    PRESENT.reset(token)


@on_every_surface
def test_while_it_is_down_the_fallback_serves(ward: Ward, name: str, *, stream: bool) -> None:
    """Two failures open the breaker; from then on nothing reaches the upstream, and nobody sees an error."""
    model = f"down.{name}.{stream}"
    views = [look(ward.gateway, model, stream=stream) for _ in range(4)]
    records = [ward.gateway.record_of(view.trace_id) for view in views]

    assert all(view.complete and view.llm == model + ".spare" for view in views)
    assert len(ward.primary.journal.of(model)) == 2
    assert len(ward.spare.journal.of(model)) == 4
    assert (ward.state(model), ward.opened(model)) == (1, 1)
    assert [record.statuses for record in records] == [["error", "success"]] * 2 + [["success"]] * 2
    assert [record.attempts[-1]["reason"] for record in records] == ["server_error"] * 2 + [
        "breaker_open"
    ] * 2
    calls = ward.gateway.scrape().by("ailinux_llm_calls_total", "model", "provider", "status")
    assert calls[model, "primary", "error"] == 2
    assert calls[model, "spare", "success"] == 4


@on_every_surface
def test_with_nowhere_to_go_it_fails_fast(ward: Ward, name: str, *, stream: bool) -> None:
    """503 with Retry-After, recorded without an attempt; after the operator's reset it is asked again."""
    model = f"alone.{name}.{stream}"
    failed = [look(ward.gateway, model, stream=stream).status for _ in range(2)]
    view = look(ward.gateway, model, stream=stream)
    record = ward.gateway.record_of(view.trace_id)
    reset = ward.gateway.request("POST", f"/admin/breakers/{model}/reset")
    after = look(ward.gateway, model, stream=stream)

    assert failed == [500, 500]
    assert (view.status, view.done, view.text) == (503, False, "")
    assert view.error is not None
    assert float(view.headers["retry-after"]) >= 1
    assert (record["outcome"], record["status"], record.attempts) == ("error", 503, [])
    assert reset.status_code == 204
    assert after.complete
    assert len(ward.primary.journal.of(model)) == 3
    assert ward.state(model) == 0


@on_every_surface
def test_healthy_again_it_serves_within_seconds(ward: Ward, name: str, *, stream: bool) -> None:
    """One probe after the cooldown; its client has a whole answer like the others meanwhile."""
    model = f"heals.{name}.{stream}"
    views: list[View] = []
    deadline = time.monotonic() + 20
    while not views or views[-1].llm != model:
        assert time.monotonic() < deadline, "the primary is not used again"
        views.append(look(ward.gateway, model, stream=stream))
    last = ward.gateway.record_of(views[-1].trace_id)

    assert all(view.complete for view in views)
    assert len(ward.primary.journal.of(model)) == 3
    assert ward.state(model) == 0
    assert last.statuses == ["success"]
