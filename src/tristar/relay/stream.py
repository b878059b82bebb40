"""One upstream's stream: every event read, none malformed handed on, its end judged.

A stream is complete when the upstream says so (`[DONE]`) or when every choice has its finish
reason and the body ended or fell silent. Anything else is a cut, and is raised as one.
"""

import msgspec

from tristar.clock import Clock
from tristar.errors import UpstreamBroken
from tristar.exchange import Attempt
from tristar.providers.openai import Chunk, StreamChoice, Usage, chunk_decoder
from tristar.relay.departure import Departure
from tristar.relay.failure import diverged, in_band, timed_out
from tristar.relay.sse import EventSplitter, data_of
from tristar.relay.transport import Response
from tristar.routing.catalog import Llm

SILENT_END_S = 0.5
"""How long a finished stream may withhold its `[DONE]` before it is supplied."""

MAX_CALL_PIECES = 4096
"""So many pieces of tool calls are kept for the audit log, where it wants them; what follows is left out."""


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
        wants_usage: bool,
        limit: float,
        skip: str = "",
        tokens_before: tuple[int, int] = (0, 0),
        calls: list[bytes] | None = None,
    ) -> None:
        self.llm = llm
        self.attempt = attempt
        self.permit = permit
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.output_chars = 0
        self.texts: list[str] = []
        self.resumable = True
        """Whether all output so far is plain text of one choice, which another llm can carry on."""
        self.tokens_before = tokens_before
        self.skipped_chars = len(skip)
        """How much of `texts` the client has from before."""
        self.calls = calls
        """Where the pieces of tool calls are kept; None: they are not."""
        self._skip = skip
        self._response = response
        self._departure = departure
        self._clock = clock
        self._wants_usage = wants_usage
        self._limit = limit
        self._splitter = EventSplitter()
        self._open_choices: dict[int, bool] = {}
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
        self._held = b"".join(pieces)
        self.attempt.first_token_s = self._clock.monotonic() - started

    async def next(self) -> bytes | None:
        """The next bytes for the client, never empty; None once the stream is complete.

        Raises:
            UpstreamBroken: it was cut before its end, or fell silent.
            UpstreamTimedOut: idle too long, or the attempt's time is over.
        """
        if self._held:
            held, self._held = self._held, b""
            return held
        while not self._done:
            data = self._digest(await self._read())
            if data:
                return data
        return None

    async def _read(self) -> bytes:
        now = self._clock.monotonic()
        finished = self._is_finished()
        idle_s = SILENT_END_S if finished else self.llm.idle_timeout_s
        try:
            return await self._response.read(self._departure, min(now + idle_s, self._limit))
        except TimeoutError as error:
            if finished:
                return b""
            if self._clock.monotonic() >= self._limit:
                raise timed_out("timeout", self.llm.timeout_s) from error
            raise timed_out("idle_timeout", self.llm.idle_timeout_s) from error

    def _is_done(self) -> bool:
        return self._done

    def _is_finished(self) -> bool:
        return bool(self._open_choices) and not any(self._open_choices.values())

    def _digest(self, piece: bytes) -> bytes:
        if not piece:
            self._end()
            return b""
        kept = []
        for event in self._splitter.feed(piece):
            if self._is_done():
                break
            data = self._keep(event)
            if data:
                kept.append(data)
        return kept[0] if len(kept) == 1 else b"".join(kept)

    def _end(self) -> None:
        if not self._is_finished() or self._splitter.rest.strip():
            raise UpstreamBroken("The upstream's stream was cut off before its end.")
        self._done = True

    def _keep(self, event: bytes) -> bytes:
        """What of an event goes on to the client: all of it as a rule."""
        data = data_of(event)
        if data is None:
            return event if self._has_output else b""
        if data == b"[DONE]":
            self._done = True
            return b""
        try:
            chunk = chunk_decoder.decode(data)
        except msgspec.ValidationError:
            return event if self._is_json(data) else b""
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.attempt.malformed_chunks += 1
            return b""
        if chunk.is_error:
            raise in_band(data)
        self.attempt.chunks += 1
        return self._read_chunk(chunk, event, data)

    def _is_json(self, data: bytes) -> bool:
        """JSON of a shape we do not know may mean something to the client."""
        try:
            msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.attempt.malformed_chunks += 1
            return False
        self._has_output = True
        self.resumable = False
        return True

    def _read_chunk(self, chunk: Chunk, event: bytes, data: bytes) -> bytes:
        if chunk.model is not None:
            self.attempt.model_answered = chunk.model
        if chunk.usage is not None:
            self.usage = chunk.usage
        if not chunk.choices:
            if chunk.usage is None:
                return event
            return self._usage_event(event, data) if self._wants_usage else b""
        skipped = len(self._skip)
        for choice in chunk.choices:
            self._read_choice(choice)
        if skipped:
            return self._rest_of(data, skipped - len(self._skip))
        return event

    def _read_choice(self, choice: StreamChoice) -> None:
        delta = choice.delta
        if choice.index:
            self.resumable = False
        if delta is not None:
            if delta.content:
                self._has_output = True
                self._read_text(delta.content)
            elif delta.has_output():
                self._has_output = True
                self.resumable = False
                self.output_chars += len(delta.text())
                if self.calls is not None and len(self.calls) < MAX_CALL_PIECES:
                    self.calls.append(bytes(delta.tool_calls))
        if choice.finish_reason is not None:
            self._has_output = True
            self.finish_reason = choice.finish_reason
            self._open_choices[choice.index] = False
        else:
            self._open_choices.setdefault(choice.index, True)

    def _read_text(self, text: str) -> None:
        self.output_chars += len(text)
        self.texts.append(text)
        if self._skip:
            # A restart must begin with what the client already has, else it is another answer.
            shared = min(len(text), len(self._skip))
            if text[:shared] != self._skip[:shared]:
                raise diverged()
            self._skip = self._skip[shared:]

    def _rest_of(self, data: bytes, skipped: int) -> bytes:
        """The chunk's event without the characters that the client already has."""
        chunk = msgspec.json.decode(data)
        choice = chunk["choices"][0]
        text = (choice.get("delta") or {}).get("content") or ""
        if choice.get("finish_reason") is not None and self._skip:
            raise diverged()
        if not skipped or (len(text) == skipped and choice.get("finish_reason") is None):
            return b""
        choice["delta"]["content"] = text[skipped:]
        return b"data: " + msgspec.json.encode(chunk) + b"\n\n"

    def _usage_event(self, event: bytes, data: bytes) -> bytes:
        """The usage chunk; after a rescue it is the sum of all parts."""
        if self.tokens_before == (0, 0):
            return event
        chunk = msgspec.json.decode(data)
        usage = chunk["usage"]
        for name, before in zip(("prompt_tokens", "completion_tokens"), self.tokens_before, strict=True):
            usage[name] = (usage.get(name) or 0) + before
        usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
        return b"data: " + msgspec.json.encode(chunk) + b"\n\n"

    def release(self) -> None:
        """Done with it; the connection may serve another request."""
        self._response.release()

    def abort(self) -> None:
        """Give it up; the upstream sees the connection close."""
        self._response.abort()
