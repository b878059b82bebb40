"""Records that try the formats: every kind of action, and text made of structure."""

from tests.audit.specimens import attempt, exchange, line, scribe

from tristar.audit.draft import Draft
from tristar.audit.formats.fields import Fields
from tristar.audit.record import ACTIONS

AWKWARD = (
    "a|b",
    "a=b",
    "a\\b",
    "a]b",
    'a"b',
    "a\nb",
    "a\r\nb",
    "a\tb",
    "naïve 😀 日本語",
    "\\n",
    "\\\\|==]]",
    " x=1 y=2 ",
    "ends with \\",
    "\x00\x1f\x7f",
    "CEF:0|a|b|",
    "{^}",
    "\u2028\u2029\x85\x0b\x0c",
)


def fields(draft: Draft, seq: int = 7) -> Fields:
    """The draft as the formats receive it."""
    return Fields.of(line(draft, seq).removesuffix(b"\n"))


def awkward(text: str) -> Fields:
    """A record whose every free text is the one given."""
    return fields(
        scribe().event(
            text, text, "WARNING", {"key": text, text: 1}, user_id=text, session_id=text, trace_id=text
        )
    )


def every_kind() -> dict[str, Fields]:
    """One record for each action, outcome and oddity that a log can hold."""
    kinds = {
        action: fields(scribe().event(action, "/r", "INFO", {"key_id": "k1"}, user_id="anna"))
        for action in sorted(ACTIONS)
    }
    calls = {
        "success": exchange(),
        "refused": exchange(
            status=429, outcome="refused", attempts=[], rejected_by="limit", rejected_scope="key"
        ),
        "cancelled": exchange(status=499, outcome="cancelled", actor=None, ip_address=None, session_id="s"),
        "get": exchange(action="request", method="GET", resource="/v1/models", attempts=[]),
        "odd method": exchange(action="request", method="BREW"),
        "ipv6": exchange(ip_address="2001:db8::1"),
        "socket": exchange(ip_address="unix:"),
        "two attempts": exchange(attempts=[attempt(status="timeout", error_type="timeout"), attempt()]),
    }
    kinds |= {name: fields(scribe().from_exchange(told)) for name, told in calls.items()}
    kinds["library"] = fields(scribe().event("order placed!", "", "SECURITY", {"deep": {"x": [1, None]}}))
    kinds["orphaned"] = fields(scribe().event("llm_call", "/v1/chat", "ERROR", outcome="orphaned"))
    kinds["foreign"] = Fields.of(b'{"timestamp":1,"seq":"x","details":7,"status":"bad","log_level":"LOUD"}')
    kinds["empty"] = Fields.of(b"{}")
    return kinds
