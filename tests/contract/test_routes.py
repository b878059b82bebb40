"""The routes beside chat: models, health, metrics, and a gateway without any provider."""

from openai.types.chat import ChatCompletionMessageParam
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from tests.gateway import assert_books_balance
from tests.gateway.fixtures import StartGateway
from tests.gateway.house import House, Lane
from tests.gateway.view import look
from tests.upstream import Answer, Upstream

HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "guide me home"}]
EIGHT = {
    "ailinux_request_count": "counter",
    "ailinux_request_latency_seconds": "histogram",
    "ailinux_llm_calls_total": "counter",
    "ailinux_llm_latency_seconds": "histogram",
    "ailinux_llm_tokens_total": "counter",
    "ailinux_active_connections": "gauge",
    "ailinux_memory_entries_total": "gauge",
    "ailinux_circuit_breaker_state": "gauge",
}


def test_the_sdk_lists_the_configured_llms(house: House, lane: Lane) -> None:
    """By the names that clients use."""
    with house.gateway.client() as client:
        models = {model.id: model for model in client.models.list()}

    assert {lane.llm, lane.alone, lane.spare_llm} <= models.keys()
    assert lane.model not in models
    assert models[lane.llm].object == "model"
    assert models[lane.llm].owned_by == "primary"


def test_the_sdk_finds_one_llm(house: House, lane: Lane) -> None:
    """And an unknown one is 404 `model_not_found`."""
    with house.gateway.client() as client:
        found = client.models.retrieve(lane.llm)
    missing = house.gateway.request("GET", "/v1/models/no-such-model")

    assert found.id == lane.llm
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "model_not_found"


def test_the_openapi_document_has_every_route(gateway: StartGateway) -> None:
    """Those that are served in front of FastAPI too, with each status they give."""
    document = gateway().request("GET", "/openapi.json").json()
    chat = document["paths"]["/v1/chat/completions"]["post"]

    assert {"/v1/chat/completions", "/v1/chat", "/v1/embeddings", "/v1/models", "/v1/memory", "/mcp"} <= set(
        document["paths"]
    )
    assert {"200", "400", "401", "403", "404", "413", "429", "502", "503", "504"} <= set(chat["responses"])
    assert "text/event-stream" in chat["responses"]["200"]["content"]
    assert "ErrorEnvelope" in document["components"]["schemas"]


def test_health_tells_live_and_ready(house: House) -> None:
    """Ready says per dependency how it is."""
    live = house.gateway.request("GET", "/health/live")
    ready = house.gateway.request("GET", "/health/ready")

    assert live.status_code == 200
    assert ready.status_code == 200
    assert "audit" in ready.text
    assert "ok" in ready.text


def test_the_eight_metrics_show_their_type_on_the_first_scrape(
    gateway: StartGateway, upstream: Upstream
) -> None:
    """Before any request, at any worker count; no latency series exists yet."""
    env = {"OLLAMA_HOST": f"http://127.0.0.1:{upstream.port}"}
    for workers in (1, 2):
        scrape = gateway(workers=workers, env=env, name=f"w{workers}").scrape()

        assert {name: scrape.types.get(name) for name in EIGHT} == EIGHT
        assert not scrape.series("ailinux_request_count_total")
        assert not scrape.series("ailinux_llm_latency_seconds_count")


def test_openmetrics_passes_the_strict_parser(house: House, lane: Lane) -> None:
    """With the same names; what a counter may not be called there is `unknown`."""
    look(house.gateway, lane.llm)
    answer = house.gateway.request(
        "GET", "/metrics", headers={"accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
    )
    parsed = text_string_to_metric_families(answer.text)  # type: ignore[no-untyped-call]  # the library's
    families = {family.name: family.type for family in parsed}

    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert families["ailinux_request_count"] == "unknown"
    assert answer.text.endswith("# EOF\n")
    assert "_created" not in answer.text


def test_scrapes_are_not_among_the_active_connections(house: House) -> None:
    """Nothing is in progress while only Prometheus looks."""
    assert house.gateway.scrape().value("ailinux_active_connections") == 0


def test_metrics_can_be_off_and_elsewhere(gateway: StartGateway) -> None:
    """METRICS_ENABLED and METRICS_PATH."""
    off = gateway(env={"METRICS_ENABLED": "false"}, name="off")
    moved = gateway(env={"METRICS_PATH": "/internal/prometheus"}, name="moved")

    assert off.request("GET", "/metrics").status_code == 404
    assert moved.request("GET", "/metrics").status_code == 404
    assert "ailinux_request_count" in moved.request("GET", "/internal/prometheus").text


def test_without_any_provider_echo_answers(gateway: StartGateway) -> None:
    """No file, no key: the first curl line works, is counted and recorded."""
    running = gateway()
    with running.client() as client:
        got = client.chat.completions.create(model="echo", messages=HI)
        models = [model.id for model in client.models.list()]

    assert got.choices[0].message.content == "guide me home"
    assert got.usage is not None
    assert got.usage.completion_tokens == 3
    assert models == ["echo"]
    assert running.scrape().value("ailinux_llm_calls_total", model="echo", status="success") == 1
    assert_books_balance(running)


def test_echo_streams_word_by_word(gateway: StartGateway) -> None:
    """And says who it is."""
    running = gateway()
    view = look(running, "echo", stream=True, messages=HI)
    words = [event["choices"][0]["delta"].get("content") for event in view.events]

    assert [word for word in words if word] == ["guide", " me", " home"]
    assert (view.llm, view.done, view.finish) == ("echo", True, "stop")
    assert_books_balance(running)


def test_echo_is_gone_once_a_provider_is_there(gateway: StartGateway, upstream: Upstream) -> None:
    """And `provider/model` works with no file, by the variable alone."""
    running = gateway(env={"OLLAMA_HOST": f"http://127.0.0.1:{upstream.port}"})
    echo = look(running, "echo")
    view = look(running, "ollama/llama3.2")

    assert echo.status == 404
    assert view.text == Answer().text
    assert upstream.journal.calls[0].model == "llama3.2"
    assert_books_balance(running)


def test_it_starts_without_waiting_for_anything(gateway: StartGateway) -> None:
    """Ready without a timeout on the way. The figure itself is the benchmarks' to tell."""
    assert gateway().ready_after_s < 10.0
