"""What the reader hands to a shard, and what the shard hands on, in log order."""

from typing import NamedTuple

from models.scoring.bound_model import Offline
from state.log import Entry, Record
from state.settings import Settings


class Records(NamedTuple):
    """Consecutive records of `events`; where the list was cut means nothing.

    Attributes:
        records: In offset order.
    """

    records: list[Record]


class Boundary(NamedTuple):
    """A refit is due: every record appended before `time` has been read.

    Attributes:
        time: Event time of the boundary (µs).
        number: Its place in the partition's journal; None: it follows from the events.
    """

    time: int
    number: int | None = None


class Quiet(NamedTuple):
    """Nothing has come since a boundary: requests whose deadline was due by then are silent.

    Attributes:
        time: Event time of the boundary (µs).
        number: Its place in the partition's journal.
    """

    time: int
    number: int


class Activation(NamedTuple):
    """From here on, requests are scored with this offline model.

    Attributes:
        number: Its place in the partition's journal.
        model: The model's id; None for no offline model.
        offline: The model itself.
        alone: The one before it was rolled back: it answers no more.
    """

    number: int
    model: str | None
    offline: Offline | None
    alone: bool = False


class Configuration(NamedTuple):
    """From here on these settings decide what is written.

    Attributes:
        number: Its place in the partition's journal.
        settings: Whole.
    """

    number: int
    settings: Settings


class Finish(NamedTuple):
    """The log has been read to its end and nothing is waited for."""


Message = Records | Boundary | Quiet | Activation | Configuration | Finish


class Cut(NamedTuple):
    """The outcomes that belong to the snapshot of one boundary.

    Attributes:
        number: How many cuts the partition made before.
        boundary: Event time (µs).
        first: Sequence of its first outcome.
        end: Sequence after its last outcome.
    """

    number: int
    boundary: int
    first: int
    end: int


class Emitted(NamedTuple):
    """Output of a shard, to be appended in order.

    Attributes:
        partition: The shard's.
        entries: Numbered entries by topic: the sequence of the first, and all.
        cut: A snapshot that is due after them.
    """

    partition: int
    entries: dict[str, tuple[int, list[Entry]]]
    cut: Cut | None
