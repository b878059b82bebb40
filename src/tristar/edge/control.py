"""Everything that is not an llm call: FastAPI, with our errors in place of its own."""

from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from tristar.edge.description import completed
from tristar.edge.envelope import body_of, headers_of
from tristar.errors import BadRequest, GatewayError, MethodNotAllowed, NotFound
from tristar.exchange import Exchange
from tristar.relay.departure import ClientGone

_log = structlog.get_logger("tristar.edge")


def control_app(
    version: str,
    routers: Iterable[APIRouter],
    in_front: Mapping[str, Any] | None = None,
    metrics_path: str | None = None,
) -> FastAPI:
    """The FastAPI application behind the front; `in_front` describes what the front serves itself."""
    app = FastAPI(
        title="TriStar",
        version=version,
        summary="The multi-LLM gateway whose monitoring can be trusted.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.add_exception_handler(GatewayError, _gateway_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _defect)
    for router in routers:
        app.include_router(router)
    own = app.openapi

    def complete() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        document = own()
        completed(document, metrics_path)
        document["paths"] = {**(in_front or {}), **document["paths"]}
        return document

    app.openapi = complete  # type: ignore[method-assign]  # as FastAPI's own guide extends it
    return app


def refusal(error: GatewayError, status: int | None = None) -> Response:
    """What a client is sent for an error."""
    headers = {name.decode(): value.decode() for name, value in headers_of(error)}
    return Response(body_of(error), status_code=status or error.status, headers=headers)


async def _gateway_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)  # noqa: S101 - registered for this class alone
    exchange: Exchange | None = request.scope.get("tristar.exchange")
    if exchange is not None:  # a router may be mounted without the front
        exchange.refusal = error
    return refusal(error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    path = request.url.path[:200]
    if error.status_code == 404:
        return refusal(NotFound(f"There is no route {path!r}; /docs lists those that are."))
    if error.status_code == 405:
        allow = (error.headers or {}).get("Allow", "")
        return refusal(MethodNotAllowed(f"{path} does not take {request.method[:20]}.", allow=allow))
    return refusal(BadRequest(str(error.detail)[:500]), error.status_code)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part not in {"body", "query", "path"})
    return refusal(BadRequest(f"{place or 'The request'}: {first['msg']}."[:500], param=place or None))


async def _defect(request: Request, error: Exception) -> Response:
    exchange = request.scope["tristar.exchange"]
    if not isinstance(error, ClientGone):
        _log.error("request failed", exc_info=error)
    return refusal(
        GatewayError(f"The gateway failed; its log has the details under {exchange.request_id}. Report it.")
    )
