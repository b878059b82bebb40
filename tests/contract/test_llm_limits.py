"""Limits of one key on one llm: beside those of the key and of the llm, and all or nothing with them."""

from collections.abc import Iterator

import pytest
from tests.gateway import Gateway, assert_books_balance, document, llm, provider
from tests.gateway.house import watched
from tests.gateway.view import View, look
from tests.upstream import Answer, Upstream

ADMIN_KEY = "the-admin-key-of-these-tests"
ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}
CENT = {"input": 0.0, "output": 10_000.0}
"""One output token costs a cent."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with two workers; every test makes keys of its own."""
    with Upstream(default=Answer(tokens=(5, 10))) as upstream:
        toml = document(
            provider("p", upstream.base_url),
            llm("plain", "p"),
            llm("other", "p"),
            llm("spared", "p", fallbacks=["other"]),
            llm("scarce", "p", requests_per_minute=2),
            llm("paid", "p", price_usd_per_mtok=CENT),
        )
        env = {"TRISTAR_ADMIN_KEY": ADMIN_KEY}
        gateway = Gateway(tmp_path_factory.mktemp("pairs"), toml=toml, env=env, workers=2)
        with watched(gateway):
            yield gateway.start()
            assert_books_balance(gateway)


def new_key(gateway: Gateway, **limits: object) -> str:
    """A key that may chat, made through the API."""
    answer = gateway.request("POST", "/admin/keys", headers=ADMIN, json={"name": "one", **limits})

    assert answer.status_code == 201, answer.text
    assert answer.json()["llm_limits"] == limits["llm_limits"]
    return str(answer.json()["key"])


def ask(gateway: Gateway, key: str, model: str, *, stream: bool = False, **body: object) -> View:
    """One chat with this key."""
    return look(gateway, model, stream=stream, headers={"authorization": f"Bearer {key}"}, **body)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_key_is_limited_on_one_llm_and_not_on_another(running: Gateway, *, stream: bool) -> None:
    """The answer, the record and the metric say that it is this key's limit on this llm."""
    key = new_key(running, llm_limits={"plain": {"requests_per_minute": 2}})
    stranger = new_key(running, llm_limits={"other": {"requests_per_minute": 1}})
    views = [ask(running, key, "plain", stream=stream) for _ in range(3)]
    record = running.record_of(views[2].trace_id)
    told = {name: record.details[name] for name in ("rejected_by", "rejected_scope", "limit")}

    assert [view.status for view in views] == [200, 200, 429]
    assert [view.headers["x-ratelimit-remaining-requests"] for view in views] == ["1", "0", "0"]
    assert "This key with this model has reached its limit of 2" in str(views[2].error)
    assert told == {"rejected_by": "gateway", "rejected_scope": "key_llm", "limit": "requests"}
    assert ask(running, key, "other").complete
    assert ask(running, stranger, "plain").complete
    assert (
        running.scrape().value("ailinux_rate_limit_rejections_total", scope="key_llm", rejected_by="gateway")
        >= 1
    )


def test_a_refusal_draws_neither_on_the_key_nor_on_the_llm(running: Gateway) -> None:
    """All or nothing: what the key's limit on the llm refuses is still there for others."""
    key = new_key(running, requests_per_minute=2, llm_limits={"scarce": {"requests_per_minute": 1}})
    free = new_key(running, llm_limits={"other": {"requests_per_minute": 1}})
    views = [ask(running, key, "scarce"), ask(running, key, "scarce"), ask(running, key, "plain")]

    assert [view.status for view in views] == [200, 429, 200]
    assert ask(running, free, "scarce").status == 200
    assert ask(running, free, "scarce").status == 429


def test_an_llm_that_is_spent_for_this_key_is_passed_over(running: Gateway) -> None:
    """Its fallback answers, and the record says why."""
    key = new_key(running, llm_limits={"spared": {"max_concurrent": 5, "requests_per_minute": 1}})
    views = [ask(running, key, "spared") for _ in range(2)]

    assert [view.llm for view in views] == ["spared", "other"]
    assert running.record_of(views[1].trace_id).attempts[0]["reason"] == "rate_limited"


def test_a_budget_on_one_llm_leaves_the_others_free(running: Gateway) -> None:
    """It is settled at cost, and says when it renews."""
    key = new_key(running, llm_limits={"paid": {"budget_usd_per_day": 0.15}})
    views = [ask(running, key, "paid", max_tokens=10) for _ in range(2)]

    assert [view.status for view in views] == [200, 429]
    assert views[1].error is not None
    assert views[1].error["code"] == "budget_exceeded"
    assert "0.15 USD per day" in views[1].error["message"]
    assert ask(running, key, "plain").complete


def test_a_providers_models_may_be_limited_together(running: Gateway) -> None:
    """`provider/*` names them as in `llms`; without a limit it is refused as a mistake."""
    answer = running.request(
        "POST", "/admin/keys", headers=ADMIN, json={"name": "one", "llm_limits": {"groq/*": {}}}
    )

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "llm_limits"
