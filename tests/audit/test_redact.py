"""Secrets are recognised by name and by shape, and what is no secret stays."""

import string
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.audit.specimens import exchange, line, scribe

from tristar.audit import redact
from tristar.audit.redact import MARK, names_secret, number, text

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA75cANARY\nabc\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
SHAPES = {
    "openai": "sk-proj-CANARY0123456789abcdef",
    "short sk": "sk-1234",
    "tristar": "tsk_CANARYabcdef0123456789",
    "groq": "gsk_CANARYabcdef0123456789",
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "aws session": "ASIAIOSFODNN7EXAMPLE",
    "google": "AIzaSyCANARYabcdefghijklmnopqrstuvwxy",
    "github": "ghp_CANARYabcdefghijklmnopqrstuvwxyz01",
    "github fine": "github_pat_CANARYabcdefghijklmnop",
    "slack": "xoxb-CANARY-0123456789",
    "gitlab": "glpat-CANARYabcdefghij",
    "xai": "xai-CANARYabcdefghijkl",
    "hugging face": "hf_CANARYabcdefghijklmnop",
    "jwt": JWT,
    "pem": PEM,
    "visa": "4111111111111111",
    "visa in groups": "4111 1111 1111 1111",
    "amex": "378282246310005",
    "mastercard 2": "2223003122003222",
    "iban": "DE89370400440532013000",
    "iban in groups": "GB29 NWBK 6016 1331 9268 19",
    "iban with letters": "MT84MALT011000012345MTLCAST001S",
}
ASSIGNED = [
    "password=hunter2CANARY",
    "PASSWORD: hunter2CANARY",
    "db_password = 'hunter2CANARY'",
    '{"api_key": "hunter2CANARY"}',
    "api-key=hunter2CANARY&x=1",
    "Authorization: Bearer hunter2CANARY",
    "authorization: Basic aHVudGVyMkNBTkFSWQ==hunter2CANARY",
    "[(b'authorization', b'Bearer hunter2CANARY')]",
    "Cookie: session=hunter2CANARY; other=hunter2CANARY",
    "bearer hunter2CANARYhunter2",
    "postgres://user:hunter2CANARY@host/db",
    "redis://:hunter2CANARY@host:6379/0",
    "https://api.example/v1?key=hunter2CANARY&alt=sse",
    "client_secret=hunter2CANARY",
    "access_token: hunter2CANARY",
    "User(name='a', password='hunter2CANARY')",
]
HARMLESS = [
    "/v1/chat/completions",
    "gpt-4o-mini-2024-07-18",
    "claude-3-5-sonnet-20241022",
    "max_tokens: 4096, tokens_input: 12",
    "the task-list has asked for risk-averse desk-work",
    "0af7651916cd43dd8448eb211c80319c",
    "2025-06-15T15:06:40.500000Z",
    "1750000000000",
    "1750000000123456789",
    "4111111111111112",
    "+49 30 1234567",
    "192.0.2.7 2001:db8::1",
    "http://localhost:9100/metrics",
    "DE89370400440532013001",
    "a basic understanding of token counts; the key is under the mat",
    "550e8400-e29b-41d4-a716-446655440000",
    "😀 naïve „quoted“",
    "sha256:5d8f6cce532a7aeb57196be62344095936793400b3aeb3580d248b17d5518a86",
    "mem_5d8f6cce532a7aeb57196be623440959",
]


@pytest.mark.parametrize("secret", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("frame", ["{}", "it is {} here", "({})", "x={}, y", "\n{}\n", "'{}'"])
def test_secret_is_recognised_by_its_shape(secret: str, frame: str) -> None:
    """Whatever stands around it."""
    shown = text(frame.format(secret))

    assert MARK in shown
    assert secret not in shown
    assert "CANARY" not in shown


@pytest.mark.parametrize("assigned", ASSIGNED)
def test_secret_is_recognised_by_what_it_is_assigned_to(assigned: str) -> None:
    """A value behind a telling name goes, whatever it looks like."""
    shown = text(assigned)

    assert MARK in shown
    assert "hunter2CANARY" not in shown


@pytest.mark.parametrize("harmless", HARMLESS)
def test_what_is_no_secret_stays(harmless: str) -> None:
    """Models, paths, ids, counts, times and prose are left alone."""
    assert text(harmless) == harmless


@pytest.mark.parametrize(
    "name",
    [
        "api_key",
        "API-Key",
        "apiKey",
        "x-api-key",
        "Authorization",
        "password",
        "passwd",
        "token",
        "access_token",
        "secret",
        "client_secret",
        "Cookie",
        "Set-Cookie",
        "private_key",
        "openai_api_key",
        "DB_PASSWORD",
        "pin",
    ],
)
def test_name_of_a_secret(name: str) -> None:
    """Whatever the spelling."""
    assert names_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "max_tokens",
        "tokens_input",
        "tokens_output",
        "token_count",
        "first_token_ms",
        "key_id",
        "author",
        "session_id",
        "prompt_hmac",
        "secretary",
        "keyboard",
        "cookie_policy",
        "",
    ],
)
def test_name_of_no_secret(name: str) -> None:
    """Counts, ids and words that merely contain one."""
    assert not names_secret(name)


def test_numbers_are_looked_at_too() -> None:
    """A card number is one also when it is no text."""
    assert number(4_111_111_111_111_111) == MARK
    assert number(1_750_000_000_000) == 1_750_000_000_000
    assert number(-4_111_111_111_111_111) == -4_111_111_111_111_111


@given(st.text(string.printable + "äß😀", max_size=300))
def test_redacting_twice_is_redacting_once(value: str) -> None:
    """What was redacted is not taken for a secret again."""
    once = text(value)

    assert text(once) == once


@given(
    st.sampled_from(["sk-", "tsk_", "gsk_", "xai-abcdef"]),
    st.text(string.ascii_letters + string.digits, min_size=20, max_size=60),
    st.text(string.ascii_letters + " .,;:/()", max_size=40),
)
def test_no_key_survives_between_words(prefix: str, body: str, words: str) -> None:
    """Any key of a known prefix, after any words."""
    assume(body not in words)

    assert body not in text(f"{words} {prefix}{body} {words}")


@given(st.from_regex(r"[3-6][0-9]{11,17}", fullmatch=True), st.sampled_from(["", " ", "-"]))
def test_every_number_with_a_valid_check_digit_goes(stem: str, separator: str) -> None:
    """Luhn computed here independently, digit by digit from the right."""
    doubled = [int(d) * (2 if i % 2 == 0 else 1) for i, d in enumerate(reversed(stem))]
    check = -sum(d - 9 if d > 9 else d for d in doubled) % 10
    card = separator.join([(stem + str(check))[i : i + 4] for i in range(0, len(stem) + 1, 4)])

    assert text(f"card {card}.") == f"card {MARK}."


@pytest.mark.parametrize(
    "evil",
    [
        "eyJ" * 40_000,
        "sk-" * 40_000,
        "a:" * 60_000,
        "://" * 40_000,
        "4 1" * 40_000,
        "DE89 " * 24_000,
        "-----BEGIN " * 11_000,
        "password" * 15_000,
        "authorization: " * 8_000,
        "cookie=" * 17_000,
        "bearer " * 17_000,
        "1a" * 60_000,
        "key=&" * 24_000,
    ],
    ids=lambda evil: evil[:12],
)
def test_redaction_takes_linear_time(evil: str) -> None:
    """No text of 120,000 characters can stall the gateway."""
    began = time.process_time()

    text(evil)

    assert time.process_time() - began < 1.0


def test_no_canary_reaches_a_record() -> None:
    """Headers, nested details, errors, texts cut in the middle of a secret: none of it is in the line."""
    secrets = list(SHAPES.values())
    details = {
        "headers": [(b"authorization", b"Bearer hunter2CANARY"), ("x-api-key", "hunter2CANARY")],
        "nested": {"deep": [{"password": "hunter2CANARY", "list": secrets, "token": ["hunter2CANARY"]}]},
        "error": RuntimeError("401 for key sk-hunter2CANARY", {"api_key": "hunter2CANARY"}),
        "sk-hunter2CANARY": 1,
        "cut": "x" * 9_995 + " sk-hunter2CANARY" + "y" * 100_000,
        "card": 4_111_111_111_111_111,
    }

    written = line(
        scribe().event("x", "/?api_key=hunter2CANARY", details=details, user_id="sk-hunter2CANARY")
    )

    assert b"CANARY" not in written
    assert [secret for secret in secrets if secret.encode() in written] == []
    assert b"4111111111111111" not in written


def test_no_canary_of_a_request_reaches_its_record() -> None:
    """A key sent in place of a model, a path with a key, an upstream that echoes one."""
    told = exchange(
        model_asked="sk-hunter2CANARY",
        resource="/v1/chat?key=hunter2CANARY",
        prompt=b"sk-hunter2CANARY",
        finish_reason="Bearer hunter2CANARY1",
    )
    told.attempts[0].model_answered = "sk-hunter2CANARY"

    assert b"CANARY" not in line(scribe().from_exchange(told))


@pytest.mark.parametrize(
    "value",
    [
        "anna.b+x@mail.example.org",
        "192.0.2.7",
        "2001:db8:0:0:1:0:0:1",
        "+4915112345679",
        "+49 151 1234-5679",
        "030 / 123 45 67",
        "(030) 1234567",
    ],
)
def test_personal_also_takes_what_identifies_a_person(value: str) -> None:
    """Mail addresses, IP addresses, telephone numbers; the words around them stay."""
    assert redact.personal(f"tell {value}, please") == f"tell {redact.MARK}, please"
    assert redact.text(f"tell {value}, please") == f"tell {value}, please"


@pytest.mark.parametrize(
    "value",
    ["version 1.2.3", "at 12:30:15", "2026-01-31", "10 of 12", "a@b", "0.5 + 0.25", "x = 1000000", "1,024.5"],
)
def test_personal_leaves_plain_numbers_alone(value: str) -> None:
    """Times, versions, dates and sums are no telephone numbers."""
    assert redact.personal(value) == value
