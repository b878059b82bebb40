"""An S3-compatible store, to moto's server."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
import zstandard
from moto.server import ThreadedMotoServer
from tests.audit.sinks.rig import OPTIONS, Rig, open_rig, wait

from tristar.audit.sinks.options import SinkOptions

SECRET = "canary-8d1f0c52d9e84a77"
BUCKET = "audit"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A log that grows."""
    with open_rig(tmp_path / "log") as rig:
        yield rig


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """The store's address."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def client(store: str) -> Iterator[Any]:
    """A client of the store, with the bucket made anew."""
    found = boto3.client(
        "s3",
        endpoint_url=store,
        region_name="us-east-1",
        aws_access_key_id="id",
        aws_secret_access_key=SECRET,
    )
    yield found
    for name in _names(found):
        found.delete_object(Bucket=BUCKET, Key=name)
    found.close()


def _options(store: str) -> SinkOptions:
    return replace(OPTIONS, type="s3", url=store, bucket=BUCKET, user="id", secret=SECRET)


def _names(client: Any) -> list[str]:  # noqa: ANN401 - boto3 has no types
    return [item["Key"] for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def _content(client: Any, name: str) -> list[bytes]:  # noqa: ANN401 - boto3 has no types
    packed = client.get_object(Bucket=BUCKET, Key=name)["Body"].read()
    return zstandard.ZstdDecompressor().decompressobj().decompress(packed).splitlines()


def test_objects_hold_the_log_in_order(rig: Rig, store: str, client: Any) -> None:  # noqa: ANN401 - boto3 has no types
    """Names sort in the log's order and say the day; their lines are the log's."""
    client.create_bucket(Bucket=BUCKET)
    rig.append(120)
    rig.deliver_all(options=_options(store))
    names = _names(client)

    assert names[:2] == [
        "tristar-audit/2025/06/15/00000000000000000000.jsonl.zst",
        "tristar-audit/2025/06/15/00000000000000000050.jsonl.zst",
    ]
    assert names == sorted(names)
    assert [line for name in names for line in _content(client, name)] == rig.bench.lines()


def test_a_batch_that_is_sent_again_takes_its_own_place(rig: Rig, store: str, client: Any) -> None:  # noqa: ANN401 - boto3 has no types
    """After a crash between delivery and cursor there is still one object for those records."""
    client.create_bucket(Bucket=BUCKET)
    rig.append(30)
    rig.deliver_all(options=_options(store))
    (rig.directory / "sinks" / "siem.json").unlink()
    rig.append(10, prefix="more")
    rig.deliver_all(options=_options(store))

    (name,) = _names(client)
    assert _content(client, name) == rig.bench.lines()


def test_a_bucket_that_is_not_there_acknowledges_nothing(rig: Rig, store: str, client: Any) -> None:  # noqa: ANN401 - boto3 has no types
    """The store's own words are the reason, without our secret."""
    client.create_bucket(Bucket=BUCKET)
    rig.append(10)
    with rig.pumping(options=replace(_options(store), bucket="nowhere")) as pump:
        assert wait(lambda: pump.reading().reason)

    assert "NoSuchBucket" in pump.reading().reason
    assert SECRET not in pump.reading().reason
    assert rig.cursor().next == 0


def test_a_store_that_is_not_there_is_tried_again(rig: Rig, client: Any, store: str) -> None:  # noqa: ANN401 - boto3 has no types
    """Refused connections are no end."""
    client.create_bucket(Bucket=BUCKET)
    rig.append(10)
    with rig.pumping(options=replace(_options("http://127.0.0.1:9"), timeout_s=0.2)) as pump:
        assert wait(lambda: pump.reading().reason)
    rig.deliver_all(options=_options(store))

    assert [line for name in _names(client) for line in _content(client, name)] == rig.bench.lines()
