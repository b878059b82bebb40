"""The memory as tools that an llm calls: names, schemas, and what each does."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar, cast

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tristar.auth.actor import Actor
from tristar.auth.scopes import Scope
from tristar.edge.memory import bodies
from tristar.edge.memory.bodies import EntryChange, EntryOut, FoundList, NewEntry, Opinion, SearchBody
from tristar.edge.memory.desk import Desk
from tristar.errors import BadRequest, Forbidden, NotFound
from tristar.exchange import Exchange
from tristar.memory.entry import Vote

Asked = TypeVar("Asked", bound=BaseModel)
_Do = Callable[[Desk, Any, Actor, Exchange], Awaitable[Mapping[str, object]]]

Id = Annotated[str, Field(min_length=1, max_length=64, description="The entry's `id`.")]
Version = Annotated[
    int | None, Field(ge=1, description="The version as last read; the call fails if it is another by now.")
]


class Which(BaseModel):
    """One entry."""

    model_config = ConfigDict(strict=True, extra="forbid")

    id: Id


class WhichVersion(Which):
    """One entry, as it was last read."""

    expected_version: Version = None


class Update(EntryChange):
    """An entry, and the fields to change; others stay."""

    id: Id
    expected_version: Version = None


class Vouch(Opinion):
    """An entry, and the llm that has an opinion of it."""

    id: Id


class Deleted(BaseModel):
    """The entry is gone, with its history."""

    id: str
    deleted: bool = True


@dataclass(frozen=True)
class Tool:
    """One tool. `reads` says that it changes nothing, `destroys` that it cannot be taken back."""

    name: str
    title: str
    description: str
    scope: Scope
    asked: type[BaseModel]
    told: type[BaseModel]
    do: _Do
    reads: bool = False
    destroys: bool = False
    repeats: bool = False
    """Calling it again with the same arguments changes nothing more."""


class Toolbox:
    """Every tool, for whoever may use it. Each call is recorded by the desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def open_to(self, actor: Actor) -> list[Tool]:
        """The tools that this caller may use."""
        return [tool for tool in TOOLS.values() if actor.allows(tool.scope)]

    async def call(
        self, name: str, arguments: Mapping[str, object], actor: Actor, story: Exchange
    ) -> Mapping[str, object]:
        """What the tool gives: JSON that fits its output schema.

        Raises:
            NotFound: there is no such tool, or no such entry.
            Forbidden: the caller lacks the tool's scope.
            BadRequest: an argument does not fit; the message names it.
            GatewayError: as the desk.
        """
        tool = TOOLS.get(name)
        if tool is None:
            raise NotFound(f"There is no tool {name[:80]!r}; tools/list names those that are.", param="name")
        story.details = {**(story.details or {}), "tool": tool.name}
        if not actor.allows(tool.scope):
            raise Forbidden(f"{tool.name} needs the scope {tool.scope!r}, which the key does not have.")
        told = await tool.do(self._desk, _read(tool.asked, arguments), actor, story)
        return cast("Mapping[str, object]", msgspec.to_builtins(told))


def _read(asked: type[Asked], arguments: Mapping[str, object]) -> Asked:
    try:
        return asked.model_validate_json(msgspec.json.encode(arguments))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise BadRequest(f"{field or 'The arguments'}: {first['msg'][:200]}.", param=field or None) from error


async def _store(desk: Desk, asked: NewEntry, actor: Actor, story: Exchange) -> Mapping[str, object]:
    return bodies.shown(await desk.add(bodies.draft(asked), actor, story))


async def _search(desk: Desk, asked: SearchBody, actor: Actor, story: Exchange) -> Mapping[str, object]:
    return bodies.listed(await desk.find(bodies.wanted(asked, asked.q, asked.mode), actor, story))


async def _get(desk: Desk, asked: Which, actor: Actor, story: Exchange) -> Mapping[str, object]:
    return bodies.shown(await desk.get(asked.id, actor, story))


async def _update(desk: Desk, asked: Update, actor: Actor, story: Exchange) -> Mapping[str, object]:
    return bodies.shown(
        await desk.change(asked.id, bodies.change(asked), actor, story, asked.expected_version)
    )


async def _delete(desk: Desk, asked: WhichVersion, actor: Actor, story: Exchange) -> Mapping[str, object]:
    entry = await desk.remove(asked.id, actor, story, asked.expected_version)
    return {"id": entry.id, "deleted": True}


def _vote(vote: Vote) -> _Do:
    async def do(desk: Desk, asked: Vouch, actor: Actor, story: Exchange) -> Mapping[str, object]:
        return bodies.shown(await desk.vote(asked.id, vote, asked.llm_id, actor, story))

    return do


_ALL: Final = (
    Tool(
        "memory_store",
        "Remember",
        "Put something worth knowing into the memory that all llms share. One fact, decision or summary per "
        "entry, readable by itself. Search first: confirm what is there rather than say it again.",
        "memory:write",
        NewEntry,
        EntryOut,
        _store,
    ),
    Tool(
        "memory_search",
        "Search the memory",
        "Entries that hold all words of `q`, or mean nearly the same where this memory can tell, best first; "
        "without `q` the newest. Narrow by type, project, tags or min_confidence.",
        "memory:read",
        SearchBody,
        FoundList,
        _search,
        reads=True,
        repeats=True,
    ),
    Tool(
        "memory_get",
        "Read an entry",
        "One entry as it is now, by its id.",
        "memory:read",
        Which,
        EntryOut,
        _get,
        reads=True,
        repeats=True,
    ),
    Tool(
        "memory_update",
        "Correct an entry",
        "Change fields of an entry; what it was stays in its history. Give expected_version, so that nobody "
        "else's change is lost.",
        "memory:write",
        Update,
        EntryOut,
        _update,
    ),
    Tool(
        "memory_validate",
        "Confirm an entry",
        "Say that you found an entry to be true: its confidence rises by 0.05, once per llm.",
        "memory:write",
        Vouch,
        EntryOut,
        _vote("validate"),
        repeats=True,
    ),
    Tool(
        "memory_contradict",
        "Contradict an entry",
        "Say that you found an entry to be false: its confidence falls by 0.1, once per llm.",
        "memory:write",
        Vouch,
        EntryOut,
        _vote("contradict"),
        repeats=True,
    ),
    Tool(
        "memory_delete",
        "Forget an entry",
        "Remove an entry with its history, for good. To correct it, use memory_update.",
        "memory:write",
        WhichVersion,
        Deleted,
        _delete,
        destroys=True,
    ),
)
TOOLS: Final[Mapping[str, Tool]] = {tool.name: tool for tool in _ALL}
"""By name, in the order in which they are listed."""
