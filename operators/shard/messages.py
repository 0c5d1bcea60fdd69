"""Messages to a shard, and its output, in log order."""

from typing import NamedTuple

from models.judging.trust_counts import Thresholds
from models.scoring.bound_model import Offline
from state.log import Entry, Record
from state.settings import Settings


class Records(NamedTuple):
    """Consecutive records of `events`; the result does not depend on the batch size.

    Attributes:
        records: Records in offset order.
    """

    records: list[Record]


class Boundary(NamedTuple):
    """A refit is due: every record appended before `time` was read.

    Attributes:
        time: Event time of the boundary (µs).
        number: Number of its journal entry; None: it follows from the events.
    """

    time: int
    number: int | None = None


class Quiet(NamedTuple):
    """No record has come since a boundary: requests whose deadline was before it get no label.

    Attributes:
        time: Event time of the boundary (µs).
        number: Number of its journal entry.
    """

    time: int
    number: int


class Activation(NamedTuple):
    """An offline model comes into use.

    Attributes:
        number: Number of its journal entry.
        model: Id of the model; None for no offline model.
        offline: The model itself.
        alone: The previous model was rolled back and stops answering.
        champion: Id of the model with the title; None: the previous model, or this one if it is
            alone; for the model in use, as before.
        trust: Thresholds from which answers can be trusted; None: answers are not marked.
    """

    number: int
    model: str | None
    offline: Offline | None
    alone: bool = False
    champion: str | None = None
    trust: Thresholds | None = None


class Configuration(NamedTuple):
    """Settings come into force.

    Attributes:
        number: Number of its journal entry.
        settings: The whole settings.
    """

    number: int
    settings: Settings


class Finish(NamedTuple):
    """The log was read to its end, and no decision is awaited."""


Message = Records | Boundary | Quiet | Activation | Configuration | Finish


class Cut(NamedTuple):
    """The outcomes in the training set of one boundary.

    Attributes:
        number: Number of earlier cuts of the partition.
        boundary: Event time (µs).
        first: Sequence of its first outcome.
        end: Sequence after its last outcome.
        change: Event time since which the answers are off (µs); 0: they are not.
    """

    number: int
    boundary: int
    first: int
    end: int
    change: int = 0


class Emitted(NamedTuple):
    """Output of a shard, to be appended in order.

    Attributes:
        partition: Partition of the shard.
        entries: Entries by topic: the sequence of the first one, and the list.
        cut: Training cut to write after them.
    """

    partition: int
    entries: dict[str, tuple[int, list[Entry]]]
    cut: Cut | None
