"""The sinks that speak HTTP, to receivers that decode what they get."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from tests.audit.sinks.papers import Authority
from tests.audit.sinks.rig import OPTIONS, Rig, open_rig, wait
from tests.audit.sinks.website import Answer, Collector, Index, Post, Reply, Website, serving

from tristar.audit.sinks.options import SinkOptions
from tristar.audit.sinks.receiver import SinkDown, SinkRefused
from tristar.audit.sinks.web import Web, retry_after_s

SECRET = "canary-9d1f0c52d9e84a77"
_OK: Reply = (200, b"{}", {})


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A log that grows."""
    with open_rig(tmp_path / "log") as rig:
        yield rig


def _options(site: Website, kind: str, **more: object) -> SinkOptions:
    chosen: dict[str, Any] = {"type": kind, "url": site.url, "secret": SECRET, **more}
    return replace(OPTIONS, **chosen)


def _log(rig: Rig) -> list[dict[str, Any]]:
    return [json.loads(line) for line in rig.bench.lines()]


# --- Splunk


@pytest.mark.parametrize("acknowledge", [False, True])
def test_splunk_gets_every_event_with_its_time_and_index(rig: Rig, *, acknowledge: bool) -> None:
    """The record is the event; with indexer acknowledgement a batch counts once it is indexed."""
    collector = Collector(SECRET)
    rig.append(120)
    with serving(Website(collector)) as site:
        rig.deliver_all(options=_options(site, "splunk", index="audit", acknowledge=acknowledge))

    assert [event["event"] for event in collector.events] == _log(rig)
    assert {(event["index"], event["sourcetype"]) for event in collector.events} == {
        ("audit", "tristar:audit")
    }
    assert collector.events[0]["time"] == "1750000000.000"
    assert [event["fields"]["event_id"] for event in collector.events] == [e["event_id"] for e in _log(rig)]
    assert set(collector.asked.values()) == ({2} if acknowledge else set())


def test_splunk_without_acknowledgements_is_not_believed_to_have_them(rig: Rig) -> None:
    """A token that has none, where they were asked for, is a fault the operator sees."""
    rig.append(5)
    site = Website(lambda _: (200, b'{"text":"Success","code":0}', {}))
    with serving(site), rig.pumping(options=_options(site, "splunk", acknowledge=True)) as pump:
        assert wait(lambda: pump.reading().reason)

    assert "indexer acknowledgement" in pump.reading().reason


def test_a_wrong_token_is_shown_and_costs_nothing(rig: Rig) -> None:
    """The receiver's words are in the reason, our secret is not."""
    collector = Collector("another")
    rig.append(5)
    with serving(Website(collector)) as site, rig.pumping(options=_options(site, "splunk")) as pump:
        assert wait(lambda: pump.reading().reason)
        assert "403" in pump.reading().reason
        assert "Invalid token" in pump.reading().reason
        assert SECRET not in pump.reading().reason
        collector.token = SECRET
        assert wait(rig.delivered)

    assert [event["event"] for event in collector.events] == _log(rig)


# --- Elasticsearch


def test_elastic_gets_one_document_per_record_under_its_id(rig: Rig) -> None:
    """ECS documents, created and never overwritten."""
    index = Index()
    rig.append(60)
    with serving(Website(index)) as site:
        rig.deliver_all(options=_options(site, "elastic", index="logs-tristar-audit"))
        authorization = site.posts[0].headers["authorization"]

    assert list(index.documents) == [record["event_id"] for record in _log(rig)]
    sequence = [document["event"]["sequence"] for document in index.documents.values()]
    assert sequence == list(range(rig.writer.size))
    assert authorization == f"ApiKey {SECRET}"


def test_elastic_takes_a_user_and_password(rig: Rig) -> None:
    """Where API keys are not used."""
    rig.append(1)
    with serving(Website(Index())) as site:
        rig.deliver_all(options=_options(site, "elastic", index="a", user="elastic"))
        authorization = site.posts[0].headers["authorization"]

    assert authorization == "Basic " + base64.b64encode(f"elastic:{SECRET}".encode()).decode()


def test_a_bulk_that_fails_in_part_is_repaired(rig: Rig) -> None:
    """Items turned away for now (429, 503) come again; those that are there already are not doubled."""
    turns = iter([429, 503])

    def rule(document: Mapping[str, Any]) -> int:
        return next(turns, 201) if document["event"]["sequence"] == 20 else 201

    index = Index(rule)
    rig.append(50)
    with serving(Website(index)) as site:
        rig.deliver_all(options=_options(site, "elastic", index="a"))

    assert sorted(document["event"]["sequence"] for document in index.documents.values()) == list(range(50))
    assert index.conflicts >= 29


def test_a_document_that_the_mapping_refuses_is_given_up_alone(rig: Rig) -> None:
    """Its neighbours are stored, and the loss is counted."""
    index = Index(lambda document: 400 if document["event"]["sequence"] == 20 else 201)
    rig.append(50)
    with serving(Website(index)) as site, rig.pumping(options=_options(site, "elastic", index="a")) as pump:
        assert wait(rig.delivered)

    assert sorted(d["event"]["sequence"] for d in index.documents.values()) == [
        seq for seq in range(50) if seq != 20
    ]
    assert pump.reading().refused == 1


# --- webhook


def test_a_webhook_is_signed_as_standard_webhooks_says(rig: Rig) -> None:
    """JSON lines, whose signature a receiver can check with any library of that specification."""
    rig.append(60)
    with serving(Website(lambda _: (204, b"", {}))) as site:
        key = base64.b64encode(b"k" * 32).decode()
        options = replace(_options(site, "webhook"), secret=f"whsec_{key}")
        rig.deliver_all(options=options)

    assert [json.loads(line) for post in site.posts for line in post.body.splitlines()] == _log(rig)
    for post in site.posts:
        name, stamp = post.headers["webhook-id"], post.headers["webhook-timestamp"]
        mac = hmac.new(b"k" * 32, f"{name}.{stamp}.".encode() + post.body, hashlib.sha256).digest()
        assert post.headers["webhook-signature"] == "v1," + base64.b64encode(mac).decode()


# --- OTLP


def _hex_to_base64(value: object) -> object:
    """OTLP's JSON has trace ids in hex, where protobuf's own has base64."""
    if isinstance(value, dict):
        return {
            key: base64.b64encode(bytes.fromhex(str(item))).decode()
            if key == "traceId"
            else _hex_to_base64(item)
            for key, item in value.items()
        }
    return [_hex_to_base64(item) for item in value] if isinstance(value, list) else value


def test_otlp_decodes_with_the_protocols_own_messages(rig: Rig) -> None:
    """Every record is a log record with body, time, severity, trace and attributes."""
    decoded: list[ExportLogsServiceRequest] = []

    def answer(post: Post) -> Reply:
        assert post.path == "/v1/logs"
        assert post.headers["content-type"] == "application/json"
        assert post.headers["authorization"] == f"Bearer {SECRET}"
        message = ExportLogsServiceRequest()
        decoded.append(json_format.ParseDict(_hex_to_base64(json.loads(post.body)), message))
        return _OK

    rig.append(120, details={"llm_id": "fast"})
    with serving(Website(answer)) as site:
        rig.deliver_all(options=_options(site, "otlp"))

    records = [
        record
        for message in decoded
        for resource in message.resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    ]
    assert [json.loads(record.body.string_value) for record in records] == _log(rig)
    assert records[0].time_unix_nano == 1_750_000_000 * 10**9
    assert records[0].trace_id == bytes(16)
    assert records[0].severity_text == "INFO"
    attributes = {each.key: each.value for each in records[7].attributes}
    assert attributes["tristar.event_id"].string_value == "e7"
    assert attributes["tristar.seq"].int_value == 7


def test_what_an_otlp_receiver_rejects_is_counted_and_not_sent_again(rig: Rig) -> None:
    """As the protocol demands of a partial success."""
    rig.append(50)
    partial = b'{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"too old"}}'
    site = Website(lambda _: (200, partial, {}))
    with serving(site), rig.pumping(options=_options(site, "otlp")) as pump:
        assert wait(rig.delivered)

    assert pump.reading().refused == 3
    assert len(site.posts) == 1


# --- faults, the same for all


@pytest.mark.parametrize("kind", ["splunk", "elastic", "webhook", "otlp"])
@pytest.mark.parametrize("stored", [False, True], ids=["lost", "stored"])
def test_faults_of_a_receiver_lose_nothing(rig: Rig, kind: str, *, stored: bool) -> None:
    """429 with Retry-After, 500, 502, a cut connection, 503: whether or not it had stored the batch."""
    seen: list[str] = []
    receivers: dict[str, Answer] = {"splunk": Collector(SECRET), "elastic": Index()}

    def answer(post: Post) -> Reply:
        seen.extend(record["event_id"] for record in _log(rig) if record["event_id"].encode() in post.body)
        return receivers[kind](post) if kind in receivers else _OK

    site = Website(
        answer, [(429, {"retry-after": "0"}), (500, {}), None, (502, {}), (503, {})], stored=stored
    )
    rig.append(60, prefix="event-")
    with serving(site):
        rig.deliver_all(options=_options(site, kind, index="a"))

    assert list(dict.fromkeys(seen)) == [record["event_id"] for record in _log(rig)]


def test_a_slow_receiver_is_given_up_in_time_and_tried_again(rig: Rig) -> None:
    """A receiver that accepts and does not answer holds up nothing but its own sink."""
    started = rig.bench.clock.monotonic()
    waits = iter([True])

    def answer(_: Post) -> Reply:
        if next(waits, False):
            wait(lambda: False, 0.6)
        return _OK

    rig.append(5)
    with serving(Website(answer)) as site:
        options = replace(_options(site, "otlp"), timeout_s=0.2)
        with rig.pumping(options=options) as pump:
            assert wait(rig.delivered)

    assert pump.reading().failures == 1
    assert rig.bench.clock.monotonic() == started


def test_a_body_that_is_too_large_is_halved(rig: Rig) -> None:
    """413 is about the batch, not about a record."""
    rig.append(64)
    got: list[int] = []

    def answer(post: Post) -> Reply:
        lines = post.body.splitlines()
        if len(lines) > 10:
            return 413, b"", {}
        got.extend(json.loads(line)["seq"] for line in lines)
        return _OK

    with serving(Website(answer)) as site, rig.pumping(options=_options(site, "webhook")) as pump:
        assert wait(rig.delivered)

    assert got == list(range(64))
    assert pump.reading().refused == 0


def test_the_certificate_of_an_https_receiver_is_checked(rig: Rig, tmp_path: Path) -> None:
    """A stranger's is refused and named; the right authority's is taken."""
    authority, stranger = Authority(tmp_path / "a"), Authority(tmp_path / "b", "stranger")
    rig.append(5)
    with serving(Website(lambda _: _OK), authority.issue("server")) as site:
        wrong = replace(_options(site, "otlp"), ca_file=stranger.cert)
        with rig.pumping(options=wrong) as pump:
            assert wait(lambda: pump.reading().reason)
        assert "certificate is refused" in pump.reading().reason
        assert site.posts == []
        rig.deliver_all(options=replace(wrong, ca_file=authority.cert))

    assert len(site.posts) == 1


def test_a_redirect_is_not_followed(rig: Rig) -> None:
    """Records and the token go where the operator said, and nowhere else."""
    rig.append(1)
    elsewhere = Website(lambda _: _OK)
    site = Website(lambda _: (307, b"", {"location": elsewhere.url}))
    with serving(elsewhere), serving(site), rig.pumping(options=_options(site, "otlp")) as pump:
        assert wait(lambda: pump.reading().reason)

    assert "307" in pump.reading().reason
    assert elsewhere.posts == []


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("7", 7),
        ("soon", 0),
        ("Thu, 01 Jan 1970 00:00:50 GMT", 40),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
    ],
)
def test_retry_after_is_read_in_both_forms(header: str | None, seconds: float) -> None:
    """Seconds or a date; anything else says nothing."""
    assert retry_after_s(header, now_s=10.0) == seconds


def test_an_answer_is_read_to_a_bound() -> None:
    """A receiver cannot fill our memory."""
    with serving(Website(lambda _: (200, b"x" * (5 << 20), {}))) as site:
        web = Web(_options(site, "otlp"))
        with pytest.raises(SinkDown, match="too long"):
            web.post(site.url, b"{}", {})
        web.close()


def test_an_answer_that_is_none_of_the_protocols_acknowledges_nothing(rig: Rig) -> None:
    """A proxy's friendly page is not Elasticsearch."""
    rig.append(1)
    site = Website(lambda _: (200, b"<html>welcome</html>", {}))
    with serving(site), rig.pumping(options=_options(site, "elastic", index="a")) as pump:
        assert wait(lambda: pump.reading().reason)

    assert "welcome" in pump.reading().reason
    assert rig.cursor().next == 0


def test_400_is_a_refusal_and_401_is_not() -> None:
    """Only what speaks of the records themselves may lead to giving one up."""
    for status, expected in ((400, SinkRefused), (422, SinkRefused), (401, SinkDown), (404, SinkDown)):
        with serving(Website(lambda _, status=status: (status, b"", {}))) as site:  # type: ignore[misc]  # mypy cannot infer a lambda's default
            web = Web(_options(site, "otlp"))
            with pytest.raises(SinkDown) as raised:
                web.post(site.url, b"{}", {})
            web.close()
        assert type(raised.value) is expected
