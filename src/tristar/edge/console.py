"""`/console`: the built-in web console, static files that read the gateway's own public routes.

The files are served without a key, so nothing secret may be rendered into them: what the page
shows it fetches itself, with the key that its user gives. They are read once, when the router
is made; a name that is not among them is 404, so no path reaches the disk.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response

from tristar.edge.access import ErrorEnvelope
from tristar.errors import NotFound

STATIC: Final = Path(__file__).parent / "static"
PARTS: Final = STATIC / "parts"
"""What `scripts/console-parts` fetches: the console does without it, but for charts."""

PAGE: Final = "index.html"
CONFIGURATION: Final = "config.json"
CHARTS: Final = "uPlot.esm.js"

CONTENT_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}

# The page loads its own files and talks to its own gateway, and to nobody else. Trusted types
# without a policy: no string ever becomes markup.
POLICY: Final = (
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS: Final = {
    "Cache-Control": "no-cache",  # kept by the browser, and asked about each time: an upgrade shows at once
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True)
class Asset:
    """One file of the console as it is sent."""

    body: bytes
    content_type: str
    etag: str

    @classmethod
    def of(cls, name: str, body: bytes) -> "Asset":
        """The content type follows from the name's ending, the entity tag from the content."""
        digest = hashlib.sha256(body).hexdigest()[:32]
        return cls(body, CONTENT_TYPES[Path(name).suffix], f'"{digest}"')


def load_assets(*, by_meaning: bool = False) -> dict[str, Asset]:
    """Every file of the console by name, with the configuration that the page starts from."""
    files = {path.name: path.read_bytes() for path in (*STATIC.iterdir(), *_parts()) if path.is_file()}
    files[CONFIGURATION] = json.dumps({"charts": CHARTS in files, "by_meaning": by_meaning}).encode()
    return {name: Asset.of(name, body) for name, body in sorted(files.items())}


def _parts() -> list[Path]:
    if not PARTS.is_dir():
        return []
    return [path for path in PARTS.iterdir() if path.suffix in CONTENT_TYPES]


def answer(request: Request, asset: Asset) -> Response:
    """The file, or 304 where the client has it already."""
    headers = HEADERS | {"ETag": asset.etag, "Content-Type": asset.content_type}
    if _is_current(request.headers.get("if-none-match", ""), asset.etag):
        del headers["Content-Type"]
        return Response(status_code=304, headers=headers)
    return Response(asset.body, headers=headers)


def router(*, by_meaning: bool = False) -> APIRouter:
    """The console's routes; `by_meaning` says whether the memory can be searched so."""
    assets = load_assets(by_meaning=by_meaning)
    routes = APIRouter(prefix="/console", tags=["console"])

    @routes.get(
        "",
        response_class=Response,
        responses={
            200: {"content": {"text/html": {}}, "description": "The page."},
            304: {"description": "The client has it already."},
        },
    )
    async def console(request: Request) -> Response:
        """The web console: a page for people."""
        return answer(request, assets[PAGE])

    @routes.get(
        "/{name}",
        response_class=Response,
        responses={
            200: {"content": {"*/*": {}}, "description": "The file."},
            304: {"description": "The client has it already."},
            404: {"model": ErrorEnvelope, "description": "The console has no such file."},
        },
    )
    async def console_file(name: str, request: Request) -> Response:
        """One file of the console."""
        asset = assets.get(name)
        if asset is None:
            raise NotFound(f"The console has no file {name[:200]!r}; open /console.")
        return answer(request, asset)

    routes.add_api_route("", console, methods=["HEAD"], include_in_schema=False)
    routes.add_api_route("/{name}", console_file, methods=["HEAD"], include_in_schema=False)
    return routes


def _is_current(if_none_match: str, etag: str) -> bool:
    """RFC 9110, 13.1.2: a list of tags, compared weakly, or `*`."""
    tags = (tag.strip().removeprefix("W/") for tag in if_none_match[:2000].split(","))
    return any(tag in {etag, "*"} for tag in tags)
