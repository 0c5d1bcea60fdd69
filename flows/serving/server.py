"""uvicorn with a shutdown that fails no request, and with bounded connections that all end."""

import asyncio
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import uvicorn

from flows.serving.connections import MOST, Connections
from flows.serving.middleware import Edge, Served
from flows.serving.protocol import Protocol
from flows.terminal.signals import ending_signals

_KEEP_ALIVE_S = 75
"""Longer than proxies keep idle connections, so that the proxies close them first."""


class Server(uvicorn.Server):
    """Serves until SIGTERM, SIGHUP or SIGINT.

    After SIGTERM or SIGHUP the service is no longer ready but still answers for the drain time,
    each answer the last one of its connection; then the rest is closed. SIGINT or a second signal
    ends that time.

    Args:
        app: The app to serve.
        service: The app's service, which is told when it must end.
        started: Called once the server listens.
    """

    def __init__(self, app: Edge, service: Served, started: Callable[[], object]) -> None:
        self._timeout_s = service.settings.timeout / 1e6
        self._connections = Connections(min(MOST, _free_descriptors() // 2))
        super().__init__(
            uvicorn.Config(
                app,
                http=partial(Protocol, self._connections, self._timeout_s),  # type: ignore[arg-type]
                ws="none",
                lifespan="off",
                loop="uvloop",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
            )
        )
        self._service, self._on_started = service, started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen for connections."""
        await super().startup(sockets)
        self._connections.sweep(asyncio.get_running_loop())
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close idle connections at once, and busy ones within the timeout."""
        self._connections.end(asyncio.get_running_loop().time() + self._timeout_s)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End on signals, with exit code 0."""
        loop, signals = asyncio.get_running_loop(), ending_signals()
        for number in signals:
            loop.add_signal_handler(number, partial(self._end, number))
        try:
            yield
        finally:
            for number in signals:
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


def _free_descriptors() -> int:
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(sys.stderr.fileno())
    os.close(lowest)
    return (2**20 if most == resource.RLIM_INFINITY else most) - lowest
