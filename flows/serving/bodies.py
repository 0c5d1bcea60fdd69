"""Read request bodies; one that never ends blocks no other request."""

import asyncio
from collections.abc import AsyncIterator

from flows.serving.problems import ProblemError
from state.settings import Serve


class Bodies:
    """Reads bodies; if all together exceed the memory limit, the oldest unfinished one is refused.

    So a client that sends endless bodies takes no room from clients that send theirs at once.

    Args:
        settings: Limits on a body's size and duration; all bodies together may be as large as the
            largest body times the number of requests in flight.
    """

    def __init__(self, settings: Serve) -> None:
        self._most, self._timeout = settings.body, settings.timeout
        self._most_together = settings.body * settings.concurrent
        self._together = 0
        self._arriving: dict[asyncio.Timeout, bytearray] = {}

    async def read(self, parts: AsyncIterator[bytes]) -> bytes:
        """Read a body to its end.

        Raises:
            ProblemError: The body is too large or too slow, or was refused for newer ones.
        """
        body = bytearray()
        deadline = asyncio.timeout(self._timeout / 1e6)
        self._arriving[deadline] = body
        try:
            async with deadline:
                async for part in parts:
                    body += part
                    if len(body) > self._most:
                        raise self.too_large(len(body))
                    if deadline in self._arriving:
                        self._together += len(part)
                        self._make_room()
        except TimeoutError as error:
            if deadline not in self._arriving:
                msg = f"bodies must arrive sooner; got {len(body)} bytes when newer ones came"
                raise ProblemError(503, msg, headers={"retry-after": "1"}) from error
            msg = f"body must arrive within {self._timeout}; got {len(body)} bytes"
            raise ProblemError(408, msg) from error
        finally:
            self._forget(deadline)
        return bytes(body)

    def too_large(self, got: int) -> ProblemError:
        """The error for a body of `got` bytes or more."""
        return ProblemError(413, f"body must have at most {self._most} bytes; got {got} or more")

    def _make_room(self) -> None:
        while self._together > self._most_together:
            oldest = next(iter(self._arriving))
            self._forget(oldest)
            if not oldest.expired():
                oldest.reschedule(0.0)

    def _forget(self, deadline: asyncio.Timeout) -> None:
        self._together -= len(self._arriving.pop(deadline, b""))
