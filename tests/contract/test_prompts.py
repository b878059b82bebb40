"""What the audit log keeps of prompts and answers, and that no secret reaches any file."""

import gzip
import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from tests.gateway import Gateway, document, llm, provider
from tests.gateway.fixtures import StartGateway
from tests.gateway.house import watched
from tests.gateway.records import Record
from tests.upstream import Answer, Cut, Status, ToolCall, Upstream, payload

ADMIN = {"authorization": "Bearer the-admin-key-of-these-tests"}
ENV = {"TRISTAR_ADMIN_KEY": "the-admin-key-of-these-tests"}
CREDENTIAL = "sk-canary-0123456789abcdef"
MAIL = "canary@example.org"
ASKED = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": f"My key is {CREDENTIAL}, write to {MAIL}, then tell me of stars."},
]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """One for all tests here; each uses models of its own."""
    with Upstream() as running:
        yield running


@pytest.fixture(scope="module")
def kept(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with an llm of each policy."""
    toml = document(
        provider("p", upstream.base_url),
        llm("unset", "p", retries=0),
        *(llm(policy, "p", prompts=policy, retries=0) for policy in ("none", "metadata", "redacted", "full")),
        llm("guarded", "p", prompts="full", fallbacks=["none"], retries=0),
        llm("rescued", "p", prompts="full", fallbacks=["full"], retries=0),
    )
    gateway = Gateway(tmp_path_factory.mktemp("kept"), toml=toml, env=ENV)
    with watched(gateway):
        yield gateway.start()


def recorded(gateway: Gateway, model: str, *, key: str | None = None, **body: object) -> Record:
    """The record of one chat."""
    headers = ADMIN if key is None else {"authorization": f"Bearer {key}"}
    answer = gateway.chat(model, headers=headers, **{"messages": ASKED, **body})
    return gateway.record_of(answer.headers["x-tristar-trace-id"])


def made_key(gateway: Gateway, policy: str | None) -> str:
    """A key of this policy."""
    made = gateway.request(
        "POST", "/admin/keys", headers=ADMIN, json={"name": "n", "prompt_policy": policy}
    ).json()

    assert made["prompt_policy"] == policy
    return str(made["key"])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_metadata_is_the_default_sizes_and_fingerprints_and_no_word(kept: Gateway, *, stream: bool) -> None:
    """Equal prompts have equal fingerprints; of a stream the answer's text is what counts."""
    unset, named = recorded(kept, "unset", stream=stream), recorded(kept, "metadata", stream=stream)

    for record in (unset, named):
        assert record.details.keys().isdisjoint({"prompt", "answer", "prompts"})
        assert record.details["prompt_bytes"] == len(json.dumps(ASKED, separators=(",", ":")))
        assert len(record.details["answer_hmac"]) == 64
    assert unset.details["prompt_hmac"] == named.details["prompt_hmac"]
    if stream:
        text = b"Three stars guide one ship."
        key = (kept.folder / "data" / "fingerprint.key").read_bytes()
        assert named.details["answer_bytes"] == len(text)
        assert named.details["answer_hmac"] == hmac.digest(key, text, hashlib.sha256).hex()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_none_keeps_not_even_a_size(kept: Gateway, *, stream: bool) -> None:
    """Tokens stay: the books need them."""
    details = recorded(kept, "none", stream=stream).details

    assert details["prompts"] == "none"
    assert {details[f"{part}_{what}"] for part in ("prompt", "answer") for what in ("bytes", "hmac")} == {
        None
    }
    assert details["tokens_output"] > 0


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_full_keeps_the_words_but_no_credential(kept: Gateway, *, stream: bool) -> None:
    """Whole or streamed, the answer is the message that the client got."""
    details = recorded(kept, "full", stream=stream).details

    assert details["prompt"][0] == ASKED[0]
    assert details["prompt"][1]["content"] == f"My key is [REDACTED], write to {MAIL}, then tell me of stars."
    assert details["answer"][0]["content"] == "Three stars guide one ship."
    assert details["prompt_hmac"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_redacted_keeps_the_words_without_what_identifies_a_person(kept: Gateway, *, stream: bool) -> None:
    """Mail addresses, telephone numbers and IP addresses go as credentials do."""
    details = recorded(kept, "redacted", stream=stream).details

    assert (
        details["prompt"][1]["content"] == "My key is [REDACTED], write to [REDACTED], then tell me of stars."
    )
    assert details["answer"][0]["content"] == "Three stars guide one ship."


def test_streamed_tool_calls_are_put_together(kept: Gateway, upstream: Upstream) -> None:
    """Name and arguments, as a client assembles them."""
    upstream.on("full", Answer(words=(), tools=(ToolCall("look_up", '{"star": "Vega"}'),)))
    try:
        details = recorded(kept, "full", stream=True).details
    finally:
        upstream.on("full", Answer())

    (call,) = details["answer"][0]["tool_calls"]
    assert call["function"] == {"name": "look_up", "arguments": '{"star": "Vega"}'}


def test_an_answer_cut_half_way_is_kept_as_far_as_it_was_sent(kept: Gateway, upstream: Upstream) -> None:
    """Also where no fallback can carry it on."""
    upstream.on("full", Answer(fault=Cut(after=3)))
    try:
        record = recorded(kept, "full", stream=True)
    finally:
        upstream.on("full", Answer())

    assert record["status"] == 502
    assert "Three stars guide one ship.".startswith(record.details["answer"][0]["content"])
    assert record.details["answer"][0]["content"]


def test_a_rescued_answer_is_kept_once(kept: Gateway, upstream: Upstream) -> None:
    """What the first llm said is not repeated with what the fallback said."""
    upstream.on("rescued", Answer(fault=Cut(after=3)))

    record = recorded(kept, "rescued", stream=True)

    assert record.details["answer"][0]["content"] == "Three stars guide one ship."
    assert len(record.attempts) == 2


def test_the_strictest_of_key_and_route_wins(kept: Gateway) -> None:
    """A lenient key cannot loosen an llm, nor a lenient llm a key, nor either a strict fallback."""
    full, strict, unset = made_key(kept, "full"), made_key(kept, "none"), made_key(kept, None)
    cases = {
        ("full", strict): "none",
        ("none", full): "none",
        ("redacted", full): "redacted",
        ("full", unset): "full",
        ("unset", full): "full",
        ("unset", unset): None,
        ("guarded", full): "none",
    }

    found = {case: recorded(kept, case[0], key=case[1]).details.get("prompts") for case in cases}

    assert found == cases


def test_a_long_conversation_keeps_its_newest_messages_within_the_bound(kept: Gateway) -> None:
    """The record stays a valid line of at most 64 KiB and says what it left out."""
    messages = [{"role": "user", "content": f"{at} " + "ж" * 3000} for at in range(40)]

    record = recorded(kept, "full", messages=messages)
    prompt = record.details["prompt"]

    assert prompt[-1]["content"] == messages[-1]["content"]
    assert prompt[0] == {"_truncated": len(messages) - len(prompt) + 1}
    assert max(map(len, everything_written(kept.audit_folder / "segments")[1].split(b"\n"))) <= 65_536


def test_no_canary_reaches_any_file_log_metric_or_export(gateway: StartGateway, upstream: Upstream) -> None:
    """Planted in every header, path, query, prompt, nested detail and provider's error; all policies."""
    upstream.on(
        "angry", *(Status(code, body=complaint(f"Incorrect key {CREDENTIAL}")) for code in (400, 401, 500))
    )
    upstream.on("broken", Answer(words=("Your key: ", CREDENTIAL), fault=Cut(after=4)))
    names = ("angry", "broken", "well")
    toml = document(
        provider("p", upstream.base_url, api_key_env="UPSTREAM_KEY"),
        *(llm(f"{p}-{n}", "p", model=n, prompts=p, retries=0) for p in ("metadata", "full") for n in names),
    )
    running = gateway(toml=toml, env=ENV | {"UPSTREAM_KEY": CREDENTIAL})
    plant(running, [f"{policy}-{name}" for policy in ("metadata", "full") for name in names])
    metrics = running.request("GET", "/metrics").text
    forms = ("jsonl", "ecs", "ocsf", "cef", "leef", "syslog")
    exports = [
        running.request("GET", f"/admin/audit/export?format={form}&compress=none", headers=ADMIN)
        for form in forms
    ]

    views = ("keys", "llms", "limits", "calls?limit=1000", "dependencies", "memory", "breakers", "history")
    shown = [running.request("GET", f"/admin/{view}", headers=ADMIN) for view in views]
    rotated = running.request("POST", "/admin/keys", headers=ADMIN, json={"name": "n"}).json()
    fresh = running.request("POST", f"/admin/keys/{rotated['id']}/rotate", headers=ADMIN, json={}).json()

    written = b"".join(everything_written(running.folder))
    running.stop()
    written += b"".join(everything_written(running.folder)) + running.output().encode()

    assert b"angry" in written, "the search reads what was written"
    assert b"canary" not in written
    assert "canary" not in metrics
    assert [(each.status_code, "canary" in each.text) for each in shown] == [(200, False)] * len(views)
    assert not [key for key in (rotated["key"], fresh["key"]) if key.encode() in written]
    assert [(each.status_code, b"llm_call" in each.content) for each in exports] == [(200, True)] * len(forms)
    assert not any(b"canary" in each.content for each in exports)


def complaint(message: str) -> bytes:
    """A provider's error that repeats what it should not."""
    return payload.error(message, kind="invalid_request_error", code=CREDENTIAL)


def plant(gateway: Gateway, models: list[str]) -> None:
    """Send the canary wherever a client can write."""
    nested = {"role": "tool", "content": json.dumps({"a": [{"password": "canary-nested"}]})}
    headers = ADMIN | {
        "x-session-id": CREDENTIAL,
        "cookie": f"session={CREDENTIAL}",
        "x-custom": CREDENTIAL,
        "openai-organization": CREDENTIAL,
        "user-agent": CREDENTIAL,
    }
    for model in models:
        for stream in (False, True):
            messages = [{"role": "user", "content": CREDENTIAL}, nested]
            gateway.chat(model, headers=headers, messages=messages, stream=stream)
    gateway.chat(CREDENTIAL, headers=headers)
    for path in (f"/v1/{CREDENTIAL}", f"/v1/models?key={CREDENTIAL}", f"/admin/{CREDENTIAL}"):
        gateway.request("GET", path, headers=headers)
    gateway.request("GET", "/v1/models", headers={"authorization": f"Bearer {CREDENTIAL}"})
    gateway.request("POST", "/v1/chat/completions", headers=headers, content=f'{{"model": "{CREDENTIAL}')
    gateway.request("POST", "/admin/keys", headers=headers, json={"name": "n", "scopes": [CREDENTIAL]})


def everything_written(folder: Path) -> list[bytes]:
    """The content of every file below, compressed ones unpacked; never an empty list's less than two."""
    found = [b""]
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # an incomplete tile, outgrown meanwhile
            continue
        if path.suffix == ".zst":
            content = zstandard.ZstdDecompressor().stream_reader(content).read()
        found.append(gzip.decompress(content) if path.suffix == ".gz" else content)
    return found
