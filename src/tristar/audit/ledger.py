"""The log as one durable thing: lines in a segment and a signed checkpoint over them, or neither.

The order is fixed: the lines are synced, then the checkpoint that covers them. A crash between the two
leaves lines that no checkpoint covers, never a checkpoint whose lines are missing; so recovery can tell a
crash from a theft.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tristar.audit.checkpoint import SLOTS, Slots, read_slots
from tristar.audit.disk import Disk
from tristar.audit.recovery import Closed, Grown, Recovered, accepted_keys
from tristar.audit.segments import ActiveSegment
from tristar.audit.signing import Signer
from tristar.audit.tree import Frontier


class CheckpointInDoubt(OSError):
    """The lines are durable, their checkpoint may or may not be: only `Ledger.settle` can go on."""


class _Pending:
    """A commit whose checkpoint is in doubt."""

    def __init__(self, block: bytes, grown: Grown, size_bytes: int) -> None:
        self.block = block
        self.grown = grown
        self.size_bytes = size_bytes


class Ledger:
    """Commits batches of lines; used by one thread at a time."""

    def __init__(
        self, disk: Disk, directory: Path, slots: Slots, frontier: Frontier, active: ActiveSegment | None
    ) -> None:
        self._disk = disk
        self._directory = directory
        self.slots = slots
        self.frontier = frontier
        self.active = active
        self._pending: _Pending | None = None
        self._residues: list[ActiveSegment] = []
        self.sealed: list[Closed] = []

    @classmethod
    def resume(cls, disk: Disk, directory: Path, signer: Signer, recovered: Recovered) -> Self:
        """Open the files where recovery left them; sign that the log is open. OSError: the disk failed."""
        path = directory / SLOTS
        number = read_slots(path, accepted_keys(directory, signer))[1].number
        slots = Slots(disk, path, signer, number)
        tail, active = recovered.tail, None
        if tail is not None:
            active = ActiveSegment.resume(
                disk, tail.path, tail.first, tail.day, size_bytes=tail.size_bytes, records=tail.records
            )
            disk.sync_directory(tail.path.parent)
            active.sync()
        ledger = cls(disk, directory, slots, recovered.frontier, active)
        ledger.sign_state(closed=False)
        return ledger

    def commit(self, lines: Sequence[bytes], day: str) -> Grown:
        """Make these lines, numbered from the tree's size, durable and signed.

        Raises:
            CheckpointInDoubt: see there; no other call but `settle` is allowed now.
            OSError: the lines are not in the log; the next commit starts from the last durable line.
        """
        self._clear_residues()
        grown = Grown.of(self.frontier, lines)
        data = b"\n".join((*lines, b""))
        block = self.slots.prepare(grown.frontier)
        self._write(data, day)
        self._pending = _Pending(block, grown, len(data))
        try:
            self.slots.write(block)
        except OSError as error:
            raise CheckpointInDoubt(error.errno, str(error)) from error
        return self._advance(self._pending)

    def settle(self) -> Grown:
        """Put the checkpoint in doubt in place through a new file. OSError: it is still in doubt."""
        if self._pending is None:
            raise ValueError("no checkpoint is in doubt")
        self.slots.renew(self._pending.block)
        return self._advance(self._pending)

    def _write(self, data: bytes, day: str) -> None:
        if self.active is None:
            self.active = ActiveSegment.create(self._disk, self._directory, self.frontier.size, day)
        try:
            self.active.write(data)
        except OSError:
            self._spoiled(self.active)
            raise

    def _spoiled(self, active: ActiveSegment) -> None:
        """Undo a failed write. After a failed sync the descriptor is worthless: the segment ends here."""
        if not active.suspect:
            try:
                active.rewind()
            except OSError:
                active.suspect = True
        if active.suspect:
            self._seal(active)

    def _seal(self, active: ActiveSegment) -> None:
        self.active = None
        active.close()
        if active.records:
            self.sealed.append(Closed(active.first, self.frontier))
        self._residues.append(active)

    def _clear_residues(self) -> None:
        """Cut off what failed commits left in sealed segments; an empty segment's name must be free again."""
        remaining = []
        for residue in self._residues:
            try:
                residue.cut()
            except OSError:
                if not residue.records:
                    raise
                remaining.append(residue)
        self._residues = remaining

    def tidy(self) -> bool:
        """Try to remove the traces of failed commits; whether there are none."""
        if self._pending is not None:
            return False
        try:
            self._clear_residues()
        except OSError:
            return False
        return not self._residues

    def _advance(self, pending: _Pending) -> Grown:
        self._pending = None
        self.frontier = pending.grown.frontier
        if self.active is not None:
            self.active.advance(pending.size_bytes, len(pending.grown.entries))
        return pending.grown

    def end_segment(self) -> Closed | None:
        """Let the next commit begin a new segment; None where the present one is empty."""
        if self.active is None or not self.active.records:
            return None
        ended, self.active = self.active, None
        ended.close()
        return Closed(ended.first, self.frontier)

    def sign_state(self, *, closed: bool) -> None:
        """Sign the present size once more, saying whether the log is closed in good order. OSError: it
        may not."""
        block = self.slots.prepare(self.frontier, closed=closed)
        try:
            self.slots.write(block)
        except OSError:
            self.slots.renew(block)

    def close(self) -> None:
        """Release the files; writes nothing."""
        if self.active is not None:
            self.active.close()
        self.slots.close()
