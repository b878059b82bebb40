"""Somebody else's application: FastAPI with a mounted Starlette, streams, errors; one line is ours."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import FastAPI, HTTPException
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tristar.metrics import instrument

app = FastAPI()


@app.get("/health/ready")
async def ready() -> str:
    """Answers as soon as it is served."""
    return "yes"


@app.get("/hello/{name}")
async def hello(name: str) -> dict[str, str]:
    """A template with a parameter."""
    return {"hello": name}


@app.get("/refused")
async def refused() -> None:
    """A refusal of the application's own."""
    raise HTTPException(409, "not now")


@app.get("/broken")
async def broken() -> None:
    """A defect of the application's own."""
    raise RuntimeError("a defect")


@app.get("/stream/{pieces}")
async def stream(pieces: int) -> StreamingResponse:
    """So many pieces, one every 20 ms."""

    async def body() -> AsyncIterator[bytes]:
        for number in range(pieces):
            yield f"{number}\n".encode()
            await asyncio.sleep(0.02)

    return StreamingResponse(body())


async def _item(request: Request) -> Response:
    return PlainTextResponse(request.path_params["item"])


app.mount("/shop", Starlette(routes=[Route("/items/{item}", _item)]))

instrument(app, user=lambda scope: dict(scope["headers"]).get(b"x-user", b"").decode() or None)
