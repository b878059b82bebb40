"""`/docs`: the OpenAPI document as a page, without a file of anybody else's."""

from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from tristar.edge.access import ErrorEnvelope
from tristar.errors import NotFound

FILES: Final = Path(__file__).parent
TYPES: Final = {
    "docs.html": "text/html; charset=utf-8",
    "docs.js": "text/javascript; charset=utf-8",
    "docs.css": "text/css; charset=utf-8",
}


def router() -> APIRouter:
    """The page and its two files, read once; no other name is served."""
    bodies = {name: (FILES / name).read_bytes() for name in TYPES}
    routes = APIRouter(tags=["docs"])

    def answer(name: str) -> Response:
        return Response(bodies[name], media_type=TYPES[name], headers={"cache-control": "no-cache"})

    @routes.get("/openapi.json")
    async def document(request: Request) -> dict[str, Any]:
        """The OpenAPI document: every route, and every status that it gives."""
        told: dict[str, Any] = request.app.openapi()
        return told

    @routes.get(
        "/docs",
        response_class=Response,
        responses={200: {"content": {"text/html": {}}, "description": "The page."}},
    )
    async def page() -> Response:
        """The routes of this gateway, for people."""
        return answer("docs.html")

    @routes.get(
        "/docs/{name}",
        response_class=Response,
        responses={
            200: {
                "content": {"text/javascript": {}, "text/css": {}, "text/html": {}},
                "description": "The file.",
            },
            404: {"model": ErrorEnvelope, "description": "The page has no such file."},
        },
    )
    async def file(name: str) -> Response:
        """One file of the page."""
        if name not in bodies:
            raise NotFound(f"The page has no file {name[:80]!r}; open /docs.")
        return answer(name)

    return routes
