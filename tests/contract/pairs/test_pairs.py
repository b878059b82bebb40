"""The official SDKs against recorded answers of each dialect: what is heard, counted and recorded is one."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import pytest
from tests.contract.pairs.answers import ANSWERS, NATIVE, PAIRS, PLAYED, REFUSALS, STATUSES, SURFACES
from tests.contract.pairs.clients import CLIENTS, Client
from tests.contract.pairs.player import Player, slug
from tests.contract.pairs.questions import QUESTIONS, Question, lacking
from tests.gateway import Gateway, Record, assert_books_balance, document, llm, provider
from tests.gateway.house import watched
from tests.gateway.toml import price

every_pair = pytest.mark.parametrize(("surface", "dialect"), PAIRS, ids=lambda name: name)
both_ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@dataclass(frozen=True)
class Stage:
    """A gateway with one upstream for each dialect, and the SDKs pointed at it."""

    gateway: Gateway
    upstreams: dict[str, Player]
    clients: dict[str, Client]


def llm_of(dialect: str, name: str) -> str:
    """The llm that plays this cassette in this dialect."""
    return f"{dialect}.{slug(name)}"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One for all pairs."""
    with ExitStack() as stack:
        upstreams = {name: stack.enter_context(Player(name)) for name in PLAYED}
        tables = []
        for name, upstream in upstreams.items():
            kind: dict[str, Any] = {"responses": True} if name == NATIVE else {"dialect": name}
            tables.append(provider(name, upstream.base_url, api_key_env="PAIRS_KEY", **kind))
            for case in [*ANSWERS, *REFUSALS, *(question.name for question in QUESTIONS)]:
                llm_id = llm_of(name, case)
                tables += [llm(llm_id, name, model=slug(case), retries=0), price(llm_id, 1.0, 2.0)]
        folder = tmp_path_factory.mktemp("pairs")
        gateway = Gateway(folder, toml=document(*tables), env={"PAIRS_KEY": "sk-canary-pairs"})
        stack.enter_context(watched(gateway))
        gateway.start()
        clients = {name: stack.enter_context(closing(make(gateway.url))) for name, make in CLIENTS.items()}
        yield Stage(gateway, upstreams, clients)
        assert_books_balance(gateway)


@every_pair
@both_ways
@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_heard_the_same_on_every_surface(
    stage: Stage, surface: str, dialect: str, name: str, *, stream: bool
) -> None:
    """Text, thoughts, tool calls, finish reason, tokens; the model is the one that the upstream names."""
    heard, model = stage.clients[surface].hear(llm_of(dialect, name), stream=stream)
    recorded = PLAYED[dialect][name]["whole"]

    assert heard == ANSWERS[name][1]
    assert model == recorded.get("model", recorded.get("modelVersion"))


@pytest.mark.parametrize("dialect", PLAYED)
@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_recorded_the_same_from_every_surface(stage: Stage, dialect: str, name: str) -> None:
    """Tokens, cost, finish reason and model; and the metrics count the same tokens."""
    llm_id = llm_of(dialect, name)
    for surface in SURFACES if dialect != NATIVE else (NATIVE,):
        for stream in (False, True):
            stage.clients[surface].hear(llm_id, stream=stream)
    records = [
        record
        for record in stage.gateway.records()
        if record.terminal and record.details.get("model_asked") == llm_id
    ]
    told = {_told(record) for record in records}
    sent, written, read, _ = ANSWERS[name][1].tokens
    scrape = stage.gateway.scrape()

    assert len(told) == 1
    assert (records[0].details["tokens_input"], records[0].details["tokens_output"]) == (sent, written)
    assert records[0].attempts[0].get("tokens_cache_read", 0) == read
    for kind, each in (("input", sent), ("output", written)):
        counted = scrape.value("ailinux_llm_tokens_total", model=slug(name), provider=dialect, type=kind)
        assert counted == each * len(records)


def _told(record: Record) -> tuple[object, ...]:
    request = ("tokens_input", "tokens_output", "tokens_source", "cost_usd", "price", "finish_reason")
    attempt = ("tokens_cache_read", "tokens_reasoning", "finish_reason", "model_answered")
    details, first = record.details, record.attempts[0]
    return tuple([details.get(name) for name in request] + [first.get(name) for name in attempt])


@every_pair
@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_the_sdks_own_error(stage: Stage, surface: str, dialect: str, name: str) -> None:
    """With the status that says what to do, in the surface's envelope; the attempt says why."""
    _, status, error_type = REFUSALS[name]
    status = STATUSES.get((dialect, name), status)
    before = len(stage.gateway.records())
    got, error = stage.clients[surface].refused(llm_of(dialect, name))
    records = [record for record in stage.gateway.records()[before:] if record.terminal]

    assert got == status
    assert error["message"]
    assert error["type"]
    assert records[-1].attempts[0]["error_type"] == error_type


@pytest.mark.parametrize(
    ("surface", "dialect", "question"),
    [(*pair, question) for question in QUESTIONS for pair in PAIRS if pair[0] in question.asked],
    ids=lambda value: value.name if isinstance(value, Question) else value,
)
def test_a_question_reaches_the_upstream_in_its_words(
    stage: Stage, surface: str, dialect: str, question: Question
) -> None:
    """Every surface's way of asking becomes the dialect's; what it has no words for is 400 that names it."""
    client, llm_id = stage.clients[surface], llm_of(dialect, question.name)
    refused = question.refusal(surface, dialect)
    if refused is not None:
        status, error = client.refused(llm_id, **question.asked[surface])

        assert status == 400
        assert refused in error["message"]
        return
    journal = stage.upstreams[dialect].journal
    client.hear(llm_id, stream=False, **question.asked[surface])

    assert lacking(question.wanted(dialect), journal.calls[-1].json) == ""
