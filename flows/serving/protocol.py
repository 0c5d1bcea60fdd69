"""HTTP/1.1 on one connection, with a deadline for each stage and bounds on all sizes."""

import asyncio
from enum import Enum, auto
from secrets import token_hex
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from flows.serving.connections import Connections
from flows.serving.middleware import LINGER_S, MOST_HEAD_BYTES
from flows.serving.problems import ProblemError, as_http

MOST_HEADERS = 100
_MOST_WAITING = 2
"""Requests that a client may send before the previous one is answered."""
_GRACE_S = LINGER_S + 1
"""Extra seconds for the app, whose own limits end first and give an answer."""


class Stage(Enum):
    """The event that a connection waits for."""

    HEAD = auto()
    BODY = auto()
    ANSWER = auto()
    REST = auto()


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with deadlines and limits, which uvicorn lacks.

    Bytes are parsed in slices, and counted between slices, which is exact enough. Bytes outside a
    body are heads, trailers, and extensions of chunks.

    Args:
        connections: All connections of the server.
        timeout_s: Seconds that each stage may last.
        arguments: Arguments of uvicorn's protocol.
    """

    def __init__(
        self, connections: Connections, timeout_s: float, *arguments: Any, **named: Any
    ) -> None:
        super().__init__(*arguments, **named)
        self._connections, self._timeout_s = connections, timeout_s
        self._of_no_body, self._deaf = 0, False
        self._refusal: ProblemError | None = None
        self._answering: RequestResponseCycle | None = None
        self._enter(Stage.HEAD)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Add the connection, closing another one if there are too many."""
        super().connection_made(transport)
        self._connections.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify all that wait for the connection."""
        self._connections.forget(self)
        self._disconnect()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the bytes, up to the bounds."""
        if self._stage is Stage.REST:
            self._enter(Stage.HEAD)
        for start in range(0, len(data), MOST_HEAD_BYTES):
            if self._deaf:
                return
            part = data[start : start + MOST_HEAD_BYTES]
            super().data_received(part)
            self._of_no_body += len(part)
            if self._of_no_body > 2 * MOST_HEAD_BYTES:
                self._refusal = _too_large(f"at most {MOST_HEAD_BYTES} bytes")
                self.send_400_response("")

    def on_message_begin(self) -> None:
        """Begin a head, which may be in the segment that ended the previous request."""
        if len(self.pipeline) >= _MOST_WAITING:
            msg = f"at most {_MOST_WAITING} requests of a connection may be in flight; got one more"
            raise ValueError(msg)
        self._of_no_body = 0
        self._enter(Stage.HEAD)
        super().on_message_begin()
        self.scope["state"]["let_in"] = self._let_in

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; drop a trailer, which must not count as a header."""
        if self._stage is not Stage.HEAD:
            return
        if len(self.headers) >= MOST_HEADERS:
            self._refusal = _too_large(f"at most {MOST_HEADERS} headers")
            raise self._refusal
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Pass the request to the app."""
        super().on_headers_complete()
        if not self.pipeline:
            self._answering = self.cycle
        self._enter(Stage.BODY)

    def on_body(self, body: bytes) -> None:
        """Pass a part of the body on."""
        self._of_no_body = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for the answer."""
        self._enter(Stage.ANSWER)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Continue with the next request, or become idle."""
        if self.pipeline:
            self._answering = self.pipeline[-1][0]
        super().on_response_complete()
        if self._stage is Stage.ANSWER:
            self._enter(Stage.REST if self.cycle.response_complete else Stage.ANSWER)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer the pending request of a client that sends no more, then close the connection.

        Returns:
            Whether the connection stays open until the answer.
        """
        self._deaf = True
        return self._ends_with(self._newest_whole())

    def send_400_response(self, msg: str) -> None:
        """Answer malformed HTTP, after the requests before it, and close the connection."""
        del msg
        self._deaf = True
        newest = self._newest_whole()
        if self._ends_with(newest):
            return
        if newest is None or newest.response_complete or not newest.response_started:
            refusal = self._refusal or ProblemError(400, "request must be well-formed HTTP/1.1")
            self.transport.write(as_http(refusal, token_hex(8)))
        self._disconnect()
        self.transport.close()

    def is_overdue(self, now: float) -> bool:
        """Whether the current stage has lasted too long; an idle one has uvicorn's keep-alive."""
        return now >= self._deadline and not self.is_resting()

    def is_resting(self) -> bool:
        """Whether the connection is idle: no request, and nothing left to send."""
        transport = self.transport
        resting = self._stage is Stage.REST and not transport.is_closing()
        return resting and transport.get_write_buffer_size() == 0

    def cut(self) -> None:
        """Close the connection at once; unsent bytes are lost."""
        self.transport.abort()

    def _newest_whole(self) -> RequestResponseCycle | None:
        """The newest request, after dropping one that is incomplete and still queued."""
        if self.pipeline and self.cycle.more_body:
            self.pipeline.popleft()
            return self.pipeline[0][0] if self.pipeline else self._answering
        newest: RequestResponseCycle | None = self.cycle
        return newest

    def _ends_with(self, newest: RequestResponseCycle | None) -> bool:
        """Close the connection after this request's answer; return whether an answer is pending."""
        if newest is None or newest.response_complete or newest.more_body:
            return False
        newest.keep_alive = False
        return True

    def _let_in(self) -> None:
        if not self.transport.is_closing():
            self._connections.let_in(self)

    def _unsupported_upgrade_warning(self) -> None:
        """Refuse the upgrade and close after this answer: later bytes may not be HTTP/1.1."""
        self._deaf = True
        self.cycle.keep_alive = False

    def _disconnect(self) -> None:
        # uvicorn notifies only the newest request; another would write to the closed connection.
        cycle = self._answering
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()

    def _enter(self, stage: Stage) -> None:
        self._stage = stage
        grace_s = _GRACE_S if stage in {Stage.BODY, Stage.ANSWER} else 0.0
        self._deadline = self.loop.time() + self._timeout_s + grace_s


def _too_large(rule: str) -> ProblemError:
    return ProblemError(431, f"head must have {rule}", headers={"connection": "close"})
