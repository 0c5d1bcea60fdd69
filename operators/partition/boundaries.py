"""Times at which refits are due: equally spaced."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Boundaries:
    """The times `first + k * every`, in µs.

    A boundary is crossed when the log's append time reaches it: append time never decreases, and no
    source's clock can move it.

    Example:
        >>> weekly = Boundaries(first=100, every=7)
        >>> weekly.newest(99), weekly.newest(100), weekly.newest(120)
        (0, 100, 114)
    """

    first: int
    every: int

    def newest(self, append_time: int) -> int:
        """The last boundary at or before an append time; 0 if there is none."""
        if append_time < self.first:
            return 0
        return self.first + (append_time - self.first) // self.every * self.every
