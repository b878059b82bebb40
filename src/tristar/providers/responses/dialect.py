"""Upstreams that have `/v1/responses` themselves: a response goes through as it came."""

from tristar.providers.dialect import ProviderError
from tristar.providers.neutral import Completion
from tristar.providers.openai.dialect import OpenAIDialect
from tristar.providers.responses import answering, errors
from tristar.providers.responses.streaming import EventReader


class ResponsesDialect(OpenAIDialect):
    """See `Dialect`: OpenAI's, but for what comes back; spoken for calls of the surface `responses` alone."""

    name = errors.FORMAT

    def read_completion(self, body: bytes) -> Completion:
        """See `Dialect.read_completion`."""
        return answering.read_completion(body)

    def reader(self) -> EventReader:  # type: ignore[override]  # both are `StreamReader`s
        """See `Dialect.reader`."""
        return EventReader()

    def read_error(self, body: bytes) -> ProviderError:
        """See `Dialect.read_error`."""
        return errors.read_error(body)
