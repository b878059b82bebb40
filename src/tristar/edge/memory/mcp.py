"""`/mcp`: the memory's tools over the Model Context Protocol, stateless streamable HTTP.

Every request stands alone: no session, no stream that the server opens. The official server parses
and answers the protocol, in each of its revisions; it is loaded with the first request.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict

from tristar.auth.actor import Actor
from tristar.edge.access import ACTOR, EXCHANGE, exchange, refusals
from tristar.edge.memory.tools import Tool, Toolbox
from tristar.errors import BadRequest, Forbidden, GatewayError, NotJson, Unavailable
from tristar.exchange import Exchange

NAME: Final = "tristar-memory"
INSTRUCTIONS: Final = (
    "The memory that all llms behind this gateway share. Search it before you assume, store what others will "
    "need, confirm what you found true and contradict what you found false."
)
_LOCAL: Final = {"localhost", "127.0.0.1", "::1"}

Handler = Callable[[Any, Any, Any], Awaitable[None]]
Story = Annotated[Exchange, Depends(exchange)]


class Message(BaseModel):
    """One JSON-RPC 2.0 message of the Model Context Protocol."""

    model_config = ConfigDict(extra="allow")

    jsonrpc: str
    id: int | str | None = None
    method: str | None = None


class Assistant:
    """The MCP server. One per process; loaded and started with the first request."""

    def __init__(self, version: str, toolbox: Toolbox) -> None:
        self._version = version
        self._toolbox = toolbox
        self._starting = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._handle: Handler | None = None
        self._types: Any = None
        """The protocol's types, a module of the optional extra."""

    async def handler(self) -> Handler:
        """What answers a request, as ASGI.

        Raises:
            Unavailable: the extra `mcp` is not installed.
        """
        async with self._starting:
            if self._handle is None:
                started: asyncio.Future[Handler] = asyncio.get_running_loop().create_future()
                self._running = asyncio.create_task(self._run(started))
                self._handle = await started
        return self._handle

    async def stop(self) -> None:
        """Let go of what was started."""
        self._stopping.set()
        if self._running is not None:
            await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self, started: "asyncio.Future[Handler]") -> None:
        try:
            manager = await asyncio.to_thread(self._load)
        except ImportError:
            started.set_exception(
                Unavailable("This gateway was installed without MCP; install `tristar[mcp]` and restart it.")
            )
            return
        async with manager.run():  # entered and left in one task, as its task group demands
            started.set_result(manager.handle_request)
            await self._stopping.wait()

    def _load(self) -> Any:  # noqa: ANN401 - a class of an optional extra
        import mcp_types  # noqa: PLC0415 - half a second together, and an optional extra
        from mcp.server.lowlevel import Server  # noqa: PLC0415 - the same
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager  # noqa: PLC0415 - the same

        self._types = mcp_types
        server: Server[Any] = Server(
            NAME,
            version=self._version,
            instructions=INSTRUCTIONS,
            on_list_tools=self._list,
            on_call_tool=self._call,
        )
        return StreamableHTTPSessionManager(
            server, json_response=True, stateless=True, max_request_body_size=1 << 31
        )

    async def _list(self, context: Any, params: Any) -> Any:  # noqa: ANN401 - types of an optional extra
        del params
        actor: Actor = context.request.scope[ACTOR]
        tools = [self._described(tool) for tool in self._toolbox.open_to(actor)]
        return self._types.ListToolsResult(tools=tools)

    async def _call(self, context: Any, params: Any) -> Any:  # noqa: ANN401 - the same
        scope = context.request.scope
        story: Exchange = scope[EXCHANGE]
        try:
            told = await self._toolbox.call(params.name, params.arguments or {}, scope[ACTOR], story)
        except GatewayError as error:
            story.operation = None
            story.details = {**(story.details or {}), "error": error.code}
            return self._said(f"{error.code}: {error.message}", is_error=True)
        return self._said(msgspec.json.encode(told).decode(), structured_content=told)

    def _said(self, text: str, **more: object) -> Any:  # noqa: ANN401 - the same
        content = [self._types.TextContent(type="text", text=text)]
        return self._types.CallToolResult(content=content, **more)

    def _described(self, tool: Tool) -> Any:  # noqa: ANN401 - the same
        return self._types.Tool(
            name=tool.name,
            title=tool.title,
            description=tool.description,
            input_schema=tool.asked.model_json_schema(),
            output_schema=tool.told.model_json_schema(mode="serialization"),
            annotations=self._types.ToolAnnotations(
                title=tool.title,
                read_only_hint=tool.reads,
                destructive_hint=tool.destroys,
                idempotent_hint=tool.repeats,
                open_world_hint=False,
            ),
        )


class _HandedOn(Response):
    """An answer that somebody else gives."""

    def __init__(self, handler: Handler) -> None:
        super().__init__()
        self._handler = handler

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
        """See the ASGI specification, version 3."""
        await self._handler(scope, receive, send)


_TEXTS = {
    400: "The message is malformed.",
    406: "`Accept` must name application/json.",
    415: "`Content-Type` must be application/json.",
}


def _protocol(text: str) -> dict[str, Any]:
    """A refusal, by the gateway or by the protocol (JSON-RPC 2.0, section 5.1)."""
    error = {
        "type": "object",
        "required": ["code", "message"],
        "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
    }
    told = {"type": "object", "required": ["jsonrpc", "error"], "properties": {"error": error}}
    schema = {"anyOf": [{"$ref": "#/components/schemas/ErrorEnvelope"}, told]}
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def router(assistant: Assistant) -> APIRouter:
    """The one route. The front has authenticated the caller before it is reached."""
    routes = APIRouter(tags=["memory"])

    @routes.post(
        "/mcp",
        responses={
            202: {"description": "A notification was taken."},
            **refusals(404),
            **{status: _protocol(text) for status, text in _TEXTS.items()},
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": Message.model_json_schema()}},
            }
        },
    )
    async def mcp(request: Request, story: Story) -> Message:
        """The shared memory as an MCP server: stateless streamable HTTP, answers in JSON."""
        _check_origin(request.headers.get("origin"))
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise NotJson("Content-Type must be application/json.")
        story.details = {**(story.details or {}), "protocol": "mcp"}
        return _HandedOn(await assistant.handler())  # type: ignore[return-value]  # the annotation is the schema's

    return routes


def _check_origin(origin: str | None) -> None:
    """Refuse a page of another site, as the protocol demands against DNS rebinding.

    Raises:
        Forbidden: the browser names an origin that is not this machine.
    """
    if origin is None:
        return
    try:
        host = urlsplit(origin).hostname
    except ValueError as error:
        raise BadRequest("The Origin header is not one.") from error
    if host not in _LOCAL:
        raise Forbidden("/mcp is not for pages of other sites; call it from a program.")
