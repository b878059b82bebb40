"""The row on who is let in."""

from typing import Final

from tristar.metrics.dashboard.panel import Panel, Query, Row, quantile, rate

ACCESS: Final = Row(
    "Access",
    (
        Panel(
            "Refused keys",
            "Per second, by reason; throttled: an address had too many failed logins, and was not looked at.",
            "reqps",
            (Query(rate("ailinux_auth_failures_total", "reason"), "{{reason}}"),),
        ),
        Panel(
            "Revocation lag",
            "From a key's revocation until a serving process refuses it. 2 s is what is promised.",
            "s",
            (Query(quantile(0.99, "ailinux_key_revocation_lag_seconds"), "P99"),),
            line=2,
        ),
    ),
)
