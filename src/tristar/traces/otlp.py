"""Spans on their way to an OTLP receiver, through OpenTelemetry's own SDK and in threads of its own.

The request path appends one object to a bounded queue. Everything else, sampling apart, happens in
the background: making spans, batching, encoding, sending. What the queue cannot hold is dropped, and
the log says how many. Endpoint, headers, sampler, resource and batches are set by OpenTelemetry's
standard variables (opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables).
"""

import os
import queue
import threading
from collections.abc import Mapping
from typing import Final

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from tristar.exchange import Exchange, attempt_span_id
from tristar.traces.opening import protocol_of
from tristar.traces.spans import Span, Story, attempt_spans, request_span

WAITING: Final = 2048
"""Stories that wait to become spans; as OTEL_BSP_MAX_QUEUE_SIZE is for spans that wait to be sent."""
CLOSE_TIMEOUT_S: Final = 5.0
SERVICE: Final = "ailinux-backend"

_KINDS: Final = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT}

_log = structlog.get_logger("tristar.traces")


class OtlpTracer:
    """See `watcher.Tracer`. Has one thread, the SDK another; `close` ends both and sends what waits."""

    def __init__(self, variables: Mapping[str, str], version: str) -> None:
        for name, value in variables.items():  # the SDK reads the process's own environment alone
            os.environ.setdefault(name, value)
        self._ids = _GivenIds()
        self._provider = TracerProvider(
            resource=_resource(version),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(_exporter(variables)))
        self._tracer = self._provider.get_tracer("tristar", version)
        self._stories: queue.SimpleQueue[Story | None] = queue.SimpleQueue()
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="tristar-traces", daemon=True)
        self._thread.start()

    def samples(self, exchange: Exchange) -> bool:
        """See `Tracer.samples`: as OTEL_TRACES_SAMPLER says."""
        parent = None
        if exchange.parent_span_id is not None:
            flags = int(exchange.trace_flags, 16)
            parent = _remote(exchange.trace_id, exchange.parent_span_id, sampled=bool(flags & 1))
        decided = self._provider.sampler.should_sample(
            parent, int(exchange.trace_id, 16), f"{exchange.method} {exchange.endpoint}", SpanKind.SERVER
        )
        return decided.decision is Decision.RECORD_AND_SAMPLE

    def tell(self, story: Story) -> None:
        """See `Tracer.tell`."""
        if self._stories.qsize() >= WAITING:
            self._dropped += 1
            return
        self._stories.put(story)

    def close(self) -> None:
        """Send what waits, within `CLOSE_TIMEOUT_S`, and end. Blocks: call it in a thread."""
        self._stories.put(None)
        self._thread.join(CLOSE_TIMEOUT_S)
        self._provider.force_flush(int(CLOSE_TIMEOUT_S * 1000))
        self._provider.shutdown()
        self._report_dropped()

    def _run(self) -> None:
        while (story := self._stories.get()) is not None:
            try:
                self._write(story)
            except Exception:  # noqa: BLE001 - one odd story must not end all tracing
                _log.exception("a request could not be traced", request_id=story.request_id)
            if self._stories.empty():
                self._report_dropped()

    def _report_dropped(self) -> None:
        dropped, self._dropped = self._dropped, 0
        if dropped:
            _log.warning("requests were not traced: more came than could be sent", requests=dropped)

    def _write(self, story: Story) -> None:
        parent = None
        if story.parent_span_id is not None:
            parent = _remote(story.trace_id, story.parent_span_id, sampled=story.parent_sampled)
        self._ids.trace_id, self._ids.span_id = int(story.trace_id, 16), int(story.span_id, 16)
        told = request_span(story)
        own = self._begin(told, parent)
        within = set_span_in_context(own)
        for n, each in enumerate(attempt_spans(story), start=1):
            self._ids.span_id = int(attempt_span_id(story.span_id, n), 16)
            _end(self._begin(each, within), each)
        _end(own, told)

    def _begin(self, span: Span, parent: Context | None) -> trace.Span:
        return self._tracer.start_span(
            span.name, parent, _KINDS[span.kind], span.attributes, start_time=span.start_ns
        )


class _GivenIds(IdGenerator):
    """The ids that the exchange has already: its client and its upstream know them."""

    def __init__(self) -> None:
        self.trace_id = 0
        self.span_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id


def _resource(version: str) -> Resource:
    """What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say; else the name that the audit log uses too."""
    found = Resource({"service.version": version}).merge(Resource.create())
    if str(found.attributes.get("service.name", "")).startswith("unknown_service"):
        return found.merge(Resource({"service.name": SERVICE}))
    return found


def _end(begun: trace.Span, span: Span) -> None:
    if span.problem is not None:
        begun.set_status(Status(StatusCode.ERROR, span.problem))
    begun.end(span.end_ns)


def _remote(trace_id: str, span_id: str, *, sampled: bool) -> Context:
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    parent = SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(parent))


def _exporter(variables: Mapping[str, str]) -> SpanExporter:
    if protocol_of(variables) == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415 - grpc is heavy
            OTLPSpanExporter as GrpcExporter,
        )

        return GrpcExporter()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - one of the two
        OTLPSpanExporter as HttpExporter,
    )

    return HttpExporter()
