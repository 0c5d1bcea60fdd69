"""Supervise the replica of one partition, and replace it when it fails."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from threading import Thread

from flows.scoring.freed_memory import give_back
from flows.scoring.gil_yield import GilYielder, taking_turns
from flows.scoring.notifier import OnceNotifier
from operators.replica.left_right import BusyError
from operators.replica.replica import Replica
from state.log import OffsetError

_RETRY_S = 1.0
_AGAIN_S, _MOST_AGAIN_S = 5.0, 60.0


class EndedError(Exception):
    """The scorer was closed while a replica was being rebuilt."""


class ReplicaSupervisor:
    """Advances the replica of one partition in one thread; any thread may use the replica.

    Args:
        partition: Partition of `events`.
        replica: The current replica.
        begin_anew: Builds another replica from a checkpoint, given the current model's id.
        tell: Called with each problem.
        waits: `advance` waits for a rebuild; False: the rebuild runs in a thread beside it.

    Attributes:
        replica: The replica that answers.
        unreadable: The reason why the log cannot be followed now; None: it can.
    """

    def __init__(
        self,
        partition: int,
        replica: Replica,
        begin_anew: Callable[[str | None], Replica],
        tell: OnceNotifier,
        *,
        waits: bool,
    ) -> None:
        self._partition, self._begin_anew = partition, begin_anew
        self._tell, self._waits = tell, waits
        self.replica = replica
        self.unreadable: str | None = None
        self._is_stuck = False
        self._retry_at = self._again_at = 0.0
        self._again_s = _AGAIN_S
        self._renewal: Renewal | None = None

    @property
    def trouble(self) -> str | None:
        """The reason why answers may differ from the flow's; None: they do not."""
        return self.unreadable or self.replica.trouble or self.replica.unfit

    def retry(self) -> None:
        """Read the log at the next `advance`, without waiting."""
        self._retry_at = 0.0

    def advance(self, pause: Callable[[], object]) -> bool:
        """Process one message; return whether there was one.

        Args:
            pause: See `Replica.advance`.
        """
        if time.monotonic() < self._retry_at:
            return False
        moved, replica = False, self.replica
        activated = replica.activated
        try:
            if not self._is_stuck:
                moved = replica.advance(pause)
        except (OSError, BusyError) as error:
            self._fails(error)
        else:
            if self.unreadable is not None and not self._is_stuck:
                self.unreadable = None
                self._tell_end("is followed again")
        if replica.activated != activated:
            self._again_at = 0.0
        for wrong in (replica.trouble, replica.unfit):
            if wrong is not None:
                self._tell(wrong)
        must_heal = replica.trouble is not None or self._is_stuck or self._renewal is not None
        del replica  # else it would stay in memory after its replacement
        if must_heal:
            self._heal()
        return moved

    def ended(self, within_s: float) -> bool:
        """Whether no rebuild reads the log any more; wait for it up to `within_s` seconds."""
        return self._renewal is None or self._renewal.ended(within_s)

    def _fails(self, error: OSError | BusyError) -> None:
        """Schedule a retry, or a rebuild where a retry cannot help."""
        self.unreadable = str(error)
        self._retry_at = time.monotonic() + _RETRY_S
        self._tell(str(error))
        if isinstance(error, BusyError):
            self._is_stuck = True
        elif isinstance(error, OffsetError):
            self._heal()

    def _heal(self) -> None:
        """Rebuild the replica from a checkpoint, if one and its model are available now."""
        if self._renewal is None:
            if time.monotonic() < self._again_at:
                return
            self._renewal = Renewal(partial(self._begin_anew, self.replica.model))
        if not self._waits and not self._renewal.done():
            return
        try:
            self._replace(self._renewal.replica())
        except EndedError:
            pass
        except Exception as error:  # noqa: BLE001 - the old replica answers on, and a retry follows
            self._tell(str(error))
            self._again_at = time.monotonic() + self._again_s
            self._again_s = min(2 * self._again_s, _MOST_AGAIN_S)
        self._renewal = None
        give_back()

    def _replace(self, replica: Replica) -> None:
        """Put another replica in place, once it has caught up with the current one."""
        turns = GilYielder()
        while replica.offset < self.replica.offset and replica.advance(turns):
            pass
        self.replica, self.unreadable, self._is_stuck = replica, None, False
        self._retry_at, self._again_at, self._again_s = 0.0, 0.0, _AGAIN_S
        self._tell_end("is exact again")

    def _tell_end(self, how: str) -> None:
        self._tell(f"events/{self._partition} {how}")
        self._tell.forget()


class Renewal:
    """A replica that is being built in a thread of its own, which releases the lock often.

    Args:
        make: Builds the replica.
    """

    def __init__(self, make: Callable[[], Replica]) -> None:
        self._make = make
        self._future: Future[Replica] = Future()
        self._thread = Thread(target=self._work, name="begin anew", daemon=True)
        self._thread.start()

    def done(self) -> bool:
        """Whether the build has ended."""
        return self._future.done()

    def replica(self) -> Replica:
        """Wait for the new replica; raises the error of `make`."""
        try:
            return self._future.result()
        finally:
            # Otherwise an error, whose trace holds this frame, would keep half a replica in memory.
            del self._future

    def ended(self, within_s: float) -> bool:
        """Whether the thread has ended; wait for it up to `within_s` seconds."""
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            with taking_turns():
                replica = self._make()
        except BaseException as error:  # noqa: BLE001 - raised again by `replica`
            self._future.set_exception(error)
        else:
            self._future.set_result(replica)
