"""uvicorn with an end that fails nobody, and with patience for slow heads that ends."""

import asyncio
import signal
import socket
from asyncio import TimerHandle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from flows.serving.edge import MOST_HEAD_BYTES, Edge
from flows.serving.service import Service

_KEEP_ALIVE_S = 75
"""Longer than proxies keep idle connections, so that it is they who close them."""
_MOST_CONNECTIONS = 1_000
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Protocol(HttpToolsProtocol):
    """Closes a connection whose next request's head does not arrive, or does not end."""

    head_timeout_s = 10.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head, self._head_bytes = True, 0
        self._patience: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes:
            if self._head_bytes > 2 * MOST_HEAD_BYTES:
                self.transport.close()
            self._arm()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._disarm()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_complete()

    def _arm(self) -> None:
        if self._patience is None and not self.transport.is_closing():
            self._patience = self.loop.call_later(self.head_timeout_s, self.transport.abort)

    def _disarm(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


class Server(uvicorn.Server):
    """Serves until SIGTERM or SIGINT.

    After SIGTERM it is not ready any more but answers on, each answer the last of its connection,
    for the time to drain; then what is left is closed. SIGINT, or a second signal, ends that time.

    Args:
        app: What answers.
        service: The same app's; told when it is to end.
        started: Called once it listens.
    """

    def __init__(self, app: Edge, service: Service, started: Callable[[], object]) -> None:
        timeout_s = service.settings.timeout / 1e6
        patient = type("Protocol", (_Protocol,), {"head_timeout_s": timeout_s})
        super().__init__(
            uvicorn.Config(
                app,
                http=patient,
                ws="none",
                lifespan="off",
                loop="uvloop",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=_MOST_CONNECTIONS,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=max(1, round(timeout_s)),
            )
        )
        self._service, self._on_started = service, started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        self._on_started()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End on signals, with exit code 0."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, partial(self._end, number))
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    def _end(self, number: signal.Signals) -> None:
        if self._service.draining or number == signal.SIGINT:
            self.force_exit = self.should_exit
            self.should_exit = True
        else:
            loop = asyncio.get_running_loop()
            loop.call_later(self._service.settings.drain / 1e6, self._stop)
        self._service.draining = True

    def _stop(self) -> None:
        self.should_exit = True
