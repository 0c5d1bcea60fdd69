"""All open connections: fewer than file descriptors, and each with a deadline."""

from asyncio import AbstractEventLoop
from math import inf
from typing import Protocol

MOST = 1_000
_SWEEP_S = 0.25


class Connection(Protocol):
    """What `Connections` needs of one connection."""

    def is_overdue(self, now: float) -> bool:
        """Whether its stage has lasted too long at this time of the event loop."""
        ...

    def is_resting(self) -> bool:
        """Whether it waits for a next request, with nothing to be sent."""
        ...

    def cut(self) -> None:
        """Close it at once."""
        ...


class Connections:
    """Makes room for each new connection, and cuts those that are overdue.

    A connection is a stranger until a request of its own was let in. Strangers take what room
    there is, but make way for the next one, the oldest first. A quarter of the room is theirs, so
    that a probe always gets in: up to there a known one makes way, the one longest unheard of,
    one at rest if there is any.

    Args:
        most: How many may be open.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._strangers: dict[Connection, None] = {}
        self._known: dict[Connection, None] = {}
        self._last = inf

    def __len__(self) -> int:
        return len(self._strangers) + len(self._known)

    def admit(self, connection: Connection) -> None:
        """Add a connection; if there are too many, another one is closed."""
        self._strangers[connection] = None
        if len(self) > self._most:
            self._cut(self._spare())

    def let_in(self, connection: Connection) -> None:
        """Note that a request of this connection was let in; it must still be open."""
        self.forget(connection)
        self._known[connection] = None  # at the end: the first is the one longest unheard of

    def forget(self, connection: Connection) -> None:
        """Remove a connection that was closed."""
        self._strangers.pop(connection, None)
        self._known.pop(connection, None)

    def sweep(self, loop: AbstractEventLoop) -> None:
        """Close what is overdue, now and every quarter of a second."""
        now = loop.time()
        for one in [*self._strangers, *self._known]:
            if now >= self._last or one.is_overdue(now):
                self._cut(one)
        loop.call_later(_SWEEP_S, self.sweep, loop)

    def end(self, last: float) -> None:
        """Cut all at this time of the event loop."""
        self._last = last

    def _spare(self) -> Connection:
        if len(self._strangers) > self._most // 4:
            return next(iter(self._strangers))
        resting = (one for one in self._known if one.is_resting())
        return next(resting, next(iter(self._known)))

    def _cut(self, connection: Connection) -> None:
        self.forget(connection)
        connection.cut()
