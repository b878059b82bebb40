"""The routes under `/admin/audit`. Every reading is itself recorded, before its answer leaves."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import APIRouter, Depends, Query, Response
from fastapi import Path as PathField

from tristar.audit.bureau import Bureau
from tristar.audit.export import moment
from tristar.audit.question import Question
from tristar.audit.retention import Hold, hold, list_holds, release_hold
from tristar.audit.signing import PUBLIC_FILE, VerifierKey
from tristar.auth.actor import Actor
from tristar.edge.access import Events, exchange, refusals, requires
from tristar.edge.admin import Orders
from tristar.edge.audit import streams
from tristar.edge.audit.models import (
    Form,
    HoldList,
    HoldOut,
    NewHold,
    ProofOut,
    PublicKeyOut,
    RecordPage,
    ReportOut,
    SqlAnswer,
    SqlQuestion,
    Time,
    Verification,
    Wanted,
)
from tristar.edge.stream import Stream
from tristar.errors import AuditCorrupt, BadRequest, NotFound, Unavailable
from tristar.exchange import Exchange

Reader = Annotated[Actor, Depends(requires("audit:read"))]
Asker = Annotated[Actor, Depends(requires("admin"))]
Keeper = Annotated[Actor, Depends(requires("audit:admin"))]
Story = Annotated[Exchange, Depends(exchange)]
HoldName = Annotated[str, PathField(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Reason = Annotated[str, Query(min_length=1, max_length=1024, description="Why; stands in the log.")]

RESOURCE = "audit/log"
HOLDS = "audit/holds"
_SHOWN_FAULTS = 20

T = TypeVar("T")


def router(directory: Path, data_dir: Path, events: Events, orders: Orders) -> APIRouter:
    """The routes of the log in this directory. The front has authenticated the caller before they are
    reached."""
    routes = APIRouter(prefix="/admin/audit", tags=["audit"])
    handlers = AuditRoutes(directory, data_dir, events, orders)
    add = routes.add_api_route
    add("", handlers.listed, methods=["GET"], response_model=RecordPage, responses=refusals())
    add("/query", handlers.asked, methods=["POST"], response_model=SqlAnswer, responses=refusals())
    add(
        "/export",
        handlers.exported,
        methods=["GET"],
        response_class=Response,
        responses=refusals() | streams.EXPORT_RESPONSES,
    )
    add(
        "/verify",
        handlers.verified,
        methods=["POST"],
        response_model=ReportOut,
        responses=refusals(404) | streams.VERIFY_RESPONSES,
    )
    add(
        "/records/{seq}/proof",
        handlers.proved,
        methods=["GET"],
        response_model=ProofOut,
        responses=refusals(404),
    )
    add(
        "/public-key",
        handlers.public_key,
        methods=["GET"],
        response_model=PublicKeyOut,
        responses=refusals(),
    )
    add("/holds", handlers.holds, methods=["GET"], response_model=HoldList, responses=refusals())
    add("/holds/{name}", handlers.hold, methods=["PUT"], response_model=HoldOut, responses=refusals())
    add("/holds/{name}", handlers.release, methods=["DELETE"], status_code=204, responses=refusals(404))
    return routes


class AuditRoutes:
    """The handlers. What reads the log is done by clerks, whichever process answers."""

    def __init__(self, directory: Path, data_dir: Path, events: Events, orders: Orders) -> None:
        self._directory = directory
        self._data_dir = data_dir
        self._events = events
        self._orders = orders
        self._bureau = Bureau(directory)

    async def listed(self, wanted: Annotated[Wanted, Query()], _: Reader, story: Story) -> Response:
        """Records that match every condition, the newest first; the reading is recorded as `audit_read`."""
        newest = wanted.order == "newest"
        after = None if wanted.cursor is None else int(wanted.cursor)
        question = Question(
            since=_time(wanted.since, "since"),
            until=_time(wanted.until, "until"),
            level=wanted.level,
            action=wanted.action,
            user_id=wanted.user_id,
            trace_id=wanted.trace_id,
            resource=wanted.resource,
            text=wanted.text,
            limit=wanted.limit + 1,
            newest_first=newest,
            before_seq=after if newest else None,
            after_seq=None if newest else after,
        )
        found = await _read(self._bureau.ask(question))
        page = found[: wanted.limit]
        more = str(page[-1]["seq"]) if len(found) > wanted.limit else None
        filters = wanted.model_dump(exclude_defaults=True)
        if wanted.user_id is not None and not _is_ours(wanted.user_id):
            filters["user_id"] = "(a person)"  # who was asked about is not to outlive their erasure here
        if wanted.text is not None:
            filters["text"] = "(a text)"  # it may name a person, too
        await self._record("audit_read", {"filters": filters, "records": len(page)}, story)
        return _answer({"data": page, "next_cursor": more})

    async def asked(self, question: SqlQuestion, _: Asker, story: Story) -> Response:
        """One SELECT over the table `audit`; recorded as `audit_read` with its text.

        Nothing else can be read, nothing changed. An answer holds 10,000 rows and 16 MiB at the most, and is
        broken off after 30 s or 256 MB of memory.
        """
        answer = await _read(self._bureau.sql(question.sql, question.limit))
        details = {"sql": question.sql, "rows": len(answer.data)}
        await self._record("audit_read", details, story)
        return _answer(answer)

    async def exported(
        self,
        _: Reader,
        story: Story,
        format: Annotated[Form, Query()] = "jsonl",  # noqa: A002 - the name that callers read
        compress: Annotated[streams.Packing, Query()] = "none",
        since: Annotated[Time | None, Query()] = None,
        until: Annotated[Time | None, Query()] = None,
    ) -> Response:
        """The records of a span of time, in order, as a stream; recorded as `audit_exported`.

        The record says how many there were and the SHA-256 of what was sent. An answer that breaks off has
        no end: it is never a complete export.
        """
        if format == "parquet" and compress != "none":
            raise BadRequest("Parquet is compressed in itself.", param="compress")
        bounds = _time(since, "since"), _time(until, "until")
        pieces = self._bureau.export(format, compress, *bounds)
        outgoing = streams.Outgoing(pieces)
        first = await _read(outgoing.first())

        async def body() -> AsyncIterator[bytes]:
            async for piece in outgoing.after(first):
                yield piece
            details = {"format": format, "compression": compress, "since": since, "until": until}
            await self._record("audit_exported", details | outgoing.told(), story)
            yield outgoing.last

        kind = streams.content_type(format, compress)
        name = streams.file_name(format, compress)
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Stream(body(), media_type=kind, headers=headers)

    async def verified(self, how: Verification, _: Reader, story: Story) -> Response:
        """Check that every record is there, unaltered and in its place; recorded as `audit_verified`.

        With the public key of the data directory: whoever can write there can replace it, so that
        `tristar audit verify --public-key` elsewhere is the stronger proof.
        """
        key = await asyncio.to_thread(self._public_key)
        watched = streams.Watched(lambda told: self._bureau.verify(key, how.expect_checkpoint, told))
        if not how.progress:
            return _answer(await self._judged(watched, how, story))
        await _read(watched.begun())

        async def body() -> AsyncIterator[bytes]:
            async for done, total in watched.progress():
                yield _line({"progress": {"done": done, "total": total}})
            yield _line({"report": await self._judged(watched, how, story)})

        return Stream(body(), media_type="application/x-ndjson")

    async def _judged(self, watched: "streams.Watched", how: Verification, story: Exchange) -> dict[str, Any]:
        report = await _read(watched.result())
        details = {name: report[name] for name in ("ok", "size", "root", "segments", "read_bytes")}
        details["faults"] = len(report["faults"])
        if report["faults"]:
            details["first_faults"] = report["faults"][:_SHOWN_FAULTS]
        if how.expect_checkpoint is None:  # a caller's own checkpoint says nothing of the log by itself
            await self._orders.order("verified", "ok" if report["ok"] else "faulty")
        await self._record("audit_verified", details, story, "INFO" if report["ok"] else "CRITICAL")
        return report

    async def proved(
        self, seq: Annotated[int, PathField(ge=0, lt=1 << 62)], _: Reader, story: Story
    ) -> Response:
        """Proof that a record is in the log, for somebody who has the public key alone. A record can be
        proved about a second after it was written."""
        proof = await _read(self._bureau.prove(seq))
        await self._record("audit_read", {"proof_of": seq}, story)
        return Response(proof, media_type="application/json")

    async def public_key(self, _: Reader) -> PublicKeyOut:
        """The key that checkpoints are signed with now. Compare it with one that was kept elsewhere: whoever
        can write in the data directory can replace it."""
        return PublicKeyOut(public_key=await asyncio.to_thread(self._public_key))

    async def holds(self, _: Reader) -> HoldList:
        """The holds in force: what retention must not delete."""
        found = await asyncio.to_thread(list_holds, self._directory)
        return HoldList(data=[_shown(held) for held in found])

    async def hold(self, name: HoldName, wanted: NewHold, _: Keeper, story: Story) -> HoldOut:
        """Keep every record of a span of time until the hold is released; recorded as `audit_hold`."""
        held = Hold(
            name=name,
            reason=wanted.reason,
            since=_stamp(wanted.since, "since"),
            until=_stamp(wanted.until, "until"),
        )
        await asyncio.to_thread(hold, self._directory, held)
        details = {"order": "add", "reason": held.reason, "since": held.since, "until": held.until}
        await self._events.record("audit_hold", f"{HOLDS}/{name}", details, story, "WARNING")
        return _shown(held)

    async def release(self, name: HoldName, reason: Reason, _: Keeper, story: Story) -> Response:
        """End a hold: what has expired is deleted at the next retention, within the hour."""
        found = await asyncio.to_thread(list_holds, self._directory)
        if name not in {held.name for held in found}:
            raise NotFound(f"There is no hold {name!r}.")
        details = {"order": "release", "reason": reason}
        # Recorded first: nothing may become deletable that the log does not account for.
        await self._events.record("audit_hold", f"{HOLDS}/{name}", details, story, "WARNING")
        await asyncio.to_thread(release_hold, self._directory, name)
        return Response(status_code=204)

    async def _record(
        self, action: str, details: dict[str, object], story: Exchange, level: str = "INFO"
    ) -> None:
        await self._events.record(action, RESOURCE, details, story, level)

    def _public_key(self) -> str:
        try:
            return VerifierKey.load(self._data_dir / PUBLIC_FILE).text
        except (OSError, ValueError) as error:
            raise Unavailable(f"The log's public key cannot be read: {error}", retry_after_s=60) from error


def _is_ours(user: str) -> bool:
    """Whether a user id is one of the gateway's own: it names no person."""
    return user.startswith(("key_", "os:", "subject:")) or user in {"anonymous", "bootstrap"}


async def _read(reading: Awaitable[T]) -> T:
    """What was read; a log that is damaged there cannot be read."""
    try:
        return await reading
    except AuditCorrupt as error:
        raise Unavailable(f"The audit log is damaged: {error}", retry_after_s=60) from error


def _time(value: str | None, param: str) -> str | None:
    _stamp(value, param)
    return value


def _stamp(value: str | None, param: str) -> str:
    try:
        return (moment(value) or b"").decode()
    except ValueError as error:
        raise BadRequest(f"{param}: {error}.", param=param) from None


def _shown(held: Hold) -> HoldOut:
    return HoldOut(name=held.name, reason=held.reason, since=held.since, until=held.until)


def _line(what: object) -> bytes:
    return msgspec.json.encode(what) + b"\n"


def _answer(body: object) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")
