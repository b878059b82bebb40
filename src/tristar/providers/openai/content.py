"""The content of a message: text, or with some providers (Mistral) parts of text and of thought."""

import msgspec


class Said(msgspec.Struct):
    """One part; a thought has parts of its own."""

    type: str = ""
    text: str = ""
    thinking: "list[Said]" = []


class _Google(msgspec.Struct):
    thought_signature: str | None = None


class Extra(msgspec.Struct):
    """What Google's compatibility layer adds to a tool call."""

    google: _Google | None = None


def signature_of(extra: Extra | None) -> str | None:
    """What Google wants back with the call."""
    return extra.google.thought_signature if extra is not None and extra.google is not None else None


Content = str | list[Said] | None


def text_of(content: Content) -> str:
    """What is said."""
    if isinstance(content, list):
        return "".join(part.text for part in content if part.type == "text")
    return content or ""


def thoughts_of(content: Content) -> str:
    """What is thought."""
    if not isinstance(content, list):
        return ""
    return "".join(text_of(part.thinking) for part in content if part.type == "thinking")
