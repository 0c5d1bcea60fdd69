"""The HTTP service of `headwater watch`: metrics, the page, and its stream of views."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from importlib.resources import files

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from flows.serving.app import HANDLERS
from flows.serving.bind import url_of
from flows.serving.middleware import Edge
from flows.serving.server import Server
from flows.terminal.json_lines import tell
from flows.watch.collector import exposition
from flows.watch.looking import Looking
from flows.watch.rules_file import rules_file
from flows.watch.sample import Sample
from flows.watch.view import view_of
from state.settings import Serve

_POLL_S = 0.2
_PART_OF_TIMEOUT = 0.8
_POLICY = {
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "connect-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'; "
        "form-action 'none'"
    )
}


class _Uncounted:
    """Responses of this service are not worth a metric."""

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Forget it."""


class WatchService:
    """Answers from the newest sample.

    Args:
        looking: Provides the sample.
        settings: Limits and times, those of `headwater serve`.

    Attributes:
        draining: Set when the service shall end.
        metrics: Counters that `Edge` increments.
    """

    def __init__(self, looking: Looking, settings: Serve) -> None:
        self._looking, self.settings = looking, settings
        self.draining = False
        self.metrics = _Uncounted()
        self._made: dict[Callable[[Sample], bytes], tuple[int, bytes]] = {}
        self._page = files("flows.watch").joinpath("page.html").read_text("utf-8")

    async def prometheus(self, _: Request) -> Response:
        """`GET /metrics`."""
        sample = self._looking.newest()
        body = b"" if sample is None else self._once(_exposed, sample)
        return Response(body, media_type=CONTENT_TYPE_LATEST)

    async def page(self, _: Request) -> Response:
        """`GET /`."""
        return HTMLResponse(self._page, headers=_POLICY)

    async def view(self, _: Request) -> Response:
        """`GET /view`: the newest view as JSON; 503 before the first look."""
        sample = self._looking.newest()
        if sample is None:
            return Response(b"null", 503, media_type="application/json")
        return Response(self._once(_viewed, sample), media_type="application/json")

    async def views(self, _: Request) -> Response:
        """`GET /views`: each new view as a server-sent event, for a while; browsers come again."""
        return StreamingResponse(self._views(), media_type="text/event-stream")

    async def health(self, _: Request) -> Response:
        """`GET /healthz`: it lives, whatever the flow does."""
        return Response(b"ok\n", media_type="text/plain")

    async def rules(self, _: Request) -> Response:
        """`GET /rules.yml`: the alert rules for Prometheus."""
        return Response(rules_file(), media_type="text/yaml")

    async def _views(self) -> AsyncIterator[bytes]:
        yield b"retry: 500\n\n"
        number = 0
        for _ in range(int(self.settings.timeout / 1e6 * _PART_OF_TIMEOUT / _POLL_S)):
            sample = self._looking.newest()
            if self.draining:
                return
            if sample is not None and sample.number != number:
                number = sample.number
                yield b"data: " + self._once(_viewed, sample) + b"\n\n"
            await asyncio.sleep(_POLL_S)

    def _once(self, make: Callable[[Sample], bytes], sample: Sample) -> bytes:
        """The bytes made of a sample; a thousand clients cost no more than one."""
        number, made = self._made.get(make, (0, b""))
        if number != sample.number:
            made = make(sample)
            self._made[make] = sample.number, made
        return made


def _exposed(sample: Sample) -> bytes:
    return exposition(lambda: sample)


def _viewed(sample: Sample) -> bytes:
    return msgspec.json.encode(view_of(sample))


def app_of(service: WatchService, token: str | None) -> Edge:
    """All endpoints.

    Args:
        service: Answers the requests.
        token: Clients must send it; None: anyone may ask.
    """
    routes = [
        Route("/", service.page),
        Route("/metrics", service.prometheus),
        Route("/view", service.view),
        Route("/views", service.views),
        Route("/healthz", service.health),
        Route("/rules.yml", service.rules),
    ]
    app = Starlette(routes=routes, exception_handlers=HANDLERS)
    app.router.redirect_slashes = False
    return Edge(app, service, frozenset(route.path for route in routes), token)


def serve(
    looking: Looking,
    settings: Serve,
    bound: socket.socket,
    token: str | None,
    say: Callable[[str], object],
) -> None:
    """Serve until a signal.

    Args:
        looking: Looks at the flow meanwhile.
        settings: Limits and times.
        bound: Socket to listen on; closed at the end.
        token: Token that clients must send; None: none is needed.
        say: Called with one line once the server listens.
    """
    service = WatchService(looking, settings)
    url = url_of(bound)
    server = Server(
        app_of(service, token),
        service,
        lambda: tell("watching", f"Watching at {url} (metrics: {url}/metrics)", say),
    )
    with looking.going_on():
        server.run([bound])
