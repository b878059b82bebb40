"""`tristar import litellm`: what it carries over, what it says of the rest, and that the result is valid."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from tristar.cli.root import app
from tristar.settings import load
from tristar.settings.model import Settings

KEYS = {
    "OPENAI_API_KEY": "sk-1",
    "AZURE_KEY_EU": "az-1",
    "ANTHROPIC_API_KEY": "an-1",
    "TOGETHER_API_KEY": "to-1",
}
CONFIG = """
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: azure/gpt-4o-eu
      api_base: https://eu.openai.example.com/
      api_key: os.environ/AZURE_KEY_EU
      api_version: "2024-06-01"
      rpm: 600
      weight: 3
  - model_name: gpt-4o
    litellm_params:
      {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY, rpm: 200, tpm: 100000, weight: 1}
  - model_name: claude
    litellm_params:
      {model: claude-3-5-sonnet-20241022, max_parallel_requests: 8, timeout: 120, stream_timeout: 20}
    model_info: {max_input_tokens: 200000, mode: chat, supports_vision: true}
  - model_name: local
    litellm_params:
      model: openai/facebook/opt-125m
      api_base: http://127.0.0.1:8000/v1
      api_key: none
      input_cost_per_token: 0.0000001
      output_cost_per_token: 0.0000004
  - model_name: mixtral
    litellm_params: {model: together_ai/mistralai/Mixtral-8x7B, num_retries: 1}
litellm_settings:
  num_retries: 3
  request_timeout: 300
  context_window_fallbacks: [{gpt-4o: [claude]}]
router_settings:
  routing_strategy: simple-shuffle
  allowed_fails: 3
  cooldown_time: 60
  fallbacks: [{claude: [gpt-4o]}, {gpt-4o: [mixtral]}]
  default_fallbacks: [local]
  model_group_alias: {gpt-4: gpt-4o}
  redis_host: localhost
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
  database_url: os.environ/DATABASE_URL
"""


def imported(folder: Path, text: str) -> Result:
    """The command on this configuration, its result in `tristar.toml`."""
    (folder / "config.yaml").write_text(text)
    output = ["--output", str(folder / "tristar.toml")]
    return CliRunner(env={"AZURE_BASE": None}).invoke(
        app, ["import", "litellm", str(folder / "config.yaml"), *output]
    )


@pytest.fixture
def carried(tmp_path: Path) -> Settings:
    """The settings that come of the whole example; they are valid."""
    done = imported(tmp_path, CONFIG)

    assert done.exit_code == 0, done.output
    return load(KEYS, tmp_path)


def test_llms_keep_their_names_models_and_limits(carried: Settings) -> None:
    """Requests per minute, tokens, concurrency, times, context."""
    claude, second = carried.catalog.find("claude"), carried.catalog.find("gpt-4o-2")

    assert (claude.model, claude.provider.name) == ("claude-3-5-sonnet-20241022", "anthropic")
    assert (claude.max_concurrent, claude.timeout_s, claude.first_token_timeout_s) == (8, 120, 20)
    assert claude.context_tokens == 200_000
    assert (second.requests_per_minute, second.tokens_per_minute) == (200, 100_000)
    assert (second.timeout_s, second.retries) == (300, 3)
    assert carried.catalog.find("mixtral").retries == 1


def test_several_deployments_become_a_pool_with_their_weights(carried: Settings) -> None:
    """Under the name that clients use; an alias is a pool of the same members."""
    pool, alias = carried.catalog.pools["gpt-4o"], carried.catalog.pools["gpt-4"]

    assert (pool.pool, pool.choose, pool.weights) == (("gpt-4o-1", "gpt-4o-2"), "weighted", (3.0, 1.0))
    assert (alias.pool, alias.fallbacks) == (pool.pool, pool.fallbacks)


def test_fallbacks_of_every_kind_become_one_route(carried: Settings) -> None:
    """Those for errors first, then those for long contexts, then the default ones."""
    assert carried.catalog.pools["gpt-4o"].fallbacks == ("mixtral", "claude", "local")
    assert carried.catalog.find("claude").fallbacks == ("gpt-4o", "local")
    assert carried.catalog.find("local").fallbacks == ()


def test_providers_keep_their_addresses_and_the_variables_of_their_keys(carried: Settings) -> None:
    """Azure with deployment and version in its address; a server of one's own without a key."""
    azure = carried.catalog.find("gpt-4o-1").provider
    local = carried.catalog.find("local").provider

    assert azure.base_url == "https://eu.openai.example.com/openai/deployments/{model}?api-version=2024-06-01"
    assert (azure.auth, azure.keys[0].secret) == ("api-key", "az-1")
    assert (local.base_url, local.keys) == ("http://127.0.0.1:8000/v1", ())
    assert carried.catalog.find("gpt-4o-2").provider.base_url == "https://api.openai.com/v1"


def test_breakers_and_prices_are_in_our_units(carried: Settings) -> None:
    """`allowed_fails` may fail, one more opens; dollars per million tokens."""
    local = carried.catalog.find("local")

    assert (local.breaker.failures, local.breaker.cooldown_s) == (4, 60)
    assert local.price is not None
    assert local.price.cost_nanousd(1_000_000, 0) == 100_000_000
    assert local.price.cost_nanousd(0, 1_000_000) == 400_000_000


def test_what_the_operator_has_to_do_is_said(tmp_path: Path) -> None:
    """Master key, database, Redis: each with its variable here."""
    said = imported(tmp_path, CONFIG).stderr

    assert [name for name in ("TRISTAR_ADMIN_KEY", "DATABASE_URL", "REDIS_URL") if name not in said] == []
    assert "left out" not in said


def test_a_key_in_the_file_is_neither_copied_nor_shown(tmp_path: Path) -> None:
    """Only where it belongs is said."""
    config = "model_list: [{model_name: a, litellm_params: {model: openai/a, api_key: sk-canary-in-yaml}}]"
    done = imported(tmp_path, config)

    assert done.exit_code == 0
    assert "put it into OPENAI_API_KEY" in done.stderr
    assert "canary" not in done.output + (tmp_path / "tristar.toml").read_text()


def test_what_has_no_place_is_listed_and_ends_with_1(tmp_path: Path) -> None:
    """Each with its key and why; the rest is written and valid."""
    config = yaml.safe_load(CONFIG)
    config["model_list"].append({"model_name": "b", "litellm_params": {"model": "bedrock/anthropic.claude"}})
    config["model_list"].append(
        {"model_name": "c", "litellm_params": {"model": "azure/c", "api_base": "os.environ/AZURE_BASE"}}
    )
    config["model_list"][0]["litellm_params"]["temperature"] = 0.2
    config["litellm_settings"] |= {"cache": True, "success_callback": ["langfuse"]}
    config["router_settings"]["routing_strategy"] = "cost-based-routing"
    config["general_settings"]["alerting"] = ["slack"]
    done = imported(tmp_path, yaml.safe_dump(config))
    left = [line for line in done.stderr.splitlines() if line.startswith("left out: ")]

    assert done.exit_code == 1
    assert len(left) == 7
    for word in (
        "bedrock",
        "AZURE_BASE",
        "temperature",
        "cache",
        "success_callback",
        "cost-based",
        "alerting",
    ):
        assert any(word in line for line in left), word
    assert load(KEYS, tmp_path).catalog.find("claude").model == "claude-3-5-sonnet-20241022"


@pytest.mark.parametrize(("text", "why"), [("a: [", "is not YAML"), ("- 1", "holds no configuration")])
def test_a_file_that_is_none_is_wrong_use(tmp_path: Path, text: str, why: str) -> None:
    """Exit code 2, nothing written."""
    done = imported(tmp_path, text)

    assert done.exit_code == 2
    assert why in done.stderr
    assert not (tmp_path / "tristar.toml").exists()


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    """Somebody may have worked on it."""
    (tmp_path / "tristar.toml").write_text("# mine\n")
    done = imported(tmp_path, CONFIG)

    assert done.exit_code == 2
    assert (tmp_path / "tristar.toml").read_text() == "# mine\n"
