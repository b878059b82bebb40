"""The audit log cannot be written while the gateway runs: refuse (strict) or serve and count (relaxed)."""

import resource
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from tests.faults.verdicts import BUSY_S
from tests.gateway import Gateway, assert_books_balance, document, llm, provider
from tests.gateway.fixtures import StartGateway
from tests.gateway.view import look
from tests.upstream import Answer, Gate, Upstream

WORKERS = pytest.mark.parametrize("workers", [1, 2])
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


@contextmanager
def failing_disk(gateway: Gateway) -> Iterator[None]:
    """No process of the gateway can write to a file beyond its first bytes, as on a full disk."""
    for pid in gateway.processes():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        for pid in gateway.processes():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, UNLIMITED)


def running(gateway: StartGateway, upstream: Upstream, mode: str, workers: int = 1) -> Gateway:
    """A gateway with the llm `fast` in this audit mode."""
    toml = document(provider("p", upstream.base_url), llm("fast", "p"))
    return gateway(toml=toml, env={"AUDIT_MODE": mode}, workers=workers)


@WORKERS
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_strict_refuses_within_its_deadline(
    gateway: StartGateway, upstream: Upstream, workers: int, *, stream: bool
) -> None:
    """503 before the first byte, within 2 s and a little; nobody gets an answer without a record."""
    strict = running(gateway, upstream, "strict", workers)
    before = look(strict, "fast", stream=stream)
    with failing_disk(strict):
        during = [look(strict, "fast", stream=stream) for _ in range(3)]

    assert before.complete
    assert not any(view.complete or view.done for view in during)
    assert all(view.seconds < 2 + BUSY_S for view in during)
    assert during[-1].status == 503
    assert during[-1].error is not None
    assert during[-1].error["code"] == "audit_unavailable"


def test_a_failing_log_buys_no_tokens(gateway: StartGateway, upstream: Upstream) -> None:
    """Once it is known to fail, the upstream is not called any more."""
    strict = running(gateway, upstream, "strict")
    with failing_disk(strict):
        look(strict, "fast")
        calls = len(upstream.journal.calls)
        for _ in range(3):
            look(strict, "fast")

        assert len(upstream.journal.calls) == calls


@WORKERS
def test_strict_resumes_by_itself(gateway: StartGateway, upstream: Upstream, workers: int) -> None:
    """Once the disk has room again; what was answered is recorded, and the books balance."""
    strict = running(gateway, upstream, "strict", workers)
    with failing_disk(strict):
        look(strict, "fast")
    deadline = time.monotonic() + 10
    while not (view := look(strict, "fast")).complete:
        assert time.monotonic() < deadline, "not back 10 s after the disk was"
        time.sleep(0.1)

    assert strict.record_of(view.trace_id)["outcome"] == "success"


def test_a_stream_that_cannot_be_recorded_does_not_end_properly(
    gateway: StartGateway, upstream: Upstream
) -> None:
    """The disk fails after the first words: an error event and no `[DONE]`."""
    gate = Gate()
    upstream.default = Answer(gate=gate, gate_at=3)
    strict = running(gateway, upstream, "strict")
    with ThreadPoolExecutor(1) as client:
        asking = client.submit(look, strict, "fast", stream=True)
        gate.wait_reached()
        with failing_disk(strict):
            gate.release()
            view = asking.result(10)

    assert not view.done
    assert view.error is not None


@WORKERS
def test_relaxed_serves_and_counts_what_is_lost(
    gateway: StartGateway, upstream: Upstream, workers: int
) -> None:
    """No client waits or is refused; the gap is counted, and recorded once the disk is back."""
    relaxed = running(gateway, upstream, "relaxed", workers)
    with failing_disk(relaxed):
        views = [look(relaxed, "fast") for _ in range(5)]
        time.sleep(0.5)  # relaxed records are written in the background, in real time
    after = look(relaxed, "fast")

    assert all(view.complete for view in views)
    assert after.complete
    assert_books_balance(relaxed)
