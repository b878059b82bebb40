"""The fields of a JSON object as they came: known ones are read, the others stay bytes."""

from typing import Any, TypeVar

import msgspec

from tristar.errors import BadRequest

Fields = dict[str, msgspec.Raw]
NULL = msgspec.Raw(b"null")
T = TypeVar("T")

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises for bytes that are not what was expected; `ValidationError` is among them."""

_MODEL = "a string naming a model; GET /v1/models lists them"

_encoder = msgspec.json.Encoder()
_fields_decoder = msgspec.json.Decoder(Fields)
_str = msgspec.json.Decoder(str)
_flag = msgspec.json.Decoder(bool | None)
_names = msgspec.json.Decoder(list[str] | None)
_NO = (msgspec.Raw(b"false"), msgspec.Raw(b"null"))
_whole: "msgspec.json.Decoder[int | None]" = msgspec.json.Decoder(int | None)


def encode(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """Compact JSON."""
    return _encoder.encode(value)


def raw(value: Any) -> msgspec.Raw:  # noqa: ANN401 - the same
    """A value as one of an object's fields."""
    return msgspec.Raw(_encoder.encode(value))


def is_absent(value: msgspec.Raw | None) -> bool:
    """Whether a field is missing or null."""
    return value is None or bytes(value) == b"null"


def read_object(body: bytes) -> Fields:
    """A request's body.

    Raises:
        BadRequest: it is not a JSON object.
    """
    try:
        return _fields_decoder.decode(body)
    except msgspec.ValidationError as error:
        raise BadRequest("The request body must be a JSON object.") from error
    except UNREADABLE as error:
        raise BadRequest(f"The request body is not valid JSON: {str(error)[:200]}") from error


def read_fields(value: msgspec.Raw) -> Fields:
    """The fields of a nested object; errors as msgspec raises them."""
    return _fields_decoder.decode(value)


def optional(fields: Fields, name: str, decoder: "msgspec.json.Decoder[T]", kind: str) -> T | None:
    """A field's value, None where it is absent.

    Raises:
        BadRequest: it is not of this kind.
    """
    value = fields.get(name)
    if value is None:
        return None
    try:
        return decoder.decode(value)
    except msgspec.ValidationError as error:
        raise BadRequest(f"`{name}` must be {kind}. {_place(error, name)}".rstrip(), param=name) from error
    except UNREADABLE as error:
        raise BadRequest(f"`{name}` must be {kind}.", param=name) from error


def required(fields: Fields, name: str, decoder: "msgspec.json.Decoder[T]", kind: str) -> T:
    """A field's value; errors as `optional`, also where it is absent."""
    value = optional(fields, name, decoder, kind)
    if value is None:
        raise BadRequest(f"`{name}` is missing: it must be {kind}.", param=name)
    return value


def read_model(fields: Fields) -> str:
    """The `model`; errors as `required`."""
    try:
        model = _str.decode(fields["model"])
    except (KeyError, *UNREADABLE):
        model = required(fields, "model", _str, _MODEL)  # says what is wrong
    if not model:
        raise BadRequest(f"`model` must be {_MODEL}.", param="model")
    return model


def read_stream(fields: Fields) -> bool:
    """Whether a stream is asked for; errors as `optional`."""
    told = fields.get("stream")
    if told is None or told in _NO:
        return False
    return bool(optional(fields, "stream", _flag, "true or false"))


def read_fallbacks(fields: Fields) -> tuple[str, ...] | None:
    """The llm_ids in `fallbacks`, TriStar's own field."""
    named = optional(fields, "fallbacks", _names, "an array of model names")
    return None if named is None else tuple(named)


def read_limit(fields: Fields, *names: str) -> int | None:
    """The first of these fields that says how many tokens of output there may be; None where none does."""
    for name in names:
        value = fields.get(name)
        if value is None:
            continue
        try:
            limit = _whole.decode(value)
        except UNREADABLE:
            continue  # the upstream's to refuse
        if limit is not None:
            return max(0, limit)
    return None


def read_messages(fields: Fields) -> bytes:
    """The bytes of `messages`.

    Raises:
        BadRequest: they are not an array.
    """
    messages = bytes(fields.get("messages", b""))
    if messages[:1] != b"[":
        raise BadRequest("`messages` must be an array of message objects.", param="messages")
    return messages


def with_one_more(array: bytes, item: object) -> msgspec.Raw:
    """A JSON array with one more item at its end; the others stay as they are."""
    rest = array.rstrip()[:-1].rstrip()
    return msgspec.Raw(rest + (b"" if rest == b"[" else b",") + encode(item) + b"]")


def _place(error: msgspec.ValidationError, name: str) -> str:
    """Where in the field the fault is, if it is inside."""
    text, _, place = str(error).rpartition(" - at `$")
    return f"{text} at `{name}{place}." if text else ""
