"""The audit log as an operator sees it: written, waiting, behind, lost, verified."""

from collections.abc import Mapping
from typing import Final

import msgspec

from tristar.audit.anchors.watch import AnchorReading
from tristar.audit.sinks.pump import SinkReading
from tristar.metrics.family import Counter, Family, Gauge, Histogram

COMMIT_BOUNDS_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 2, 5)


class AuditReadings(msgspec.Struct, frozen=True):
    """The audit log at one moment.

    `queue_records` wait for their commit; `sinks` and `anchors` are those by name; `verify_ok` is
    what the last verification found, None before the first one.
    """

    queue_records: int
    sinks: Mapping[str, SinkReading] = {}
    anchors: Mapping[str, AnchorReading] = {}
    verify_ok: bool | None = None


class Audits:
    """The books of the audit log. A record is counted once it is durable, not before."""

    def __init__(self) -> None:
        self._records = Counter("ailinux_audit_records_total", "Audit records made durable.")
        self._commit = Histogram(
            "ailinux_audit_commit_seconds",
            "From the arrival of a group commit's oldest record to its durability.",
            COMMIT_BOUNDS_S,
        )
        self._lost = Counter("ailinux_audit_lost_total", "Audit records that were given up.")
        self._queue = Gauge("ailinux_audit_queue_records", "Audit records that wait for their commit.")
        self._sink_lag = Gauge(
            "ailinux_audit_sink_lag_records", "Durable records that a sink has not acknowledged.", ("sink",)
        )
        self._sink_mandatory = Gauge(
            "ailinux_audit_sink_mandatory", "Whether retention waits for a sink: 1 it does, 0 not.", ("sink",)
        )
        self._sink_delivered = Counter(
            "ailinux_audit_sink_delivered_total", "Records that a sink has acknowledged.", ("sink",)
        )
        self._sink_failures = Counter(
            "ailinux_audit_sink_failures_total",
            "Deliveries to a sink that failed and are repeated.",
            ("sink",),
        )
        self._sink_missed = Counter(
            "ailinux_audit_sink_missed_total",
            "Records that a sink will never get: refused by it, or expired before their turn.",
            ("sink", "reason"),
        )
        self._anchor_overdue = Gauge(
            "ailinux_audit_anchor_overdue_seconds",
            "How much later than its interval a log that has grown is anchored; 0 in time.",
            ("anchor",),
        )
        self._anchored = Gauge(
            "ailinux_audit_anchored_records", "Records under the newest anchored checkpoint.", ("anchor",)
        )
        self._verify_ok = Gauge(
            "ailinux_audit_verify_ok", "Last verification of the audit log: 1 passed, 0 failed."
        )

    @property
    def families(self) -> tuple[Family, ...]:
        """Every metric of this subject."""
        return (
            *(self._records, self._commit, self._queue, self._lost),
            *(self._sink_lag, self._sink_mandatory, self._sink_delivered, self._sink_failures),
            *(self._sink_missed, self._anchor_overdue, self._anchored, self._verify_ok),
        )

    def show(self, readings: AuditReadings | None) -> None:
        """The log as it is now; None: not known."""
        self._queue.show(None if readings is None else readings.queue_records)
        self._show_sinks({} if readings is None else readings.sinks)
        anchors = {} if readings is None else readings.anchors
        self._anchor_overdue.show_each({name: anchor.overdue_s for name, anchor in anchors.items()})
        self._anchored.show_each({name: max(0, anchor.size) for name, anchor in anchors.items()})
        verified = None if readings is None else readings.verify_ok
        self._verify_ok.show(None if verified is None else int(verified))

    def _show_sinks(self, sinks: Mapping[str, SinkReading]) -> None:
        self._sink_lag.show_each({name: sink.lag_records for name, sink in sinks.items()})
        self._sink_mandatory.show_each({name: int(sink.mandatory) for name, sink in sinks.items()})
        for name, sink in sinks.items():
            self._sink_delivered.bind(name).value = sink.delivered
            self._sink_failures.bind(name).value = sink.failures
            self._sink_missed.bind(name, "refused").value = sink.refused
            self._sink_missed.bind(name, "expired").value = sink.expired

    def committed(self, records: int, seconds: float) -> None:
        """Enter one group commit of `records` that took `seconds`."""
        self._records.bind().value += records
        self._commit.bind().observe(seconds)

    def lost(self, records: int) -> None:
        """Enter records that will never be durable."""
        self._lost.bind().value += records
