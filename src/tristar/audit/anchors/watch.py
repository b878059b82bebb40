"""One anchor at work: at every interval, the newest checkpoint of a log that has grown."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from tristar.audit.anchors.anchor import Anchor, Checkpoint
from tristar.audit.anchors.opening import ANCHORS, open_anchor
from tristar.audit.anchors.options import AnchorOptions
from tristar.audit.checkpoint import CHECKPOINT
from tristar.audit.disk import Disk
from tristar.audit.sinks.pump import Random, Told
from tristar.audit.sinks.receiver import SinkDown
from tristar.clock import Clock

_log = logging.getLogger(__name__)

_LOOK_S: Final = 1.0
_BACKOFF_FIRST_S: Final = 2.0
_BACKOFF_LAST_S: Final = 300.0
_TROUBLE_AT: Final = 2
_REASON_CHARS: Final = 300


class Anchored(msgspec.Struct, frozen=True, kw_only=True):
    """What was anchored last: how many records, and when (seconds since the epoch)."""

    size: int
    at_s: float


@dataclass(frozen=True, slots=True)
class AnchorReading:
    """An anchor at this moment. `overdue_s` is how much later than its interval it is: 0 when it is not, or
    when the log has not grown. `reason` says why it is degraded, "" when it is not."""

    size: int
    overdue_s: float
    reason: str = ""


class AnchorWatch:
    """Anchors one log with one anchor, on a thread of its own; `reading` may be asked from any thread."""

    def __init__(
        self,
        options: AnchorOptions,
        directory: Path,
        *,
        clock: Clock,
        random: Random,
        told: Told,
        opener: Callable[[AnchorOptions, Path], Anchor] = open_anchor,
        disk: Disk | None = None,
        look_s: float = _LOOK_S,
    ) -> None:
        self.options = options
        self._directory = directory
        self._path = directory / ANCHORS / f"{options.name}.json"
        self._clock = clock
        self._random = random
        self._told = told
        self._opener = opener
        self._disk = disk or Disk()
        self._look_s = look_s
        self._last = self._load()
        self._seen = self._last.size
        self._due_s = clock.monotonic() + self._left_s()
        self._not_before_s = float("-inf")
        self._failures_in_row = 0
        self._reason = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"audit-anchor-{options.name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def halt(self) -> None:
        """Begin no further anchoring."""
        self._stop.set()

    def join(self, within_s: float) -> None:
        """Wait for the one under way, so long at the most."""
        self._thread.join(within_s)

    def reading(self) -> AnchorReading:
        """The state at this moment; never blocks."""
        overdue_s = self._clock.monotonic() - self._due_s if self._seen != self._last.size else 0.0
        return AnchorReading(self._last.size, max(0.0, overdue_s), self._reason)

    def look(self) -> None:
        """Anchor now if it is time to; never raises."""
        try:
            checkpoint = self._published()
            if checkpoint is not None and self._is_time(checkpoint):
                self._put(checkpoint)
        except (SinkDown, OSError) as error:
            self._failed(str(error))
        except Exception as error:  # noqa: BLE001 - the loop's last resort: one odd answer must not end an anchor
            _log.exception("audit anchor %s failed, will be tried again", self.options.name)
            self._failed(f"{type(error).__name__}: {error}")

    def _run(self) -> None:
        while not self._stop.is_set():
            self.look()
            self._stop.wait(self._look_s)

    def _published(self) -> Checkpoint | None:
        """The newest checkpoint that others may see; None where there is none yet, or of no record."""
        try:
            checkpoint = Checkpoint.parse((self._directory / CHECKPOINT).read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise SinkDown(f"{CHECKPOINT} cannot be read: {error}") from error
        if not checkpoint.size:
            return None
        self._seen = checkpoint.size
        return checkpoint

    def _is_time(self, checkpoint: Checkpoint) -> bool:
        now_s = self._clock.monotonic()
        return checkpoint.size != self._last.size and now_s >= max(self._due_s, self._not_before_s)

    def _put(self, checkpoint: Checkpoint) -> None:
        self._opener(self.options, self._directory).put(checkpoint)
        self._last = Anchored(size=checkpoint.size, at_s=self._clock.time())
        self._due_s = self._clock.monotonic() + self.options.interval_s
        self._failures_in_row = 0
        self._show("")
        self._disk.make_directory(self._path.parent)
        self._disk.install(self._path, msgspec.json.encode(self._last) + b"\n")

    def _failed(self, reason: str) -> None:
        self._failures_in_row += 1
        ceiling_s = min(_BACKOFF_LAST_S, _BACKOFF_FIRST_S * 2 ** min(self._failures_in_row - 1, 10))
        self._not_before_s = self._clock.monotonic() + self._random.uniform(0.0, ceiling_s)
        if self._failures_in_row >= _TROUBLE_AT:
            self._show(reason[:_REASON_CHARS])

    def _show(self, reason: str) -> None:
        changed = bool(reason) != bool(self._reason)
        self._reason = reason
        if changed:
            self._told(self.options.name, reason)

    def _load(self) -> Anchored:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Anchored)
        except (OSError, msgspec.DecodeError):
            return Anchored(size=-1, at_s=0.0)  # what was anchored already is anchored once more

    def _left_s(self) -> float:
        """What is left of the interval since the last anchoring; at most all of it, whatever clocks say."""
        since_s = self._clock.time() - self._last.at_s
        return min(self.options.interval_s, max(0.0, self.options.interval_s - since_s))
