"""Round every request: its id, who may ask, how large its head is, how long it took."""

import logging
import re
import time
from hmac import compare_digest
from itertools import count
from secrets import token_hex

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flows.serving.problems import ProblemError
from flows.serving.service import Service

MOST_HEAD_BYTES = 16_384
CLIENT_GONE = 499
"""Not of HTTP, but of nginx: who asked did not wait for the answer."""
_PROBES = frozenset({"/healthz", "/readyz"})
_GIVEN_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_encode = msgspec.json.Encoder().encode
_access = logging.getLogger("headwater.access")


class Edge:
    """ASGI middleware.

    Args:
        app: What answers.
        service: Whether it is ending, and its metrics.
        paths: Of the app; all others are counted as one.
        token: Who asks must bear it, but for the probes; None: anyone may ask.
    """

    def __init__(
        self, app: ASGIApp, service: Service, paths: frozenset[str], token: str | None
    ) -> None:
        self._app, self._service, self._paths = app, service, paths
        self._wanted = None if token is None else b"Bearer " + token.encode()
        self._numbers, self._run = count(1), token_hex(4)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        started, status = time.perf_counter(), CLIENT_GONE
        headers = dict(scope["headers"])
        own = scope["state"]["request_id"] = self._id(headers.get(b"x-request-id", b""))

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] += self._added(own)
            await send(message)

        refused = self._refusal(scope, headers)
        try:
            if refused is None:
                await self._app(scope, receive, sending)
            else:
                await send_problem(refused, own, sending)
        finally:
            seconds = time.perf_counter() - started
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._service.metrics.answered(path, status, seconds)
            _access.info("%s %s %d %.2f ms %s", scope["method"], path, status, seconds * 1e3, own)

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes]) -> ProblemError | None:
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        if size + len(scope["raw_path"]) + len(scope["query_string"]) > MOST_HEAD_BYTES:
            msg = f"head must have at most {MOST_HEAD_BYTES} bytes"
            return ProblemError(431, msg, headers={"connection": "close"})
        if self._wanted is None or scope["path"] in _PROBES:
            return None
        if compare_digest(headers.get(b"authorization", b""), self._wanted):
            return None
        msg = "authorization must be `Bearer TOKEN` with the service's token"
        return ProblemError(401, msg, headers={"www-authenticate": "Bearer"})

    def _added(self, request_id: str) -> list[tuple[bytes, bytes]]:
        added = [
            (b"x-request-id", request_id.encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ]
        if self._service.draining:
            added.append((b"connection", b"close"))
        return added

    def _id(self, given: bytes) -> str:
        if _GIVEN_ID.fullmatch(given):
            return given.decode()
        return f"{self._run}-{next(self._numbers)}"


async def send_problem(problem: ProblemError, request_id: str, send: Send) -> None:
    """Send it as `application/problem+json`."""
    body = _encode(problem.told(request_id))
    headers = {
        "content-type": "application/problem+json",
        "content-length": str(len(body)),
        **(problem.headers or {}),
    }
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
