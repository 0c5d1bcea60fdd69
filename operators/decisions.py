"""What training has decided, read from the topic `models` as it grows."""

import threading

import msgspec

from models.registry import Published
from state.log import Entry, Log

TOPIC = "models"


class PublishedModels:
    """All records of `models`, for readers in any thread, and the writer's way to add one.

    Args:
        log: Holds the topic, one partition.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._records: list[Published] = []

    def records(self) -> list[Published]:
        """Every decision so far, in order."""
        with self._lock:
            while new := self._log.read(TOPIC, 0, len(self._records)):
                self._records += (msgspec.json.decode(r.value, type=Published) for r in new)
            return list(self._records)

    def decided(self) -> int:
        """The newest boundary that is decided; 0 before the first."""
        return max((record.boundary for record in self.records()), default=0)

    def champion_at(self, boundary: int) -> tuple[bool, str | None]:
        """Whether the boundary is decided, and the champion after it (None: none yet)."""
        records = [record for record in self.records() if record.boundary <= boundary]
        decided = bool(records) and records[-1].boundary == boundary
        return decided, _champion(records)

    def champion(self) -> str | None:
        """The newest champion's id; None: none yet."""
        return _champion(self.records())

    def of(self, model: str) -> Published:
        """The newest record of a model that has a file.

        Raises:
            KeyError: No record names it.
        """
        for record in reversed(self.records()):
            if record.model == model and record.sha256:
                return record
        msg = f"model must be in topic {TOPIC!r}; got {model!r}"
        raise KeyError(msg)

    def publish(self, record: Published) -> None:
        """Add a decision; it is durable when this returns."""
        number = len(self.records())
        entry = Entry(record.boundary, b"", msgspec.json.encode(record))
        self._log.append(TOPIC, 0, [entry], sequence=number)


class Pinned:
    """Decisions that are all the same model.

    Args:
        published: Must name it, promoted or rejected.
        model: Its id.

    Raises:
        ValueError: It is not known.
    """

    def __init__(self, published: PublishedModels, model: str) -> None:
        known = [record.model for record in published.records() if record.sha256]
        if model not in known:
            msg = f"training.pinned must be a model in topic {TOPIC!r}; got {model!r}"
            raise ValueError(msg + f", it has {', '.join(known) or 'none'}")
        self._model = model

    def champion_at(self, boundary: int) -> tuple[bool, str]:
        """Decided at once."""
        del boundary
        return True, self._model

    def champion(self) -> str:
        """The model."""
        return self._model


class Undecided:
    """No decision ever: what follows the end of a journal stays open."""

    def champion_at(self, boundary: int) -> tuple[bool, None]:
        """Never decided."""
        del boundary
        return False, None

    def champion(self) -> None:
        """None yet."""


def _champion(records: list[Published]) -> str | None:
    promoted = [record.model for record in records if record.status == "promoted"]
    return promoted[-1] if promoted else None
