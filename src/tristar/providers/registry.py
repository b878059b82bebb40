"""The providers that are known by name: a provider is a row of data.

Base addresses are those that each provider documents for its OpenAI-compatible interface,
without the trailing `/chat/completions`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

SpokenDialect = Literal["openai"]

DIALECTS: Final[Sequence[SpokenDialect]] = ("openai",)
"""The dialects that a configured provider may name."""

DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"


@dataclass(frozen=True)
class KnownProvider:
    """One provider that its variable alone switches on.

    `variable` holds the API key; where `variable_is_address` is true it holds the server's
    address instead, no key is sent, and `base_url` is what an empty host part stands for.
    """

    name: str
    base_url: str
    variable: str
    dialect: SpokenDialect = "openai"
    variable_is_address: bool = False


KNOWN: Final[Sequence[KnownProvider]] = (
    KnownProvider("openai", DEFAULT_BASE_URL, "OPENAI_API_KEY"),
    KnownProvider("anthropic", "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
    KnownProvider("gemini", "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"),
    KnownProvider("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    KnownProvider("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    KnownProvider("cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    KnownProvider("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    KnownProvider("deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    KnownProvider("xai", "https://api.x.ai/v1", "XAI_API_KEY"),
    KnownProvider("together", "https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    KnownProvider("fireworks", "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
    KnownProvider("deepinfra", "https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY"),
    KnownProvider("ollama", "http://127.0.0.1:11434/v1", "OLLAMA_HOST", variable_is_address=True),
)


def known_provider(name: str) -> KnownProvider | None:
    """The row of that name, or None."""
    return next((row for row in KNOWN if row.name == name), None)
