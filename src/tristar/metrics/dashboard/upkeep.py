"""Rows on what keeps the answers coming: breakers, memory, audit log, the gateway itself."""

from typing import Final

from tristar.metrics.dashboard.panel import (
    HERE,
    Panel,
    Query,
    Row,
    quantile,
    rate,
)

_BREAKER: Final = ((0, "closed", "green"), (1, "open", "red"), (2, "half-open", "yellow"))
_UP: Final = ((0, "down", "red"), (0.5, "degraded", "yellow"), (1, "up", "green"))
_VERIFIED: Final = ((0, "FAILED", "red"), (1, "passed", "green"))


RESILIENCE: Final = Row(
    "Resilience",
    (
        Panel(
            "Circuit breakers",
            "State of each llm's breaker.",
            "short",
            (Query(f"max by (llm_id) (ailinux_circuit_breaker_state{{{HERE}}})", "{{llm_id}}"),),
            "state-timeline",
            width=24,
            states=_BREAKER,
        ),
        Panel(
            "Breaker changes, last 15 minutes",
            "CircuitBreakerFlapping fires when one opens three times.",
            "short",
            (
                Query(
                    "sum by (llm_id, to) "
                    f"(increase(ailinux_circuit_breaker_transitions_total{{{HERE}}}[15m]))",
                    "{{llm_id}} to {{to}}",
                ),
            ),
        ),
        Panel(
            "Retries",
            "Attempts per second that repeat the one before on the same llm.",
            "ops",
            (Query(rate("ailinux_llm_retries_total", "to, reason"), "{{to}} after {{reason}}"),),
        ),
        Panel(
            "Fallbacks",
            "Attempts per second on another llm than the one before.",
            "ops",
            (
                Query(
                    rate("ailinux_llm_fallbacks_total", "from, to, reason"),
                    "{{from}} to {{to}} after {{reason}}",
                ),
            ),
        ),
    ),
)

MEMORY: Final = Row(
    "Memory",
    (
        Panel(
            "Entries",
            "Live entries of the shared memory. LowMemoryEntries fires below 10.",
            "short",
            (Query(f"max by (job) (ailinux_memory_entries_total{{{HERE}}})", "{{job}}"),),
            line=10,
            bad="below",
        ),
        Panel(
            "Without a vector",
            "Entries that are found by their words alone as yet; it should fall to 0 within a minute.",
            "short",
            (Query(f"max by (job) (ailinux_memory_unembedded_entries{{{HERE}}})", "{{job}}"),),
        ),
        Panel(
            "Calls for vectors",
            "The memory's own calls of its embedding llm per second; they are no requests of clients.",
            "ops",
            (Query(rate("ailinux_memory_embedding_calls_total", "status"), "{{status}}"),),
        ),
        Panel(
            "Operations",
            "Per second.",
            "ops",
            (Query(rate("ailinux_memory_operations_total", "operation"), "{{operation}}"),),
        ),
        Panel(
            "Operation P95",
            "Length of one operation.",
            "s",
            (Query(quantile(0.95, "ailinux_memory_operation_seconds", "operation"), "{{operation}}"),),
        ),
    ),
)

AUDIT: Final = Row(
    "Audit",
    (
        Panel(
            "Records",
            "Records made durable, per second.",
            "ops",
            (Query(rate("ailinux_audit_records_total", "instance"), "{{instance}}"),),
        ),
        Panel(
            "Group commit",
            "From the first byte written to the signed checkpoint.",
            "s",
            tuple(
                Query(quantile(part, "ailinux_audit_commit_seconds"), f"P{part * 100:g}")
                for part in (0.5, 0.99)
            ),
        ),
        Panel(
            "Queue",
            "Records that wait for their commit. AuditQueueGrowing fires above 1,000.",
            "short",
            (Query(f"sum by (instance) (ailinux_audit_queue_records{{{HERE}}})", "{{instance}}"),),
            line=1000,
        ),
        Panel(
            "Lost records, last hour",
            "Must be 0. AuditRecordsLost fires above it.",
            "short",
            (Query(f"sum by (instance) (increase(ailinux_audit_lost_total{{{HERE}}}[1h]))", "{{instance}}"),),
            line=1,
        ),
        Panel(
            "Sink lag",
            "Durable records that a sink has not acknowledged. AuditSinkLagging fires above 10,000.",
            "short",
            (Query(f"max by (sink) (ailinux_audit_sink_lag_records{{{HERE}}})", "{{sink}}"),),
            line=10000,
        ),
        Panel(
            "Delivered",
            "Records per second that a sink has acknowledged. AuditMandatorySinkStuck watches it.",
            "ops",
            (Query(rate("ailinux_audit_sink_delivered_total", "sink"), "{{sink}}"),),
        ),
        Panel(
            "Failed deliveries, last hour",
            "Repeated until they succeed.",
            "short",
            (
                Query(
                    f"sum by (sink) (increase(ailinux_audit_sink_failures_total{{{HERE}}}[1h]))",
                    "{{sink}}",
                ),
            ),
        ),
        Panel(
            "Records that a sink misses, last hour",
            "Refused by it, or expired before their turn. AuditSinkMissedRecords fires above 0.",
            "short",
            (
                Query(
                    f"sum by (sink, reason) (increase(ailinux_audit_sink_missed_total{{{HERE}}}[1h]))",
                    "{{sink}} {{reason}}",
                ),
            ),
            line=1,
        ),
        Panel(
            "Anchoring is late by",
            "Later than its interval, of a log that has grown. AuditAnchorBehind fires above 15 minutes.",
            "s",
            (Query(f"max by (anchor) (ailinux_audit_anchor_overdue_seconds{{{HERE}}})", "{{anchor}}"),),
            line=900,
        ),
        Panel(
            "Anchored records",
            "Under the newest anchored checkpoint. What came since is vouched for by this machine alone.",
            "short",
            (Query(f"max by (anchor) (ailinux_audit_anchored_records{{{HERE}}})", "anchored by {{anchor}}"),),
        ),
        Panel(
            "Last verification",
            "What the last verification of the log found.",
            "short",
            (Query(f"min by (instance) (ailinux_audit_verify_ok{{{HERE}}})", "{{instance}}"),),
            "state-timeline",
            states=_VERIFIED,
        ),
    ),
)

INTERNALS: Final = Row(
    "Internals",
    (
        Panel(
            "Dependencies",
            "Parts that the gateway relies on.",
            "short",
            (Query(f"min by (dependency) (ailinux_dependency_up{{{HERE}}})", "{{dependency}}"),),
            "state-timeline",
            states=_UP,
        ),
        Panel(
            "Event loop lag, P99",
            "How late a timer fires. EventLoopLag fires above 0.25 s.",
            "s",
            (Query(quantile(0.99, "ailinux_event_loop_lag_seconds", "instance"), "{{instance}}"),),
            line=0.25,
        ),
        Panel(
            "Event loop tasks",
            "Of all processes of a host. They follow the requests in progress; without any they do not grow.",
            "short",
            (Query(f"max by (instance) (ailinux_event_loop_tasks{{{HERE}}})", "{{instance}}"),),
        ),
        Panel(
            "Scrape, P99",
            "Time to render the metrics.",
            "s",
            (Query(quantile(0.99, "ailinux_metrics_scrape_seconds", "instance"), "{{instance}}"),),
        ),
        Panel(
            "CPU",
            "Of the process that keeps the metrics: with one worker the whole gateway, else its supervisor.",
            "percentunit",
            (Query(rate("process_cpu_seconds_total", "instance"), "{{instance}}"),),
        ),
        Panel(
            "Resident memory",
            "Of the process that keeps the metrics.",
            "bytes",
            (Query(f"process_resident_memory_bytes{{{HERE}}}", "{{instance}}"),),
        ),
        Panel(
            "Label overflow, last hour",
            "Label values that became _other because the label is bounded.",
            "short",
            (
                Query(
                    f"sum by (metric, label) (increase(ailinux_metrics_label_overflow_total{{{HERE}}}[1h]))",
                    "{{metric}} {{label}}",
                ),
            ),
        ),
        Panel(
            "Unreadable live values, last hour",
            "Scrapes on which a live value could not be read.",
            "short",
            (
                Query(
                    f"sum by (metric) (increase(ailinux_metrics_reader_failures_total{{{HERE}}}[1h]))",
                    "{{metric}}",
                ),
            ),
        ),
        Panel(
            "Age of the configuration",
            "Since the start or the last reload.",
            "s",
            (Query(f"time() - ailinux_config_last_reload_timestamp_seconds{{{HERE}}}", "{{instance}}"),),
        ),
        Panel(
            "Build",
            "What is running where.",
            "short",
            (Query(f"ailinux_build_info{{{HERE}}}"),),
            "table",
        ),
    ),
)
