"""The rows of `[audit.sinks.NAME]` and `[audit.anchors.NAME]`: which keys each type takes."""

from collections.abc import Sequence
from typing import Final

from tristar.audit.anchors.options import AnchorOptions
from tristar.audit.sinks.options import SinkOptions
from tristar.settings import texts
from tristar.settings.kinds import Number, Switch, Whole, choice
from tristar.settings.row import Row

_CA: Final = "PEM file of the authorities that may have signed the receiver's certificate"
_CERT: Final = "PEM file of our own certificate, where the receiver asks for one"

_SINK: Final[Sequence[Row]] = (
    Row(
        "mandatory",
        SinkOptions,
        "mandatory",
        Switch(),
        "retention deletes nothing that this sink has not acknowledged",
    ),
    Row(
        "start",
        SinkOptions,
        "start",
        choice("oldest", "now"),
        "where a sink without a cursor begins: with the oldest record there is, or with what comes next",
    ),
    Row(
        "batch_records",
        SinkOptions,
        "batch_records",
        Whole(1, 100_000),
        "the most records in one delivery",
        default_text="500; s3: 50000",
    ),
    Row(
        "linger_s",
        SinkOptions,
        "linger_s",
        Number(0.05, 3600),
        "how long records may gather for one delivery",
        default_text="1; s3: 60",
    ),
    Row("timeout_s", SinkOptions, "timeout_s", Number(0.1, 600), "for each step of a delivery"),
    Row("ca_file", SinkOptions, "ca_file", texts.PATH, _CA, default_text="the system's authorities"),
)
_OWN_CERTIFICATE: Final[Sequence[Row]] = (
    Row("cert_file", SinkOptions, "cert_file", texts.PATH, _CERT),
    Row("key_file", SinkOptions, "key_file", texts.PATH, "PEM file of its key, if it is not in `cert_file`"),
)


def _sink_format(usual: str, *others: str) -> Row:
    kind = choice(usual, *others)
    return Row("format", SinkOptions, "format", kind, "of the records, as in exports", f'`"{usual}"`')


def _sink_url(meaning: str) -> Row:
    return Row("url", SinkOptions, "url", texts.SINK_URL, meaning, default_text="required")


def _sink_secret(name: str, what: str, default_text: str | None = None) -> Row:
    return Row(name, SinkOptions, "secret", texts.VARIABLE, f"the variable that holds {what}", default_text)


SINKS: Final[dict[str, Sequence[Row]]] = {
    "syslog": (
        *_SINK,
        Row(
            "address",
            SinkOptions,
            "address",
            texts.ADDRESS,
            "`host` or `host:port` of the receiver; 6514 is the usual port",
            default_text="required",
        ),
        _sink_format("syslog", "cef", "leef"),
        *_OWN_CERTIFICATE,
    ),
    "splunk": (
        *_SINK,
        _sink_url("of the HTTP Event Collector, before `/services`"),
        _sink_secret("token_env", "its token", "required"),
        Row("index", SinkOptions, "index", texts.WORD, "the index", default_text="the token's"),
        Row(
            "acknowledge",
            SinkOptions,
            "acknowledge",
            Switch(),
            "wait until a batch is indexed; the token must have indexer acknowledgement on",
        ),
        _sink_format("jsonl", "ecs", "ocsf"),
        *_OWN_CERTIFICATE,
    ),
    "elastic": (
        *_SINK,
        _sink_url("of Elasticsearch or OpenSearch, before `/_bulk`"),
        Row("index", SinkOptions, "index", texts.WORD, "data stream or index", default_text="required"),
        _sink_secret("api_key_env", "an API key"),
        Row("user", SinkOptions, "user", texts.WORD, "instead of an API key", default_text="unset"),
        _sink_secret("password_env", "the user's password"),
        _sink_format("ecs", "ocsf", "jsonl"),
        *_OWN_CERTIFICATE,
    ),
    "webhook": (
        *_SINK,
        _sink_url("where to post to"),
        _sink_secret("secret_env", "the secret that signs", "required"),
        _sink_format("jsonl", "ecs", "ocsf"),
        *_OWN_CERTIFICATE,
    ),
    "otlp": (
        *_SINK,
        _sink_url("of the collector's HTTP receiver, before `/v1/logs`"),
        _sink_secret("token_env", "a bearer token"),
        *_OWN_CERTIFICATE,
    ),
    "nats": (
        *_SINK,
        Row(
            "url",
            SinkOptions,
            "url",
            texts.NATS_URL,
            "of the server; `tls://` encrypts",
            default_text="required",
        ),
        Row("subject", SinkOptions, "subject", texts.SUBJECT, "a subject that a stream takes"),
        _sink_secret("token_env", "a token"),
        Row("user", SinkOptions, "user", texts.WORD, "instead of a token", default_text="unset"),
        _sink_secret("password_env", "the user's password"),
        _sink_format("jsonl", "ecs", "ocsf"),
        *_OWN_CERTIFICATE,
    ),
    "s3": (
        *_SINK,
        Row("bucket", SinkOptions, "bucket", texts.WORD, "the bucket", default_text="required"),
        Row("prefix", SinkOptions, "prefix", texts.WORD, "what the objects' names begin with"),
        Row("region", SinkOptions, "region", texts.WORD, "the region"),
        Row(
            "url",
            SinkOptions,
            "url",
            texts.SINK_URL,
            "of a store other than AWS",
            default_text="AWS",
        ),
        Row(
            "access_key",
            SinkOptions,
            "user",
            texts.WORD,
            "the access key's id",
            default_text="what the AWS SDK finds",
        ),
        _sink_secret("secret_key_env", "the access key's secret"),
        _sink_format("jsonl", "ecs", "ocsf"),
    ),
}
"""The keys of an `[audit.sinks.NAME]` by its `type`."""

_ANCHOR: Final[Sequence[Row]] = (
    Row(
        "interval_s",
        AnchorOptions,
        "interval_s",
        Number(1, 30 * 86_400),
        "how often a log that has grown is anchored",
    ),
)
_ANCHOR_TLS: Final[Sequence[Row]] = (
    Row("timeout_s", AnchorOptions, "timeout_s", Number(0.1, 600), "for each step"),
    Row("cert_file", AnchorOptions, "cert_file", texts.PATH, _CERT),
    Row(
        "key_file", AnchorOptions, "key_file", texts.PATH, "PEM file of its key, if it is not in `cert_file`"
    ),
)

ANCHORS: Final[dict[str, Sequence[Row]]] = {
    "file": (
        *_ANCHOR,
        Row(
            "path",
            AnchorOptions,
            "path",
            texts.PATH,
            "a directory where this machine cannot change what it has written",
            default_text="required",
        ),
    ),
    "syslog": (
        *_ANCHOR,
        Row(
            "address",
            AnchorOptions,
            "address",
            texts.ADDRESS,
            "`host` or `host:port` of the receiver; 6514 is the usual port",
            default_text="required",
        ),
        Row("ca_file", AnchorOptions, "ca_file", texts.PATH, _CA, default_text="the system's authorities"),
        *_ANCHOR_TLS,
    ),
    "timestamp": (
        *_ANCHOR,
        Row(
            "url",
            AnchorOptions,
            "url",
            texts.SINK_URL,
            "of an RFC 3161 time-stamp authority",
            default_text="required",
        ),
        Row(
            "tsa_ca_file",
            AnchorOptions,
            "tsa_ca_file",
            texts.PATH,
            "PEM file of the authorities that may have signed the time-stamp authority's certificate",
            default_text="required",
        ),
        Row(
            "path",
            AnchorOptions,
            "path",
            texts.PATH,
            "where checkpoints and their time stamps are kept; best on another machine",
            default_text="`AUDIT_LOG_DIR/anchors/NAME`",
        ),
        Row("ca_file", AnchorOptions, "ca_file", texts.PATH, _CA, default_text="the system's authorities"),
        *_ANCHOR_TLS,
    ),
}
"""The keys of an `[audit.anchors.NAME]` by its `type`."""
