"""The dialect `gemini`, held against Google's own SDK: what it would send, and what it reads."""

import base64
import json
from typing import Any

import msgspec
import pytest
from google.genai import types
from tests.providers.google import (
    CASSETTES,
    Wire,
    read_by_the_sdk,
    sent_by_the_sdk,
    spelt,
    streamed_to_the_sdk,
)

from tristar.errors import CannotCarry
from tristar.providers.anthropic.messages import parse_messages
from tristar.providers.dialect import Outgoing
from tristar.providers.gemini.dialect import GeminiDialect
from tristar.providers.gemini.embeddings import write_request
from tristar.providers.neutral import Answer, Piece, Text, Thinking, ToolUse, Usage
from tristar.providers.openai.chat import parse_chat
from tristar.providers.openai.embeddings import parse_embedding
from tristar.relay.failure import in_band, refusal

Json = dict[str, Any]
GEMINI = GeminiDialect()
MODEL = "gemini-2.5-flash"
PICTURE = base64.b64encode(b"\x89PNG").decode()
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
QUESTION = {"role": "user", "content": "hi"}
TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "Tells it.", "parameters": SCHEMA},
}
CALLED = {
    "role": "assistant",
    "content": "I look.",
    "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Kiel"}'}},
        {"id": "c2", "type": "function", "function": {"name": "tide", "arguments": "{}"}},
    ],
}
RESULTS = [
    {"role": "tool", "tool_call_id": "c1", "content": '{"sky":"clear"}'},
    {"role": "tool", "tool_call_id": "c2", "content": "high"},
]


def chat(model: str = MODEL, **fields: object) -> Outgoing:
    """What a chat request becomes."""
    asked = {"model": "a", "messages": [QUESTION], **fields}
    return parse_chat(json.dumps(asked).encode()).sent_to(GEMINI, model)


def body_of(outgoing: Outgoing) -> Json:
    """Its body, as an object."""
    told: Json = json.loads(outgoing.body)
    return told


def said(*parts: types.Part, role: str = "user") -> types.Content:
    """One of the SDK's messages."""
    return types.Content(role=role, parts=list(parts))


HI = said(types.Part(text="hi"))
FUNCTION = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(name="weather", description="Tells it.", parameters_json_schema=SCHEMA)
    ]
)
CONVERSATIONS: dict[str, tuple[Json, list[types.Content], types.GenerateContentConfig]] = {
    "a question": ({}, [HI], types.GenerateContentConfig()),
    "system prompts": (
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                QUESTION,
                {"role": "developer", "content": "And kind."},
            ]
        },
        [HI],
        types.GenerateContentConfig(
            system_instruction=[types.Part(text="Be brief."), types.Part(text="And kind.")]
        ),
    ),
    "a turn": (
        {"messages": [QUESTION, {"role": "assistant", "content": "Ho."}, QUESTION]},
        [HI, said(types.Part(text="Ho."), role="model"), HI],
        types.GenerateContentConfig(),
    ),
    "pictures, a file and a sound": (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What?"},
                        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
                        {"type": "image_url", "image_url": {"url": "https://h.example/a.webp?x=1"}},
                        {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PICTURE}"}},
                        {"type": "input_audio", "input_audio": {"data": PICTURE, "format": "wav"}},
                    ],
                }
            ]
        },
        [
            said(
                types.Part(text="What?"),
                types.Part.from_bytes(data=b"\x89PNG", mime_type="image/png"),
                types.Part.from_uri(file_uri="https://h.example/a.webp?x=1", mime_type="image/webp"),
                types.Part.from_bytes(data=b"\x89PNG", mime_type="application/pdf"),
                types.Part.from_bytes(data=b"\x89PNG", mime_type="audio/wav"),
            )
        ],
        types.GenerateContentConfig(),
    ),
    "tools, called in parallel": (
        {"messages": [QUESTION, CALLED, *RESULTS], "tools": [TOOL], "tool_choice": "auto"},
        [
            HI,
            said(
                types.Part(text="I look."),
                types.Part(function_call=types.FunctionCall(id="c1", name="weather", args={"city": "Kiel"})),
                types.Part(function_call=types.FunctionCall(id="c2", name="tide", args={})),
                role="model",
            ),
            said(
                types.Part(
                    function_response=types.FunctionResponse(
                        id="c1", name="weather", response={"sky": "clear"}
                    )
                ),
                types.Part(
                    function_response=types.FunctionResponse(
                        id="c2", name="tide", response={"result": "high"}
                    )
                ),
            ),
        ],
        types.GenerateContentConfig(
            tools=[FUNCTION],
            tool_config=types.ToolConfig(
                function_calling_config=types.FunctionCallingConfig(mode=types.FunctionCallingConfigMode.AUTO)
            ),
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        ),
    ),
    "a tool that must be called": (
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "weather"}}},
        [HI],
        types.GenerateContentConfig(
            tools=[FUNCTION],
            tool_config=types.ToolConfig(
                function_calling_config=types.FunctionCallingConfig(
                    mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["weather"]
                )
            ),
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        ),
    ),
    "every number": (
        {
            "max_completion_tokens": 100,
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 40,
            "seed": 7,
            "presence_penalty": 0.1,
            "frequency_penalty": 0.2,
            "stop": ["END"],
        },
        [HI],
        types.GenerateContentConfig(
            max_output_tokens=100,
            temperature=0.5,
            top_p=0.9,
            top_k=40,
            seed=7,
            presence_penalty=0.1,
            frequency_penalty=0.2,
            stop_sequences=["END"],
        ),
    ),
    "a schema for the answer": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "c", "schema": SCHEMA}}},
        [HI],
        types.GenerateContentConfig(response_mime_type="application/json", response_json_schema=SCHEMA),
    ),
    "any object for an answer": (
        {"response_format": {"type": "json_object"}},
        [HI],
        types.GenerateContentConfig(response_mime_type="application/json"),
    ),
    "some thought": (
        {"reasoning_effort": "medium"},
        [HI],
        types.GenerateContentConfig(
            thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=8192)
        ),
    ),
    "no thought": (
        {"reasoning_effort": "none"},
        [HI],
        types.GenerateContentConfig(thinking_config=types.ThinkingConfig(thinking_budget=0)),
    ),
    "what Google alone knows": (
        {"safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}]},
        [HI],
        types.GenerateContentConfig(
            safety_settings=[
                types.SafetySetting(
                    category=types.HarmCategory.HARM_CATEGORY_HARASSMENT,
                    threshold=types.HarmBlockThreshold.OFF,
                )
            ]
        ),
    ),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_request_is_what_googles_own_sdk_would_send(name: str) -> None:
    """The same conversation, told to both, is the same body."""
    fields, contents, config = CONVERSATIONS[name]

    assert spelt(body_of(chat(**fields))) == sent_by_the_sdk(contents, config)


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-2.5-flash", "/models/gemini-2.5-flash:generateContent"),
        ("models/gemini-2.5-flash", "/models/gemini-2.5-flash:generateContent"),
        ("tunedModels/mine", "/tunedModels/mine:generateContent"),
        ("../x?y:z", "/models/..%2Fx%3Fy%3Az:generateContent"),
    ],
)
def test_the_path_names_the_model(model: str, path: str) -> None:
    """What a client calls a model cannot leave its part of the path."""
    assert chat(model).path == path


def test_a_stream_is_asked_for_as_events() -> None:
    """Without `alt=sse` it would be one JSON array."""
    assert chat(stream=True).path == f"/models/{MODEL}:streamGenerateContent?alt=sse"


@pytest.mark.parametrize(
    ("model", "effort", "told"),
    [
        ("gemini-3-pro-preview", "high", {"includeThoughts": True, "thinkingLevel": "high"}),
        ("gemini-3-pro-preview", "xhigh", {"includeThoughts": True, "thinkingLevel": "high"}),
        ("gemini-3-pro-preview", "minimal", {"includeThoughts": True, "thinkingLevel": "low"}),
        ("gemini-3-flash-preview", "minimal", {"includeThoughts": True, "thinkingLevel": "minimal"}),
        ("gemini-3-flash-preview", "none", {"thinkingLevel": "minimal"}),
        ("gemini-2.5-pro", "high", {"includeThoughts": True, "thinkingBudget": 24576}),
    ],
)
def test_later_models_are_told_a_level_of_thought(model: str, effort: str, told: Json) -> None:
    """And earlier ones a number of tokens."""
    assert body_of(chat(model, reasoning_effort=effort))["generationConfig"]["thinkingConfig"] == told


def test_a_budget_of_thought_is_carried_over() -> None:
    """As Anthropic's clients name it."""
    asked = {"model": "a", "messages": [QUESTION], "thinking": {"type": "enabled", "budget_tokens": 2000}}
    body = body_of(parse_messages(json.dumps(asked).encode()).sent_to(GEMINI, MODEL))

    assert body["generationConfig"]["thinkingConfig"] == {"includeThoughts": True, "thinkingBudget": 2000}


def test_a_call_keeps_the_signature_that_came_with_it() -> None:
    """From the answer, over the client's history, back to Google."""
    cassette = CASSETTES["parallel calls"]["whole"]
    call = parse_chat(json.dumps({"model": "a", "messages": [QUESTION]}).encode())
    message = json.loads(call.told(GEMINI, json.dumps(cassette).encode(), Usage()))["choices"][0]["message"]
    parts = body_of(chat("gemini-3-pro-preview", messages=[QUESTION, message]))["contents"][1]["parts"]

    assert [part.get("thoughtSignature") for part in parts] == [None, "c2ln", None]


def test_a_call_of_another_model_is_marked_as_unsigned() -> None:
    """Once in each turn, with the word that Google documents; earlier models want none."""
    later, earlier = (
        body_of(chat(model, messages=[QUESTION, CALLED, *RESULTS]))["contents"][1]["parts"]
        for model in ("gemini-3-pro-preview", MODEL)
    )

    signatures = [None, "skip_thought_signature_validator", None]
    assert [part.get("thoughtSignature") for part in later] == signatures
    assert not any("thoughtSignature" in part for part in earlier)


def test_what_a_tool_shows_stands_beside_its_result() -> None:
    """Pictures of a messages request, behind the function's response; a failure says so."""
    asked = {
        "model": "a",
        "max_tokens": 9,
        "messages": [
            QUESTION,
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "look", "input": {}}]},
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "c1",
                        "is_error": True,
                        "content": [
                            {"type": "text", "text": "blurred"},
                            {
                                "type": "image",
                                "source": {"type": "base64", "media_type": "image/png", "data": PICTURE},
                            },
                        ],
                    }
                ],
            },
        ],
    }
    body = body_of(parse_messages(json.dumps(asked).encode()).sent_to(GEMINI, MODEL))

    assert body["contents"][2]["parts"] == [
        {"functionResponse": {"id": "c1", "name": "look", "response": {"error": "blurred"}}},
        {"inlineData": {"mimeType": "image/png", "data": PICTURE}},
    ]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"logprobs": True}, "logprobs"),
        ({"messages": [QUESTION, RESULTS[0]]}, "messages"),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "[1"}}],
                    }
                ]
            },
            "messages",
        ),
    ],
)
def test_what_google_has_no_words_for_is_refused_by_name(fields: Json, param: str) -> None:
    """Nothing is dropped silently."""
    with pytest.raises(CannotCarry) as caught:
        chat(**fields)

    assert caught.value.param == param


@pytest.mark.parametrize("name", CASSETTES)
def test_a_whole_answer_says_what_googles_sdk_reads(name: str) -> None:
    """Text, thoughts, calls and tokens."""
    cassette = CASSETTES[name]["whole"]
    answer = GEMINI.read_answer(json.dumps(cassette).encode())
    completion = GEMINI.read_completion(json.dumps(cassette).encode())
    read = read_by_the_sdk(cassette)

    assert told_by(answer) == heard_in([read])
    assert completion.finish_reason == answer.finish
    assert completion.usage == answer.usage == counted(read)
    assert (answer.model, answer.answer_id) == (read.model_version, read.response_id)


@pytest.mark.parametrize("name", CASSETTES)
def test_a_stream_says_what_googles_sdk_reads(name: str) -> None:
    """Event by event; the tokens are those of the last one, told once."""
    events = CASSETTES[name]["events"]
    reader = GEMINI.reader()
    pieces = [reader.read(json.dumps(event).encode()) for event in events]
    read = streamed_to_the_sdk(events)

    assert told_in(pieces) == heard_in(read)
    assert reader.is_finished
    assert [piece.usage for piece in pieces if piece.usage] == [counted(read[-1])]
    assert pieces[-1].finish == GEMINI.read_answer(json.dumps(CASSETTES[name]["whole"]).encode()).finish


def test_a_stream_is_not_finished_before_its_reason() -> None:
    """This API marks no other end: what stops before it is a cut."""
    reader = GEMINI.reader()
    for event in CASSETTES["parallel calls"]["events"][:-1]:
        reader.read(json.dumps(event).encode())

    assert not reader.is_finished


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "OTHER"])
def test_a_model_that_lost_its_way_has_not_answered(reason: str) -> None:
    """Another try, or another llm, may find it."""
    lost = json.dumps({"candidates": [{"finishReason": reason}]}).encode()
    piece = GEMINI.reader().read(lost)

    assert piece.error is not None
    assert in_band(GEMINI, piece.error).error_type == "server_error"
    with pytest.raises(msgspec.ValidationError):
        GEMINI.read_answer(lost)


def test_what_only_google_has_a_form_for_is_no_answer_to_others() -> None:
    """A picture that the model drew is not dropped silently."""
    part = {"inlineData": {"mimeType": "image/png", "data": PICTURE}}
    drawn = json.dumps({"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}]}).encode()

    assert GEMINI.reader().read(drawn).opaque
    with pytest.raises(msgspec.ValidationError):
        GEMINI.read_answer(drawn)


DETAIL = "type.googleapis.com/google.rpc."
MINUTE, DAY = (
    "GenerateRequestsPerMinutePerProjectPerModel",
    "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
)


def spent(quota: str) -> list[Json]:
    """The details of a 429."""
    return [
        {"@type": f"{DETAIL}QuotaFailure", "violations": [{"quotaId": quota, "quotaValue": "10"}]},
        {"@type": f"{DETAIL}RetryInfo", "retryDelay": "34.5s"},
    ]


@pytest.mark.parametrize(
    ("status", "word", "message", "details", "error_type"),
    [
        (400, "INVALID_ARGUMENT", "Unknown name", [], "bad_request"),
        (
            400,
            "INVALID_ARGUMENT",
            "API key not valid.",
            [{"@type": f"{DETAIL}ErrorInfo", "reason": "API_KEY_INVALID"}],
            "auth",
        ),
        (
            400,
            "INVALID_ARGUMENT",
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
            [],
            "context_length",
        ),
        (403, "PERMISSION_DENIED", "Denied.", [], "auth"),
        (404, "NOT_FOUND", "models/x is not found", [], "bad_request"),
        (429, "RESOURCE_EXHAUSTED", "Quota", spent(MINUTE), "rate_limited"),
        (429, "RESOURCE_EXHAUSTED", "Quota", spent(DAY), "quota"),
        (500, "INTERNAL", "Oops", [], "server_error"),
        (503, "UNAVAILABLE", "The model is overloaded.", [], "server_error"),
        (504, "DEADLINE_EXCEEDED", "Late", [], "server_error"),
    ],
)
@pytest.mark.parametrize("in_a_list", [False, True], ids=["alone", "in-a-list"])
def test_errors_are_read_as_google_documents_them(
    status: int, word: str, message: str, details: list[Json], error_type: str, *, in_a_list: bool
) -> None:
    """Their kind, their words, and how long to wait: that is in the body here."""
    told: object = {"error": {"code": status, "message": message, "status": word, "details": details}}
    failure = refusal(GEMINI, status, [], json.dumps([told] if in_a_list else told).encode())

    assert failure.error_type == error_type
    assert message in failure.message or error_type == "auth"
    assert failure.retry_after_s == (34.5 if status == 429 else None)


@pytest.mark.parametrize("body", [b"", b"no", b"[]", b"{}", b'{"error":1}', b"\xff", b"[" * 100_000])
def test_an_error_of_any_shape_is_read(body: bytes) -> None:
    """A proxy's page, or nothing at all."""
    assert refusal(GEMINI, 502, [], body).error_type == "server_error"


def test_an_error_amid_a_stream_is_one() -> None:
    """As the service sends it behind a 200."""
    body = b'{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}'
    piece = GEMINI.reader().read(body)

    assert piece.error == body
    assert (in_band(GEMINI, body).error_type, in_band(GEMINI, body).status) == ("server_error", 503)


def test_embeddings_are_asked_for_as_googles_sdk_does() -> None:
    """One request for each text."""
    wire = Wire({"embeddings": [{"values": [0.5]}]})
    config = types.EmbedContentConfig(output_dimensionality=3)
    wire.client.models.embed_content(model="gemini-embedding-001", contents=["a", "b"], config=config)

    assert spelt(wire.body) == json.loads(write_request(["a", "b"], "gemini-embedding-001", 3))
    assert wire.url.endswith("/models/gemini-embedding-001:batchEmbedContents")


@pytest.mark.parametrize("form", ["float", "base64", None])
def test_embeddings_come_in_the_form_that_is_asked_for(form: str | None) -> None:
    """OpenAI's SDKs ask for base64."""
    asked = {"model": "a", "input": ["x", "y"], "dimensions": 2} | ({"encoding_format": form} if form else {})
    call = parse_embedding(json.dumps(asked).encode())
    outgoing = call.sent_to(GEMINI, "gemini-embedding-001")
    told = json.loads(
        call.told(GEMINI, b'{"embeddings":[{"values":[0.5,-2]},{"values":[1,0]}]}', Usage(input=3))
    )

    vectors = [each["embedding"] for each in told["data"]]
    packed = ["AAAAPwAAAMA=", "AACAPwAAAAA="]
    assert outgoing.path == "/models/gemini-embedding-001:batchEmbedContents"
    assert vectors == (packed if form == "base64" else [[0.5, -2], [1, 0]])
    assert told["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


@pytest.mark.parametrize(("field", "value"), [("input", [1, 2]), ("input", [[1]]), ("truncate", True)])
def test_embeddings_that_google_cannot_make_are_refused_by_name(field: str, value: object) -> None:
    """Tokens are another model's; unknown fields would be lost."""
    call = parse_embedding(json.dumps({"model": "a", "input": "x", field: value}).encode())
    with pytest.raises(CannotCarry) as caught:
        call.sent_to(GEMINI, "m")

    assert caught.value.param == field


def told_by(answer: Answer) -> Json:
    """What an answer holds, in a form to compare."""
    return {
        "text": "".join(part.text for part in answer.parts if isinstance(part, Text)),
        "thoughts": "".join(part.text for part in answer.parts if isinstance(part, Thinking)),
        "calls": [
            (part.name, json.loads(part.arguments), part.signature)
            for part in answer.parts
            if isinstance(part, ToolUse)
        ],
        "blocked": answer.refusal is not None,
    }


def told_in(pieces: list[Piece]) -> Json:
    """The same of a stream."""
    return {
        "text": "".join(piece.text for piece in pieces),
        "thoughts": "".join(piece.thinking for piece in pieces),
        "calls": [
            (call.name, json.loads(call.arguments), call.signature)
            for piece in pieces
            for call in piece.calls
        ],
        "blocked": any(piece.refusal for piece in pieces),
    }


def heard_in(responses: list[types.GenerateContentResponse]) -> Json:
    """The same, as the SDK has it."""
    parts = [
        part
        for response in responses
        for candidate in response.candidates or []
        for part in (candidate.content.parts or [] if candidate.content else [])
    ]
    signed = [part for part in parts if part.function_call]
    return {
        "text": "".join(part.text or "" for part in parts if not part.thought),
        "thoughts": "".join(part.text or "" for part in parts if part.thought),
        "calls": [
            (
                part.function_call.name,
                part.function_call.args,
                base64.b64encode(part.thought_signature).decode() if part.thought_signature else None,
            )
            for part in signed
            if part.function_call
        ],
        "blocked": any(each.prompt_feedback and each.prompt_feedback.block_reason for each in responses),
    }


def counted(response: types.GenerateContentResponse) -> Usage:
    """The SDK's counts in neutral words."""
    told = response.usage_metadata
    assert told is not None
    thought = told.thoughts_token_count or 0
    return Usage(
        told.prompt_token_count or 0,
        (told.candidates_token_count or 0) + thought,
        told.cached_content_token_count or 0,
        0,
        thought,
    )
