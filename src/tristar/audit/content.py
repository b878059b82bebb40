"""The words of a request, for the llms and keys whose policy keeps them.

Every text passes `redact` here as everything else does: credentials are in no record, whatever the policy.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import msgspec

from tristar.audit import plain, redact
from tristar.exchange import WORDS_KEPT, Exchange

PROMPT_CHARS = 12_000
ANSWER_CHARS = 12_000
"""No record holds more of either; what was left out is marked."""


class Fingerprint:
    """HMAC-SHA256 (RFC 2104) with both pads hashed beforehand: half the cost of `hmac.digest`."""

    def __init__(self, key: bytes) -> None:
        block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def __call__(self, content: bytes | None) -> tuple[int | None, str | None]:
        """The content's size and fingerprint."""
        if content is None:
            return None, None
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(content)
        outer.update(inner.digest())
        return len(content), outer.hexdigest()


def words(exchange: Exchange) -> dict[str, object]:
    """`prompts` (the policy), `prompt` and `answer` of a closed exchange; empty where none are kept.

    Both are lists of messages as clients know them; of a long prompt the newest ones. Never raises for what
    a client or an upstream sent.
    """
    policy = exchange.prompt_policy
    if policy == "metadata":
        return {}
    kept: dict[str, object] = {"prompts": policy}
    if policy not in WORDS_KEPT:
        return kept
    clean = redact.personal if policy == "redacted" else redact.text
    if exchange.prompt is not None:
        kept["prompt"] = plain.newest(_listed(exchange.prompt), PROMPT_CHARS, clean)
    answer = _streamed(exchange) if exchange.streamed else _whole(exchange.answer)
    if answer:
        kept["answer"] = plain.newest(answer, ANSWER_CHARS, clean)
    return kept


def _listed(raw: bytes) -> Sequence[object]:
    decoded = _decoded(raw)
    return decoded if isinstance(decoded, list) else [decoded]


def _decoded(raw: bytes) -> Any:  # noqa: ANN401 - a JSON value, or the text that is none
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return raw.decode(errors="backslashreplace")


def _whole(body: bytes | None) -> Sequence[object]:
    """The messages in a whole answer; an answer of another shape as it is."""
    if body is None:
        return ()
    answer = _decoded(body)
    if not isinstance(answer, dict):
        return [answer]
    if answer.get("type") == "message":  # Anthropic's: it is one
        return [{"role": answer.get("role"), "content": answer.get("content")}]
    choices = answer.get("choices")
    if not isinstance(choices, list):
        return [answer]
    return [choice.get("message", choice) if isinstance(choice, dict) else choice for choice in choices]


def _streamed(exchange: Exchange) -> Sequence[object]:
    """The message that a stream's chunks make, as far as the client has it."""
    if exchange.answer is None and not exchange.answer_calls:
        return ()
    message: dict[str, object] = {
        "role": "assistant",
        "content": (exchange.answer or b"").decode(errors="backslashreplace"),
    }
    if exchange.answer_calls:
        message["tool_calls"] = _joined(exchange.answer_calls)
    return [message]


def _joined(pieces: Sequence[bytes]) -> list[dict[str, object]]:
    """Tool calls from their pieces: names as they came first, arguments put together."""
    calls: dict[object, dict[str, str]] = {}
    for piece in pieces:
        for part in _parts(piece):
            function = part.get("function")
            function = function if isinstance(function, dict) else {}
            call = calls.setdefault(json.dumps(part.get("index")), {"name": "", "arguments": ""})
            call["name"] = call["name"] or str(function.get("name") or "")
            call["arguments"] += str(function.get("arguments") or "")
    return [{"type": "function", "function": call} for call in calls.values()]


def _parts(piece: bytes) -> list[dict[str, Any]]:
    decoded = _decoded(piece)
    return [part for part in decoded if isinstance(part, dict)] if isinstance(decoded, list) else []
