"""Which class speaks to which kind of receiver; what comes with an extra is loaded here, when needed."""

from collections.abc import Callable
from importlib import import_module

from tristar.audit.sinks.options import SinkOptions
from tristar.audit.sinks.receiver import Receiver, SinkDown
from tristar.audit.sinks.syslog import SyslogReceiver

_WEB = {
    "splunk": ("splunk", "SplunkReceiver"),
    "elastic": ("elastic", "ElasticReceiver"),
    "webhook": ("webhook", "WebhookReceiver"),
    "otlp": ("otlp", "OtlpReceiver"),
}


def open_receiver(options: SinkOptions) -> Receiver:
    """The receiver of a sink; most connect with the first delivery.

    Raises:
        SinkDown: it cannot be used as configured.
    """
    match options.type:
        case "syslog":
            return SyslogReceiver(options)
        case "splunk" | "elastic" | "webhook" | "otlp":
            return _open_web(options)
        case "nats":
            return _open_nats(options)
        case "s3":
            return _open_s3(options)


def _open_web(options: SinkOptions) -> Receiver:
    """httpx takes a tenth of a second and 20 MB, and most gateways have no sink that speaks HTTP."""
    module, name = _WEB[options.type]
    receiver: Callable[[SinkOptions], Receiver] = getattr(
        import_module(f"tristar.audit.sinks.{module}"), name
    )
    return receiver(options)


def _open_nats(options: SinkOptions) -> Receiver:
    try:
        from tristar.audit.sinks.jetstream import JetStreamReceiver  # noqa: PLC0415 - the extra `nats`
    except ModuleNotFoundError as error:
        raise SinkDown("install tristar[nats]: NATS needs its client") from error
    return JetStreamReceiver(options)


def _open_s3(options: SinkOptions) -> Receiver:
    try:
        from tristar.audit.sinks.objects import ObjectReceiver  # noqa: PLC0415 - the extra `s3`
    except ModuleNotFoundError as error:
        raise SinkDown("install tristar[s3]: S3-compatible stores need boto3") from error
    return ObjectReceiver(options)
