"""uvicorn with an end that fails nobody, and with few connections that all end."""

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
from flows.serving.middleware import Edge
from flows.serving.protocol import Protocol
from flows.serving.service import Service

_KEEP_ALIVE_S = 75
"""Longer than proxies keep idle connections, so that the proxies close them."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


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
        """Listen."""
        await super().startup(sockets)
        self._connections.sweep(asyncio.get_running_loop())
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close idle connections at once, and those with requests in flight within the timeout."""
        self._connections.end(asyncio.get_running_loop().time() + self._timeout_s)
        await super().shutdown(sockets)

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


def _free_descriptors() -> int:
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(sys.stderr.fileno())
    os.close(lowest)
    return (2**20 if most == resource.RLIM_INFINITY else most) - lowest
