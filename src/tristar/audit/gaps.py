"""Which lines are rightly absent or not vouched for, as a statement signed with the log's key.

Retention, and an operator's accepted truncation, leave holes. The log's own records tell of them; since
those records are deleted in their turn, `manifests/gaps` carries the sum, signed, so that nobody without the
key can explain a removal away.
"""

from pathlib import Path
from typing import Self

import msgspec

from tristar.audit.disk import Disk
from tristar.audit.segments import MANIFESTS
from tristar.audit.signing import Note, Signer, VerifierKey
from tristar.audit.tree import Frontier
from tristar.errors import AuditCorrupt

GAPS = "gaps"
_TITLE = "tristar-audit-gaps/v1"

Range = tuple[int, int]


class Reset(msgspec.Struct, frozen=True, kw_only=True):
    """A place where the tree goes on from a recorded frontier, because lines before it were lost."""

    size: int
    frontier: str

    def load(self) -> Frontier:
        """The frontier itself."""
        return Frontier.unpack(self.size, msgspec.json.decode(f'"{self.frontier}"', type=bytes))


class Gaps(msgspec.Struct, frozen=True, kw_only=True):
    """Half-open ranges of sequence numbers: deleted by retention, accepted as damaged by an operator.

    `rewound` are ranges that were signed once and are no longer part of the log; `overrides` says who
    decided what.
    """

    deleted: tuple[Range, ...] = ()
    accepted: tuple[Range, ...] = ()
    resets: tuple[Reset, ...] = ()
    rewound: tuple[Range, ...] = ()
    overrides: tuple[str, ...] = ()

    def covers(self, first: int, end: int) -> bool:
        """Whether every number from `first` to before `end` may be absent."""
        return any(a <= first and end <= b for a, b in merged((*self.deleted, *self.accepted)))

    def with_deleted(self, *ranges: Range) -> Self:
        """These gaps and more deletions."""
        return msgspec.structs.replace(self, deleted=merged((*self.deleted, *ranges)))

    def with_accepted(self, *ranges: Range) -> Self:
        """These gaps and more accepted damage."""
        return msgspec.structs.replace(self, accepted=merged((*self.accepted, *ranges)))


def merged(ranges: tuple[Range, ...]) -> tuple[Range, ...]:
    """The same numbers in the fewest ranges, in order; empty ranges are dropped."""
    result: list[Range] = []
    for first, end in sorted(ranges):
        if first >= end:
            continue
        if result and first <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((first, end))
    return tuple(result)


def read_gaps(directory: Path, keys: list[VerifierKey]) -> Gaps:
    """The signed statement; none at all where there is no file.

    Raises:
        AuditCorrupt: there is one, and it is not signed by any of the keys.
    """
    path = directory / MANIFESTS / GAPS
    try:
        note = Note.parse(path.read_bytes())
        signed_by = note.signer(keys)
        title, origin, content = note.body.decode().splitlines()
        gaps = msgspec.json.decode(content, type=Gaps)
    except FileNotFoundError:
        return Gaps()
    except (ValueError, msgspec.DecodeError) as error:
        raise AuditCorrupt(f"{path}: not a signed statement of gaps") from error
    if signed_by is None or title != _TITLE or origin != signed_by.name:
        raise AuditCorrupt(f"{path}: not signed by the log's key")
    return gaps


def write_gaps(disk: Disk, directory: Path, signer: Signer, gaps: Gaps) -> None:
    """Replace the statement, durably."""
    body = f"{_TITLE}\n{signer.name}\n{msgspec.json.encode(gaps).decode()}\n"
    disk.install(directory / MANIFESTS / GAPS, signer.sign(body.encode()))
