"""Spans of a real gateway, as a real OTLP receiver gets them."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv.attributes import error_attributes, http_attributes, url_attributes
from tests.gateway import Gateway, document, llm, provider
from tests.gateway.fixtures import StartGateway
from tests.gateway.house import watched
from tests.gateway.view import View, look
from tests.traces.receiver import Receiver, Seen, over_grpc, over_http
from tests.upstream import Answer, Status, Upstream

SERVER, CLIENT = 2, 3
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"

QUICK = {"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_EXPORTER_OTLP_TIMEOUT": "2"}


@dataclass
class Scene:
    """A gateway that is traced, the upstream behind it and the receiver of its spans."""

    gateway: Gateway
    upstream: Upstream
    receiver: Receiver

    def ask(self, model: str, count: int, *, stream: bool = False, **headers: str) -> tuple[View, list[Seen]]:
        """One request, and its `count` spans by their start."""
        view = look(self.gateway, model, stream=stream, headers=headers)
        return view, self.receiver.of(view.trace_id, count)


def toml(upstream: Upstream) -> str:
    """Two llms, the first with a fallback to the second."""
    return document(
        provider("mistral", upstream.base_url),
        provider("spare", upstream.base_url),
        llm("fast", "mistral", model="mistral-small", retries=0, fallbacks=["slow"]),
        llm("slow", "spare", model="large"),
    )


OPENERS: list[Callable[[], AbstractContextManager[Receiver]]] = [over_http, over_grpc]


@pytest.fixture(scope="module", params=[0, 1], ids=["http", "grpc and two workers"])
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One scene over each protocol, all variables OpenTelemetry's own."""
    with OPENERS[request.param]() as receiver, Upstream() as upstream:
        env = QUICK | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": ("http/protobuf", "grpc")[request.param],
            "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=stars",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        }
        folder: Path = tmp_path_factory.mktemp("traced")
        made = Gateway(folder, toml=toml(upstream), env=env, workers=1 + request.param)
        with watched(made) as gateway:
            yield Scene(gateway.start(), upstream, receiver)


def test_a_request_is_a_span_and_its_attempt_a_span_below(scene: Scene) -> None:
    """HTTP server conventions above, generative AI client conventions below, the ids the client was told."""
    scene.upstream.on("mistral-small", Answer())
    view, (request, attempt) = scene.ask("fast", 2)

    assert (request.name, request.kind) == ("POST /v1/chat/completions", SERVER)
    assert (attempt.name, attempt.kind) == ("chat mistral-small", CLIENT)
    assert (request.parent_id, attempt.parent_id) == ("", request.span_id)
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["http.route"] == "/v1/chat/completions"
    assert request.attributes["tristar.request_id"] == view.headers["x-request-id"]
    assert request.start_ns <= attempt.start_ns <= attempt.end_ns <= request.end_ns
    assert not request.failed
    assert not attempt.failed


def test_an_attempt_carries_the_conventions_of_generative_ai(scene: Scene) -> None:
    """Provider under the conventions' own name, models, tokens, why it stopped."""
    scene.upstream.on("mistral-small", Answer())
    view, (_, attempt) = scene.ask("fast", 2)
    record = scene.gateway.record_of(view.trace_id)
    (recorded,) = record["details"]["attempts"]
    told = attempt.attributes

    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.provider.name"] == gen_ai_attributes.GenAiProviderNameValues.MISTRAL_AI.value
    assert told["gen_ai.request.model"] == "mistral-small"
    assert told["gen_ai.response.finish_reasons"] == ["stop"]
    assert told["gen_ai.usage.input_tokens"] == recorded["tokens_input"]
    assert told["gen_ai.usage.output_tokens"] == recorded["tokens_output"]
    assert "error.type" not in told


def test_every_attribute_is_one_of_the_conventions_or_our_own(scene: Scene) -> None:
    """`tristar.…` is ours; everything else is spelt as OpenTelemetry spells it."""
    scene.upstream.on("mistral-small", Answer(), Status(500))
    spans = [*scene.ask("fast", 2, stream=True)[1], *scene.ask("fast", 3)[1]]
    modules = (gen_ai_attributes, http_attributes, error_attributes, url_attributes)
    known = {value for module in modules for name, value in vars(module).items() if name.isupper()}
    used = {name for span in spans for name in span.attributes}

    assert {name for name in used if not name.startswith("tristar.")} <= known


def test_a_stream_says_so_and_when_it_began(scene: Scene) -> None:
    """Time to the first chunk is an attribute of the attempt."""
    scene.upstream.on("mistral-small", Answer())
    _, (_, attempt) = scene.ask("fast", 2, stream=True)
    first = attempt.attributes["gen_ai.response.time_to_first_chunk"]

    assert attempt.attributes["gen_ai.request.stream"] is True
    assert isinstance(first, float)
    assert 0 < first < 10


def test_each_attempt_is_a_span_of_its_own_and_failures_say_why(scene: Scene) -> None:
    """A fallback: the failed attempt, then the one that answered, under one request that went well."""
    scene.upstream.on("mistral-small", Status(500))
    scene.upstream.on("large", Answer())
    _, (request, failed, rescue) = scene.ask("fast", 3)

    assert (failed.failed, failed.attributes["error.type"]) == (True, "server_error")
    assert failed.attributes["http.response.status_code"] == 500
    assert (rescue.failed, rescue.attributes["tristar.reason"]) == (False, "server_error")
    assert (request.failed, request.attributes["tristar.llm_id"]) == (False, "slow")
    assert len({request.span_id, failed.span_id, rescue.span_id}) == 3


def test_a_request_that_fails_is_an_error(scene: Scene) -> None:
    """5xx of a server span; a refusal of the client's own making is none."""
    scene.upstream.on("large", Status(400))
    _, (refused, *_) = scene.ask("slow", 2)
    _, (unknown,) = scene.ask("no-such-model", 1)
    scene.upstream.on("mistral-small", Status(401))
    scene.upstream.on("large", Status(401))
    _, (broken, *_) = scene.ask("fast", 3)

    assert (refused.attributes["http.response.status_code"], refused.failed) == (400, False)
    assert (unknown.attributes["http.response.status_code"], unknown.failed) == (404, False)
    assert (broken.failed, broken.attributes["error.type"]) == (True, "502")


def test_the_clients_trace_goes_on_through_us_to_the_upstream(scene: Scene) -> None:
    """W3C: our span is the client's child, and the upstream's parent is our attempt."""
    scene.upstream.on("mistral-small", Answer())
    before = len(scene.upstream.journal.calls)
    view = look(scene.gateway, "fast", headers={"traceparent": f"00-{TRACE_ID}-{PARENT}-01"})
    request, attempt = scene.receiver.of(TRACE_ID, 2)
    sent = scene.upstream.journal.calls[before].header("traceparent")

    assert view.trace_id == TRACE_ID
    assert request.parent_id == PARENT
    assert sent == f"00-{TRACE_ID}-{attempt.span_id}-01"


def test_a_trace_that_the_client_does_not_sample_is_not_sent(scene: Scene) -> None:
    """The flag goes on to the upstream as it came, and no span of it arrives."""
    scene.upstream.on("mistral-small", Answer())
    before = len(scene.upstream.journal.calls)
    unsampled = "1bf7651916cd43dd8448eb211c80319c"
    look(scene.gateway, "fast", headers={"traceparent": f"00-{unsampled}-{PARENT}-00"})
    scene.ask("fast", 2)
    sent = scene.upstream.journal.calls[before].header("traceparent") or ""

    assert sent.endswith("-00")
    assert not [span for span in scene.receiver.spans if span.trace_id == unsampled]


def test_scrapes_and_probes_are_not_traced(scene: Scene) -> None:
    """A trace every few seconds from each monitor would bury the rest."""
    scene.upstream.on("mistral-small", Answer())
    scene.gateway.scrape()
    scene.gateway.request("GET", "/health/ready")
    scene.ask("fast", 2)

    assert {span.attributes.get("http.route", "/v1/chat/completions") for span in scene.receiver.spans} == {
        "/v1/chat/completions"
    }


def test_the_standard_variables_hold(scene: Scene) -> None:
    """Headers for the receiver, attributes of the resource, the name of the service."""
    scene.upstream.on("mistral-small", Answer())
    _, (request, _) = scene.ask("fast", 2)

    assert scene.receiver.headers[-1]["x-tenant"] == "stars"
    assert request.resource["deployment.environment.name"] == "test"
    assert request.resource["service.name"] == "ailinux-backend"


def test_no_prompt_and_no_answer_is_in_a_span(scene: Scene) -> None:
    """A tracing system is not where they may go."""
    scene.upstream.on("mistral-small", Answer(words=("a very", " secret answer")))
    asked = scene.gateway.chat("fast", messages=[{"role": "user", "content": "a very secret question"}])
    spans = scene.receiver.of(asked.headers["x-tristar-trace-id"], 2)

    assert asked.status_code == 200
    assert "secret" not in str(spans)


def test_stopping_sends_what_waits(gateway: StartGateway, upstream: Upstream) -> None:
    """The spans of the last requests arrive although nothing was due before."""
    with over_http() as receiver:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "60000"}
        running = gateway(toml=toml(upstream), env=env)
        views = [look(running, "fast") for _ in range(5)]
        assert receiver.spans == []
        code = running.stop()

    assert code == 0
    assert len(receiver.spans) == 10
    assert {span.trace_id for span in receiver.spans} == {view.trace_id for view in views}


def test_a_receiver_that_hangs_slows_nobody(gateway: StartGateway, upstream: Upstream) -> None:
    """Requests are answered, memory is bounded by the queue, stopping waits a few seconds and no more."""
    with over_http() as receiver:
        receiver.hold.clear()
        env = QUICK | {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_BSP_MAX_QUEUE_SIZE": "16"}
        env["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"] = "8"
        running = gateway(toml=toml(upstream), env=env)
        views = [look(running, "fast") for _ in range(40)]
        began = time.monotonic()
        code = running.stop(signal.SIGTERM)
        stopped_after_s = time.monotonic() - began
        receiver.hold.set()

    assert all(view.complete for view in views)
    assert code == 0
    assert stopped_after_s < 20


def test_sampling_is_by_the_standard_variables(gateway: StartGateway, upstream: Upstream) -> None:
    """`always_off`: nothing is sent, and the upstream is told that the trace is not sampled."""
    with over_http() as receiver:
        env = QUICK | {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_TRACES_SAMPLER": "always_off"}
        running = gateway(toml=toml(upstream), env=env)
        look(running, "fast")
        running.stop()

    assert receiver.spans == []
    assert (upstream.journal.calls[0].header("traceparent") or "").endswith("-00")
