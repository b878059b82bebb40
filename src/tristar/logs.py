"""The operator's log, on standard error: for people on a terminal, one JSON object a line elsewhere.

What is logged on behalf of a request carries its `request_id` and `trace_id`. What looks like a
secret is replaced: an error's text may repeat what a client or a provider sent. Nothing that a
client sends can begin a line of its own or move a terminal's cursor.
"""

import contextlib
import io
import logging
import sys
from collections.abc import Mapping
from typing import TextIO, cast

import structlog

from tristar.audit import redact
from tristar.exchange import in_progress
from tristar.settings.model import Logs

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Tolerant(io.TextIOBase):
    """Where the log goes may be full or gone: a line that cannot be written is lost, and nothing fails."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """As a stream's own, without its errors."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """As a stream's own, without its errors."""
        with contextlib.suppress(OSError):
            self._stream.flush()


def configure(logs: Logs | None = None) -> None:
    """Set up structlog and the standard library's logging, once per process, before anything logs."""
    logs = logs or Logs()
    level = _LEVELS[logs.level]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _of_request,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redacted,
    ]
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if logs.format == "console" or (logs.format == "auto" and sys.stderr.isatty()):
        shared.append(_printable)
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", Tolerant(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(Tolerant(sys.stderr))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=[_drop_meta, renderer], foreign_pre_chain=shared)
    )
    # Libraries say much below a warning, and none of it is an operator's.
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler], force=True)


def _of_request(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """The ids of the request that this is logged for, if it is for one."""
    exchange = in_progress.get()
    if exchange is not None:
        event.setdefault("request_id", exchange.request_id)
        event.setdefault("trace_id", exchange.trace_id)
    return event


def _printable(_logger: object, _method: str, event: structlog.typing.EventDict) -> Mapping[str, object]:
    """For a terminal: control characters as escapes, but for the ends of a traceback's lines."""
    told = {name: _escaped(value) for name, value in event.items() if name != "exception"}
    if isinstance(trace := event.get("exception"), str):
        told["exception"] = "\n".join(str(_escaped(line)) for line in trace.split("\n"))
    return told


def _escaped(value: object) -> object:
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in value)


def _redacted(_logger: object, _method: str, event: structlog.typing.EventDict) -> Mapping[str, object]:
    """The texts of an event without secrets, those in lists too."""
    return {name: _clean(value) for name, value in event.items()}


def _clean(value: object) -> object:
    if isinstance(value, str):
        return redact.text(value)
    return [_clean(item) for item in value] if isinstance(value, list) else value


_drop_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
