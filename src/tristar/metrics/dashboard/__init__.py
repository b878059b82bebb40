"""The Grafana dashboard, built by code; `grafana/tristar-dashboard.json` is what it builds."""

from tristar.metrics.dashboard.grafana import TITLE, UID, build

__all__ = ["TITLE", "UID", "build"]
