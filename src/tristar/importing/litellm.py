"""LiteLLM's `config.yaml` as a `tristar.toml`.

Its format is documented at https://docs.litellm.ai/docs/proxy/configs: `model_list` with
`litellm_params`, `litellm_settings`, `router_settings`, `general_settings`, and values that name a
variable as `os.environ/NAME`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tristar.importing.draft import Draft, Table, unread
from tristar.providers.registry import known_provider

Config = Mapping[str, Any]

REFERENCE: Final = "os.environ/"
PREFIXES: Final[Mapping[str, str]] = {
    **{name: name for name in ("openai", "azure", "anthropic", "gemini", "mistral", "groq", "cerebras")},
    **{
        name: name
        for name in ("openrouter", "github", "deepseek", "xai", "deepinfra", "huggingface", "ollama")
    },
    "ollama_chat": "ollama",
    "hosted_vllm": "vllm",
    "vllm": "vllm",
    "lm_studio": "lmstudio",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
    "azure_ai": "azure",
    "text-completion-openai": "openai",
    "custom_openai": "openai",
}
"""What LiteLLM writes before a model's name, and our name of that provider."""
STRATEGIES: Final[Mapping[str, str]] = {
    "simple-shuffle": "weighted",
    "least-busy": "least_busy",
    "latency-based-routing": "lowest_latency",
}
NO_KEYS: Final = frozenset({"", "none", "dummy", "fake-key", "anything", "not-needed"})
"""What people write where a server of their own wants no key."""
AZURE_VERSION: Final = "2024-10-21"

_GUESSES: Final = (
    ("claude-", "anthropic"),
    ("gpt-", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("text-embedding-", "openai"),
)
_NUMBERS: Final[Mapping[str, str]] = {
    "rpm": "requests_per_minute",
    "tpm": "tokens_per_minute",
    "max_parallel_requests": "max_concurrent",
    "num_retries": "retries",
    "max_retries": "retries",
    "timeout": "timeout_s",
    "stream_timeout": "first_token_timeout_s",
}
_READ: Final = ("model", "api_key", "api_base", "base_url", "api_version", "weight", "custom_llm_provider")
_COSTS: Final[Mapping[str, str]] = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
}
_TOLD: Final = ("id", "mode", "max_tokens", "max_output_tokens", "description", "db_model")
"""Of `model_info`: what describes a model and configures nothing."""


@dataclass
class _Deployment:
    """One entry of `model_list`."""

    name: str
    params: Config
    info: Config
    llm_id: str = ""


@dataclass
class _Reading:
    draft: Draft
    environ: Mapping[str, str]
    providers: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """Our provider's name by what it is, where it is and whose key it takes."""
    groups: dict[str, list[_Deployment]] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    """Keys that stand in the file itself, and the variables that are to hold them."""


def convert(config: Config, environ: Mapping[str, str]) -> Draft:
    """What the configuration says, as far as it has a place here. No key's value is in the result.

    `environ` is asked for addresses that the configuration takes from variables; keys stay where they are.
    """
    reading = _Reading(Draft(), environ)
    settings = _section(config, "litellm_settings") | _section(config, "router_settings")
    deployments = defaultdict(list)
    for number, entry in enumerate(config.get("model_list") or ()):
        found = _deployment(reading, number, entry)
        if found is not None:
            deployments[found.name].append(found)
    reading.groups = dict(deployments)
    for name, group in reading.groups.items():
        _write_group(reading, name, group, settings)
    _write_fallbacks(reading, settings)
    _write_aliases(reading, settings)
    _tell_settings(reading, config)
    return reading.draft


def _section(config: Config, name: str) -> dict[str, Any]:
    found = config.get(name)
    return dict(found) if isinstance(found, Mapping) else {}


def _deployment(reading: _Reading, number: int, entry: object) -> _Deployment | None:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("litellm_params"), Mapping):
        reading.draft.leave_out(f"model_list[{number}]", "has no litellm_params")
        return None
    params, info = entry["litellm_params"], entry.get("model_info") or {}
    name = str(entry.get("model_name") or params.get("model"))
    if "*" in name:
        reading.draft.remind(
            f"{name}: every model works as provider/model, unnamed, once its provider's variable is set."
        )
        return None
    return _Deployment(name, params, info)


def _write_group(reading: _Reading, name: str, group: list[_Deployment], settings: Config) -> None:
    written = []
    for number, deployment in enumerate(group, 1):
        deployment.llm_id = name if len(group) == 1 else f"{name}-{number}"
        if _write_llm(reading, deployment, settings):
            written.append(deployment)
    group[:] = written
    if len(written) > 1:
        pool = reading.draft.table("llms", name)
        pool["pool"] = [each.llm_id for each in written]
        pool["choose"] = _choice(reading, settings)
        weights = [float(each.params.get("weight") or each.params.get("rpm") or 0) for each in written]
        if all(weights) and pool["choose"] == "weighted":
            pool["weights"] = weights


def _choice(reading: _Reading, settings: Config) -> str:
    asked = str(settings.get("routing_strategy", "simple-shuffle"))
    if asked not in STRATEGIES:
        why = "is not one of ours; pools choose by weight (docs/routing.md)"
        reading.draft.leave_out(f"router_settings.routing_strategy = {asked}", why)
    return STRATEGIES.get(asked, "weighted")


def _write_llm(reading: _Reading, deployment: _Deployment, settings: Config) -> bool:
    """False if nobody can say which provider serves it."""
    params, place = deployment.params, f"model_list {deployment.name}"
    prefix, model = _split(params)
    if prefix is None:
        why = "its provider is not one that TriStar knows by name, and it has no api_base"
        reading.draft.leave_out(f"{place}: model = {params.get('model')}", why)
        return False
    provider = _provider(reading, prefix, params, place)
    if provider is None:
        return False
    table = reading.draft.table("llms", deployment.llm_id)
    table |= {"provider": provider, "model": model}
    _write_numbers(table, params, settings)
    _write_prices(reading.draft, deployment)
    _write_breaker(reading.draft, deployment.llm_id, settings)
    if "max_input_tokens" in deployment.info:
        table["context_tokens"] = int(deployment.info["max_input_tokens"])
    for key in unread(params, *_READ, *_NUMBERS, *_COSTS):
        reading.draft.leave_out(f"{place}: litellm_params.{key}", "clients send it in the request")
    for key in unread(deployment.info, *_TOLD, *_COSTS, "max_input_tokens"):
        if not key.startswith("supports_"):
            reading.draft.leave_out(f"{place}: model_info.{key}", "has no counterpart")
    return True


def _split(params: Config) -> tuple[str | None, str]:
    """Our provider's name, and the model's at it."""
    given = str(params.get("model") or "")
    prefix, slash, model = given.partition("/")
    named = params.get("custom_llm_provider")
    if named in PREFIXES:
        return PREFIXES[str(named)], given.removeprefix(f"{named}/")
    if slash and prefix in PREFIXES:
        return PREFIXES[prefix], model
    guessed = next((ours for start, ours in _GUESSES if given.startswith(start)), None)
    if guessed is None and (params.get("api_base") or params.get("base_url")):
        return "openai", given
    return guessed, given


def _provider(reading: _Reading, kind: str, params: Config, place: str) -> str | None:
    """The name of the `[providers]` table that this deployment uses, made on first use."""
    base = _address(reading, params, place)
    if base is None:
        return None
    key = params.get("api_key")
    variable = _variable(reading, kind, key, base)
    known = reading.providers.get((kind, base, variable))
    if known is not None:
        return known
    taken = sum(each[0] == kind for each in reading.providers)
    name = kind if not taken else f"{kind}-{taken + 1}"
    reading.providers[(kind, base, variable)] = name
    table = reading.draft.table("providers", name)
    row = known_provider(kind)
    if kind == "azure":
        version = params.get("api_version") or AZURE_VERSION
        table["base_url"] = f"{base.rstrip('/')}/openai/deployments/{{model}}?api-version={version}"
        table["auth"] = "api-key"
    elif base or (name != kind and row is not None) or (row is not None and row.is_server):
        table["base_url"] = base or (row.base_url if row else "")
    if variable:
        table["api_key_env"] = variable
    return name


def _address(reading: _Reading, params: Config, place: str) -> str | None:
    """The deployment's own address, empty for the provider's usual one; None if it cannot be known."""
    given = str(params.get("api_base") or params.get("base_url") or "")
    if not given.startswith(REFERENCE):
        return given
    variable = given.removeprefix(REFERENCE)
    if variable not in reading.environ:
        why = f"its address is in {variable}, which is not set here: set it and import again"
        reading.draft.leave_out(f"{place}: api_base", why)
        return None
    return reading.environ[variable]


def _variable(reading: _Reading, kind: str, key: object, base: str) -> str:
    """The variable that holds the key; empty where none is sent."""
    row = known_provider(kind)
    if isinstance(key, str) and key.startswith(REFERENCE):
        return key.removeprefix(REFERENCE)
    usual = "" if row is None or row.is_server or base else row.variable
    if key is None or str(key).lower() in NO_KEYS:
        return usual if key is None else ""
    secret = str(key)
    if secret not in reading.secrets:
        number = len(reading.secrets) + 1
        stem = usual or f"{kind.upper()}_API_KEY"
        variable = stem if stem not in reading.secrets.values() else f"{stem}_{number}"
        reading.secrets[secret] = variable
        reading.draft.remind(f"A key of {kind} is in LiteLLM's file itself: put it into {variable} (.env).")
    return reading.secrets[secret]


def _write_numbers(table: Table, params: Config, settings: Config) -> None:
    common = {
        "retries": settings.get("num_retries"),
        "timeout_s": settings.get("timeout") or settings.get("request_timeout"),
    }
    for name, value in common.items():
        if value is not None:
            table[name] = _number(value)
    for theirs, ours in _NUMBERS.items():
        if params.get(theirs) is not None:
            table[ours] = _number(params[theirs])


def _number(value: object) -> int | float:
    number = float(str(value))
    return int(number) if number.is_integer() else number


def _write_prices(draft: Draft, deployment: _Deployment) -> None:
    costs = {**deployment.info, **deployment.params}
    found = {
        ours: float(costs[theirs]) * 1e6 for theirs, ours in _COSTS.items() if costs.get(theirs) is not None
    }
    if {"input", "output"} <= found.keys():
        draft.table("llms", deployment.llm_id, "price_usd_per_mtok").update(found)
    elif found:
        draft.leave_out(f"model_list {deployment.name}: its price", "names only one of input and output")


def _write_breaker(draft: Draft, llm_id: str, settings: Config) -> None:
    if settings.get("allowed_fails") is not None:
        draft.table("llms", llm_id, "breaker")["failures"] = int(settings["allowed_fails"]) + 1
    if settings.get("cooldown_time") is not None:
        breaker = draft.table("llms", llm_id, "breaker")
        breaker["cooldown_s"] = _number(settings["cooldown_time"])
        breaker["max_cooldown_s"] = max(600, _number(settings["cooldown_time"]))


def _write_fallbacks(reading: _Reading, settings: Config) -> None:
    wanted: defaultdict[str, list[str]] = defaultdict(list)
    for key in ("fallbacks", "context_window_fallbacks"):
        for entry in settings.get(key) or ():
            for name, others in entry.items() if isinstance(entry, Mapping) else ():
                wanted[str(name)] += [str(each) for each in others]
    everywhere = [str(each) for each in settings.get("default_fallbacks") or ()]
    for name in reading.groups:
        wanted[name] += [each for each in everywhere if each != name]
    for name, others in wanted.items():
        if name not in reading.groups:
            reading.draft.leave_out(f"fallbacks of {name}", "no llm has that name")
        elif reading.groups[name]:
            _write_route(reading, name, list(dict.fromkeys(others)))


def _write_route(reading: _Reading, name: str, others: Sequence[str]) -> None:
    for other in others:
        if not reading.groups.get(other):
            reading.draft.leave_out(f"fallback {name} -> {other}", "no llm of that name was carried over")
    route = [other for other in others if reading.groups.get(other) and other != name]
    if route:
        reading.draft.table("llms", name)["fallbacks"] = route


def _write_aliases(reading: _Reading, settings: Config) -> None:
    for alias, target in (settings.get("model_group_alias") or {}).items():
        name = target.get("model") if isinstance(target, Mapping) else target
        group = reading.groups.get(str(name))
        if not group:
            reading.draft.leave_out(f"model_group_alias.{alias}", f"{name} was not carried over")
            continue
        table = reading.draft.table("llms", str(alias))
        table["pool"] = [each.llm_id for each in group]
        fallbacks = reading.draft.table("llms", str(name)).get("fallbacks")
        if isinstance(fallbacks, list):
            table["fallbacks"] = fallbacks


_SETTINGS: Final = (
    "num_retries", "timeout", "request_timeout", "allowed_fails", "cooldown_time", "fallbacks",
    "context_window_fallbacks", "default_fallbacks", "model_group_alias", "routing_strategy",
    "redis_host", "redis_port", "redis_password", "redis_url", "set_verbose", "drop_params",
)  # fmt: skip
_WHY: Final[Mapping[str, str]] = {
    "content_policy_fallbacks": "a refusal of content goes to the client, never to another llm",
    "cache": "answers are not cached",
    "cache_params": "answers are not cached",
    "callbacks": "metrics, audit sinks and traces take their place",
    "success_callback": "metrics, audit sinks and traces take its place",
    "failure_callback": "metrics, audit sinks and traces take its place",
}


def _tell_settings(reading: _Reading, config: Config) -> None:
    draft = reading.draft
    for section in ("litellm_settings", "router_settings"):
        table = _section(config, section)
        for key in unread(table, *_SETTINGS):
            draft.leave_out(f"{section}.{key}", _WHY.get(key, "has no counterpart"))
        if any(key.startswith("redis_") for key in table):
            draft.remind(
                "Limits and breakers over several hosts: set REDIS_URL (redis://:PASSWORD@HOST:PORT)."
            )
    general = _section(config, "general_settings")
    if "master_key" in general:
        draft.remind("The master key: set TRISTAR_ADMIN_KEY, 16 characters or more.")
    if "database_url" in general:
        draft.remind(
            "The database: set DATABASE_URL to a database of its own; make keys anew (tristar keys create)."
        )
    for key in unread(general, "master_key", "database_url"):
        draft.leave_out(f"general_settings.{key}", "has no counterpart")
    if variables := _section(config, "environment_variables"):
        draft.remind(f"Put these into .env: {', '.join(sorted(variables))}.")
    known = ("model_list", "litellm_settings", "router_settings", "general_settings", "environment_variables")
    for key in unread(config, *known):
        draft.leave_out(key, "is not a section that can be carried over")
