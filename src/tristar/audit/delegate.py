"""The thread behind an `AuditAccess`: the log's writer if nobody else is, else a client of the one who is."""

import asyncio
import concurrent.futures
import contextlib
import os
import random
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from tristar.audit.draft import Draft
from tristar.audit.listener import AuditSocket, find_event_ids
from tristar.audit.lock import HANDOVER_LOCK, is_held
from tristar.audit.options import WriterBusy, WriterOptions
from tristar.audit.signing import KeyInvalid, Signer
from tristar.audit.wire import (
    Answer,
    Append,
    Done,
    Failed,
    FrameInvalid,
    Inbox,
    Welcome,
    Withdraw,
    connect,
    frame,
)
from tristar.audit.writer import AuditWriter
from tristar.clock import Clock
from tristar.errors import AuditCorrupt, AuditUnavailable

_RETRY_S = (0.01, 0.05)
_WELCOME_S = 2.0
_LATE = "not durable within the time allowed; it is not in the log"
_UNKNOWN = "the audit log's writer is gone and no other could be found in time; the record may be in the log"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a delegate needs to become the writer."""

    directory: Path
    options: WriterOptions
    signer: Callable[[], Signer]
    clock: Clock
    internal: Callable[[str, str, Mapping[str, object]], Draft]
    timeout_s: float


@dataclass(eq=False, slots=True)
class _Waiting:
    """One record without an answer. `floor`: from where on the log may hold it; -1 before it is sent."""

    draft: Draft
    future: concurrent.futures.Future[int]
    deadline_s: float
    floor: int = -1
    asked_back: bool = False


class Delegate:
    """One event loop on one thread; `submit` and `stop` may be called from any other.

    It blocks that loop where it must (taking the log over, letting it go): nothing else runs there.
    """

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._process_id = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._waiting: dict[int, _Waiting] = {}
        self._number = 0
        self._size = 0
        self._writer: AuditWriter | None = None
        self._socket: AuditSocket | None = None
        self._peer: _Peer | None = None
        self._electing: asyncio.Task[None] | None = None
        self._yielding: asyncio.Task[None] | None = None
        self._stopping = False
        self._ended = False
        self._last_task: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="audit-delegate", daemon=True)
        forked = weakref.WeakMethod(self._forked)
        os.register_at_fork(after_in_child=lambda: (child := forked()) and child())
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.call_later(0.1, self._look_at_deadlines)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(
                asyncio.sleep(0)
            )  # what was submitted at the last moment is refused
        finally:
            self._loop.close()

    def _forked(self) -> None:
        """In a child the thread is gone: give up the sockets, so that they do not outlive the parent here."""
        for descriptor in (
            self._socket.descriptor if self._socket else -1,
            self._peer.descriptor if self._peer else -1,
        ):
            if descriptor >= 0:
                with contextlib.suppress(OSError):
                    os.close(descriptor)

    # --- any thread

    def submit(self, draft: Draft) -> concurrent.futures.Future[int]:
        """Hand over one record; the future has its sequence number once it is durable, or AuditUnavailable.

        Raises:
            AuditUnavailable: too many records wait already; or the delegate is stopped.
        """
        if len(self._waiting) >= self._terms.options.capacity:
            raise AuditUnavailable("the audit queue is full: the disk is too slow for the load")
        future: concurrent.futures.Future[int] = concurrent.futures.Future()
        future.set_running_or_notify_cancel()
        try:
            self._loop.call_soon_threadsafe(self._accept, draft, future)
        except RuntimeError as error:
            raise AuditUnavailable("the audit log is closed") from error
        return future

    def stop(self) -> None:
        """Wait for what was accepted (no longer than its deadline), release the directory, end the thread.

        Idempotent; nothing happens in a forked child, which has no such thread.
        """
        if self._process_id != os.getpid() or self._ended:
            return
        self._ended = True
        if threading.current_thread() is self._thread:  # the garbage collector ran here
            self._last_task = self._loop.create_task(self._stop_loop())
            return
        asyncio.run_coroutine_threadsafe(self._stop_loop(), self._loop)
        self._thread.join()

    async def _stop_loop(self) -> None:
        await self._stop()
        self._loop.stop()

    # --- the delegate's own thread

    def _accept(self, draft: Draft, future: concurrent.futures.Future[int]) -> None:
        if self._stopping:
            future.set_exception(AuditUnavailable("the audit log is closed"))
            return
        waiting = _Waiting(draft, future, self._loop.time() + self._terms.timeout_s)
        self._number += 1
        self._waiting[self._number] = waiting
        if self._yielding is None:
            self._send(self._number, waiting)

    def _send(self, number: int, waiting: _Waiting) -> None:
        """Pass a record on to whoever writes; if nobody is known, find out first."""
        if self._writer is not None:
            self._enter(number, waiting)
        elif self._peer is not None and self._peer.welcome:
            first, waiting.floor = (
                waiting.floor < 0,
                max(waiting.floor, self._size if waiting.floor < 0 else 0),
            )
            self._peer.say(Append(number, waiting.draft, -1 if first else waiting.floor))
        elif self._electing is None:
            self._electing = self._loop.create_task(self._elect())

    def _enter(self, number: int, waiting: _Waiting) -> None:
        if self._writer is None:
            return
        try:
            self._writer.append_to(self, waiting.draft, number)
        except AuditUnavailable as error:
            self._fail(number, error)

    def settle(self, tokens: Sequence[object], seqs: Sequence[int], error: AuditUnavailable | None) -> None:
        """The own writer's word, on its thread; passed on to the loop."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(self._settled, tokens, seqs, error)

    def _settled(self, tokens: Sequence[object], seqs: Sequence[int], error: AuditUnavailable | None) -> None:
        for at, token in enumerate(tokens):
            number = int(str(token))
            if error is None:
                self._done(number, seqs[at])
            else:
                self._fail(number, error)

    def _done(self, number: int, seq: int) -> None:
        waiting = self._answer(number)
        self._size = max(self._size, seq + 1)
        if waiting is not None:
            waiting.future.set_result(seq)

    def _fail(self, number: int, error: AuditUnavailable) -> None:
        waiting = self._answer(number)
        if waiting is not None:
            waiting.future.set_exception(error)

    def _answer(self, number: int) -> _Waiting | None:
        waiting = self._waiting.pop(number, None)
        if not self._waiting:
            self._idle.set()
        return waiting

    def _look_at_deadlines(self) -> None:
        now_s = self._loop.time()
        late = [number for number, waiting in self._waiting.items() if waiting.deadline_s <= now_s]
        if late:
            self._give_up(late)
        self._loop.call_later(0.1, self._look_at_deadlines)

    def _give_up(self, late: list[int]) -> None:
        """Take late records back from the writer; where there is none, nobody can say what became of them."""
        if self._writer is not None:
            for number in self._writer.withdraw(late):
                self._fail(int(str(number)), AuditUnavailable(_LATE))
            return
        fresh = [number for number in late if not self._waiting[number].asked_back]
        for number in late:
            if self._peer is None or not self._peer.welcome:
                sent = self._waiting[number].floor >= 0
                self._fail(number, AuditUnavailable(_UNKNOWN if sent else _LATE))
            else:
                self._waiting[number].asked_back = True
        if self._peer is not None and self._peer.welcome and fresh:
            self._peer.say(Withdraw(fresh))

    # --- who writes

    async def _elect(self) -> None:
        """Become the writer or find one; ends when that is so, or nobody waits any more."""
        try:
            while self._waiting and not self._stopping:
                if await self._try_to_write() or await self._try_to_join():
                    return
                await asyncio.sleep(random.uniform(*_RETRY_S))  # noqa: S311 - against lockstep, not against anyone
        except (AuditCorrupt, KeyInvalid, OSError) as error:
            for number in list(self._waiting):
                self._fail(number, AuditUnavailable(f"the audit log cannot be opened: {error}"))
        finally:
            self._electing = None

    async def _try_to_write(self) -> bool:
        terms = self._terms
        terms.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if is_held(terms.directory / HANDOVER_LOCK):
            return False  # a gateway is about to take it
        try:
            writer = AuditWriter.open(
                terms.directory,
                options=terms.options,
                signer=terms.signer(),
                clock=terms.clock,
                on_commit=_nobody,
                internal=terms.internal,
            )
        except WriterBusy:
            return False
        self._socket = await AuditSocket.serve(writer, on_yield=self._asked_to_yield)
        self._writer = writer  # from here to the end of the next call nothing else enters anything
        self._enter_again()
        return True

    def _enter_again(self) -> None:
        """Enter what has no answer yet; what an earlier writer got is looked for in the log first."""
        sent = {w.draft.event_id for w in self._waiting.values() if w.floor >= 0}
        floor = min((w.floor for w in self._waiting.values() if w.floor >= 0), default=0)
        found = find_event_ids(self._terms.directory, floor, sent)
        for number, waiting in list(self._waiting.items()):
            seq = found.get(waiting.draft.event_id)
            if seq is None:
                self._enter(number, waiting)
            else:
                self._done(number, seq)

    async def _try_to_join(self) -> bool:
        try:
            connected = connect(self._terms.directory)
            peer = _Peer(self._answered, self._lost)
            await self._loop.create_unix_connection(lambda: peer, sock=connected)
        except OSError:
            return False
        self._peer = peer
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WELCOME_S):
                await peer.greeted.wait()
        if not peer.welcome:
            peer.leave()
            self._peer = None
            return False
        for number, waiting in list(self._waiting.items()):
            self._send(number, waiting)
        return True

    def _answered(self, answer: Answer) -> None:
        if isinstance(answer, Welcome):
            self._size = max(self._size, answer.size)
        elif isinstance(answer, Done):
            for number, seq in answer.records:
                self._done(number, seq)
        elif isinstance(answer, Failed):
            for number in answer.numbers:
                self._fail(number, AuditUnavailable(answer.reason))

    def _lost(self, peer: "_Peer") -> None:
        """The writer is gone; another is found as soon as there is something to record."""
        if self._peer is peer:
            self._peer = None
            if self._waiting and self._electing is None and not self._stopping:
                self._electing = self._loop.create_task(self._elect())

    def _asked_to_yield(self) -> None:
        if self._yielding is None and not self._stopping:
            self._yielding = self._loop.create_task(self._yield())

    async def _yield(self) -> None:
        await self._let_go()
        self._yielding = None
        for number, waiting in list(self._waiting.items()):
            self._send(number, waiting)

    async def _let_go(self) -> None:
        """Make durable and answer what was entered, then release the directory."""
        if self._writer is None or self._socket is None:
            return
        writer, served = self._writer, self._socket
        served.stop_listening()
        writer.close()
        self._writer = self._socket = None
        self._size = writer.size
        await asyncio.sleep(0)
        await served.close()

    async def _stop(self) -> None:
        while self._waiting:
            self._idle.clear()
            await self._idle.wait()
        self._stopping = True
        for task in (self._electing, self._yielding):
            if task is not None:
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        await self._let_go()
        if self._peer is not None:
            self._peer.leave()
        await asyncio.sleep(0)


def _nobody(tokens: Sequence[object], error: AuditUnavailable | None) -> None:
    """A delegate hears by its port."""


@dataclass(eq=False)
class _Peer(asyncio.Protocol):
    """The connection to the writer."""

    on_answer: Callable[[Answer], None]
    on_lost: Callable[["_Peer"], None]
    welcome: bool = False
    greeted: asyncio.Event = field(default_factory=asyncio.Event)
    _inbox: Inbox = field(default_factory=Inbox)
    _transport: asyncio.Transport | None = None

    @property
    def descriptor(self) -> int:
        """The socket's."""
        peer = self._transport.get_extra_info("socket") if self._transport is not None else None
        return -1 if peer is None else int(peer.fileno())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # by promise, not by class

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        self._transport, self.welcome = None, False
        self.greeted.set()
        self.on_lost(self)

    def data_received(self, data: bytes) -> None:
        try:
            for answer in self._inbox.answers(data):
                self.on_answer(answer)
                if isinstance(answer, Welcome):
                    self.welcome = True
                    self.greeted.set()
        except FrameInvalid:
            self.leave()

    def say(self, request: Append | Withdraw) -> None:
        """Send one request."""
        if self._transport is not None:
            self._transport.write(frame(request))

    def leave(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()
