"""Elasticsearch and OpenSearch: the _bulk interface, into a data stream or an index.

A document's id is the record's `event_id` and the operation is `create`, so a record that is sent again is
found there (409) and not doubled.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tristar.audit.formats import RENDERERS
from tristar.audit.formats.fields import Fields
from tristar.audit.sinks.options import SinkOptions
from tristar.audit.sinks.receiver import Entry, SinkDown, SinkRefused, gently
from tristar.audit.sinks.web import Web, decoded

_NDJSON: Final = {"content-type": "application/x-ndjson"}
_THERE_ALREADY: Final = 409
_LATER: Final = {401, 403, 404, 408, 429}


class _Done(msgspec.Struct):
    """What became of one document."""

    status: int
    error: Any = None


class _Bulk(msgspec.Struct):
    """What became of a batch."""

    errors: bool
    items: list[dict[str, _Done]]


class ElasticReceiver:
    """See `Receiver`. Authenticates as a user, with an API key, or not at all."""

    def __init__(self, options: SinkOptions) -> None:
        by_key = options.secret is not None and not options.user
        self._web = Web(options, {"authorization": f"ApiKey {options.secret}"} if by_key else None)
        self._url = options.url.rstrip("/") + "/_bulk"
        self._index = options.index
        self._render = None if options.format == "jsonl" else RENDERERS[options.format or "ecs"]

    def deliver(self, batch: Sequence[Entry]) -> int:
        """See `Receiver.deliver`."""
        body = b"".join([self._operation(entry) for entry in gently(batch)])
        answer = decoded(self._web.post(self._url, body, _NDJSON), _Bulk)
        results = [done for item in answer.items for done in item.values()]
        for taken, done in enumerate(results):
            if not (200 <= done.status < 300 or done.status == _THERE_ALREADY):
                self._raise(done, taken)
        if len(results) < len(batch):
            raise SinkDown("the answer leaves records out", acknowledged=len(results))
        return 0

    def close(self) -> None:
        """See `Receiver.close`."""
        self._web.close()

    def _operation(self, entry: Entry) -> bytes:
        head = msgspec.json.encode({"create": {"_index": self._index, "_id": entry.event_id}})
        document = entry.line if self._render is None else self._render(Fields.of(entry.line))
        return b"%b\n%b\n" % (head, document)

    def _raise(self, done: _Done, taken: int) -> None:
        reason = f"{done.status} {msgspec.json.encode(done.error).decode()[:200]}"
        if done.status >= 500 or done.status in _LATER:
            raise SinkDown(reason, acknowledged=taken)
        raise SinkRefused(reason, acknowledged=taken, exact=True)
