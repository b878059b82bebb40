"""What a gateway that is well never shows, moved by real trouble; the demo's tests see the rest move."""

from collections.abc import Callable, Iterator

import pytest
from tests.audit.sinks.website import Post, Reply, Website, serving
from tests.cli.test_demo import RESTING
from tests.faults.test_audit_loss import failing_disk
from tests.gateway import Gateway, document, llm, provider
from tests.gateway.house import watched
from tests.prometheus.station import until
from tests.upstream import Status, Upstream

SECRET = {"HOOK_SECRET": "canary-5b1f0c52d9e84a77"}
UNREADABLE = "ailinux_metrics_reader_failures_total"
"""No live value of a whole gateway fails to be read; tests/metrics/test_books.py makes one fail."""

ENCRYPTED = "ailinux_tls_certificate_end_timestamp_seconds"
"""No trouble, but for who speaks TLS; tests/contract/test_tls.py sees it."""


def picky(post: Post) -> Reply:
    """A receiver that will never take a record of /v1/poison."""
    return (400 if b"/v1/poison" in post.body else 204), b"", {}


def sink(name: str, url: str) -> str:
    """A webhook for audit records."""
    keys = ['type = "webhook"', f'url = "{url}"', 'secret_env = "HOOK_SECRET"', "linger_s = 0.1"]
    return "\n".join([f"[audit.sinks.{name}]", *keys])


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with a picky sink, a sink and an anchor that are away, and a provider of any model at all."""
    folder = tmp_path_factory.mktemp("troubled")
    with Upstream() as upstream, serving(Website(picky)) as site:
        upstream.default = Status(404)
        toml = document(
            provider("star", upstream.base_url),
            llm("fast", "star"),
            '[memory]\nembedding_llm = "fast"',
            sink("picky", site.url),
            sink("away", "http://127.0.0.1:9"),
            f'[audit.anchors.gone]\ntype = "file"\npath = "{folder / "nowhere"}"\ninterval_s = 1',
        )
        env = {**SECRET, "AUDIT_MODE": "relaxed", "OLLAMA_HOST": upstream.base_url.removesuffix("/v1")}
        with watched(Gateway(folder / "gateway", toml=toml, env=env)) as gateway:
            yield gateway.start()


def poison(gateway: Gateway) -> None:
    """One record that the picky receiver refuses, between others that it takes."""
    for path in ("/v1/models", "/v1/poison", "/v1/models"):
        gateway.request("GET", path)


def lose(gateway: Gateway) -> None:
    """A few records that find no room on the disk."""
    with failing_disk(gateway):
        for _ in range(3):
            assert gateway.chat("fast").status_code == 404


def remember(gateway: Gateway) -> None:
    """An entry for which the llm gives no vector."""
    assert gateway.request("POST", "/v1/memory", json={"content": "a fact"}).status_code == 201


def nothing(_: Gateway) -> None:
    """It comes by itself."""


CAUSES: dict[str, Callable[[Gateway], object]] = {
    "ailinux_audit_sink_missed_total": poison,
    "ailinux_metrics_label_overflow_total": lambda gateway: gateway.chat("ollama/typo"),
    "ailinux_audit_sink_lag_records": lambda gateway: gateway.chat("fast"),
    "ailinux_audit_anchor_overdue_seconds": nothing,
    "ailinux_audit_queue_records": lambda gateway: gateway.request("GET", "/v1/models"),
    "ailinux_memory_unembedded_entries": remember,
    "ailinux_audit_lost_total": lose,
}


def test_every_metric_has_its_cause() -> None:
    """What the demo leaves at rest is moved here, but for what needs a defect or TLS."""
    assert CAUSES.keys() == RESTING - {UNREADABLE, ENCRYPTED}


@pytest.mark.parametrize("name", CAUSES)
def test_trouble_shows(troubled: Gateway, name: str) -> None:
    """A queue that is seen waiting, a sink behind, a lost record: above zero where and when it happens."""

    def seen() -> float:
        CAUSES[name](troubled)
        return troubled.scrape().value(name)

    assert until(seen) > 0
