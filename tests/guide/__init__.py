"""The monitoring guide, followed line by line: one test file per section of docs/monitoring.de.md.

`page` reads the guide, `household` is one gateway with everything happening in it and a
Prometheus that scrapes it, `checkout` a repository root of a test's own, `ward` the gateway
whose alerts are watched.
"""
