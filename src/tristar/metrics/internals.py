"""The gateway itself: its build, its loop, its scrapes, what it depends on."""

import platform
from typing import Final

from tristar.metrics.family import Counter, Family, Gauge, Histogram

LAG_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SCRAPE_BOUNDS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class Internals:
    """The books of the gateway's own workings."""

    def __init__(self, version: str) -> None:
        self.dependencies = Gauge(
            "ailinux_dependency_up", "A part we rely on: 1 up, 0.5 degraded, 0 down.", ("dependency",)
        )
        self.loop_lag = Histogram(
            "ailinux_event_loop_lag_seconds", "How late a timer of an event loop fired.", LAG_BOUNDS_S
        )
        self.tasks = Gauge(
            "ailinux_event_loop_tasks", "Tasks of the event loops of all processes of the host."
        )
        self.scrapes = Histogram(
            "ailinux_metrics_scrape_seconds", "Time to render a scrape.", SCRAPE_BOUNDS_S
        )
        self.build = Gauge(
            "ailinux_build_info", "Always 1; the build is in the labels.", ("version", "python")
        )
        self.build.values = {(version, platform.python_version()): 1}
        self.reloaded = Gauge(
            "ailinux_config_last_reload_timestamp_seconds", "When the running configuration was taken up."
        )
        self.clock = Gauge(
            "ailinux_clock_timestamp_seconds", "This host's clock at the scrape; Prometheus has its own."
        )
        self.certificate = Gauge(
            "ailinux_tls_certificate_end_timestamp_seconds",
            "When the TLS certificate that clients are shown ends; no series without TLS.",
        )
        self.overflows = Counter(
            "ailinux_metrics_label_overflow_total",
            "Label values that became _other because the label is bounded.",
            ("metric", "label"),
        )
        self._reader_failures = Counter(
            "ailinux_metrics_reader_failures_total",
            "Scrapes on which a live value could not be read and is missing.",
            ("metric",),
        )

    @property
    def families(self) -> tuple[Family, ...]:
        """Every metric of this subject; what other families move while they are frozen comes last."""
        return (
            *(self.dependencies, self.loop_lag, self.tasks, self.scrapes),
            *(self.build, self.reloaded, self.clock, self.certificate),
            *(self.overflows, self._reader_failures),
        )

    def reader_failed(self, metric: str) -> None:
        """Enter one live value that could not be read."""
        self._reader_failures.bind(metric).value += 1

    def watch(self, metric: str) -> None:
        """Lay out the failures of a live value, so that the first one is a rise from 0."""
        self._reader_failures.bind(metric)
