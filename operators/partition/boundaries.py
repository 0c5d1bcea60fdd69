"""The times at which refits are due: close together in a young log, then equally spaced."""

from bisect import bisect_right
from dataclasses import dataclass

from state.events import MINUTE_US

_CLOSEST = 5 * MINUTE_US
"""No two boundaries of a young log lie closer together."""


@dataclass(frozen=True)
class Boundaries:
    """Boundaries at `first + k * every`, in µs, and more of them while the log is young.

    At age `a` of the log, boundaries are the multiples of `every / 2^k` from `first` on, for the
    least k for which that is at most `a / 2`. So there are two or three while the age doubles: the
    first model comes soon after there are enough rows, and the next ones as the rows double. From
    age `2 * every` on, boundaries are at `first + k * every`. None is before the first event.

    A boundary is crossed when the log's append time reaches it: append time never decreases, and no
    source's clock can move it.

    Args:
        first: Earliest boundary, µs.
        every: Time between two boundaries of an old log, µs.
        begun: Append time of the log's first event, µs; 0: unknown, and boundaries are equally
            spaced from `first` on.
        early: Boundaries before their time, in order.

    Example:
        >>> weekly = Boundaries(first=100, every=7)
        >>> weekly.newest(99), weekly.newest(100), weekly.newest(120)
        (0, 100, 114)
        >>> second, minute = MINUTE_US // 60, MINUTE_US
        >>> hourly = Boundaries(first=0, every=60 * minute, begun=600 * minute)
        >>> found = [hourly.newest(hourly.begun + i * 30 * second) for i in range(480)]
        >>> [(time - hourly.begun) / minute for time in dict.fromkeys(found) if time]
        [7.5, 15.0, 22.5, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0]
    """

    first: int
    every: int
    begun: int = 0
    early: tuple[int, ...] = ()

    def newest(self, append_time: int) -> int:
        """The last boundary at or before an append time; 0 if there is none."""
        number = bisect_right(self.early, append_time)
        return max(self.regular(append_time), self.early[number - 1] if number else 0)

    def regular(self, append_time: int) -> int:
        """`newest`, without those before their time."""
        if append_time < self.first:
            return 0
        if not self.begun:
            return self._multiple(append_time, 0)
        halvings = self._halvings(append_time)
        while append_time > self.begun:
            boundary = self._multiple(append_time, halvings)
            least = 2 * self.every if halvings < self._most else 1
            if (boundary - self.begun) << halvings >= least:
                return boundary
            if halvings == self._most:
                return 0
            # Before this age boundaries are closer together: take the last of those.
            append_time = self.begun - (-least >> halvings) - 1
            halvings += 1
        return 0

    @property
    def _most(self) -> int:
        """Largest number of times that `every` is halved."""
        return max((self.every // _CLOSEST).bit_length() - 1, 0)

    def _halvings(self, append_time: int) -> int:
        """Number of times that `every` is halved at an append time."""
        age = max(append_time - self.begun, 1)
        needed = -(-2 * self.every // age)
        return min((needed - 1).bit_length(), self._most)

    def _multiple(self, append_time: int, halvings: int) -> int:
        """The last `first + n * every / 2^halvings`, rounded up to a µs, by an append time."""
        number = ((append_time - self.first) << halvings) // self.every
        return self.first - (-number * self.every >> halvings)
