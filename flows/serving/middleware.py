"""Middleware for every request: its id, its token, the size of its head, its duration."""

import asyncio
import logging
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from hmac import compare_digest
from itertools import count
from secrets import token_hex
from typing import Protocol

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flows.serving.problems import ProblemError, headers_of
from state.settings import Serve

MOST_HEAD_BYTES = 16_384
LINGER_S = 1.0
"""Seconds for which an unread body is drained, so that its sender can read the answer."""
CLIENT_GONE = 499
"""nginx's status, unknown to HTTP: the client disconnected before the answer."""
_UNKNOWN = 401
"""Also closes the connection: each attempt with a wrong token needs a new one."""
_PROBES = frozenset({"/healthz", "/readyz"})
_ONCE = (b"host", b"authorization", b"content-type", b"content-encoding", b"transfer-encoding")
_GIVEN_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_encode = msgspec.json.Encoder().encode
_access = logging.getLogger("headwater.access")


class Counting(Protocol):
    """Counts responses."""

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count one; paths are few."""
        ...


class Served(Protocol):
    """The part of a service that the edge and the server use.

    Attributes:
        draining: Set when it is to end.
    """

    draining: bool

    @property
    def settings(self) -> Serve:
        """The limits."""
        ...

    @property
    def metrics(self) -> Counting:
        """Told of each response."""
        ...


class Edge:
    """ASGI middleware that checks, logs and counts each request.

    Args:
        app: The app to call.
        service: Knows whether the service is ending, and has its metrics.
        paths: Paths of the app; all others are counted as one.
        token: Bearer token that clients must send, except to the probes; None: none is needed.
    """

    def __init__(
        self, app: ASGIApp, service: Served, paths: frozenset[str], token: str | None
    ) -> None:
        self._app, self._service, self._paths = app, service, paths
        self._token = None if token is None else token.encode()
        self._numbers, self._run = count(1), token_hex(4)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        started, status = time.perf_counter(), CLIENT_GONE
        headers = dict(scope["headers"])
        own = scope["state"]["request_id"] = self._id(headers.get(b"x-request-id", b""))
        unread = _has_body(headers)

        async def receiving() -> Message:
            nonlocal unread
            message = await receive()
            unread = unread and message.get("more_body", False)
            return message

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] += self._added(own, last=unread or status == _UNKNOWN)
            elif unread:
                message["more_body"] = True
            await send(message)

        refused = self._refusal(scope, headers)
        try:
            if refused is None:
                await self._app(scope, receiving, sending)
            else:
                await send_problem(refused, own, sending)
        finally:
            seconds = time.perf_counter() - started
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._service.metrics.answered(path, status, seconds)
            answered = {
                "event": "request",
                "method": scope["method"],
                "path": path,
                "status": status,
                "ms": round(seconds * 1e3, 3),
                "request_id": own,
            }
            line = "%(method)s %(path)s %(status)d %(ms).2f ms %(request_id)s"
            _access.info(line, answered, extra=answered)
            if unread:
                await _linger(receive)
                await send({"type": "http.response.body"})

    def _refusal(self, scope: Scope, headers: Mapping[bytes, bytes]) -> ProblemError | None:
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        if size + len(scope["raw_path"]) + len(scope["query_string"]) > MOST_HEAD_BYTES:
            msg = f"head must have at most {MOST_HEAD_BYTES} bytes"
            return ProblemError(431, msg)
        if len(headers) < len(scope["headers"]):
            names = [name for name, _ in scope["headers"]]
            twice = next((name.decode() for name in _ONCE if names.count(name) > 1), None)
            if twice is not None:
                return ProblemError(400, f"{twice} must be given once; got more")
        if headers.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
            return ProblemError(400, "transfer-encoding must be chunked; got another")
        if b"upgrade" in headers and _has_body(headers):
            return ProblemError(
                400, "request with a body must not ask for an upgrade: use HTTP/1.1"
            )
        if scope["path"] not in _PROBES:
            if not self._may_ask(headers.get(b"authorization", b"")):
                msg = "authorization must be `Bearer TOKEN` with the service's token"
                return ProblemError(_UNKNOWN, msg, headers={"www-authenticate": "Bearer"})
            scope["state"]["let_in"]()
        if scope["path"] not in self._paths:
            return ProblemError(404, "Not Found: see /docs")
        return None

    def _may_ask(self, authorization: bytes) -> bool:
        if self._token is None:
            return True
        scheme, _, token = authorization.partition(b" ")
        return compare_digest(token.lstrip(), self._token) and scheme.lower() == b"bearer"

    def _added(self, request_id: str, *, last: bool) -> list[tuple[bytes, bytes]]:
        added = [
            (b"x-request-id", request_id.encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ]
        if last or self._service.draining:
            added.append((b"connection", b"close"))
        return added

    def _id(self, given: bytes) -> str:
        if _GIVEN_ID.fullmatch(given):
            return given.decode()
        return f"{self._run}-{next(self._numbers)}"


def _has_body(headers: Mapping[bytes, bytes]) -> bool:
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


async def send_problem(problem: ProblemError, request_id: str, send: Send) -> None:
    """Send a problem as `application/problem+json`."""
    body = _encode(problem.told(request_id))
    headers = headers_of(problem, body)
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


async def _linger(receive: Receive) -> None:
    """Drain the body: a connection closed with unread bytes loses its answer."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            while (await receive()).get("more_body", False):
                pass
