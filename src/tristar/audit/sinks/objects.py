"""An S3-compatible store: one object of JSON lines per batch, compressed with zstd.

An object's name is `<prefix><yyyy>/<mm>/<dd>/<first number>.jsonl.zst`: a batch that is sent again takes the
place of the one before it.
"""

from collections.abc import Sequence
from typing import Any, Final

import boto3
import zstandard
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tristar.audit.formats import RENDERERS
from tristar.audit.formats.fields import Fields
from tristar.audit.segments import line_stamp
from tristar.audit.sinks.options import SinkOptions
from tristar.audit.sinks.receiver import Entry, SinkDown, gently

_SUFFIX: Final = ".jsonl.zst"


class ObjectReceiver:
    """See `Receiver`: a stored object acknowledges its batch.

    Signs with the configured key, else with what the AWS SDK finds (environment, instance role).
    """

    def __init__(self, options: SinkOptions) -> None:
        self._bucket, self._prefix = options.bucket, options.prefix
        self._render = RENDERERS.get(options.format)
        try:
            self._client: Any = boto3.client(
                "s3",
                endpoint_url=options.url or None,
                region_name=options.region,
                aws_access_key_id=options.user or None,
                aws_secret_access_key=options.secret,
                verify=str(options.ca_file) if options.ca_file is not None else None,
                config=Config(
                    connect_timeout=options.timeout_s,
                    read_timeout=options.timeout_s,
                    retries={"total_max_attempts": 1},
                    s3={"addressing_style": "path" if options.url else "auto"},
                ),
            )
        except (BotoCoreError, ValueError) as error:
            raise SinkDown(f"S3: {error}") from error

    def deliver(self, batch: Sequence[Entry]) -> int:
        """See `Receiver.deliver`."""
        try:
            self._client.put_object(
                Bucket=self._bucket,
                Key=object_name(self._prefix, batch[0]),
                Body=self._packed(batch),
                ContentType="application/zstd",
            )
        except (BotoCoreError, ClientError) as error:
            raise SinkDown(f"S3: {error}") from error
        return 0

    def close(self) -> None:
        """See `Receiver.close`."""
        self._client.close()

    def _packed(self, batch: Sequence[Entry]) -> bytes:
        compressor = zstandard.ZstdCompressor(write_checksum=True).compressobj()
        parts = [compressor.compress(self._line(entry)) for entry in gently(batch)]
        return b"".join(parts) + compressor.flush()

    def _line(self, entry: Entry) -> bytes:
        return (entry.line if self._render is None else self._render(Fields.of(entry.line))) + b"\n"


def object_name(prefix: str, first: Entry) -> str:
    """Where the batch that begins with this record is stored."""
    day = line_stamp(first.line)[:10].replace("-", "/") or "undated"
    return f"{prefix}{day}/{first.seq:020d}{_SUFFIX}"
