"""The dialects that are there, by name."""

from collections.abc import Mapping
from typing import Final

from tristar.providers.anthropic.dialect import AnthropicDialect
from tristar.providers.dialect import Dialect
from tristar.providers.gemini.dialect import GeminiDialect
from tristar.providers.openai.dialect import OpenAIDialect

OPENAI: Final = OpenAIDialect()

DIALECTS: Final[Mapping[str, Dialect]] = {
    "openai": OPENAI,
    "anthropic": AnthropicDialect(),
    "gemini": GeminiDialect(),
    "echo": OPENAI,  # the built-in llm speaks as OpenAI does
}
"""What a provider's `dialect` stands for."""
