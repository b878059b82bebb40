"""Each row of the table of faults, on every surface: four views of one request.

The client's answer, the upstreams' own journals, the metrics and the audit record are compared with
what `rows` says. All cases run at once against one gateway, each with llms of its own: their waits
overlap. What one test asserts is one case.
"""

import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from tests.faults.rows import ALL_SURFACES, CASES, Attempt, Case
from tests.gateway import Gateway, Record, Scrape, assert_books_balance, document, llm, provider
from tests.gateway.house import watched
from tests.gateway.view import PRESENT, View, look, request_bytes
from tests.upstream import Answer, Authority, Call, ClosedPort, Upstream

from tristar.providers.registry import DIALECTS

TIMES = {"timeout_s": 2.5, "first_token_timeout_s": 2.0, "idle_timeout_s": 2.0}
PATIENT = dict.fromkeys(TIMES, 60.0)
"""Where the client leaves: on a busy machine it must be faster than the llm's time."""
AT_ONCE = 24


@dataclass(frozen=True)
class Story:
    """What became of all cases: the answers by llm_id, and what was written down."""

    views: dict[str, View]
    primary: Upstream
    spare: Upstream
    records: dict[str, Record]
    scrape: Scrape

    def calls(self, case: Case) -> list[Call]:
        """What reached the primary."""
        return self.primary.journal.of(case.model)


@pytest.fixture(autouse=True)
def surface() -> None:
    """Each case has a surface of its own."""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """All cases, told by a gateway with two workers."""
    folder = tmp_path_factory.mktemp("rows")
    (folder / "stranger").mkdir()
    authority, stranger = Authority(folder), Authority(folder / "stranger")
    with ExitStack() as stack:
        primary, spare = (stack.enter_context(Upstream()) for _ in range(2))
        false = stack.enter_context(Upstream(tls=stranger.server()))
        urls = {
            "primary": primary.base_url,
            "spare": spare.base_url,
            "refused": stack.enter_context(ClosedPort()).base_url,
            "no-such-host": "http://no-such-host.invalid/v1",
            "false-identity": false.base_url,
        }
        tables = [provider(name, url) for name, url in urls.items()]
        for name, url in urls.items():
            tables += [provider(f"{name}-{dialect}", url, dialect=dialect) for dialect in DIALECTS[1:]]
            tables.append(provider(f"{name}-responses", url, responses=True))
        for case in CASES:
            fallbacks = [] if case.row.alone else [case.spare]
            times = TIMES if case.row.leaves_after is None else PATIENT
            tables.append(
                llm(
                    case.model,
                    case.at(case.row.provider),
                    model=case.model,
                    fallbacks=fallbacks,
                    stream_guarantee="whole" if case.row.held else "live",
                    **times,
                )
            )
            prefill = case.row.prefill
            tables.append(llm(case.spare, case.at("spare"), model=case.model, prefill=prefill, **TIMES))
            primary.on(case.model, *case.row.steps)
            spare.on(case.model, case.row.spare_step)
        gateway = Gateway(
            folder / "gateway",
            toml=document(*tables),
            env={"SSL_CERT_FILE": str(authority.ca_file)},
            workers=2,
        )
        stack.enter_context(watched(gateway))
        gateway.start()
        with ThreadPoolExecutor(AT_ONCE) as clients:
            views = list(clients.map(lambda case: play(gateway, primary, case), CASES))
        assert_books_balance(gateway)
        records = {
            str(record.details["model_asked"]): record for record in gateway.records() if record.terminal
        }
        told = {case.model: view for case, view in zip(CASES, views, strict=True)}
        yield Story(told, primary, spare, records, gateway.scrape())


def play(gateway: Gateway, primary: Upstream, case: Case) -> View:
    """Ask as the case says, and stay or leave."""
    token = PRESENT.set(ALL_SURFACES[case.surface])
    try:
        if case.row.leaves_after is not None:
            return leave(gateway, primary, case, case.row.leaves_after)
        patience_s = case.row.patience_s
        headers = {} if patience_s is None else {"x-request-timeout": str(patience_s)}
        return look(gateway, case.model, stream=case.streamed, headers=headers)
    finally:
        PRESENT.reset(token)


def leave(gateway: Gateway, primary: Upstream, case: Case, events: int) -> View:
    """Ask, and vanish once the upstream has sent so many events."""

    def reached() -> bool:
        calls = primary.journal.of(case.model)
        return bool(calls) and calls[0].events_sent >= events

    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as sock:
        sock.sendall(request_bytes(case.model, stream=case.streamed))
        primary.journal.wait(reached, 20.0)
    primary.journal.wait(lambda: primary.journal.of(case.model)[0].ended, 20.0)
    return View(status=499)


every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.model)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.row.leaves_after is None], ids=lambda case: case.model
)
def test_what_the_client_sees(story: Story, case: Case) -> None:
    """A whole answer of the right llm, or an error that says why; never half an answer that looks whole."""
    row, view = case.row, story.views[case.model]
    if row.by == "nobody":
        assert not view.complete
        assert view.status == row.status
        assert view.error is not None
        assert case.says in view.error["message"]
        assert b"canar" not in view.body
        assert not view.done
        assert bool(view.text) is row.partial
        assert not view.cut, "the connection ends in order"
        return
    assert view.complete
    assert view.done is case.streamed
    assert view.model == case.model
    assert view.llm == (case.spare if row.by == "spare" and not row.rescued else case.model)
    if case.surface == "embeddings":
        assert len(view.vectors) == 2
    elif row.prefill:
        sent = view.text.removesuffix(row.spare_step.text)
        assert sent
        assert Answer().text.startswith(sent)
        assert sent.encode() in story.spare.journal.of(case.model)[0].body
    elif not row.malformed:
        assert view.text == (row.spare_step.text if row.held else Answer().text)
    if not row.rescued:  # its headers left before
        assert int(view.headers["x-tristar-attempts"]) >= len(row.met)


@every_case
def test_what_the_upstreams_see(story: Story, case: Case) -> None:
    """One call for each attempt, none more; a call that is given up is cancelled."""
    row, calls = case.row, story.calls(case)
    record = story.records[case.model]
    spares = story.spare.journal.of(case.model)

    assert len(calls) == (len(attempts_at(record, case.at("primary"))) if row.provider == "primary" else 0)
    assert len(spares) == len(row.spared)
    assert all(call.streamed is case.streamed for call in [*calls, *spares])
    if calls:
        assert calls[-1].cancelled is row.hung_up


@every_case
def test_what_the_metrics_count(story: Story, case: Case) -> None:
    """Every attempt by how it ended and why, its latency where it is to count, and its tokens."""
    record = story.records[case.model]
    calls, errors = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    for attempt in record.attempts:
        calls[attempt["provider"], attempt["status"]] += 1
        if attempt.get("error_type"):
            errors[attempt["provider"], attempt["error_type"]] += 1
    timed = sum(count for (_, status), count in calls.items() if status in {"success", "timeout"})
    labels = {"model": case.model}

    assert by(story.scrape, "ailinux_llm_calls_total", case.model, "status") == calls
    assert by(story.scrape, "ailinux_llm_errors_total", case.model, "error_type") == errors
    assert story.scrape.value("ailinux_llm_latency_seconds_count", **labels) == timed
    for kind in ("input", "output"):
        counted = story.scrape.value("ailinux_llm_tokens_total", type=kind, **labels)
        assert counted == record.details.get(f"tokens_{kind}", 0)


@every_case
def test_what_the_record_says(story: Story, case: Case) -> None:
    """How the request came out, and how each attempt did; what gave no output cost nothing."""
    row, record = case.row, story.records[case.model]
    status = row.counted or row.status

    assert record.action == "llm_call"
    assert record["resource"] == ALL_SURFACES[case.surface].path
    assert record["status"] == status
    assert record["outcome"] == outcome_of(status)
    assert ended(record, case.at(row.provider)) in (
        [*row.met],
        [one for one in row.met if one != ("error", "connect")],
    )
    assert ended(record, case.at("spare")) == [*row.spared]
    assert sum(attempt.get("malformed_chunks", 0) for attempt in record.attempts) == row.malformed
    for attempt in record.attempts:
        spent = attempt.get("tokens_input", 0) + attempt.get("tokens_output", 0)
        has_output = attempt["status"] == OK_STATUS or attempt.get("first_token_ms") is not None
        assert bool(spent) is has_output, attempt
    if row.by != "nobody" and not (row.rescued or row.held):
        tokens_in, tokens_out = Answer().usage
        spent_by_all = record.details["tokens_input"], record.details["tokens_output"]
        assert spent_by_all == (tokens_in, 0 if case.surface == "embeddings" else tokens_out)


def test_every_request_is_counted_once_under_its_end(story: Story) -> None:
    """On its own endpoint, with the status that it ended with."""
    expected = Counter(
        (ALL_SURFACES[case.surface].path, str(case.row.counted or case.row.status)) for case in CASES
    )
    counted = story.scrape.by("ailinux_request_count", "endpoint", "status")

    assert {key: count for key, count in counted.items() if key[0].startswith("/v1")} == expected


OK_STATUS = "success"


def outcome_of(status: int) -> str:
    """What a request that ended with this status is recorded as."""
    if status == 499:
        return "cancelled"
    if status < 400:
        return "success"
    return "refused" if status < 500 else "error"


def attempts_at(record: Record, name: str) -> list[dict[str, object]]:
    """The attempts at one provider."""
    return [attempt for attempt in record.attempts if attempt["provider"] == name]


def ended(record: Record, name: str) -> list[Attempt]:
    """How the attempts at a provider ended; a kept connection that had closed is not the upstream's fault."""
    return [
        (str(attempt["status"]), attempt.get("error_type"))  # type: ignore[misc]  # text, or absent
        for attempt in attempts_at(record, name)
        if attempt.get("error_type") != "stale_connection"
    ]


def by(scrape: Scrape, name: str, model: str, label: str) -> Counter[tuple[str, ...]]:
    """The samples of one model by provider and `label`, zeros left out."""
    found: Counter[tuple[str, ...]] = Counter()
    for labels, value in scrape.series(name, model=model).items():
        known = dict(labels)
        found[known["provider"], known[label]] += int(value)
    return +found
