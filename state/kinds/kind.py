"""The base of all kinds of feature; only `state.features` and `state.vector.kernels` list them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from numpy.typing import NDArray

from state.counted import Counted, Reading
from state.events import Event
from state.field_types import FieldRequirement
from state.kinds.arguments import StreamError, check_arguments
from state.stream_numbers import Bound

__all__ = [
    "BinEdges",
    "Block",
    "Column",
    "Compiled",
    "Derived",
    "FieldUse",
    "Hook",
    "Kind",
    "Scope",
    "Step",
    "StreamError",
    "Transform",
    "Value",
]

Transform = Literal["identity", "log1p", "logit"]
"""Transforms of a column for the linear models; trees need none."""


@dataclass(frozen=True)
class Column:
    """One column of the feature vector.

    Attributes:
        name: Name, unique within the stream.
        categorical: The vector holds the number of a level, not a quantity.
        transform: Transform of a quantity for the linear models.
        for_trees: Whether the offline model uses it.
    """

    name: str
    categorical: bool = False
    transform: Transform = "identity"
    for_trees: bool = True


class FieldUse(NamedTuple):
    """A field that a feature reads by name.

    Attributes:
        event: Type of the event.
        name: Name of the field.
        need: Requirement on the field's type.
    """

    event: Counted
    name: str
    need: FieldRequirement


class Scope(NamedTuple):
    """Facts about the stream that a feature may use.

    Attributes:
        request: Event type that asks for a prediction.
        lateness_us: Largest lateness of a request that still sees every window whole.
        horizon_us: Length of the longest window of all features.
        columns: Columns of the whole vector.
        place: Number of the feature's first column.
    """

    request: type[Event]
    lateness_us: int
    horizon_us: int
    columns: Sequence[Column]
    place: int

    def place_of(self, name: str) -> int:
        """The number of a column of the stream."""
        return next(i for i, column in enumerate(self.columns) if column.name == name)


Value = tuple[Reading | None, float]
"""A reading and its factor; without a reading, a constant."""


class Step(NamedTuple):
    """The effect of an event type on a block.

    Attributes:
        over: The event type.
        by: Fields of the key.
        at: Field with the time at which the event counts.
        values: Values that the event adds.
        fixed: Fields of its `feature_kernels.UPDATE`.
    """

    over: Counted
    by: tuple[str, ...]
    at: str
    values: tuple[Value, ...]
    fixed: Mapping[str, float]


class Block(NamedTuple):
    """Numbers that a feature keeps for each key; the first is the time of the last use.

    If the block can grow, the second is the number of growths.

    Attributes:
        kind: Kind of the kernels that observe and read it.
        by: Fields of the request that make the key.
        sizes: Numbers in the block, at first and after each growth.
        forget_us: Age of the last use at which the key is forgotten.
        steps: Steps of the events that change it.
        read: Fields of its `feature_kernels.READ`.
        stats: Fields of each of its `feature_kernels.STAT`.
        check: Refuses restored blocks (the pool, their addresses) that are invalid for the kernels.
    """

    kind: int
    by: tuple[str, ...]
    sizes: tuple[int, ...]
    forget_us: int
    steps: tuple[Step, ...]
    read: Mapping[str, float]
    stats: Sequence[Mapping[str, float]] = ()
    check: Callable[[NDArray[Any], NDArray[Any]], None] | None = None


class BinEdges(NamedTuple):
    """The first column of a feature is the bin of another column's value."""

    of: int
    edges: tuple[float, ...]


class Derived(NamedTuple):
    """The first column of a feature is derived from two others, by `state.kinds.arithmetic`."""

    how: int
    a: int
    b: int


class Hook(Protocol):
    """A stateful feature of the user's own.

    It is part of the deterministic core: no clock, no randomness, no I/O; and it must forget every
    key in the end.
    """

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns."""

    @property
    def observes(self) -> tuple[type[Event], ...]:
        """The event types that it observes."""

    def observe(self, event: Any) -> None:
        """Update by one event of the types in `observes`."""

    def values(self, request: Any) -> tuple[float, ...]:
        """Values of the columns for a request, NaN for a missing one; changes nothing."""

    def forget(self, before: int) -> None:
        """Drop keys last used before this event time (µs)."""

    def snapshot(self) -> bytes:
        """Encode the whole state."""

    def restore(self, state: bytes) -> None:
        """Restore a `snapshot`; refuse invalid bytes with any error.

        The bytes may come from a store: never unpickle them.
        """


class Compiled(NamedTuple):
    """The compiled form of a feature; most kinds use one of these parts.

    Attributes:
        given: Returns the request's value of the feature's only column: the name of a level if the
            column is categorical.
        all_given: Returns the request's values of all columns, likewise.
        blocks: Blocks kept for each key.
        cut: Bins of another column, whose number becomes the feature's column.
        derived: Operation on two other columns, whose result becomes the feature's column.
        hook: A hook of the user's, and the age (µs) at which it must forget a key.
    """

    given: Callable[[Any], Any] | None = None
    all_given: Callable[[Any], Sequence[Any]] | None = None
    blocks: tuple[Block, ...] = ()
    cut: BinEdges | None = None
    derived: Derived | None = None
    hook: tuple[Hook, int] | None = None


class Kind(ABC):
    """Base of all kinds. `columns` and `compiled` define it; the other methods serve the checks."""

    IN_WORDS = ("a feature", "features")

    def __post_init__(self) -> None:
        """Check the type of each argument.

        Raises:
            StreamError: An argument has another type than declared.
        """
        check_arguments(self)

    @property
    @abstractmethod
    def columns(self) -> tuple[Column, ...]:
        """Columns of the feature in the vector, in order."""

    @abstractmethod
    def compiled(self, scope: Scope) -> Compiled:
        """Compiled form of the feature."""

    @property
    def title(self) -> str:
        """Name of the feature in messages."""
        return f"{type(self).__name__}({self.columns[0].name})"

    @property
    def horizon_us(self) -> int:
        """Length of its longest window, µs: an older event would count nowhere."""
        return 0

    @property
    def levels(self) -> tuple[str, ...]:
        """The levels of its column, if they are fixed."""
        return ()

    def uses(self, request: type[Event]) -> Iterator[FieldUse]:
        """The fields that it reads by name."""
        yield from ()

    def durations(self) -> Iterator[str]:
        """Texts that must be durations."""
        yield from ()

    def bounds(self, lateness_us: int) -> Iterator[Bound]:
        """Numbers of the declaration with their bounds; durations are valid already."""
        yield from ()

    def limits(self) -> Iterator[tuple[Counted, str, int]]:
        """Events, their time fields, and how far (µs) these may be after the event's time."""
        yield from ()

    def wrong(self, scope: Scope) -> str:
        """The message on any other fault, once fields and numbers are valid; empty if none."""
        return ""
