"""Bodies that are still arriving: one that never ends holds up none but itself."""

import asyncio
from collections.abc import AsyncIterator

from flows.serving.problems import ProblemError
from state.settings import Serve


class Bodies:
    """Reads bodies; where they would take more memory than they may, the oldest makes way.

    So whoever sends bodies that never end takes no place of those who send theirs at once.

    Args:
        settings: How large one may be and how long it may take; together they may take as much as
            all requests in flight.
    """

    def __init__(self, settings: Serve) -> None:
        self._most, self._timeout = settings.body, settings.timeout
        self._most_together = settings.body * settings.concurrent
        self._together = 0
        self._arriving: dict[asyncio.Timeout, bytearray] = {}

    async def read(self, parts: AsyncIterator[bytes]) -> bytes:
        """A body, once all of it has come.

        Raises:
            ProblemError: It is too large or too slow, or made way.
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
        """The refusal of a body of so many bytes or more."""
        return ProblemError(413, f"body must have at most {self._most} bytes; got {got} or more")

    def _make_room(self) -> None:
        while self._together > self._most_together:
            oldest = next(iter(self._arriving))
            self._forget(oldest)
            if not oldest.expired():
                oldest.reschedule(0.0)

    def _forget(self, deadline: asyncio.Timeout) -> None:
        self._together -= len(self._arriving.pop(deadline, b""))
