"""Draw all faults from a seed in one place, so that a run can be reported and repeated."""

import errno
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from state.log import LogError


class Crash(BaseException):
    """The process ends here, as by `kill -9`.

    Args:
        power: The machine loses its power too: what is not on disk is lost, and all else ends.
    """

    def __init__(self, *, power: bool = False) -> None:
        super().__init__("power loss" if power else "killed")
        self.power = power


class InjectedError(LogError):
    """A disk or a network refuses; the simulator's own doing."""


class Faults:
    """Draws what goes wrong, and writes down all that happens.

    Args:
        chance: Seeded.
        rates: Of one in a thousand calls, by kind; a kind that is not named never happens.

    Attributes:
        is_disk_full: Nothing can be written.
        is_calm: Nothing goes wrong.
        told: Short descriptions of the faults, in order.
        counts: Number of faults, by kind.
        meanwhile: Lets another process do something, in the midst of what one does.
    """

    def __init__(self, chance: random.Random, rates: Mapping[str, float]) -> None:
        self.chance, self._rates = chance, rates
        self.is_disk_full = False
        self.is_calm = not rates
        self.told: list[str] = []
        self.counts: Counter[str] = Counter()
        self.meanwhile: Callable[[], None] = _nothing

    def tell(self, what: str) -> None:
        """Note something that happened."""
        self.told.append(what)

    def drawn(self, kinds: Sequence[str], where: str) -> str:
        """One of some kinds, or none (empty)."""
        if self.is_calm:
            return ""
        for kind in kinds:
            if self.chance.random() * 1000 < self._rates.get(kind, 0.0):
                self.counts[kind] += 1
                self.tell(f"  {kind} at {where}")
                return kind
        return ""

    def before_write(self, where: str) -> None:
        """Refuse a write where the disk is full, or for once."""
        if self.is_disk_full and not self.is_calm:
            self.counts["full disk"] += 1
            raise InjectedError(errno.ENOSPC, "No space left on device", where)
        if self.drawn(["refused"], where):
            raise InjectedError(errno.EIO, "Input/output error", where)

    def before_read(self, where: str) -> None:
        """Refuse a read for once, or let others go on before it."""
        if self.drawn(["meanwhile"], where):
            self.meanwhile()
        if self.drawn(["unreadable"], where):
            raise InjectedError(errno.EIO, "Input/output error", where)


def _nothing() -> None:
    pass


def no_faults() -> Faults:
    """A source without faults."""
    return Faults(random.Random(0), {})
