"""Llms and providers from the file and from the environment."""

import sys
from pathlib import Path

import pytest

from tristar.errors import Fault, SettingsInvalid
from tristar.providers.registry import KNOWN, KnownProvider
from tristar.routing.catalog import BreakerPolicy, Catalog, Pool, Provider
from tristar.settings import load
from tristar.settings.texts import server_url

PROVIDER = '[providers.p]\nbase_url = "http://127.0.0.1:1/v1"\n'


def catalog_of(directory: Path, toml: str, environ: dict[str, str] | None = None) -> Catalog:
    """The catalogue that this file and environment give."""
    (directory / "tristar.toml").write_text(toml)
    return load(environ or {}, directory).catalog


def faults_of(directory: Path, toml: str, environ: dict[str, str] | None = None) -> dict[str, Fault]:
    """The faults that this file and environment give, by key."""
    with pytest.raises(SettingsInvalid) as caught:
        catalog_of(directory, toml, environ)
    return {fault.key: fault for fault in caught.value.faults}


def secrets_of(provider: Provider) -> list[str]:
    """Its keys, in the order in which they are used."""
    return [key.secret for key in provider.keys]


@pytest.mark.parametrize(
    "known", [row for row in KNOWN if not row.is_server and not row.places], ids=lambda row: row.name
)
def test_a_key_alone_switches_its_provider_on(tmp_path: Path, known: KnownProvider) -> None:
    """`provider/model` works with no file at all, and echo is gone."""
    catalog = load({known.variable: "k-123"}, tmp_path).catalog

    llm = catalog.find(f"{known.name}/some/model")
    assert (llm.model, llm.provider.base_url) == ("some/model", known.base_url)
    assert (llm.provider.dialect, llm.provider.auth) == (known.dialect, known.auth)
    assert secrets_of(llm.provider) == ["k-123"]
    assert list(catalog.llms) == []


@pytest.mark.parametrize("known", [row for row in KNOWN if row.is_server], ids=lambda row: row.name)
def test_an_address_alone_switches_a_local_server_on(tmp_path: Path, known: KnownProvider) -> None:
    """No key is sent to it but its own."""
    environ = {known.variable: "10.0.0.7", **dict.fromkeys([known.key_variable or "X"], "k-123")}
    provider = load(environ, tmp_path).catalog.find(f"{known.name}/m").provider

    assert provider.base_url == f"http://10.0.0.7:{known.port}/v1"
    assert secrets_of(provider) == (["k-123"] if known.key_variable else [])


def test_the_address_of_azure_is_made_of_its_variables(tmp_path: Path) -> None:
    """As its own SDK reads them; the API version may be left out."""
    environ = {"AZURE_OPENAI_API_KEY": "k-123", "AZURE_OPENAI_ENDPOINT": "https://res.openai.azure.com/"}
    at = "https://res.openai.azure.com/openai/deployments/{model}?api-version="
    old, new = (
        load(environ | version, tmp_path).catalog.find("azure/gpt").provider
        for version in ({}, {"OPENAI_API_VERSION": "2025-04-01-preview"})
    )

    assert (old.base_url, new.base_url) == (f"{at}2024-10-21", f"{at}2025-04-01-preview")
    assert (old.auth, secrets_of(old)) == ("api-key", ["k-123"])


def test_a_provider_is_on_when_all_that_its_address_needs_is_there(tmp_path: Path) -> None:
    """A token that is there for other ends neither stops the start nor ends echo."""
    token = {"CLOUDFLARE_API_TOKEN": "k-123"}
    account = token | {"CLOUDFLARE_ACCOUNT_ID": "a1"}

    assert list(load(token, tmp_path).catalog.llms) == ["echo"]
    assert list(load(account, tmp_path).catalog.open_providers) == ["cloudflare"]
    assert list(load(account | {"CLOUDFLARE_GATEWAY_ID": "g1"}, tmp_path).catalog.open_providers) == [
        "cloudflare",
        "cloudflare-gateway",
    ]


def test_a_table_of_a_provider_whose_address_lacks_a_part_is_refused(tmp_path: Path) -> None:
    """What the file names must work: the fault says which variable is missing."""
    toml = '[providers.azure]\napi_key_env = "K"\n[llms.a]\nprovider = "azure"\n'
    fault = faults_of(tmp_path, toml, {"K": "k-123"})["providers.azure.base_url"]

    assert "AZURE_OPENAI_ENDPOINT" in fault.problem


@pytest.mark.parametrize("name", ["AZURE_OPENAI_ENDPOINT", "OPENAI_API_VERSION"])
def test_a_bad_part_of_an_address_is_refused_by_its_variable(tmp_path: Path, name: str) -> None:
    """It never becomes another path or host."""
    environ = {"AZURE_OPENAI_API_KEY": "k-123", "AZURE_OPENAI_ENDPOINT": "https://h", name: "a/../b c"}

    assert name in faults_of(tmp_path, "", environ)


def test_several_keys_may_be_in_one_variable_or_in_several(tmp_path: Path) -> None:
    """In the order in which they are written, each once."""
    toml = PROVIDER + 'api_key_env = ["A", "B"]\n[llms.a]\nprovider = "p"\n'
    file = catalog_of(tmp_path, toml, {"A": "k-1, k-2,", "B": "k-3,k-1"}).find("a").provider
    (tmp_path / "tristar.toml").unlink()
    alone = load({"GROQ_API_KEY": "k-1,k-2"}, tmp_path).catalog.find("groq/m").provider

    assert secrets_of(file) == ["k-2", "k-3", "k-1"]
    assert secrets_of(alone) == ["k-1", "k-2"]
    assert [key.name for key in alone.keys] == ["GROQ_API_KEY (key 1)", "GROQ_API_KEY (key 2)"]


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:11434/v1"),
        ("0.0.0.0", "http://127.0.0.1:11434/v1"),
        ("0.0.0.0:8000", "http://127.0.0.1:8000/v1"),
        (":8000", "http://127.0.0.1:8000/v1"),
        ("box", "http://box:11434/v1"),
        ("box:8000", "http://box:8000/v1"),
        ("http://box", "http://box:80/v1"),
        ("https://box", "https://box:443/v1"),
        ("https://box:8000/ollama/", "https://box:8000/ollama/v1"),
        ("::1", "http://[::1]:11434/v1"),
        ("[::]:8000", "http://[::1]:8000/v1"),
        ("http://box:8000/v1", "http://box:8000/v1"),
    ],
)
def test_ollama_host_is_read_in_every_form_that_ollama_takes(host: str, address: str) -> None:
    """The variable that Ollama's own server and client share works here as it is."""
    assert server_url(host, 11434) == address


def test_the_file_gives_an_llm_its_every_key(tmp_path: Path) -> None:
    """What is written is what the router gets."""
    catalog = catalog_of(
        tmp_path,
        PROVIDER
        + """
        api_key_env = "P_KEY"
        responses = true
        [llms.fast]
        provider = "p"
        model = "m"
        fallbacks = ["slow"]
        retries = 0
        timeout_s = 10
        first_token_timeout_s = 2.5
        idle_timeout_s = 3
        context_tokens = 8000
        prefill = true
        stream_guarantee = "whole"
        requests_per_minute = 60
        tokens_per_minute = 1000
        max_concurrent = 4
        [llms.fast.breaker]
        failures = 2
        cooldown_s = 1
        max_cooldown_s = 2
        [llms.slow]
        provider = "p"
        """,
        {"P_KEY": "k-123"},
    )

    fast = catalog.find("fast")
    assert (fast.model, fast.fallbacks, fast.retries, fast.timeout_s) == ("m", ("slow",), 0, 10.0)
    assert (fast.first_token_timeout_s, fast.idle_timeout_s, fast.context_tokens) == (2.5, 3.0, 8000)
    assert (fast.prefill, fast.stream_guarantee) == (True, "whole")
    assert (fast.requests_per_minute, fast.tokens_per_minute, fast.max_concurrent) == (60, 1000, 4)
    assert fast.breaker == BreakerPolicy(failures=2, cooldown_s=1.0, max_cooldown_s=2.0)
    assert (secrets_of(fast.provider), fast.provider.responses) == (["k-123"], True)
    assert catalog.find("slow").model == "slow"


def test_a_provider_without_a_key_variable_sends_no_key(tmp_path: Path) -> None:
    """A key in the environment does not leak to an address that the file did not give it to."""
    catalog = catalog_of(
        tmp_path,
        '[providers.openai]\nbase_url = "http://10.0.0.1/v1/"\n[llms.a]\nprovider = "openai"\n',
        {"OPENAI_API_KEY": "k-123"},
    )

    provider = catalog.find("a").provider
    assert (provider.base_url, provider.keys) == ("http://10.0.0.1/v1", ())
    assert catalog.find("openai/other").provider == provider


def test_an_llm_may_name_a_provider_of_the_environment(tmp_path: Path) -> None:
    """A key and an `[llms.NAME]` are enough; the open provider can be its fallback."""
    catalog = catalog_of(
        tmp_path, '[llms.a]\nprovider = "groq"\nfallbacks = ["groq/b"]\n', {"GROQ_API_KEY": "k-123"}
    )

    assert catalog.find("a").provider.name == "groq"


def test_a_known_name_brings_its_address(tmp_path: Path) -> None:
    """`[providers.mistral]` need not repeat what is known."""
    catalog = catalog_of(tmp_path, '[providers.mistral]\n[llms.a]\nprovider = "mistral"\n')

    assert catalog.find("a").provider.base_url == "https://api.mistral.ai/v1"


def test_a_provider_in_the_file_ends_echo(tmp_path: Path) -> None:
    """The built-in llm is there only while nothing else is."""
    assert list(catalog_of(tmp_path, PROVIDER + '[llms.a]\nprovider = "p"\n').llms) == ["a"]


@pytest.mark.parametrize(
    ("toml", "key", "said"),
    [
        ("[llms.a]\n", "llms.a.provider", "is missing"),
        ("[llms.a]\nprovider = 'q'\n", "llms.a.provider", "not a configured provider"),
        ("[llms.a]\nprovider = 1\n", "llms.a.provider", "in quotes"),
        ("[llms.a]\nprovider = 'p'\nfallbacks = ['a']\n", "llms.a.fallbacks", "the llm itself"),
        ("[llms.a]\nprovider = 'p'\nfallbacks = ['b']\n", "llms.a.fallbacks", "not a configured llm"),
        ("[llms.a]\nprovider = 'p'\nfallbacks = 'b'\n", "llms.a.fallbacks", "a list"),
        ("[llms.a]\nprovider = 'p'\nfallbacks = ['b', 'b']\n", "llms.a.fallbacks", "different names"),
        ("[llms.a]\nprovider = 'p'\nretries = -1\n", "llms.a.retries", "from 0 to 10"),
        ("[llms.a]\nprovider = 'p'\nretries = true\n", "llms.a.retries", "whole number"),
        ("[llms.a]\nprovider = 'p'\nretries = 2.0\n", "llms.a.retries", "whole number"),
        ("[llms.a]\nprovider = 'p'\ntimeout_s = nan\n", "llms.a.timeout_s", "above 0"),
        ("[llms.a]\nprovider = 'p'\ntimeout_s = inf\n", "llms.a.timeout_s", "up to 86400"),
        ("[llms.a]\nprovider = 'p'\ntimeout_s = 0\n", "llms.a.timeout_s", "above 0"),
        ("[llms.a]\nprovider = 'p'\nprefill = 'yes'\n", "llms.a.prefill", "without quotes"),
        ("[llms.a]\nprovider = 'p'\nmax_concurrent = 0x" + "f" * 5000, "llms.a.max_concurrent", "from 1"),
        ("[llms.a]\nprovider = 'p'\n[llms.a.breaker]\nprobes = 0\n", "llms.a.breaker.probes", "from 1"),
        (
            "[llms.a]\nprovider = 'p'\n[llms.a.breaker]\ncooldown_s = 601\n",
            "llms.a.breaker.max_cooldown_s",
            "less than cooldown_s",
        ),
        ('[llms."gpt 4"]\nprovider = "p"\nretries = "x"\n', 'llms."gpt 4".retries', "whole number"),
        ('[llms."a\\n"]\nprovider = "p"\n', 'llms."a\\n"', "not a usable name"),
        ("[llms]\na = 1\n", "llms.a", "must be a table"),
        ("llms = 1\n", "llms", "must be a table"),
        ("", "llms", "names no llm"),
        ("[providers.q]\nbase_url = 'host/v1'\n", "providers.q.base_url", "URL"),
        ("[providers.q]\nbase_url = 'http://h:x/v1'\n", "providers.q.base_url", "URL"),
        ("[providers.q]\nbase_url = 'http://h/v1?key=b'\n", "providers.q.base_url", "query"),
        ("[providers.q]\nbase_url = 'http://h/v1?access_token=b'\n", "providers.q.base_url", "query"),
        ("[providers.q]\nbase_url = 'http://h/v1#b'\n", "providers.q.base_url", "fragment"),
        ("[providers.q]\nbase_url = 'http://h/{deployment}'\n", "providers.q.base_url", "{model}"),
        (
            "[providers.gemini]\nbase_url = 'https://g.example/v1beta/openai'\n",
            "providers.gemini.base_url",
            "OpenAI-compatible",
        ),
        ("[providers.q]\ndialect = 'gemini'\nresponses = true\n", "providers.q.responses", "dialect openai"),
        ("[providers.q]\nauth = 'basic'\n", "providers.q.auth", "x-api-key"),
        ("[providers.q]\napi_key_env = []\n", "providers.q.api_key_env", "list"),
        ("[providers.q]\napi_key_env = ['A', 'A']\n", "providers.q.api_key_env", "list"),
        ("[providers.q]\napi_key_env = ['A', 1]\n", "providers.q.api_key_env", "in quotes"),
        ("[providers.q]\nbase_url = 'http:///v1'\n", "providers.q.base_url", "URL"),
        ("[providers.q]\ndialect = 'xml'\n", "providers.q.dialect", '"openai"'),
        ("[providers.q]\napi_key_env = 'Q_KEY'\n", "providers.q.api_key_env", "not set"),
        (
            "[providers.q]\napi_key_env = 'Q KEY'\n",
            "providers.q.api_key_env",
            "name of an environment variable",
        ),
        ("[providers.'a/b']\n", 'providers."a/b"', "not a usable name"),
    ],
)
def test_a_bad_key_is_refused_by_its_path(tmp_path: Path, toml: str, key: str, said: str) -> None:
    """The fault's key is where the operator has to look, and its problem is the reason."""
    faults = faults_of(tmp_path, (PROVIDER if not toml.startswith("llms =") else "") + toml)

    assert said in faults[key].problem


@pytest.mark.parametrize(
    ("toml", "key", "meant"),
    [
        ("[llms.a]\nprovider = 'p'\ntimeouts = 1\n", "llms.a.timeouts", "timeout_s"),
        ("[llms.a]\nprovider = 'p'\n[llms.a.braker]\n", "llms.a.braker", "breaker"),
        (
            "[llms.a]\nprovider = 'p'\nfallbacks = ['ab']\n[llms.abc]\nprovider = 'p'",
            "llms.a.fallbacks",
            "abc",
        ),
        ("[sever]\n", "sever", "server"),
        ("[server]\nmax_body = 1\n", "server.max_body", "max_body_mb"),
        ("[llms.a]\nprovider = 'pp'\n", "llms.a.provider", "Did you mean p?"),
        ("[llms.a]\nprovider = 'openai'\n", "llms.a.provider", "set OPENAI_API_KEY"),
        ("[providers.q]\napi_key = 'k'\n", "providers.q.api_key", "api_key_env"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_known(
    tmp_path: Path, toml: str, key: str, meant: str
) -> None:
    """A slip is answered with what was probably meant."""
    faults = faults_of(tmp_path, PROVIDER + toml)

    assert meant in faults[key].fix


def test_a_key_name_that_may_be_the_key_itself_is_not_shown(tmp_path: Path) -> None:
    """Operators paste keys into api_key_env; the message does not repeat them."""
    fault = faults_of(tmp_path, "[providers.q]\napi_key_env = 'sk_live_abcdef'\n")["providers.q.api_key_env"]

    assert "sk_live" not in str(fault)


def test_a_pool_is_read_beside_the_llms(tmp_path: Path) -> None:
    """It is no llm: it has members, and they have the rest."""
    catalog = catalog_of(
        tmp_path,
        PROVIDER
        + """
        [llms.a]
        provider = "p"
        fallbacks = ["both"]
        [llms.b]
        provider = "p"
        [llms.both]
        pool = ["a", "b"]
        choose = "least_busy"
        weights = [3, 1]
        fallbacks = ["a"]
        """,
    )

    assert list(catalog.llms) == ["a", "b"]
    assert catalog.pools == {"both": Pool("both", ("a", "b"), "least_busy", (3.0, 1.0), ("a",))}
    assert catalog.names == ["a", "b", "both"]


@pytest.mark.parametrize(
    ("pool", "key", "problem"),
    [
        ('pool = ["a", "none"]', "pool", "is not a configured llm"),
        ('pool = ["a", "pool"]', "pool", "is a pool itself"),
        ("pool = []", "pool", "names 0 llms"),
        ('pool = "a"', "pool", "must be a list"),
        ('pool = ["a", "whole"]', "pool", "different stream_guarantee"),
        ('pool = ["a"]\nchoose = "best"', "choose", "must be"),
        ('pool = ["a"]\nweights = [1, 2]', "weights", "2 numbers for 1"),
        ('pool = ["a"]\nweights = [0]', "weights", "above 0"),
        ('pool = ["a"]\nretries = 2', "retries", "belongs to an llm"),
        ('pool = ["a"]\nfallbacks = ["none"]', "fallbacks", "is not a configured llm"),
        ('pool = ["a"]\nsize = 2', "size", "is not a known key"),
    ],
)
def test_a_pool_that_could_not_work_is_named(tmp_path: Path, pool: str, key: str, problem: str) -> None:
    """With the key and the fix."""
    llms = '[llms.a]\nprovider = "p"\n[llms.whole]\nprovider = "p"\nstream_guarantee = "whole"\n'
    faults = faults_of(tmp_path, f"{PROVIDER}{llms}[llms.pool]\n{pool}\n")

    assert list(faults) == [f"llms.pool.{key}"]
    assert problem in faults[f"llms.pool.{key}"].problem


ONE_LLM = '[providers.p]\nbase_url = "http://x/v1"\n[llms.a]\nprovider = "p"\n'


@pytest.mark.parametrize(
    ("name", "variables"), [("a", {}), ("groq/embed-1", {"GROQ_API_KEY": "k-123"})], ids=["named", "open"]
)
def test_the_memory_may_ask_any_llm_that_clients_may(
    tmp_path: Path, name: str, variables: dict[str, str]
) -> None:
    """By its name, or as provider/model."""
    text = f'[memory]\nembedding_llm = "{name}"\n' + ONE_LLM
    (tmp_path / "tristar.toml").write_text(text)

    assert load(variables, tmp_path).memory.embedding_llm == name


def test_an_embedding_llm_that_is_none_is_refused_with_the_nearest(tmp_path: Path) -> None:
    """At the start, and by `tristar check`."""
    text = '[memory]\nembedding_llm = "b"\n' + ONE_LLM
    (tmp_path / "tristar.toml").write_text(text)
    with pytest.raises(SettingsInvalid, match=r"memory\.embedding_llm.*not a configured llm.*a"):
        load({}, tmp_path)


def test_an_embedding_llm_without_numpy_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an extra."""
    monkeypatch.setattr(sys.modules["tristar.settings.load"], "find_spec", lambda _: None)
    (tmp_path / "tristar.toml").write_text('[memory]\nembedding_llm = "echo"\n')
    with pytest.raises(SettingsInvalid, match=r"needs NumPy.*tristar\[vector\]"):
        load({}, tmp_path)


@pytest.mark.parametrize(
    ("dialect", "auth", "base_url"),
    [
        ("openai", "bearer", "https://api.openai.com/v1"),
        ("anthropic", "x-api-key", "https://api.anthropic.com/v1"),
        ("gemini", "x-goog-api-key", "https://generativelanguage.googleapis.com/v1beta"),
    ],
)
def test_a_provider_of_any_name_starts_from_its_dialects_own(
    tmp_path: Path, dialect: str, auth: str, base_url: str
) -> None:
    """Where a key goes, and the address, while the table names neither."""
    toml = f'[providers.mine]\ndialect = "{dialect}"\n[llms.a]\nprovider = "mine"\n'
    provider = catalog_of(tmp_path, toml).llms["a"].provider

    assert (provider.auth, provider.base_url) == (auth, base_url)
