"""Does every provider answer, and does it take its keys? Asked for its list of models, which is free."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import urlsplit

import httpx

from tristar.doctor.finding import Finding, bad, doubtful, good
from tristar.providers.registry import AUTH_HEADERS
from tristar.routing.catalog import ApiKey, Catalog, Provider

PATIENCE_S: Final = 10.0
MODELS: Final = "/models"
_EXTRA_HEADERS: Final = {"anthropic": {"anthropic-version": "2023-06-01"}}


def providers_of(catalog: Catalog) -> Sequence[Provider]:
    """Every provider that a request could reach, each once."""
    used = [llm.provider for llm in catalog.llms.values()] + list(catalog.open_providers.values())
    return list({provider.name: provider for provider in used if provider.dialect != "echo"}.values())


async def examine(providers: Iterable[Provider]) -> list[Finding]:
    """One finding for each key of each provider, or for the provider where it has none."""
    async with httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False) as http:
        asked = [_ask(http, provider, key) for provider in providers for key in (provider.keys or (None,))]
        return list(await asyncio.gather(*asked))


async def _ask(http: httpx.AsyncClient, provider: Provider, key: ApiKey | None) -> Finding:
    subject = f"provider {provider.name}"
    if "{model}" in provider.base_url:
        told = "not asked: its address holds the model's name, so it has no list of models"
        return doubtful(subject, told, "Send it a request once the gateway runs.")
    parts = urlsplit(provider.base_url)
    url = parts._replace(path=parts.path.rstrip("/") + MODELS).geturl()
    headers, query = _credentials(provider, key)
    try:
        answer = await http.get(url, headers=headers, params=query or None)
    except httpx.TimeoutException:
        return bad(subject, f"no answer from {parts.netloc} within {PATIENCE_S:g} s", _reach(provider))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        reason = reason.replace(key.secret, "…") if key else reason
        return bad(subject, f"{parts.netloc} cannot be reached: {reason}", _reach(provider))
    return _judge(subject, parts.netloc, key, answer)


def _judge(subject: str, where: str, key: ApiKey | None, answer: httpx.Response) -> Finding:
    status, took = answer.status_code, f"{answer.elapsed.total_seconds() * 1000:.0f} ms"
    named = f"the key in {key.name}" if key else "no key"
    if status in {401, 403}:
        fix = f"Put a valid key into {key.name}." if key else "Name the variable of its key in api_key_env."
        return bad(subject, f"{where} refuses {named} ({status})", fix)
    if status < 400:
        return good(subject, f"{where} answers and takes {named} ({took})")
    if status in {404, 405}:
        told = f"{where} answers, but has no list of models ({status}): {named} could not be tried"
        return doubtful(subject, told, "See that base_url ends where /chat/completions begins.")
    if status == 429:
        return doubtful(subject, f"{where} wants fewer requests ({status})", "Ask again later.")
    return bad(subject, f"{where} answers {status}", "Look at the provider's own status page.")


def _credentials(provider: Provider, key: ApiKey | None) -> tuple[dict[str, str], dict[str, str]]:
    """Headers and query parameters that carry the key, as requests carry it."""
    headers = dict(_EXTRA_HEADERS.get(provider.dialect, {}))
    if key is None:
        return headers, {}
    line = AUTH_HEADERS[provider.auth]
    if not line:
        return headers, {"key": key.secret}
    name, _, prefix = line.partition(":")
    return headers | {name.strip(): f"{prefix.lstrip()}{key.secret}"}, {}


def _reach(provider: Provider) -> str:
    return f"Correct base_url of [providers.{provider.name}], or open the way there (DNS, firewall, proxy)."
