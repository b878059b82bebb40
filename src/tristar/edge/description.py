"""The llm routes in the OpenAPI document: served in front of FastAPI, described beside its own."""

from collections.abc import Mapping
from typing import Any, Final

Item = dict[str, Any]

_OWN_ENVELOPE: Final = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorEnvelope"}}}
_ENVELOPE: Final = {
    "application/json": {
        "schema": {
            "type": "object",
            "required": ["error"],
            "properties": {
                "error": {
                    "type": "object",
                    "description": "Ours has type, code and param; a provider's own comes as it is.",
                    "required": ["message"],
                    "properties": {"message": {"type": "string"}},
                }
            },
        }
    }
}
_ANTHROPIC_ENVELOPE: Final = {
    "application/json": {
        "schema": {
            "type": "object",
            "required": ["type", "error", "request_id"],
            "properties": {
                "type": {"const": "error"},
                "error": {
                    "type": "object",
                    "required": ["type", "message"],
                    "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
                },
                "request_id": {"type": "string"},
            },
        }
    }
}
_REFUSALS: Final = {
    "400": "The request is malformed, or a field is out of its range (see `param`), or the provider says so.",
    "401": "No API key, or not a good one.",
    "403": "The key lacks the scope, or may not use the model. Or the provider's content filter.",
    "404": "There is no such model.",
    "405": "The route takes POST.",
    "413": "The body is larger than this gateway takes.",
    "429": "The key, the llm or the provider has no allowance left; see `Retry-After`.",
    "500": "The gateway failed; its log has the details.",
    "502": "No llm on the route gave a usable answer.",
    "503": "Every llm on the route is resting, or the call cannot be recorded; see `Retry-After`.",
    "504": "The llm, or the whole route, took too long.",
}
_FALLBACKS: Final = {
    "type": "array",
    "items": {"type": "string"},
    "description": "llm_ids to try in place of the configured fallbacks; never sent upstream.",
}
_MODEL: Final = {"type": "string", "description": "The llm_id: GET /v1/models lists them."}


_MEMORY: Final = {
    "type": "object",
    "description": "Entries of the shared memory go along: project, type, tags, min_confidence, "
    "limit, max_tokens. Never sent upstream itself.",
}
_MESSAGES: Final = {"type": "array", "items": {"type": "object"}}
_STREAMED: Final = {"text/event-stream": {"schema": {"type": "string"}}}


def llm_paths(
    chat: tuple[str, ...], embeddings: str, messages: str, count: str, responses: str
) -> Mapping[str, Item]:
    """The path items of the routes that reach an llm."""
    return {
        **{path: {"post": _chat(path)} for path in chat},
        embeddings: {"post": _embeddings()},
        messages: {"post": _messages()},
        responses: {"post": _responses()},
        count: {"post": _count()},
    }


_EVERYWHERE: Final = {
    "400": "The request is malformed, or a field is out of its range.",
    "401": "No API key, or not a good one.",
    "403": "The key lacks the scope.",
    "429": "Too many requests without a good key came from this address; see `Retry-After`.",
    "503": "The key store or the audit log cannot be reached; see `Retry-After`.",
}
_OPEN: Final = ("/health", "/console")


def completed(document: Item, metrics_path: str | None) -> None:
    """Make FastAPI's part of the document true: what the front refuses is there, its own 422 never comes."""
    for path, item in document["paths"].items():
        statuses = ("400",) if path.startswith(_OPEN) else tuple(_EVERYWHERE)
        for operation in item.values():
            answers = operation["responses"]
            answers.pop("422", None)
            for status in statuses:
                told = {"description": _EVERYWHERE[status], "content": _OWN_ENVELOPE}
                answers.setdefault(status, told)
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    if metrics_path is not None:
        document["paths"][metrics_path] = {"get": _metrics()}


def _metrics() -> Item:
    kinds = ("text/plain", "application/openmetrics-text")
    page = {kind: {"schema": {"type": "string"}} for kind in kinds}
    refusals = {
        status: {"description": _EVERYWHERE[status], "content": _OWN_ENVELOPE}
        for status in ("401", "403", "429", "503")
    }
    return {
        "tags": ["metrics"],
        "operationId": "metrics",
        "summary": "Prometheus' page; without a key from this machine alone.",
        "responses": {"200": {"description": "Every metric.", "content": page}, **refusals},
    }


def _chat(path: str) -> Item:
    properties = {
        "model": _MODEL,
        "messages": _MESSAGES,
        "stream": {"type": ["boolean", "null"]},
        "fallbacks": _FALLBACKS,
        "memory": _MEMORY,
    }
    return _operation(
        f"chat_{path.strip('/').replace('/', '_')}",
        "OpenAI chat completions, whole or streamed; every other field travels on untouched.",
        _object(properties, "model", "messages"),
        {"application/json": {"schema": {"type": "object"}}, **_STREAMED},
    )


def _embeddings() -> Item:
    text = {"type": "string"}
    properties = {
        "model": _MODEL,
        "input": {"oneOf": [text, {"type": "array", "items": {}}]},
        "fallbacks": _FALLBACKS,
    }
    return _operation(
        "embeddings",
        "OpenAI embeddings; of the fallbacks only those with the same model answer.",
        _object(properties, "model", "input"),
        {"application/json": {"schema": {"type": "object"}}},
    )


def _messages() -> Item:
    properties = {
        "model": _MODEL,
        "messages": _MESSAGES,
        "max_tokens": {"type": ["integer", "null"]},
        "stream": {"type": ["boolean", "null"]},
        "fallbacks": _FALLBACKS,
        "memory": _MEMORY,
    }
    return _operation(
        "messages",
        "Anthropic Messages, whole or streamed, to any provider.",
        _object(properties, "model", "messages"),
        {"application/json": {"schema": {"type": "object"}}, **_STREAMED},
        _ANTHROPIC_ENVELOPE,
    )


def _responses() -> Item:
    properties = {
        "model": _MODEL,
        "input": {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]},
        "instructions": {"type": ["string", "null"]},
        "stream": {"type": ["boolean", "null"]},
        "background": {"enum": [False, None]},
        "fallbacks": _FALLBACKS,
        "memory": _MEMORY,
    }
    return _operation(
        "responses",
        "OpenAI Responses, whole or streamed: passed through to providers that have it, else translated.",
        _object(properties, "model", "input"),
        {"application/json": {"schema": {"type": "object"}}, **_STREAMED},
    )


def _count() -> Item:
    counted = {"type": "object", "properties": {"input_tokens": {"type": "integer"}}}
    return _operation(
        "count_tokens",
        "Count the tokens of a messages request; where the provider does not count they are estimated, "
        "and the header x-tristar-estimated says so.",
        _object({"model": _MODEL, "messages": _MESSAGES}, "model", "messages"),
        {"application/json": {"schema": counted}},
        _ANTHROPIC_ENVELOPE,
    )


def _object(properties: Item, *required: str) -> Item:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": True,
    }


def _operation(operation_id: str, summary: str, body: Item, answer: Item, envelope: Item = _ENVELOPE) -> Item:
    return {
        "tags": ["llms"],
        "operationId": operation_id,
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {"description": "The llm's answer.", "content": answer},
            **{status: {"description": text, "content": envelope} for status, text in _REFUSALS.items()},
            "default": {"description": "Any other refusal.", "content": envelope},
        },
    }
