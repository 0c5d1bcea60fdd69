"""The journal of one partition: which offline model was used from which offset on."""

import msgspec

from state.log import Entry, Log

TOPIC = "activations"


class Activated(msgspec.Struct, frozen=True):
    """A decision that is not in the events, written before it takes effect.

    Attributes:
        offset: The first record of `events` to which it applies.
        model: Id of the offline model; None for none.
        boundary: The boundary at which it was decided (µs); None: between boundaries.
    """

    offset: int
    model: str | None
    boundary: int | None


class Journal:
    """All entries of one partition, and the only writer of new ones.

    Args:
        log: Holds the topic `activations`, partitioned like `events`.
        partition: Which.

    Attributes:
        entries: In order.
    """

    def __init__(self, log: Log, partition: int) -> None:
        self._log, self._partition = log, partition
        self.entries: list[Activated] = []
        while records := log.read(TOPIC, partition, len(self.entries)):
            self.entries += (msgspec.json.decode(r.value, type=Activated) for r in records)

    @property
    def boundary(self) -> int:
        """The newest boundary that is decided; 0 before the first."""
        return max((e.boundary for e in self.entries if e.boundary is not None), default=0)

    def write(self, entry: Activated, append_time: int) -> None:
        """Add an entry; it is durable when this returns."""
        value = msgspec.json.encode(entry)
        number = len(self.entries)
        self._log.append(TOPIC, self._partition, [Entry(append_time, b"", value)], sequence=number)
        self.entries.append(entry)
