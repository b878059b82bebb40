"""Real OTLP receivers, over HTTP and over gRPC, that decode what they are sent."""

import gzip
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc  # type: ignore[import-untyped]  # it has no types of its own
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

Value = str | int | float | bool | list[object] | None


@dataclass(frozen=True)
class Seen:
    """One span as it arrived; ids in hex, "" for none."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    failed: bool
    attributes: dict[str, Value]
    resource: dict[str, Value]


@dataclass
class Receiver:
    """What a receiver was sent. `endpoint` is what OTEL_EXPORTER_OTLP_ENDPOINT should be."""

    endpoint: str
    headers: list[dict[str, str]] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    """While it is clear, exports are not answered."""
    spans: list[Seen] = field(default_factory=list)

    def take(self, body: bytes, headers: dict[str, str]) -> None:
        """Decode one export."""
        self.hold.wait(20)
        self.headers.append(headers)
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = read(group.resource.attributes)
            self.spans += [seen(span, resource) for scope in group.scope_spans for span in scope.spans]

    def of(self, trace_id: str | None, count: int, within_s: float = 15.0) -> list[Seen]:
        """The `count` spans of a trace, by their start, once they are there."""
        deadline = time.monotonic() + within_s
        while len(found := [span for span in list(self.spans) if span.trace_id == trace_id]) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} spans after {within_s} s"
            time.sleep(0.02)
        assert len(found) == count
        return sorted(found, key=lambda span: (span.start_ns, span.kind))


@contextmanager
def over_http() -> Iterator[Receiver]:
    """A receiver of OTLP/HTTP with protobuf on a free port."""

    class Export(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            known = self.path == "/v1/traces"
            if known:
                receiver.take(body, {name.lower(): value for name, value in self.headers.items()})
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Export)
    server.daemon_threads = True
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}")
    receiver.hold.set()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def over_grpc() -> Iterator[Receiver]:
    """A receiver of OTLP/gRPC on a free port."""

    def export(body: bytes, context: grpc.ServicerContext) -> bytes:
        receiver.take(body, dict(context.invocation_metadata()))
        return bytes(ExportTraceServiceResponse().SerializeToString())

    class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]  # as above
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
            return grpc.unary_unary_rpc_method_handler(export) if details.method == METHOD else None

    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((Handler(),))
    receiver = Receiver(f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
    receiver.hold.set()
    server.start()
    try:
        yield receiver
    finally:
        server.stop(None).wait()


def seen(span: WireSpan, resource: dict[str, Value]) -> Seen:
    """One decoded span."""
    return Seen(
        span.name,
        span.kind,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.status.code == span.status.STATUS_CODE_ERROR,
        read(span.attributes),
        resource,
    )


def read(pairs: Iterable[KeyValue]) -> dict[str, Value]:
    """Attributes as a mapping."""
    return {pair.key: value_of(pair.value) for pair in pairs}


def value_of(value: AnyValue) -> Value:
    """One attribute's value."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(each) for each in value.array_value.values]
    return None if kind is None else getattr(value, kind)
