"""OpenTelemetry logs over HTTP, in the protocol's JSON encoding (OTLP 1.x, `/v1/logs`)."""

import itertools
import re
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from tristar import __version__
from tristar.audit.formats.fields import Fields
from tristar.audit.sinks.options import SinkOptions
from tristar.audit.sinks.receiver import Entry, gently
from tristar.audit.sinks.web import Web, decoded

_JSON: Final = {"content-type": "application/json"}
_TRACE: Final = re.compile(r"[0-9a-f]{32}")
_SEVERITIES: Final = {"DEBUG": 5, "INFO": 9, "WARNING": 13, "ERROR": 17, "CRITICAL": 21, "SECURITY": 13}
_ATTRIBUTES: Final = {
    "tristar.event_id": "event_id",
    "tristar.seq": "seq",
    "tristar.action": "action",
    "tristar.resource": "resource",
    "tristar.outcome": "outcome",
    "user.id": "user_id",
    "session.id": "session_id",
    "client.address": "ip_address",
    "http.response.status_code": "status",
}
_RESOURCE: Final = {
    "service.name": "service",
    "service.version": "version",
    "host.name": "host",
    "service.instance.id": "worker",
}

Attribute = dict[str, object]


class _Partial(msgspec.Struct, rename="camel"):
    """What the receiver did not take of a batch that it acknowledged."""

    rejected_log_records: int | str = 0
    error_message: str = ""


class _Answer(msgspec.Struct, rename="camel"):
    """The answer to an export."""

    partial_success: _Partial | None = None


class OtlpReceiver:
    """See `Receiver`. What it rejects must not be sent again, as the protocol has it: it is counted."""

    def __init__(self, options: SinkOptions) -> None:
        headers = {} if options.secret is None else {"authorization": f"Bearer {options.secret}"}
        self._web = Web(options, headers)
        self._url = options.url.rstrip("/") + "/v1/logs"

    def deliver(self, batch: Sequence[Entry]) -> int:
        """See `Receiver.deliver`."""
        body = msgspec.json.encode({"resourceLogs": resource_logs(gently(batch))})
        answer = self._web.post(self._url, body, _JSON)
        partial = decoded(answer, _Answer).partial_success if answer.strip() else None
        return 0 if partial is None else min(len(batch), _count(partial.rejected_log_records))

    def close(self) -> None:
        """See `Receiver.close`."""
        self._web.close()


def resource_logs(batch: Iterable[Entry]) -> list[dict[str, object]]:
    """The records in their order, those of one origin in a row under one resource."""
    fields = [Fields.of(entry.line) for entry in batch]
    return [
        {
            "resource": {"attributes": list(origin)},
            "scopeLogs": [
                {
                    "scope": {"name": "tristar.audit", "version": __version__},
                    "logRecords": [_log_record(each) for each in group],
                }
            ],
        }
        for origin, group in itertools.groupby(fields, lambda each: _attributes(each, _RESOURCE))
    ]


def _log_record(fields: Fields) -> dict[str, object]:
    record: dict[str, object] = {
        "timeUnixNano": str(fields.epoch_us * 1000),
        "severityNumber": _SEVERITIES.get(fields.level, 9),
        "severityText": fields.level,
        "eventName": f"tristar.audit.{fields.action}",
        "body": {"stringValue": fields.line.decode(errors="replace")},
        "attributes": _attributes(fields, _ATTRIBUTES),
    }
    trace_id = fields.text("trace_id") or ""
    if _TRACE.fullmatch(trace_id):
        record["traceId"] = trace_id
    return record


def _attributes(fields: Fields, names: dict[str, str]) -> list[Attribute]:
    return [
        {"key": key, "value": _value(fields.record[name])}
        for key, name in names.items()
        if fields.text(name) is not None
    ]


def _value(value: object) -> dict[str, object]:
    if isinstance(value, int) and not isinstance(value, bool):
        return {"intValue": str(value)}
    return {"stringValue": str(value)}


def _count(value: int | str) -> int:
    """A 64-bit number of the protocol's JSON, which may be a text."""
    return int(value) if str(value).isdigit() else 0
