"""The llms and providers of the configuration file and of the environment, as one catalogue."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from tristar.providers.registry import DEFAULT_BASE_URL, KNOWN, KnownProvider, known_provider
from tristar.routing.catalog import ApiKey, BreakerPolicy, Catalog, Llm, Pool, Provider
from tristar.routing.price import Price, price_of
from tristar.settings import texts
from tristar.settings.document import read_table, table_at
from tristar.settings.faults import Faults, hidden, key_path, shown, suggestion
from tristar.settings.kinds import Rejected
from tristar.settings.llmtable import BREAKER, LLM, PRICE, PROVIDER
from tristar.settings.model import PriceTable
from tristar.settings.pools import check_name, check_pools, is_pool, read_pools

ECHO: Final = Llm(
    llm_id="echo",
    provider=Provider(name="echo", dialect="echo", base_url="builtin:echo"),
    model="echo",
)
"""The built-in llm that answers by repeating the question, while no provider is configured."""

PRICE_TABLE: Final = "price_usd_per_mtok"

_PROVIDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def read_catalog(document: Mapping[str, Any], variables: Mapping[str, str], faults: Faults) -> Catalog:
    """The catalogue that `document` and `variables` describe; `echo` alone where they name no provider."""
    configured = _read_providers(document, variables, faults)
    opened = _open_providers(configured, variables, faults)
    tables = table_at(document, "llms", (), faults)
    pools = read_pools(tables, faults)
    llms = _read_llms(tables, {**opened, **configured}, faults)
    check_pools(pools, llms, opened, faults)
    _check_fallbacks({**llms, **pools}, opened, faults)
    _check_objectives(llms, faults)
    if not configured and not opened:
        return Catalog([ECHO])
    if not llms and not opened and not tables:
        faults.add("llms", "", "names no llm, so nothing could answer", "Add [llms.NAME] with its provider.")
    return Catalog(llms.values(), opened.values(), pools.values())


def _read_providers(
    document: Mapping[str, Any], variables: Mapping[str, str], faults: Faults
) -> dict[str, Provider]:
    providers: dict[str, Provider] = {}
    tables = table_at(document, "providers", (), faults)
    for name in tables:
        at = ("providers", name)
        if not _PROVIDER_NAME.fullmatch(name):
            allowed = "1 to 64 letters, digits, dots, dashes or underscores"
            faults.add(key_path(*at), "", f"is not a usable name: must be {allowed}", "Rename it.")
        values = read_table(table_at(tables, name, at[:1], faults), PROVIDER, at, faults)
        values["keys"] = _named_keys(values.get("keys", ()), at, variables, faults)
        known = known_provider(name)
        if known is not None:
            values.setdefault("dialect", known.dialect)
            values.setdefault("auth", known.auth)
            if "base_url" not in values:
                values["base_url"] = _known_address(known, at, variables, faults)
        usual = known_provider(values.get("dialect", "openai"))  # each dialect is named for whose it is
        if usual is not None:
            values = {"auth": usual.auth, "base_url": usual.base_url, **values}
        _check_address(values, at, faults)
        if values.get("responses") and values.get("dialect", "openai") != "openai":
            problem = f"is for the dialect openai, not {values['dialect']}"
            faults.add(key_path(*at, "responses"), "true", problem, "Remove it: responses are translated.")
        providers[name] = Provider(name=name, **{"dialect": "openai", "base_url": DEFAULT_BASE_URL, **values})
    return providers


def _check_address(values: Mapping[str, Any], at: tuple[str, str], faults: Faults) -> None:
    """Google has two addresses, and each speaks its own dialect."""
    compatible = urlsplit(values.get("base_url", "")).path.endswith("/openai")
    if compatible and values.get("dialect") == "gemini":
        problem = "is Google's OpenAI-compatible address, and the dialect is gemini"
        fix = 'Set dialect = "openai" and auth = "bearer", or leave base_url out.'
        faults.add(key_path(*at, "base_url"), "", problem, fix)


def _known_address(
    known: KnownProvider, at: tuple[str, str], variables: Mapping[str, str], faults: Faults
) -> str:
    """The address of a provider that the file names without one."""
    for name in known.needed:
        if name in known.places and name not in variables:
            problem = f"is missing, and {name} is not set, of which the address of {known.title} is made"
            faults.add(key_path(*at, "base_url"), "", problem, f"Set {name}, or write base_url.")
            return DEFAULT_BASE_URL
    return _address_of(known, variables, faults) or DEFAULT_BASE_URL


def _address_of(known: KnownProvider, variables: Mapping[str, str], faults: Faults) -> str | None:
    """The address of a row, with what the variables hold in its places; None after noting a fault."""
    address = known.base_url
    for name in known.places:
        text = variables.get(name, dict(known.defaults).get(name, "")).strip()
        try:
            address = address.replace(f"{{{name}}}", texts.place(text))
        except Rejected as reason:
            faults.add(
                name, shown(text), str(reason), f"Correct it; it is a part of the address of {known.title}."
            )
            return None
    try:
        return texts.base_url(address)
    except Rejected as reason:
        faults.add(known.variable, "", f"switches on an address that {reason}", f"Correct {known.places[0]}.")
        return None


def _named_keys(
    named: Sequence[str], at: tuple[str, str], variables: Mapping[str, str], faults: Faults
) -> tuple[ApiKey, ...]:
    """The keys in these variables. What does not look like a name may be the key itself: it is not shown."""
    found: list[ApiKey] = []
    for variable in named:
        text = variables.get(variable)
        if text is not None:
            found += _keys_in(variable, text, faults)
            continue
        shape = variable if variable.isupper() else hidden(variable)
        wanted = variable if variable.isupper() else "that variable"
        problem = "names a variable that is not set"
        fix = f"Set {wanted}, or remove api_key_env where no key is needed."
        faults.add(key_path(*at, "api_key_env"), shape, problem, fix)
    return _different(found)


def _keys_in(variable: str, text: str, faults: Faults) -> list[ApiKey]:
    """The keys that a variable holds: one, or several separated by commas."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    for part in parts:
        try:
            texts.API_KEY.from_text(part)
        except Rejected as reason:
            fix = f"Set {variable} to the key alone, or to several keys separated by commas."
            faults.add(variable, hidden(text), str(reason), fix)
            return []
    if len(parts) == 1:
        return [ApiKey(parts[0], variable)]
    return [ApiKey(part, f"{variable} (key {number})") for number, part in enumerate(parts, 1)]


def _different(keys: Sequence[ApiKey]) -> tuple[ApiKey, ...]:
    """Each key once: the same one twice would not help when it is refused."""
    return tuple({key.secret: key for key in reversed(keys)}.values())[::-1]


def _open_providers(
    configured: Mapping[str, Provider], variables: Mapping[str, str], faults: Faults
) -> dict[str, Provider]:
    """The providers that their variables switch on; a table of that name in the file describes it."""
    opened: dict[str, Provider] = {}
    for known in KNOWN:
        if not all(name in variables for name in known.needed):
            continue
        provider = configured.get(known.name) or _from_variables(known, variables, faults)
        if provider is not None:
            opened[known.name] = provider
    return opened


def _from_variables(known: KnownProvider, variables: Mapping[str, str], faults: Faults) -> Provider | None:
    text = variables[known.variable].strip()
    if known.port is None:
        address = _address_of(known, variables, faults)
        keys = _keys_in(known.variable, text, faults)
    else:
        address = _server_address(known, text, known.port, faults)
        variable = known.key_variable or ""
        keys = _keys_in(variable, variables.get(variable, ""), faults)
    if address is None:
        return None
    return Provider(known.name, known.dialect, address, _different(keys), known.auth)


def _server_address(known: KnownProvider, text: str, port: int, faults: Faults) -> str | None:
    try:
        return texts.server_url(text, port)
    except Rejected as reason:
        fix = f"Set {known.variable} to {texts.SERVER_ADDRESS}, or remove it."
        faults.add(known.variable, shown(text), str(reason), fix)
        return None


def _read_llms(
    tables: Mapping[str, Any], providers: Mapping[str, Provider], faults: Faults
) -> dict[str, Llm]:
    llms: dict[str, Llm] = {}
    for llm_id in tables:
        check_name(llm_id, faults)
        if is_pool(tables[llm_id]):
            continue
        llm = _read_llm(llm_id, table_at(tables, llm_id, ("llms",), faults), providers, faults)
        if llm is not None:
            llms[llm_id] = llm
    return llms


def _read_llm(
    llm_id: str, table: Mapping[str, Any], providers: Mapping[str, Provider], faults: Faults
) -> Llm | None:
    at = ("llms", llm_id)
    values = read_table(table, LLM, at, faults, tables=("breaker", PRICE_TABLE))
    breaker = _read_breaker(table, at, faults)
    price = _read_price(table, at, faults)
    provider = _provider_for(values.pop("provider", None), table, at, providers, faults)
    values.setdefault("model", llm_id)
    if provider is None:
        return None
    return Llm(llm_id=llm_id, provider=provider, breaker=breaker, price=price, **values)


def _read_price(table: Mapping[str, Any], at: tuple[str, str], faults: Faults) -> Price | None:
    """The llm's own price; None where the table names none."""
    if PRICE_TABLE not in table:
        return None
    here = (*at, PRICE_TABLE)
    named = table_at(table, PRICE_TABLE, at, faults)
    told = PriceTable(**read_table(named, PRICE, here, faults))
    for name in ("input", "output"):
        if name not in named:
            faults.add(key_path(*here, name), "", "is missing", "A price names both input and output.")
    if told.input is None or told.output is None:
        return None
    return price_of(told.input, told.output, told.cache_read, told.cache_write)


def _read_breaker(table: Mapping[str, Any], at: tuple[str, str], faults: Faults) -> BreakerPolicy:
    here = (*at, "breaker")
    policy = BreakerPolicy(**read_table(table_at(table, "breaker", at, faults), BREAKER, here, faults))
    if policy.max_cooldown_s < policy.cooldown_s:
        key = key_path(*here, "max_cooldown_s")
        problem = f"is less than cooldown_s = {policy.cooldown_s:g}"
        faults.add(key, f"{policy.max_cooldown_s:g}", problem, f"Set it to {policy.cooldown_s:g} or more.")
    return policy


def _provider_for(
    name: str | None,
    table: Mapping[str, Any],
    at: tuple[str, str],
    providers: Mapping[str, Provider],
    faults: Faults,
) -> Provider | None:
    key = key_path(*at, "provider")
    if name is None:
        if "provider" not in table:
            faults.add(key, "", "is missing", "Name the provider that serves this llm.")
        return None
    provider = providers.get(name)
    if provider is None:
        known = known_provider(name)
        switch = f"set {' and '.join(known.needed)}, or " if known else ""
        fix = f"Either {switch}add [{key_path('providers', name)}]. {suggestion(name, providers)}"
        faults.add(key, shown(name), "is not a configured provider", fix)
    return provider


def _check_objectives(llms: Mapping[str, Llm], faults: Faults) -> None:
    """Attempts are counted by model and provider: llms that share both share their objective."""
    first: dict[tuple[str, str], Llm] = {}
    for llm_id, llm in llms.items():
        other = first.setdefault((llm.model, llm.provider.name), llm)
        if (llm.slo_success, llm.slo_within_s) != (other.slo_success, other.slo_within_s):
            problem = f"has another objective than {shown(other.llm_id)}, with the same model and provider"
            fix = "Give both the same slo_success and slo_within_s: their attempts are counted together."
            faults.add(key_path("llms", llm_id), "", problem, fix)


def _check_fallbacks(llms: Mapping[str, Llm | Pool], opened: Mapping[str, Provider], faults: Faults) -> None:
    for llm_id, llm in llms.items():
        key = key_path("llms", llm_id, "fallbacks")
        for name in llm.fallbacks:
            prefix, slash, model = name.partition("/")
            if name == llm_id:
                faults.add(
                    key, shown(name), "names the llm itself", "Remove it: retries repeat the same llm."
                )
            elif name not in llms and not (slash and model and prefix in opened):
                faults.add(
                    key, shown(name), "is not a configured llm", suggestion(name, llms.keys() - {llm_id})
                )
