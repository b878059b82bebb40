"""The events of Google's streams, read: each is a response that holds what came since the last."""

from collections.abc import Sequence

from tristar.providers.fields import encode, is_absent
from tristar.providers.gemini.response import (
    FAILED,
    Candidate,
    Part,
    call_id,
    decoder,
    read_finish,
    refusal_of,
)
from tristar.providers.gemini.usage import read_usage
from tristar.providers.neutral import CallPiece, Piece


class ResponseReader:
    """See `StreamReader`. This API marks no end: the stream is complete once its finish reason is there."""

    __slots__ = ("_calls", "_finished")

    def __init__(self) -> None:
        self._finished = False
        self._calls = 0

    @property
    def is_finished(self) -> bool:
        """See `StreamReader.is_finished`."""
        return self._finished

    def read_texts(self, events: Sequence[bytes], start: int) -> list[str]:
        """See `StreamReader.read_texts`: none is known."""
        del events, start
        return []

    def read(self, data: bytes) -> Piece:
        """See `StreamReader.read`."""
        told = decoder.decode(data)
        if not is_absent(told.error):
            return Piece(error=data)
        piece = Piece(model=told.model_version)
        if told.candidate is not None:
            failed = self._read_candidate(told.candidate, told.response_id, piece)
            if failed:
                return Piece(error=_failure(failed))
        elif told.blocked:
            piece.refusal, piece.finish = refusal_of(told.blocked), "content_filter"
            piece.is_output = self._finished = True
        if self._finished or told.candidate is None:
            piece.usage = read_usage(told.usage_metadata)  # before the end they are of what came so far
        return piece

    def _read_candidate(self, candidate: Candidate, response_id: str | None, piece: Piece) -> str | None:
        """Note what the candidate adds; the reason where it is no answer."""
        for part in candidate.parts:
            self._read_part(part, response_id, piece)
        if candidate.finish_reason in FAILED:
            return candidate.finish_reason
        piece.finish = read_finish(candidate.finish_reason, calls=self._calls > 0)
        if piece.finish is not None:
            piece.is_output = self._finished = True
        return None

    def _read_part(self, part: Part, response_id: str | None, piece: Piece) -> None:
        if part.function_call is not None:
            call = part.function_call
            named = call.id or call_id(response_id, self._calls)
            signature = part.thought_signature
            told = CallPiece(self._calls, named, call.name, call.arguments, signature)
            piece.calls = [*piece.calls, told]
            self._calls += 1
        elif part.text and part.thought:
            piece.thinking += part.text
        elif part.text:
            piece.text += part.text
        elif part.is_opaque:
            piece.opaque = True
        piece.is_output = piece.is_output or bool(piece.calls or piece.thinking or piece.text or piece.opaque)


def _failure(reason: str) -> bytes:
    return encode({"error": {"code": 502, "message": f"The model ended with {reason}.", "status": reason}})
