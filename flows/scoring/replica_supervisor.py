"""One partition that is followed: its replica, and what is done where something is wrong."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from threading import Thread

from flows.scoring.freed_memory import give_back
from flows.scoring.gil_yield import Turns, taking_turns
from flows.scoring.notifier import OnceNotifier
from operators.replica.left_right import BusyError
from operators.replica.replica import Replica
from state.log import OffsetError

_RETRY_S = 1.0
_AGAIN_S, _MOST_AGAIN_S = 5.0, 60.0


class EndedError(Exception):
    """A scorer was closed while a replica began anew."""


class ReplicaSupervisor:
    """One partition; one thread follows, any may ask the replica.

    Args:
        partition: Of `events`.
        replica: Where it stands now.
        begin_anew: Makes another from a checkpoint, beside this one which answers with the model.
        tell: Told what is wrong.
        waits: `advance` waits for a replica that begins anew; else that goes on beside.

    Attributes:
        replica: What answers.
        unreadable: Why it cannot be followed just now; None: it can.
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
        """Why answers are not exactly the flow's; None: they are."""
        return self.unreadable or self.replica.trouble or self.replica.unfit

    def retry(self) -> None:
        """Do not wait before the log is read again."""
        self._retry_at = 0.0

    def advance(self, pause: Callable[[], object]) -> bool:
        """Take in one message; whether there was one.

        Args:
            pause: As for `Replica.advance`.
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
        del replica  # else it would outlive its healing
        if must_heal:
            self._heal()
        return moved

    def ended(self, within_s: float) -> bool:
        """Whether nothing begins anew any more, and so nothing reads the log; waits for it."""
        return self._renewal is None or self._renewal.ended(within_s)

    def _fails(self, error: OSError | BusyError) -> None:
        """Following is tried again later, or, where that is of no use, begun anew."""
        self.unreadable = str(error)
        self._retry_at = time.monotonic() + _RETRY_S
        self._tell(str(error))
        if isinstance(error, BusyError):
            self._is_stuck = True
        elif isinstance(error, OffsetError):
            self._heal()

    def _heal(self) -> None:
        """Begin anew from a checkpoint, if it and its model can be had by now."""
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
        except Exception as error:  # noqa: BLE001 - this one goes on, and it is tried again
            self._tell(str(error))
            self._again_at = time.monotonic() + self._again_s
            self._again_s = min(2 * self._again_s, _MOST_AGAIN_S)
        self._renewal = None
        give_back()

    def _replace(self, replica: Replica) -> None:
        """Let another answer, once it has come as far as this one."""
        turns = Turns()
        while replica.offset < self.replica.offset and replica.advance(turns):
            pass
        self.replica, self.unreadable, self._is_stuck = replica, None, False
        self._retry_at, self._again_at, self._again_s = 0.0, 0.0, _AGAIN_S
        self._tell_end("is exact again")

    def _tell_end(self, how: str) -> None:
        self._tell(f"events/{self._partition} {how}")
        self._tell.forget()


class Renewal:
    """A replica that is made in a thread of its own, which takes turns.

    Args:
        make: Makes it.
    """

    def __init__(self, make: Callable[[], Replica]) -> None:
        self._make = make
        self._future: Future[Replica] = Future()
        self._thread = Thread(target=self._work, name="begin anew", daemon=True)
        self._thread.start()

    def done(self) -> bool:
        """Whether it has come to an end."""
        return self._future.done()

    def replica(self) -> Replica:
        """What was made, once it is; raises what `make` raised."""
        try:
            return self._future.result()
        finally:
            # Else an error, whose trace holds this frame, would keep half a replica for long.
            del self._future

    def ended(self, within_s: float) -> bool:
        """Whether it does nothing any more; waits for it."""
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            with taking_turns():
                replica = self._make()
        except BaseException as error:  # noqa: BLE001 - it is raised where the replica is wanted
            self._future.set_exception(error)
        else:
            self._future.set_result(replica)
