"""What a stream's feature vector is made of: declarations only.

`state.vector.feature_state` compiles them.

Names of fields are checked when a stream is made. A *reading* of an event is a field's name or a
function of the event. A null, and a function's NaN, is a missing reading; a function must be pure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from state.durations import Duration
from state.events import Event, TimeUs


class Labelled(NamedTuple):
    """A request whose label has become known: features count it like an event of that time.

    Key fields are the request's; readings are of this tuple, so `"label"` reads the label.

    Attributes:
        request: As it was asked.
        label: 0 or 1.
        time: When the label became known (µs): its event's time, or the deadline.
    """

    request: Any
    label: int
    time: TimeUs


Counted = type[Event] | type[Labelled]
"""What rolling features can be over."""

Reading = str | Callable[[Any], float]
Transform = Literal["identity", "log1p", "logit"]
"""How the linear models see a column: trees need none."""


@dataclass(frozen=True)
class Field:
    """A number of the request, as it is.

    Args:
        name: The request's field.
        transform: How the linear models see it.
    """

    name: str
    transform: Transform = "identity"


@dataclass(frozen=True)
class Category:
    """A text or a whole number of the request, one level of a finite set."""

    name: str


@dataclass(frozen=True)
class Elapsed:
    """Minutes from one time of the request to another, such as the time left to a known event.

    Args:
        name: The column.
        since: Field with the earlier time (µs UTC).
        until: Field with the later time (µs UTC).
        transform: How the linear models see it.
    """

    name: str
    since: str
    until: str
    transform: Transform = "identity"


CalendarPart = Literal["minute_of_day", "day_of_year", "weekday", "hour"]


@dataclass(frozen=True)
class Calendar:
    """Where a time of the request stands in the local day, week and year.

    `weekday` (mon … sun) and `hour` (h00 … h23) are categories, the other parts numbers.

    Args:
        of: Field with the time (µs UTC).
        tz: IANA time zone of the local clock.
        parts: The columns.
    """

    of: str
    tz: str
    parts: tuple[CalendarPart, ...]


@dataclass(frozen=True)
class Count:
    """How many events the window holds (weights added up), with or without readings."""

    name: str = "count"


@dataclass(frozen=True)
class Sum:
    """Sum of a reading over the window; a missing reading adds nothing."""

    name: str
    of: Reading


@dataclass(frozen=True)
class Mean:
    """Mean of the readings that there are in the window, drawn toward a prior.

    `(sum + strength * prior) / (readings + strength)`; missing when that is 0 / 0.
    """

    name: str
    of: Reading
    prior: float = 0.0
    strength: float = 0.0


@dataclass(frozen=True)
class Rate:
    """Share of the readings that there are in the window which are true, drawn toward a prior."""

    name: str
    of: Reading
    prior: float = 0.5
    strength: float = 5.0


Statistic = Count | Sum | Mean | Rate


@dataclass(frozen=True)
class Rolling:
    """Statistics over the last minutes or hours, for each key.

    A window of length W seen at time t holds the bucket of t and those before it, W in all; a
    bucket is a sixtieth of the shortest window unless given. Late events land in their own bucket.
    Requests up to `Stream.lateness` late see their windows whole; a later one sees what of them is
    still held, for newer buckets have taken the place of the oldest.

    Args:
        over: The event counted, `Labelled` for the labels as they become known, or several with
            the weight of each: `{Opened: 1, Closed: -1}` counts what is open.
        by: Fields that make the key, on the counted events and on the request; none: one for all.
        windows: Lengths, such as `("1h", "3h")`.
        stats: What to compute of each window.
        at: Field of the counted events that says where in time they count.
        ahead: How far `at` may lie in the future of the event.
        bucket: Length of a bucket.
    """

    over: Counted | Mapping[Counted, float]
    by: tuple[str, ...]
    windows: tuple[str, ...]
    stats: tuple[Statistic, ...]
    at: str = "time"
    ahead: str = "0s"
    bucket: str | None = None

    @property
    def bucket_us(self) -> int:
        """Length of a bucket, µs."""
        if self.bucket is not None:
            return Duration.parse(self.bucket)
        return max(min(Duration.parse(window) for window in self.windows) // 60, 1)

    @property
    def weights(self) -> Mapping[Counted, float]:
        """The counted event types and how much one of each adds."""
        return self.over if isinstance(self.over, Mapping) else {self.over: 1.0}


@dataclass(frozen=True)
class Ewma:
    """Exponentially weighted mean of a reading, one step a reading: `m += rate * (x - m)`.

    A missing reading takes no step, but keeps the key from being forgotten.

    Args:
        name: The column.
        over: The event that is averaged, or `Labelled`.
        by: Fields that make the key.
        of: What is averaged.
        rate: Step of each event, above 0 and at most 1.
        prior: Where a key starts, and where it returns to once forgotten.
        forget: Age of a key's last event at which it is forgotten.
        transform: How the linear models see it.
    """

    name: str
    over: Counted
    by: tuple[str, ...]
    of: Reading
    rate: float
    prior: float
    forget: str
    transform: Transform = "identity"


@dataclass(frozen=True)
class Last:
    """The newest values of a key, missing once they are too old.

    Args:
        over: The event that brings them.
        by: Fields that make the key.
        values: Fields, one column each; a null is a missing value.
        expires: Age at which they are missing.
    """

    over: type[Event]
    by: tuple[str, ...]
    values: tuple[str, ...]
    expires: str


@dataclass(frozen=True)
class Bins:
    """Another column cut into intervals, one level each, for the linear models and their crosses.

    Trees cut for themselves: they do not get it. A missing value is a level of its own.

    Args:
        name: The column.
        of: A numeric column of the same stream.
        edges: Where it is cut, ascending; a value on an edge lies above it.
    """

    name: str
    of: str
    edges: tuple[float, ...]

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of the levels: missing, then the intervals upwards."""
        return ("missing", *(f"bin{i:02d}" for i in range(len(self.edges) + 1)))


class Hook(Protocol):
    """A stateful feature of the user's own.

    It is part of the deterministic core: no clock, no randomness, no I/O; every key it keeps must
    be forgotten in the end.
    """

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns it fills."""

    @property
    def observes(self) -> tuple[type[Event], ...]:
        """The event types it wants to see."""

    def observe(self, event: Any) -> None:
        """Take in one event of the types in `observes`."""

    def values(self, request: Any) -> tuple[float, ...]:
        """The columns at this request, NaN where missing; changes nothing."""

    def forget(self, before: int) -> None:
        """Drop what was last touched before this event time (µs)."""

    def snapshot(self) -> bytes:
        """The whole state."""

    def restore(self, state: bytes) -> None:
        """Take the state from `snapshot`; what is none is refused with any error.

        The bytes may come from a store: never unpickle them.
        """


@dataclass(frozen=True)
class Custom:
    """A hook: `make` gives a fresh one.

    Args:
        make: Called once for each shard.
        forget: Age at which the hook must forget a key.
    """

    make: Callable[[], Hook]
    forget: str = "7d"


Feature = Field | Category | Elapsed | Calendar | Rolling | Ewma | Last | Bins | Custom


@dataclass(frozen=True)
class Column:
    """One place of the feature vector.

    Attributes:
        name: Unique within the stream.
        categorical: The vector holds the number of a level, not a quantity.
        transform: How the linear models see a quantity.
        for_trees: Whether the offline model gets it.
    """

    name: str
    categorical: bool = False
    transform: Transform = "identity"
    for_trees: bool = True


def columns_of(feature: Feature) -> tuple[Column, ...]:
    """The places that a feature takes in the vector, in order.

    Example:
        >>> [c.name for c in columns_of(Rolling(Event, ("host",), ("1h", "3h"), (Count(),)))]
        ['host_count_1h', 'host_count_3h']
    """
    match feature:
        case Field(name, transform):
            return (Column(name, transform=transform),)
        case Category(name):
            return (Column(name, categorical=True),)
        case Elapsed(name, transform=transform):
            return (Column(name, transform=transform),)
        case Calendar(parts=parts):
            return tuple(Column(part, part in {"weekday", "hour"}) for part in parts)
        case Rolling(by=by, windows=windows, stats=stats):
            key = "_".join(by) or "all"
            return tuple(
                Column(f"{key}_{stat.name}_{window}", transform=_transform_of(stat))
                for window in windows
                for stat in stats
            )
        case Ewma(name=name, transform=transform):
            return (Column(name, transform=transform),)
        case Last(values=values):
            return tuple(Column(value) for value in values)
        case Bins(name):
            return (Column(name, categorical=True, for_trees=False),)
        case Custom(make):
            return tuple(Column(name) for name in make().columns)


def _transform_of(stat: Statistic) -> Transform:
    match stat:
        case Count():
            return "log1p"
        case Rate():
            return "logit"
        case _:
            return "identity"
