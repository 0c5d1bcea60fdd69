"""The numbers of a stream's features: finite, and within what they can mean."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from state.durations import Duration
from state.features import Bins, Ewma, Feature, Mean, Rate, Rolling

_FARTHEST = 1e100
"""Sums of as many numbers as a window can hold stay finite."""
_MOST_BUCKETS = 1_000_000
"""Of one key, which takes a number of 8 bytes for each statistic of each."""


class Bound(NamedTuple):
    """A number and what it may be.

    Attributes:
        what: In words.
        value: As declared.
        least: At least this.
        most: At most this.
    """

    what: str
    value: float
    least: float = -_FARTHEST
    most: float = _FARTHEST

    @property
    def wrong(self) -> str:
        """The error; empty if there is none. A NaN lies within no bounds."""
        number = isinstance(self.value, int | float)
        if number and self.least <= self.value <= self.most:
            return ""
        return f"{self.what} must lie from {self.least:g} to {self.most:g}; got {self.value!r}"


def bounds_of(feature: Feature, lateness_us: int) -> Iterator[Bound]:
    """Every number of a feature, its durations left out.

    Args:
        feature: Its durations are known to parse.
        lateness_us: Of its stream.
    """
    match feature:
        case Rolling(stats=stats):
            bucket = feature.bucket_us
            yield Bound("bucket in microseconds", int(bucket), 1)
            longest = max((Duration.parse(window) for window in feature.windows), default=0)
            held = longest + Duration.parse(feature.ahead) + lateness_us
            yield Bound("buckets of a key", held // max(bucket, 1), 0, _MOST_BUCKETS)
            for weight in feature.weights.values():
                yield Bound("weight", weight)
            for stat in stats:
                if isinstance(stat, Rate):
                    yield Bound(f"prior of {stat.name!r}", stat.prior, 0, 1)
                if isinstance(stat, Mean):
                    yield Bound(f"prior of {stat.name!r}", stat.prior)
                if isinstance(stat, Mean | Rate):
                    yield Bound(f"strength of {stat.name!r}", stat.strength, 0)
        case Ewma(rate=rate, prior=prior):
            yield Bound("rate", rate, math.ulp(0.0), 1)
            yield Bound("prior", prior)
        case Bins(edges=edges):
            for edge in edges:
                yield Bound("edge", edge)
        case _:
            return
