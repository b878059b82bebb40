"""The operator's log, on standard error: for people on a terminal, one JSON object a line elsewhere.

What looks like a secret is replaced: an error's text may repeat what a client or a provider sent.
"""

import logging
import sys
from collections.abc import Mapping

import structlog

from tristar.audit import redact


def configure(level: int = logging.INFO) -> None:
    """Set up structlog and the standard library's logging, once per process, before anything logs."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redacted,
    ]
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if sys.stderr.isatty():
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=[_drop_meta, renderer], foreign_pre_chain=shared)
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def _redacted(_logger: object, _method: str, event: structlog.typing.EventDict) -> Mapping[str, object]:
    """The texts of an event without secrets, those in lists too."""
    return {name: _clean(value) for name, value in event.items()}


def _clean(value: object) -> object:
    if isinstance(value, str):
        return redact.text(value)
    return [_clean(item) for item in value] if isinstance(value, list) else value


_drop_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
