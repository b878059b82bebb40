"""The providers that are known by name: a provider is a row of data.

Addresses are those that each provider documents, without the path of the operation. In one,
`{VARIABLE}` stands for what that variable holds and `{model}` for the model's name.
`docs/providers.md` is written from these rows.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

SpokenDialect = Literal["openai", "anthropic", "gemini"]
AuthScheme = Literal["bearer", "x-api-key", "x-goog-api-key", "api-key", "cf-aig-authorization", "query-key"]

DIALECTS: Final[Sequence[SpokenDialect]] = ("openai", "anthropic", "gemini")
"""The dialects that a configured provider may name."""

AUTH_HEADERS: Final[Mapping[AuthScheme, str]] = {
    "bearer": "Authorization: Bearer ",
    "x-api-key": "x-api-key: ",
    "x-goog-api-key": "x-goog-api-key: ",
    "api-key": "api-key: ",
    "cf-aig-authorization": "cf-aig-authorization: Bearer ",
    "query-key": "",
}
"""How a key travels: the header line before it; with `query-key` it is the parameter `key` of the address."""

DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"

_PLACE = re.compile(r"\{([A-Z][A-Z0-9_]*)\}")


@dataclass(frozen=True)
class KnownProvider:
    """One provider that its variables alone switch on.

    `variable` holds the API key, or several separated by commas; of a server of the operator's own
    (`port` is where it listens unless told otherwise) it holds the address, and `key_variable` a key
    if the server asks for one. `reference` is the provider's own description of its API.
    """

    name: str
    title: str
    base_url: str
    variable: str
    reference: str
    dialect: SpokenDialect = "openai"
    auth: AuthScheme = "bearer"
    port: int | None = None
    key_variable: str | None = None
    defaults: Sequence[tuple[str, str]] = ()
    """What a variable in `base_url` counts as while it is not set."""
    note: str = ""

    @property
    def is_server(self) -> bool:
        """Whether `variable` holds an address rather than a key."""
        return self.port is not None

    @property
    def places(self) -> Sequence[str]:
        """The variables that `base_url` names."""
        return _PLACE.findall(self.base_url)

    @property
    def needed(self) -> Sequence[str]:
        """The variables that must all be set to switch it on."""
        optional = {name for name, _ in self.defaults}
        return self.variable, *(name for name in self.places if name not in optional)


KNOWN: Final[Sequence[KnownProvider]] = (
    KnownProvider(
        "openai",
        "OpenAI",
        DEFAULT_BASE_URL,
        "OPENAI_API_KEY",
        "https://platform.openai.com/docs/api-reference",
    ),
    KnownProvider(
        "azure",
        "Azure OpenAI",
        "{AZURE_OPENAI_ENDPOINT}/openai/deployments/{model}?api-version={OPENAI_API_VERSION}",
        "AZURE_OPENAI_API_KEY",
        "https://learn.microsoft.com/azure/ai-services/openai/reference",
        auth="api-key",
        defaults=(("OPENAI_API_VERSION", "2024-10-21"),),
        note="the model is the name of the deployment",
    ),
    KnownProvider(
        "anthropic",
        "Anthropic",
        "https://api.anthropic.com/v1",
        "ANTHROPIC_API_KEY",
        "https://docs.anthropic.com/en/api",
        dialect="anthropic",
        auth="x-api-key",
    ),
    KnownProvider(
        "gemini",
        "Google Gemini",
        "https://generativelanguage.googleapis.com/v1beta",
        "GEMINI_API_KEY",
        "https://ai.google.dev/api",
        dialect="gemini",
        auth="x-goog-api-key",
        note='Google\'s OpenAI-compatible address is another: `base_url = "…/v1beta/openai"` with '
        '`dialect = "openai"` and `auth = "bearer"`',
    ),
    KnownProvider(
        "mistral", "Mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY", "https://docs.mistral.ai/api"
    ),
    KnownProvider(
        "groq",
        "Groq",
        "https://api.groq.com/openai/v1",
        "GROQ_API_KEY",
        "https://console.groq.com/docs/openai",
    ),
    KnownProvider(
        "cerebras",
        "Cerebras",
        "https://api.cerebras.ai/v1",
        "CEREBRAS_API_KEY",
        "https://inference-docs.cerebras.ai/resources/openai",
    ),
    KnownProvider(
        "openrouter",
        "OpenRouter",
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        "https://openrouter.ai/docs/api-reference/overview",
    ),
    KnownProvider(
        "github",
        "GitHub Models",
        "https://models.github.ai/inference",
        "GITHUB_MODELS_TOKEN",
        "https://docs.github.com/rest/models/inference",
        note="a token with `models: read`; `GITHUB_TOKEN` alone switches nothing on, since build machines "
        "carry one for other ends",
    ),
    KnownProvider(
        "cloudflare",
        "Cloudflare (Workers AI, AI Gateway)",
        "https://api.cloudflare.com/client/v4/accounts/{CLOUDFLARE_ACCOUNT_ID}/ai/v1",
        "CLOUDFLARE_API_TOKEN",
        "https://developers.cloudflare.com/workers-ai/configuration/open-ai-compatibility/",
        note="`@cf/…` are Workers AI's own models, `provider/model` those of others through the default "
        "gateway",
    ),
    KnownProvider(
        "cloudflare-gateway",
        "Cloudflare AI Gateway, one of several",
        "https://gateway.ai.cloudflare.com/v1/{CLOUDFLARE_ACCOUNT_ID}/{CLOUDFLARE_GATEWAY_ID}/compat",
        "CLOUDFLARE_API_TOKEN",
        "https://developers.cloudflare.com/ai-gateway/usage/chat-completion/",
        auth="cf-aig-authorization",
        note="the providers' keys are stored with the gateway, or its account pays",
    ),
    KnownProvider(
        "deepseek",
        "DeepSeek",
        "https://api.deepseek.com/v1",
        "DEEPSEEK_API_KEY",
        "https://api-docs.deepseek.com/",
    ),
    KnownProvider("xai", "xAI", "https://api.x.ai/v1", "XAI_API_KEY", "https://docs.x.ai/docs/api-reference"),
    KnownProvider(
        "together",
        "Together AI",
        "https://api.together.xyz/v1",
        "TOGETHER_API_KEY",
        "https://docs.together.ai/docs/openai-api-compatibility",
    ),
    KnownProvider(
        "fireworks",
        "Fireworks AI",
        "https://api.fireworks.ai/inference/v1",
        "FIREWORKS_API_KEY",
        "https://docs.fireworks.ai/tools-sdks/openai-compatibility",
    ),
    KnownProvider(
        "deepinfra",
        "DeepInfra",
        "https://api.deepinfra.com/v1/openai",
        "DEEPINFRA_API_KEY",
        "https://deepinfra.com/docs/openai_api",
    ),
    KnownProvider(
        "huggingface",
        "Hugging Face",
        "https://router.huggingface.co/v1",
        "HF_TOKEN",
        "https://huggingface.co/docs/inference-providers",
        note="a token that may call Inference Providers",
    ),
    KnownProvider(
        "ollama",
        "Ollama",
        "http://127.0.0.1:11434/v1",
        "OLLAMA_HOST",
        "https://docs.ollama.com/api/openai-compatibility",
        port=11434,
    ),
    KnownProvider(
        "vllm",
        "vLLM",
        "http://127.0.0.1:8000/v1",
        "VLLM_HOST",
        "https://docs.vllm.ai/en/latest/serving/openai_compatible_server/",
        port=8000,
        key_variable="VLLM_API_KEY",
    ),
    KnownProvider(
        "llamacpp",
        "llama.cpp",
        "http://127.0.0.1:8080/v1",
        "LLAMACPP_HOST",
        "https://github.com/ggml-org/llama.cpp/tree/master/tools/server",
        port=8080,
        key_variable="LLAMA_API_KEY",
    ),
    KnownProvider(
        "lmstudio",
        "LM Studio",
        "http://127.0.0.1:1234/v1",
        "LMSTUDIO_HOST",
        "https://lmstudio.ai/docs/developer/openai-compat",
        port=1234,
    ),
)

PROVIDER_VARIABLES: Final[frozenset[str]] = frozenset(
    name for row in KNOWN for name in (row.variable, row.key_variable, *row.places) if name is not None
)
"""Every variable that a row reads."""


def known_provider(name: str) -> KnownProvider | None:
    """The row of that name, or None."""
    return next((row for row in KNOWN if row.name == name), None)
