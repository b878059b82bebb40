"""`"memory": {…}` in a chat: what is known goes along, and the client is told what."""

import pytest
from tests.faults.verdicts import BOTH_WAYS
from tests.gateway.fixtures import StartGateway
from tests.gateway.house import House, Lane
from tests.gateway.view import look
from tests.upstream import Upstream

QUESTION = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Where does zanzibar live?"}]},
]


def remember(house: House, content: str, project: str) -> str:
    """A new entry; its id."""
    made = house.gateway.request("POST", "/v1/memory", json={"content": content, "project": project})
    entry_id: str = made.json()["id"]
    return entry_id


@BOTH_WAYS
def test_the_best_entries_go_along_as_a_system_message(house: House, lane: Lane, *, stream: bool) -> None:
    """Behind the client's own system message; named in the answer's header and in the record."""
    entry_id = remember(house, "Zanzibar lives in rack 7", lane.llm)
    view = look(
        house.gateway, lane.llm, stream=stream, messages=QUESTION, memory={"project": lane.llm, "limit": 3}
    )
    sent = lane.calls()[0].json
    record = house.gateway.record_of(view.headers["x-tristar-trace-id"])

    assert view.status == 200
    assert view.headers["x-tristar-memory"] == entry_id
    assert "memory" not in sent
    assert [message["role"] for message in sent["messages"]] == ["system", "system", "user"]
    assert sent["messages"][1]["content"].endswith("Zanzibar lives in rack 7")
    assert record["details"]["memory"] == entry_id


def test_nothing_found_adds_nothing(house: House, lane: Lane) -> None:
    """The header is there and empty; the messages are the client's."""
    view = look(house.gateway, lane.llm, messages=QUESTION, memory={"project": "empty"})

    assert (view.status, view.headers["x-tristar-memory"]) == (200, "")
    assert lane.calls()[0].json["messages"] == QUESTION


@pytest.mark.parametrize(
    "memory", [7, {"limit": 0}, {"limit": "3"}, {"max_tokens": 10**6}, {"mood": 1}, {"type": "dream"}]
)
def test_a_malformed_wish_is_refused(house: House, lane: Lane, memory: object) -> None:
    """400 that names the field; nothing is sent upstream."""
    answer = house.gateway.chat(lane.llm, memory=memory)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith("memory")
    assert lane.calls() == []


def test_each_reading_is_recorded_and_counted(house: House, lane: Lane) -> None:
    """By id and hash; the question and the content are not in the log."""
    before = house.gateway.scrape().value("ailinux_memory_operations_total", operation="recall")
    entry_id = remember(house, "Zanzibar has a canary-content", lane.llm)
    view = look(house.gateway, lane.llm, messages=QUESTION, memory={"project": lane.llm})
    read = [
        each
        for each in house.gateway.records()
        if each["action"] == "memory_read" and each["trace_id"] == view.headers["x-tristar-trace-id"]
    ]

    assert [each["details"]["ids"] for each in read] == [[entry_id]]
    assert "canary-content" not in str(read)
    assert house.gateway.scrape().value("ailinux_memory_operations_total", operation="recall") == before + 1


def test_a_key_without_the_scope_is_refused(gateway: StartGateway, upstream: Upstream) -> None:
    """403 before anything is sent upstream."""
    admin = {"authorization": "Bearer the-admin-key-of-recall"}
    running = gateway(
        env={"TRISTAR_ADMIN_KEY": "the-admin-key-of-recall"},
        toml=f'[providers.up]\nbase_url = "{upstream.base_url}"\n[llms.fast]\nprovider = "up"\n',
    )
    made = running.request("POST", "/admin/keys", json={"name": "n", "scopes": ["chat"]}, headers=admin)
    answer = running.chat(
        "fast", headers={"authorization": f"Bearer {made.json()['key']}"}, memory={"limit": 1}
    )

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "insufficient_scope")
    assert upstream.journal.calls == []
