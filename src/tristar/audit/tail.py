"""What came last."""

from pathlib import Path

from tristar.audit import reader
from tristar.audit.question import MOST_RECORDS, Record
from tristar.audit.reader import Snapshot
from tristar.audit.subjects import keyring_of, unseal


def tail(directory: Path, count: int = 20, after_seq: int | None = None) -> list[Record]:
    """The newest `count` records, oldest of them first; with `after_seq`, only those that came after it.

    To follow the log, ask again with the last record's `seq`. Blocks.

    Raises:
        ValueError: `count` is not between 1 and `MOST_RECORDS`.
    """
    if not 1 <= count <= MOST_RECORDS:
        raise ValueError(f"count is {count}: use 1 to {MOST_RECORDS}, or export")
    lines = Snapshot.take(directory).last(count)
    if after_seq is not None:
        lines = [line for line in lines if reader.position(line).seq > after_seq]
    with keyring_of(directory) as keyring:
        return [unseal(reader.decode(line), keyring) for line in lines]
