"""The service as an ASGI app."""

from collections.abc import Awaitable, Callable

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from flows.serving.middleware import CLIENT_GONE, Edge
from flows.serving.openapi import document, page
from flows.serving.problems import ProblemError
from flows.serving.service import Service

_PAGE_POLICY = {"content-security-policy": "default-src 'none'; frame-ancestors 'none'"}


def make_app(service: Service, token: str | None) -> Edge:
    """Build the ASGI app with all endpoints of a service.

    Args:
        service: The service that answers requests.
        token: Bearer token that clients must send; None: none is needed.
    """
    described = document(service.scorer.stream, service.settings, secured=token is not None)
    as_json, as_page = msgspec.json.encode(described), page(described)

    async def openapi(_: Request) -> Response:
        return Response(as_json, media_type="application/json")

    async def docs(_: Request) -> Response:
        return HTMLResponse(as_page, headers=_PAGE_POLICY)

    routes = [
        Route("/score", service.score, methods=["POST"]),
        Route("/score/batch", service.batch, methods=["POST"]),
        Route("/model", service.model),
        Route("/healthz", service.health),
        Route("/readyz", service.ready),
        Route("/metrics", service.prometheus),
        Route("/openapi.json", openapi),
        Route("/docs", docs),
    ]
    app = Starlette(routes=routes, exception_handlers=HANDLERS)
    app.router.redirect_slashes = False
    return Edge(app, service, frozenset(route.path for route in routes), token)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    body = msgspec.json.encode(error.told(request.state.request_id))
    kind = "application/problem+json"
    return Response(body, error.status, error.headers, media_type=kind)


async def _no_such(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    problem = ProblemError(error.status_code, f"{error.detail}: see /docs", headers=error.headers)
    return await _problem(request, problem)


async def _gone(request: Request, error: Exception) -> Response:
    """Return 499; the client is gone, so only the metrics see it."""
    del request, error
    return Response(status_code=CLIENT_GONE)


async def _failed(request: Request, error: Exception) -> Response:
    del error
    return await _problem(request, ProblemError(500, "the service has failed: see its log"))


HANDLERS: dict[int | type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    ProblemError: _problem,
    HTTPException: _no_such,
    ClientDisconnect: _gone,
    Exception: _failed,
}
