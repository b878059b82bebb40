"""What an operator chooses about the log on disk, and what the writer says about itself."""

from dataclasses import dataclass

from tristar.errors import StartRefused


class WriterBusy(StartRefused):
    """Another process (or another part of this one) holds the directory; nothing was written.

    Operator action: stop that process, or ask it to hand over (`tristar.audit.access.handover`).
    """


@dataclass(frozen=True, slots=True)
class WriterOptions:
    """Sizes in bytes, times in seconds; the defaults are those of the environment variables.

    After a batch of at least `crowd` records the next one begins no sooner than `linger_s` after it, since
    each batch costs the same whatever it holds; with `crowd` 1 records linger wherever another came shortly
    before, which is for callers that do not wait for them. Of larger batches each record adds
    `linger_per_record_s` to that time, up to `longest_linger_s`: the more callers there are, the less it is
    beside what they wait for each other. While the disk fails, waiting records are given up
    after `give_up_s`.
    """

    max_segment_bytes: int = 100 * 1024 * 1024
    retention_days: float = 30
    total_bytes: int | None = None
    capacity: int = 65_536
    max_batch_bytes: int = 1 << 20
    linger_s: float = 0.001
    linger_per_record_s: float = 0.000125
    longest_linger_s: float = 0.004
    crowd: int = 4
    give_up_s: float = 2.0
    publish_s: float = 1.0
    reserve_bytes: int = 4 << 20
    compress_level: int = 3

    def pause_after_s(self, count: int) -> float:
        """How long after a batch of so many records began the next one may begin, seconds."""
        if count < self.crowd:
            return 0.0
        return max(self.linger_s, min(count * self.linger_per_record_s, self.longest_linger_s))


@dataclass(frozen=True, slots=True)
class WriterHealth:
    """The writer's state at this moment.

    `ok` is false while records cannot be made durable; `reason` then says why and what to do, and is empty
    otherwise. `queued` counts records not yet durable, `durable_seq` is the newest durable record (-1: none),
    `oldest_queued_s` how long the oldest of the queued has waited. `used_bytes` of `limit_bytes` (None: no
    limit) is the directory's size. `warning` names what will become a failure if nothing is done.
    """

    ok: bool
    reason: str
    queued: int
    durable_seq: int
    oldest_queued_s: float
    used_bytes: int = 0
    limit_bytes: int | None = None
    warning: str = ""
