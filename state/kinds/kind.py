"""A kind of feature: it says all there is to know of it, so that nothing else knows it by name."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from numpy.typing import NDArray

from state.counted import Counted, Reading
from state.events import Event
from state.field_types import Need
from state.kinds.arguments import StreamError, check_arguments
from state.stream_numbers import Bound

__all__ = [
    "Block",
    "Column",
    "Compiled",
    "Cut",
    "Derived",
    "Hook",
    "Kind",
    "Scope",
    "Step",
    "StreamError",
    "Transform",
    "Use",
    "Value",
]

Transform = Literal["identity", "log1p", "logit"]
"""How the linear models see a column: trees need none."""


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


class Use(NamedTuple):
    """A field that a feature reads by name.

    Attributes:
        event: Of this type.
        name: The field.
        need: What it must be.
    """

    event: Counted
    name: str
    need: Need


class Scope(NamedTuple):
    """What a feature may know of the stream that it is in.

    Attributes:
        request: The event that asks.
        lateness_us: How late a request may be and still see every window whole.
        horizon_us: The longest window of all features.
        columns: The whole vector.
        place: Of the feature's first column.
    """

    request: type[Event]
    lateness_us: int
    horizon_us: int
    columns: Sequence[Column]
    place: int

    def place_of(self, name: str) -> int:
        """The place of a column of the stream."""
        return next(i for i, column in enumerate(self.columns) if column.name == name)


Value = tuple[Reading | None, float]
"""A reading and what it is multiplied by; without a reading the number alone."""


class Step(NamedTuple):
    """What an event type does to a block.

    Attributes:
        over: The event type.
        by: Fields of its key.
        at: Field of the time that it counts at.
        values: What it takes.
        fixed: Fields of its `feature_kernels.UPDATE`.
    """

    over: Counted
    by: tuple[str, ...]
    at: str
    values: tuple[Value, ...]
    fixed: Mapping[str, float]


class Block(NamedTuple):
    """Numbers that a feature keeps for each key; the first is when the key was last touched.

    Where it grows, the second is how often it has.

    Attributes:
        kind: Of the kernels that observe and read it.
        by: Fields of the request that make its key.
        sizes: How many numbers, at first and each time that it has grown.
        forget_us: Age of the last touch at which the key is forgotten.
        steps: What changes it.
        read: Fields of its `feature_kernels.READ`.
        stats: Fields of each of its `feature_kernels.STAT`.
        check: Refuses restored blocks (the pool, their addresses) that a kernel could not follow.
    """

    kind: int
    by: tuple[str, ...]
    sizes: tuple[int, ...]
    forget_us: int
    steps: tuple[Step, ...]
    read: Mapping[str, float]
    stats: Sequence[Mapping[str, float]] = ()
    check: Callable[[NDArray[Any], NDArray[Any]], None] | None = None


class Cut(NamedTuple):
    """The first column of a feature says between which edges another lies."""

    of: int
    edges: tuple[float, ...]


class Derived(NamedTuple):
    """The first column of a feature follows from two others, by `state.kinds.arithmetic`."""

    how: int
    a: int
    b: int


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


class Compiled(NamedTuple):
    """What a vector makes of a feature; most kinds have one of these.

    Attributes:
        given: The value of the request itself, of its only column: the name of a level where that
            is categorical.
        all_given: The values of all its columns, likewise.
        blocks: What is kept for each key.
        cut: Its column is an interval of another.
        derived: Its column follows from two others.
        hook: A user's own, and the age (µs) at which it must forget a key.
    """

    given: Callable[[Any], Any] | None = None
    all_given: Callable[[Any], Sequence[Any]] | None = None
    blocks: tuple[Block, ...] = ()
    cut: Cut | None = None
    derived: Derived | None = None
    hook: tuple[Hook, int] | None = None


class Kind(ABC):
    """Base of all kinds. `columns` and `compiled` make it; the rest lets a stream check it."""

    IN_WORDS = ("a feature", "features")

    def __post_init__(self) -> None:
        """Check that each argument is of the type that the kind declares for it.

        Raises:
            StreamError: One is not.
        """
        check_arguments(self)

    @property
    @abstractmethod
    def columns(self) -> tuple[Column, ...]:
        """The places that it takes in the vector, in order."""

    @abstractmethod
    def compiled(self, scope: Scope) -> Compiled:
        """What the vector makes of it."""

    @property
    def title(self) -> str:
        """How errors call it."""
        return f"{type(self).__name__}({self.columns[0].name})"

    @property
    def horizon_us(self) -> int:
        """Its longest window: an older event would count nowhere."""
        return 0

    @property
    def levels(self) -> tuple[str, ...]:
        """The levels of its column, where it knows them all."""
        return ()

    def uses(self, request: type[Event]) -> Iterator[Use]:
        """The fields that it reads by name."""
        yield from ()

    def durations(self) -> Iterator[str]:
        """Every text that must be a duration."""
        yield from ()

    def bounds(self, lateness_us: int) -> Iterator[Bound]:
        """Every number of it, its durations left out; they are known to parse."""
        yield from ()

    def limits(self) -> Iterator[tuple[Counted, str, int]]:
        """Events, their fields and how far (µs) those may lie after the event's time."""
        yield from ()

    def wrong(self, scope: Scope) -> str:
        """The error of what else is wrong, empty if nothing; all fields and numbers are right."""
        return ""
