"""Closed exchanges as OpenTelemetry spans, where an OTLP receiver is configured; else nothing of it runs."""
