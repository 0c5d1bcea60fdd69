"""The profile of a training window, column by column: a small file kept with each model.

Values are counted by hour of the week (UTC) in bins: of a number by its quantiles, of a category by
its most frequent levels. Bin 0 has the nulls.
"""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated

import msgspec

HOURS = 168
QUANTILES = 10
LEVELS = 12
BINS = LEVELS + 3
"""Most bins of a column: nulls, levels, the other levels, and levels not seen in training."""
OTHERS, UNSEEN = BINS - 2, BINS - 1
MOST_BYTES = 16 * 2**20
_MORE, _LESS, _ALIKE = 9.0, 30.0, 1_000.0

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Spread = Annotated[float, msgspec.Meta(ge=1, le=1e12)]


class ProfileError(ValueError):
    """A profile is not one that a fit has written."""


class ColumnProfile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One column in the training window.

    Attributes:
        name: Name of the column.
        levels: All levels, the most frequent first; None: the column has numbers.
        edges: Upper ends of the bins of numbers, the greatest number last.
        least: The smallest number; None: there is none.
        tiny: The smallest size of a number other than 0; 0: there is none.
        size: Mean binary exponent of the numbers other than 0.
        hours: Number of rows by hour of the week and bin, one hour after the other.
        partitions: Number of rows by bin, of each partition.
        null_spread: Variance of the number of nulls in an hour, by that of independent rows.
        hourly_spread: Variance likewise, against shares by hour of the week; None: there is one.
        beyond: Rows of the last fifth of the window with values that were new against the rest.
        beyond_rows: Number of rows of that fifth.
        beyond_spread: As `null_spread`, for these.
        longest: The most rows one after another with the same value, in one partition.
        longest_us: The longest time between two such rows.
        changes: Number of rows with another value than the row before.
        importance: Share of the column in the importance of all.
    """

    name: str
    levels: list[str] | None = None
    edges: Annotated[list[float], msgspec.Meta(max_length=QUANTILES)] = []
    least: float | None = None
    tiny: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    size: Annotated[float, msgspec.Meta(ge=-2000, le=2000)] = 0.0
    hours: list[_Count]
    partitions: dict[_Count, list[_Count]] = {}
    null_spread: _Spread = 1.0
    hourly_spread: _Spread | None = None
    beyond: _Count = 0
    beyond_rows: _Count = 0
    beyond_spread: _Spread = 1.0
    longest: _Count = 0
    longest_us: _Count = 0
    changes: _Count = 0
    importance: _Share = 0.0

    @property
    def bins(self) -> int:
        """Number of bins in `hours`."""
        return OTHERS + 1 if self.levels is not None else len(self.edges) + 2

    @property
    def limits(self) -> tuple[float, float, float]:
        """Numbers in range: from the first to the second, and none but 0 smaller than the third.

        The range of the training window, extended at both ends by nine times its length, or the
        greatest size if that is more: weather and business have extremes. Sizes have a lower end,
        a thirtieth of the smallest, only if they differ by a factor of 1,000 at most: what decays
        comes ever closer to 0.

        Example:
            >>> of = ColumnProfile(name="wind", edges=[4.0, 20.0], least=3.0, tiny=3.0, hours=[])
            >>> of.limits
            (-177.0, 200.0, 0.1)
        """
        largest = 0.0 if self.least is None else max(abs(self.least), abs(self.edges[-1]))
        if self.least is None or not largest:
            return -math.inf, math.inf, 0.0
        more = _MORE * max(self.edges[-1] - self.least, largest)
        tiny = self.tiny / _LESS if largest <= _ALIKE * self.tiny else 0.0
        return self.least - more, self.edges[-1] + more, tiny

    def wrong(self, rows: int) -> Iterator[str]:
        """The rules that the fields break together, in a window of so many rows."""
        if len(self.hours) != HOURS * self.bins:
            yield f"hours must be {HOURS * self.bins} counts; got {len(self.hours)}"
        of_partitions = [n for of in self.partitions.values() for n in of]
        for what, counts in (("hours", self.hours), ("partitions", of_partitions)):
            if sum(counts) != rows:
                yield f"{what} must hold {rows} rows; got {sum(counts)}"
        if any(len(of) != self.bins for of in self.partitions.values()):
            yield f"partitions must have {self.bins} counts each"
        if (self.least is None) != (not self.edges):
            yield "numbers must have a smallest one and edges, or neither"
        if self.levels is not None and (self.edges or len({*self.levels}) < len(self.levels)):
            yield "levels must be unique, and have no edges"
        numbers = [*([] if self.least is None else [self.least]), *self.edges]
        if not all(map(math.isfinite, (*numbers, self.tiny, self.size, self.importance))):
            yield "numbers must be finite"
        if any(a >= b for a, b in pairwise(self.edges)) or numbers != sorted(numbers):
            yield "edges must rise"
        if self.beyond > self.beyond_rows:
            yield f"new values must be at most {self.beyond_rows}; got {self.beyond}"


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of a model in its training window.

    Attributes:
        start: Event time of the first row, µs.
        end: Event time of the last row, µs.
        rows: Number of rows.
        columns: The columns, in the order of the model's features.
    """

    start: int
    end: int
    rows: _Count
    columns: list[ColumnProfile]

    def encode(self) -> bytes:
        """The file's bytes."""
        return msgspec.msgpack.encode(self)


def read_profile(content: bytes) -> Profile:
    """Read a profile, which may come from anywhere.

    Raises:
        ProfileError: The bytes are not a profile.
    """
    if len(content) > MOST_BYTES:
        msg = f"profile must be at most {MOST_BYTES} bytes; got {len(content)}"
        raise ProfileError(msg)
    try:
        profile = msgspec.msgpack.decode(content, type=Profile)
    except (msgspec.DecodeError, RecursionError) as error:
        msg = f"profile must be readable; got '{error}'"
        raise ProfileError(msg) from error
    for column in profile.columns:
        for wrong in column.wrong(profile.rows):
            msg = f"{wrong} in column {column.name[:100]!r} of a profile"
            raise ProfileError(msg)
    names = [column.name for column in profile.columns]
    if len({*names}) < len(names):
        msg = f"columns of a profile must have names of their own; got {names[:20]}"
        raise ProfileError(msg)
    return profile
