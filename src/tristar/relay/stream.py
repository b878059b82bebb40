"""One upstream's stream: every event read, none malformed handed on, its end judged.

A stream is complete when the upstream says so (`[DONE]`, `message_stop`) or when its finish reason is
known and the body ended or fell silent. Anything else is a cut, and is raised as one. What a dialect's
events mean is its reader's to say, what the client gets its surface's writer's.
"""

from collections.abc import Callable, Sequence

import msgspec

from tristar.clock import Clock
from tristar.errors import UpstreamBroken, UpstreamFailed
from tristar.exchange import Attempt
from tristar.providers.dialect import Dialect
from tristar.providers.fields import encode
from tristar.providers.neutral import CallPiece, Piece, Usage
from tristar.providers.surface import StreamWriter
from tristar.relay.departure import Departure
from tristar.relay.failure import diverged, in_band, timed_out
from tristar.relay.sse import EventSplitter, data_lines, data_of, event_of, events_in
from tristar.relay.transport import Response
from tristar.routing.catalog import Llm

SILENT_END_S = 0.5
"""How long a finished stream may withhold its `[DONE]` before it is supplied."""

NOTHING = Usage()

Push = Callable[[bytes], bool]
"""Sends a piece to the client without waiting; False, and nothing was sent, where it has to be waited for."""

MAX_CALL_PIECES = 4096
"""So many pieces of tool calls are kept for the audit log, where it wants them; what follows is left out."""


def nobody(piece: bytes) -> bool:
    """Takes nothing."""
    del piece
    return False


class LiveStream:
    """The events of one attempt's stream, as bytes ready for the client.

    `opened` is called once, before `pieces`; the first piece holds everything up to and with
    the first token, so that until then another llm can still take over unseen. `skip` is text
    that the client already has from another llm: the answer must begin with it, and it is left
    out. `tokens_before` (input, output) is what those earlier parts used.
    """

    def __init__(
        self,
        response: Response,
        *,
        llm: Llm,
        attempt: Attempt,
        permit: int,
        departure: Departure,
        clock: Clock,
        dialect: Dialect,
        writer: StreamWriter,
        passes: bool,
        limit: float,
        skip: str = "",
        before: Usage = NOTHING,
        calls: list[bytes] | None = None,
    ) -> None:
        self.llm = llm
        self.attempt = attempt
        self.permit = permit
        self.writer = writer
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.output_chars = 0
        self.texts: list[str] = []
        self.resumable = True
        """Whether all output so far is plain text of one choice, which another llm can carry on."""
        self.skipped_chars = len(skip)
        """How much of `texts` the client has from before."""
        self.calls = calls
        """Where the pieces of tool calls are kept; None: they are not."""
        self._skip = skip
        self._response = response
        self._departure = departure
        self._clock = clock
        self._before = before
        self._limit = limit
        self._splitter = EventSplitter()
        self._push: Push = nobody
        self._failure: UpstreamFailed | None = None
        """What ended the stream, behind what is held."""
        self._heard_s = 0.0
        self._dialect = dialect
        self._reader = dialect.reader()
        self._passes = passes
        self._has_output = False
        self._done = False
        self._held = b""

    async def open(self, started: float) -> None:
        """Read until the first token or the proper end of an empty answer.

        Raises:
            UpstreamTimedOut: no token within the llm's `first_token_timeout_s` of `started`.
            UpstreamFailed: the stream broke, or carries an error instead of an answer.
        """
        first_limit = started + self.llm.first_token_timeout_s
        pieces = []
        while not self._has_output and not self._done:
            try:
                piece = await self._response.read(self._departure, min(first_limit, self._limit))
            except TimeoutError as error:
                raise timed_out("first_token_timeout", self.llm.first_token_timeout_s) from error
            pieces.append(self._digest(piece))
            if self._failure is not None:
                raise self._failure
        self._held = b"".join(pieces)
        self.attempt.first_token_s = self._clock.monotonic() - started

    async def next(self, push: Push) -> bytes | None:
        """Give `push` what comes for the client until it takes no more; that is returned, never empty.

        None once the stream is complete. `push` is called as bytes arrive, while this waits.

        Raises:
            UpstreamBroken: it was cut before its end, or fell silent.
            UpstreamTimedOut: idle too long, or the attempt's time is over.
        """
        self._push = push
        self._heard_s = self._clock.monotonic()
        while not self._held and not self._done:
            if self._failure is not None:
                raise self._failure
            await self._flow()
        held, self._held = self._held, b""
        return held or None

    async def _flow(self) -> None:
        """Let pieces be taken until the reader has to look, or something is due that did not come."""
        heard_s, finished = self._heard_s, self._reader.is_finished
        idle_s = SILENT_END_S if finished else self.llm.idle_timeout_s
        try:
            await self._response.flow(self._take, self._departure, min(heard_s + idle_s, self._limit))
        except TimeoutError as error:
            if self._clock.monotonic() >= self._limit and not finished:
                raise timed_out("timeout", self.llm.timeout_s) from error
            if self._heard_s > heard_s:
                return  # it has not been silent since
            if not finished:
                raise timed_out("idle_timeout", self.llm.idle_timeout_s) from error
            self._end()

    def _take(self, piece: bytes) -> bool:
        """See `Response.flow`: as long as the client takes what there is, and the stream is in full flow."""
        self._heard_s = self._clock.monotonic()
        data = self._digest(piece)
        if data and not self._push(data):
            self._held = data
        return not (self._held or self._done or self._failure or self._reader.is_finished)

    def _digest(self, piece: bytes) -> bytes:
        """What of a piece goes on; what ends the stream amid it is noted as `_failure`."""
        kept: list[bytes] = []
        try:
            if piece:
                self._sift(self._splitter.feed(piece), kept)
            else:
                self._end()
        except UpstreamFailed as failure:
            self._failure = failure
        return kept[0] if len(kept) == 1 else b"".join(kept)

    def _sift(self, block: bytes, kept: list[bytes]) -> None:
        """Keep of these events what goes on to the client."""
        lines = data_lines(block)
        if lines is None:
            for event in events_in(block):
                if self._done:
                    break
                kept.append(self._keep(data_of(event), event))
            return
        at, end = 0, len(lines)
        while at < end and not self._done:
            count = self._pass_texts(lines, at)
            if count:
                kept.append(block if count == end else event_of(*lines[at : at + count]))
                at += count
            else:
                kept.append(self._keep(lines[at], event_of(lines[at])))
                at += 1

    def _pass_texts(self, lines: list[bytes], at: int) -> int:
        """Read as many of the events from this one on as add text alone and pass as they are."""
        if not (self._passes and self._has_output) or self._skip or not self.writer.passes_texts():
            return 0
        texts = self._reader.read_texts(lines, at)
        if texts:
            text = "".join(texts)
            self.texts.append(text)
            self.output_chars += len(text)
            self.attempt.chunks += len(texts)
        return len(texts)

    def _end(self) -> None:
        if not self._reader.is_finished or self._splitter.rest.strip():
            raise UpstreamBroken("The upstream's stream was cut off before its end.")
        self._done = True

    def _keep(self, data: bytes | None, event: bytes) -> bytes:
        """What of an event goes on to the client: all of it as a rule."""
        if data is None:
            return event if self._has_output and self._passes else b""
        try:
            piece = self._reader.read(data)
        except msgspec.ValidationError:
            return event if self._is_json(data) else b""
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.attempt.malformed_chunks += 1
            return b""
        if piece.done:
            if self._skip:
                raise diverged()
            self._done = True
            if not piece.is_output:
                return b""
        if piece.error is not None:
            raise in_band(self._dialect, piece.error)
        self.attempt.chunks += 1
        return self._read_piece(piece, event)

    def _is_json(self, data: bytes) -> bool:
        """JSON of a shape we do not know may mean something to a client of the same format."""
        try:
            msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.attempt.malformed_chunks += 1
            return False
        if not self._passes:
            self.attempt.malformed_chunks += 1
            return False
        self._has_output = True
        self.resumable = False
        return True

    def _read_piece(self, piece: Piece, event: bytes) -> bytes:
        if piece.model is not None:
            self.attempt.model_answered = piece.model
        if piece.is_output:
            self._has_output = True
            if piece.is_plain():
                self.output_chars += len(piece.text)
            else:
                self._read_more(piece)
        if piece.finish is not None:
            self.finish_reason = piece.finish
        if self._skip:
            return self._read_again(piece)
        if piece.text:
            self.texts.append(piece.text)
        if piece.usage is not None:
            self._read_usage(piece)
        return self.writer.passed(event, piece) if self._passes else self.writer.write(piece)

    def _read_more(self, piece: Piece) -> None:
        """Output that is not text alone."""
        self.output_chars += piece.chars()
        self.resumable = False
        if piece.calls:
            self._note_calls(piece.calls)

    def _note_calls(self, calls: Sequence[CallPiece]) -> None:
        if self.calls is not None and len(self.calls) < MAX_CALL_PIECES:
            told = [
                {"index": call.index, "function": {"name": call.name, "arguments": call.arguments}}
                for call in calls
            ]
            self.calls.append(encode(told))

    def _read_usage(self, piece: Piece) -> None:
        """After a rescue the client is told the sum of all parts."""
        self.usage = piece.usage
        if piece.usage is not None and self._before is not NOTHING:
            piece.usage = piece.usage + self._before
            self._passes = False

    def _read_again(self, piece: Piece) -> bytes:
        """A restart must begin with what the client already has, else it is another answer."""
        text = piece.text
        shared = min(len(text), len(self._skip))
        if text[:shared] != self._skip[:shared]:
            raise diverged()
        self._skip = self._skip[shared:]
        if piece.finish is not None and self._skip:
            raise diverged()
        if text:
            self.texts.append(text)
            piece.text = text[shared:]
        if piece.usage is not None:
            self._read_usage(piece)
        return self.writer.write(piece)

    def release(self) -> None:
        """Done with it; the connection may serve another request."""
        self._response.release()

    def abort(self) -> None:
        """Give it up; the upstream sees the connection close."""
        self._response.abort()
