"""Checkpoints stamped by an RFC 3161 time-stamp authority: whoever holds the log's key cannot date back."""

import secrets
from contextlib import closing
from pathlib import Path
from typing import Final

from tristar.audit.anchors.anchor import CHECKPOINTS, Checkpoint, keep
from tristar.audit.anchors.options import AnchorOptions
from tristar.audit.anchors.stamp import STAMPS, StampInvalid, check, load_authorities, question
from tristar.audit.disk import Disk
from tristar.audit.sinks.options import SinkOptions
from tristar.audit.sinks.receiver import SinkDown
from tristar.audit.sinks.web import Web

_ASKED: Final = {"content-type": "application/timestamp-query", "accept": "application/timestamp-reply"}
_NONCE_BITS: Final = 64


class TimestampAnchor:
    """See `Anchor`. Keeps each checkpoint and the authority's answer as files; the answer goes first."""

    def __init__(self, options: AnchorOptions, directory: Path, disk: Disk | None = None) -> None:
        self._disk = disk or Disk()
        self._directory = directory
        self._is_ours = options.path is None
        self._url = options.url
        self._authorities = load_authorities(options.tsa_ca_file)
        self._reach = SinkOptions(
            url=options.url,
            timeout_s=options.timeout_s,
            ca_file=options.ca_file,
            cert_file=options.cert_file,
            key_file=options.key_file,
        )

    def put(self, checkpoint: Checkpoint) -> None:
        """See `Anchor.put`."""
        self._find_directory()
        nonce = secrets.randbits(_NONCE_BITS)
        with closing(Web(self._reach)) as web:
            answer = web.post(self._url, question(checkpoint.raw, nonce), _ASKED)
        try:
            check(answer, checkpoint.raw, self._authorities, nonce)
        except StampInvalid as error:
            raise SinkDown(f"the time stamp proves nothing: {error}") from error
        path = self._directory / checkpoint.file_name
        stamp_path = path.with_name(path.name.removesuffix(CHECKPOINTS) + STAMPS)
        if not self._stamped(stamp_path, checkpoint):
            keep(self._disk, stamp_path, answer)
        keep(self._disk, path, checkpoint.raw)

    def _stamped(self, path: Path, checkpoint: Checkpoint) -> bool:
        """Whether an earlier try got as far as this."""
        try:
            check(path.read_bytes(), checkpoint.raw, self._authorities)
        except (OSError, StampInvalid):
            return False
        return True

    def _find_directory(self) -> None:
        try:
            if self._is_ours:
                self._disk.make_directory(self._directory)
            elif not self._directory.is_dir():
                raise SinkDown(f"{self._directory}: no such directory: make it, or mount it")
        except OSError as error:
            raise SinkDown(f"{self._directory}: {error.strerror or error}") from error
