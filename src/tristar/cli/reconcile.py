"""Do the books balance? What a gateway has counted since its start, against what its audit log holds.

The memory's own calls for vectors have records like requests, and a counter of their own. What is in
progress is on neither side. While traffic flows the two are never read at the same moment, so
the log is read before and after the metrics: each figure must lie between the two readings.
"""

import re
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from tristar.audit.reader import Segment, Snapshot, matching
from tristar.audit.record import LIBRARY_WORKER, TERMINAL_ACTIONS
from tristar.cli.endings import Misused
from tristar.edge.request import AUDITED, UNMATCHED
from tristar.errors import AuditCorrupt
from tristar.metrics.labels import OTHER

Key = tuple[str, ...]
_Part = TypeVar("_Part")

_REFUSED: Final = "503"
_STARTED: Final = "service_started"
_BOUNDARIES: Final = frozenset((_STARTED, "service_stopped", "audit_recovered"))
_NEEDED: Final = re.compile(
    rb'"action":"(?:llm_call|request|service_started|service_stopped|audit_recovered)"'
)
_PAGE: Final = re.compile(
    r"^(?:ailinux_request_count|ailinux_llm_calls_total|ailinux_llm_tokens_total|ailinux_llm_cost_usd_total"
    r"|ailinux_memory_embedding_calls_total|ailinux_audit_lost_total|process_start_time_seconds)[{ ].*$",
    re.MULTILINE,
)
_PAGE_BYTES: Final = 64 << 20
_TIMEOUT_S: Final = 10.0
_ROUNDS: Final = 3
_SETTLE_S: Final = 0.3
_CLOCK_SLACK_S: Final = 10.0


class _Head(msgspec.Struct):
    seq: int
    timestamp: str
    action: str
    worker: str
    outcome: str | None
    status: int | None
    details: msgspec.Raw


class _Attempt(msgspec.Struct):
    model: str
    provider: str
    status: str
    tokens_input: int = 0
    tokens_output: int = 0
    cost_usd: float = 0.0


class _Details(msgspec.Struct):
    attempts: list[_Attempt] = []


_head = msgspec.json.Decoder(_Head)
_details = msgspec.json.Decoder(_Details)


def _read(decoder: msgspec.json.Decoder[_Part], raw: bytes | msgspec.Raw) -> _Part:
    try:
        return decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        start = bytes(raw)[:80]
        raise AuditCorrupt(f"a line of the log is no record of a gateway: {start!r}") from error


def nanousd(usd: float) -> int:
    """A cost in whole thousand-millionths of a dollar, as it was before it was written as a number."""
    return round(usd * 1e9)


@dataclass
class Tally:
    """The log's side: what a run of the gateway recorded. `since` is when it started, "" if that is not in
    the log."""

    since: str = ""
    last_seq: int = -1
    requests: Counter[Key] = field(default_factory=Counter)
    attempts: Counter[Key] = field(default_factory=Counter)
    tokens: Counter[Key] = field(default_factory=Counter)
    cost_nanousd: Counter[Key] = field(default_factory=Counter)
    orphans: list[_Head] = field(default_factory=list, repr=False)

    def take(self, line: bytes) -> None:
        """Enter one line. Raises AuditCorrupt."""
        head = _read(_head, line)
        if head.seq <= self.last_seq:
            return
        self.last_seq = head.seq
        if not head.worker.startswith(LIBRARY_WORKER):
            self._enter(head)

    def _enter(self, head: _Head) -> None:
        if head.action in TERMINAL_ACTIONS:
            self._count(head)
            if head.outcome == "orphaned":
                self.orphans.append(head)
        elif head.action in _BOUNDARIES:
            if head.action == _STARTED:
                self._begin(head)
            self.orphans.clear()

    def _begin(self, head: _Head) -> None:
        """A start: what follows is counted by it, and so are the orphans that it found before."""
        self.since = head.timestamp
        for counter in (self.requests, self.attempts, self.tokens, self.cost_nanousd):
            counter.clear()
        for orphan in self.orphans:
            self._count(orphan)

    def _count(self, head: _Head) -> None:
        self.requests[(str(head.status),)] += 1
        if head.action != "llm_call":
            return
        for attempt in _read(_details, head.details).attempts:
            pair = attempt.model, attempt.provider
            self.attempts[(*pair, attempt.status)] += 1
            self.tokens[(*pair, "input")] += max(0, attempt.tokens_input)
            self.tokens[(*pair, "output")] += max(0, attempt.tokens_output)
            self.cost_nanousd[(*pair, "nanousd")] += nanousd(attempt.cost_usd)


@dataclass
class Page:
    """The metrics' side: what a gateway has counted since its process started."""

    requests: Counter[Key] = field(default_factory=Counter)
    unmatched: Counter[Key] = field(default_factory=Counter)
    attempts: Counter[Key] = field(default_factory=Counter)
    tokens: Counter[Key] = field(default_factory=Counter)
    cost_nanousd: Counter[Key] = field(default_factory=Counter)
    lost: int = 0
    process_start_s: float | None = None

    def take(self, name: str, labels: dict[str, str], value: float) -> None:
        """Enter one sample."""
        pair = labels.get("model", ""), labels.get("provider", "")
        if name == "ailinux_request_count":
            self._take_requests(labels, int(value))
        elif name == "ailinux_memory_embedding_calls_total":
            self.requests[(labels.get("status", ""),)] += int(value)
        elif name == "ailinux_llm_calls_total":
            self.attempts[(*pair, labels.get("status", ""))] += int(value)
        elif name == "ailinux_llm_tokens_total":
            self.tokens[(*pair, labels.get("type", ""))] += int(value)
        elif name == "ailinux_llm_cost_usd_total":
            self.cost_nanousd[(*pair, "nanousd")] += nanousd(value)
        elif name == "ailinux_audit_lost_total":
            self.lost += int(value)
        elif name == "process_start_time_seconds":
            self.process_start_s = value

    def _take_requests(self, labels: dict[str, str], count: int) -> None:
        endpoint, status = labels.get("endpoint", ""), (labels.get("status", ""),)
        if endpoint == UNMATCHED:
            self.unmatched[status] += count
        elif any(endpoint == prefix or endpoint.startswith(f"{prefix}/") for prefix in AUDITED):
            self.requests[status] += count


@dataclass(frozen=True)
class Row:
    """One figure: what the metrics say, and the least and the most that the log allows (None: no bound)."""

    what: str
    metrics: int
    log_least: int
    log_most: int | None

    @property
    def ok(self) -> bool:
        """Whether they agree."""
        return self.log_least <= self.metrics and (self.log_most is None or self.metrics <= self.log_most)


@dataclass(frozen=True)
class Balance:
    """What was compared, since when, and what the comparison cannot see."""

    since: str
    requests: int
    attempts: int
    tokens: int
    rows: list[Row]
    notices: list[str]

    @property
    def ok(self) -> bool:
        """Whether every figure agrees."""
        return all(row.ok for row in self.rows)


def reconcile(directory: Path, url: str, wait: Callable[[float], None] = time.sleep) -> Balance:
    """Compare the metrics page at `url` with the log. Under traffic it looks up to three times.

    Raises:
        Misused: the page cannot be read, is not a gateway's, or its start is not in this log.
        AuditCorrupt: a line of the log cannot be read.
    """
    before = read_tally(directory)
    for round_number in range(1, _ROUNDS + 1):
        wait(_SETTLE_S)
        page = read_page(url)
        wait(_SETTLE_S)
        after = read_tally(directory, before)
        _check_same_run(after, page, directory, url)
        if before.since == after.since:
            balance = compare(before, after, page)
            if balance.ok or round_number == _ROUNDS:
                return balance
        before = after
    raise Misused(f"the gateway at {url} was restarted meanwhile: run this again.")


def read_tally(directory: Path, earlier: Tally | None = None) -> Tally:
    """What the newest run has recorded up to now; goes on from an earlier reading if there is one.

    Raises:
        AuditCorrupt: a line cannot be read.
    """
    segments = Snapshot.take(directory).segments
    tally = deepcopy(earlier) if earlier is not None else Tally()
    for segment in segments[_first_needed(segments, tally.last_seq) :]:
        for line in matching(segment):
            if _NEEDED.search(line):
                tally.take(line)
    return tally


def _first_needed(segments: tuple[Segment, ...], last_seq: int) -> int:
    """The segment to begin with: the one before the newest start's, for the orphans that it found."""
    if last_seq >= 0:
        begun = [at for at, segment in enumerate(segments) if segment.first_seq <= last_seq]
        return begun[-1] if begun else 0
    for at in reversed(range(len(segments))):
        if any(_is_start(line) for line in matching(segments[at], needle=b'"action":"service_started"')):
            return max(0, at - 1)
    return 0


def _is_start(line: bytes) -> bool:
    head = _read(_head, line)
    return head.action == _STARTED and not head.worker.startswith(LIBRARY_WORKER)


def read_page(url: str) -> Page:
    """The metrics at this address. Raises Misused."""
    page, text = Page(), _fetched(url)
    lines = "\n".join(_PAGE.findall(text)) + "\n"  # without TYPE lines the parser keeps names as they are
    for family in text_string_to_metric_families(lines):
        for sample in family.samples:
            page.take(sample.name, sample.labels, sample.value)
    if "ailinux_request_count" not in text:
        raise Misused(f"{url} is not the metrics page of a gateway: it has no ailinux_request_count.")
    return page


def _fetched(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise Misused(f"--reconcile = {url!r:.80}: give the address of the metrics page, with http://.")
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # nosec B310 # noqa: S310 - http and https alone
            content: bytes = answer.read(_PAGE_BYTES)
    except urllib.error.HTTPError as error:
        hint = ": on the gateway's own machine no key is needed" if error.code in {401, 403} else ""
        raise Misused(f"{url} answers {error.code}{hint}.") from error
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise Misused(f"{url} cannot be read ({reason}). Does the gateway run there?") from error
    return content.decode("utf-8", "replace")


def _check_same_run(tally: Tally, page: Page, directory: Path, url: str) -> None:
    if not tally.since:
        raise Misused(
            f"{directory}: the gateway's start is not in the log (retention deleted it, or no gateway ran "
            "here), so its counters cannot be compared."
        )
    started_s = datetime.fromisoformat(tally.since).timestamp()
    if page.process_start_s is not None and page.process_start_s > started_s + _CLOCK_SLACK_S:
        raise Misused(
            f"{url} is of a process that began after the last start in {directory} ({tally.since}): "
            "it keeps its log elsewhere. Check AUDIT_LOG_DIR and the address."
        )


def compare(before: Tally, after: Tally, page: Page) -> Balance:
    """Set the page beside two readings of the log, one from before it and one from after it."""
    rows = list(_request_rows(before, after, page))
    rows += _rows("attempts", before.attempts, after.attempts, page.attempts, page.lost)
    rows += _rows("tokens", before.tokens, after.tokens, page.tokens, page.lost)
    rows += _rows("cost", before.cost_nanousd, after.cost_nanousd, page.cost_nanousd, page.lost)
    return Balance(
        since=after.since,
        requests=page.requests.total(),
        attempts=page.attempts.total(),
        tokens=page.tokens.total(),
        rows=rows,
        notices=list(_notices(page)),
    )


def _request_rows(before: Tally, after: Tally, page: Page) -> Iterator[Row]:
    """All of them together; by status only where no record was lost, since a lost one's is not known."""
    elsewhere = page.unmatched.total()
    least, most = before.requests.total() - elsewhere, after.requests.total() + page.lost
    yield Row(f"requests under {', '.join(AUDITED)}", page.requests.total(), least, most)
    if page.lost:
        return
    refused = (_REFUSED,)
    late = max(0, page.requests[refused] + page.unmatched[refused] - before.requests[refused])
    for status in sorted((after.requests.keys() | page.requests.keys()) - {refused}):
        least = before.requests[status] - page.unmatched[status] - late
        yield Row(f"requests with status {status[0]}", page.requests[status], least, after.requests[status])


def _rows(
    what: str, before: Counter[Key], after: Counter[Key], counted: Counter[Key], lost: int
) -> Iterator[Row]:
    folded = {key[1] for key, count in counted.items() if key[0] == OTHER and count}
    low, high, metrics = (_folded(side, folded) for side in (before, after, counted))
    for key in sorted(high.keys() | metrics.keys()):
        if high[key] or metrics[key]:
            most = None if lost else high[key]
            yield Row(f"{what} {' '.join(key)}", metrics[key], low[key], most)


def _folded(side: Counter[Key], providers: set[str]) -> Counter[Key]:
    """The models of these providers as one: some of them were counted without their name."""
    sums: Counter[Key] = Counter()
    for (model, provider, kind), count in side.items():
        if OTHER in providers:
            sums[("*", "*", kind)] += count
        else:
            sums[("*" if provider in providers else model, provider, kind)] += count
    return sums


def _notices(page: Page) -> Iterator[str]:
    if elsewhere := page.unmatched.total():
        yield (
            f"{elsewhere} requests matched no route: metrics count them all, the log holds those under "
            f"{', '.join(AUDITED)}. So up to {elsewhere} records without a count would not be noticed"
        )
    if page.lost:
        yield (
            f"{page.lost} records were lost (ailinux_audit_lost_total; `tristar audit query --action "
            "audit_gap`): metrics may exceed the log by their requests, attempts, tokens and cost"
        )
