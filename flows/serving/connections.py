"""Open connections: fewer than the file descriptors, and each with a deadline."""

from asyncio import AbstractEventLoop
from math import inf
from typing import Protocol

MOST = 1_000
_SWEEP_S = 0.25


class Connection(Protocol):
    """The methods of a connection that `Connections` calls."""

    def is_overdue(self, now: float) -> bool:
        """Whether the current stage has lasted too long (`now`: the event loop's time)."""
        ...

    def is_resting(self) -> bool:
        """Whether the connection is idle: no request, and nothing left to send."""
        ...

    def cut(self) -> None:
        """Close the connection at once."""
        ...


class Connections:
    """Makes room for each new connection, and closes those that are overdue.

    A connection is a stranger until one of its requests passed the token check; then it is known.
    Strangers may use all free room, but the oldest one is closed for a new connection. A quarter of
    the room is reserved for strangers, so that a probe always gets in: for that, a known connection
    is closed, an idle one first, else the one whose last request is oldest.

    Args:
        most: Most open connections.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._strangers: dict[Connection, None] = {}
        self._known: dict[Connection, None] = {}
        self._last = inf

    def __len__(self) -> int:
        return len(self._strangers) + len(self._known)

    def admit(self, connection: Connection) -> None:
        """Add a connection; if there are too many, close another one."""
        self._strangers[connection] = None
        if len(self) > self._most:
            self._cut(self._spare())

    def let_in(self, connection: Connection) -> None:
        """Make a connection known after one of its requests was accepted; it must still be open."""
        self.forget(connection)
        self._known[connection] = None  # at the end: the first one's last request is the oldest

    def forget(self, connection: Connection) -> None:
        """Remove a closed connection."""
        self._strangers.pop(connection, None)
        self._known.pop(connection, None)

    def sweep(self, loop: AbstractEventLoop) -> None:
        """Close overdue connections, now and every quarter of a second."""
        now = loop.time()
        for one in [*self._strangers, *self._known]:
            if now >= self._last or one.is_overdue(now):
                self._cut(one)
        loop.call_later(_SWEEP_S, self.sweep, loop)

    def end(self, last: float) -> None:
        """Close all connections at `last`, a time of the event loop."""
        self._last = last

    def _spare(self) -> Connection:
        if len(self._strangers) > self._most // 4:
            return next(iter(self._strangers))
        resting = (one for one in self._known if one.is_resting())
        return next(resting, next(iter(self._known)))

    def _cut(self, connection: Connection) -> None:
        self.forget(connection)
        connection.cut()
