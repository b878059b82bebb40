"""Splunk's HTTP Event Collector, with indexer acknowledgement where the token has it."""

import time
import uuid
from collections.abc import Sequence
from typing import Final

import msgspec

from tristar.audit.formats import RENDERERS
from tristar.audit.formats.fields import Fields, without_empty
from tristar.audit.sinks.options import SinkOptions
from tristar.audit.sinks.receiver import Entry, SinkDown, gently
from tristar.audit.sinks.web import Web, decoded

SOURCETYPE: Final = "tristar:audit"
_EVENTS: Final = "/services/collector/event"
_ACKS: Final = "/services/collector/ack"
_POLL_S: Final = 0.2
_POLL_TIMEOUTS: Final = 6
_JSON: Final = {"content-type": "application/json"}


class _Answer(msgspec.Struct, rename="camel"):
    """What the collector says of a batch."""

    ack_id: int | None = None


class _Acks(msgspec.Struct):
    """Which batches are indexed, by number."""

    acks: dict[str, bool] = {}


class SplunkReceiver:
    """See `Receiver`. With `acknowledge` a batch counts once it is indexed, else once it is accepted."""

    def __init__(self, options: SinkOptions) -> None:
        channel = str(uuid.uuid4())
        headers = {"authorization": f"Splunk {options.secret}", "x-splunk-request-channel": channel}
        self._web = Web(options, headers)
        self._events = options.url.rstrip("/") + _EVENTS
        self._acks = f"{options.url.rstrip('/')}{_ACKS}?channel={channel}"
        self._index = options.index
        self._acknowledge = options.acknowledge
        self._wait_s = options.timeout_s * _POLL_TIMEOUTS
        self._render = RENDERERS.get(options.format)

    def deliver(self, batch: Sequence[Entry]) -> int:
        """See `Receiver.deliver`."""
        body = b"".join([self._event(entry) for entry in gently(batch)])
        answer = decoded(self._web.post(self._events, body, _JSON), _Answer)
        if self._acknowledge:
            self._await_index(answer.ack_id)
        return 0

    def close(self) -> None:
        """See `Receiver.close`."""
        self._web.close()

    def _event(self, entry: Entry) -> bytes:
        fields = Fields.of(entry.line)
        event = entry.line if self._render is None else self._render(fields)
        envelope = {
            "time": f"{fields.epoch_ms / 1000:.3f}",
            "host": fields.text("host"),
            "source": "tristar",
            "sourcetype": SOURCETYPE,
            "index": self._index or None,
            "event": msgspec.Raw(event),
            "fields": {"event_id": entry.event_id},
        }
        return msgspec.json.encode(without_empty(envelope)) + b"\n"

    def _await_index(self, ack_id: int | None) -> None:
        if ack_id is None:
            raise SinkDown("the collector gives no ackId: switch indexer acknowledgement on for this token")
        until_s = time.monotonic() + self._wait_s
        question = msgspec.json.encode({"acks": [ack_id]})
        while not decoded(self._web.post(self._acks, question, _JSON), _Acks).acks.get(str(ack_id)):
            if time.monotonic() > until_s:
                raise SinkDown(f"the batch was not indexed within {self._wait_s:g} s")
            time.sleep(_POLL_S)
