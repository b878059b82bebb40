"""In which language a call goes to an llm."""

from typing import Final

from tristar.providers.dialect import Dialect
from tristar.providers.dialects import DIALECTS
from tristar.providers.responses.dialect import ResponsesDialect
from tristar.providers.responses.errors import FORMAT
from tristar.providers.surface import Call
from tristar.routing.catalog import Llm

RESPONSES: Final = ResponsesDialect()


def dialect_for(llm: Llm, call: Call) -> Dialect:
    """Its provider's, but for a response where the provider has responses itself."""
    if llm.provider.responses and call.route == FORMAT:
        return RESPONSES
    return DIALECTS[llm.provider.dialect]
