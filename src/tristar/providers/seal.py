"""The signatures of tool calls on surfaces that keep signatures with thoughts: with those before the call.

So a client that sends a model's thoughts back, as tools with thinking models demand, brings it back, too.
"""

import msgspec

from tristar.providers.neutral import Part, Thinking, ToolUse

OURS = "tristar-"
"""What stands before every signature that is no provider's own."""

CALL = f"{OURS}call:"
"""What stands before the signature of a call: no provider takes it for one of thoughts."""


def sealed(parts: list[Part]) -> list[Part]:
    """Each signed call with its signature at the thoughts before it."""
    told: list[Part] = []
    for part in parts:
        if isinstance(part, ToolUse) and part.signature is not None:
            last = told[-1] if told else None
            text = ""
            if isinstance(last, Thinking) and last.signature is None and last.redacted is None:
                text = last.text
                told.pop()
            told.append(Thinking(text, CALL + part.signature))
        told.append(part)
    return told


def unsealed(parts: list[Part]) -> list[Part]:
    """What `sealed` had: each signature at the call behind it."""
    told: list[Part] = []
    signature: str | None = None
    for part in parts:
        if isinstance(part, Thinking) and (part.signature or "").startswith(CALL):
            signature = (part.signature or "").removeprefix(CALL)
            if part.text:
                told.append(Thinking(part.text))
        elif isinstance(part, ToolUse) and signature is not None:
            told.append(msgspec.structs.replace(part, signature=signature))
            signature = None
        else:
            told.append(part)
    return told
