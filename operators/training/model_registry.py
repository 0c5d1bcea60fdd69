"""What training has decided, read from the topic `models` as it grows."""

import threading
from itertools import islice

import msgspec

from models.refit.fit_record import FitRecord
from state.log import Entry, Log, LogError, UnknownTopicError, decoded
from state.storage.artifact_chunks import chunks_of, is_chunk
from state.storage.artifact_store import ArtifactError, ArtifactStore
from state.topics import MODELS as TOPIC
from state.topics import ROLLBACKS

_MOST_NAMED = 5


class RolledBack(msgspec.Struct, frozen=True):
    """A person's word that an earlier model is to be used again at once.

    It has a topic of its own because `models` has one writer, the trainer.

    Attributes:
        model: Its id.
        after: How many decisions of `models` there were; a model promoted later takes over.
    """

    model: str
    after: int


class UnknownModelError(LogError):
    """A model is not in the topic `models`."""


class ModelRegistry:
    """All records of `models`, for readers in any thread, and the writer's way to add one.

    Each record of the log is read once, the chunks of model files among them.

    Args:
        log: Holds the topic, one partition.
        enclosed: Has the files that are published in the log itself, before the record that names
            them; None: they go another way.
    """

    def __init__(self, log: Log, enclosed: ArtifactStore | None = None) -> None:
        self._log, self._enclosed = log, enclosed
        self._lock = threading.Lock()
        self._records: list[FitRecord] = []
        self._ends: list[int] = []
        self._next = 0
        self._rolled: list[RolledBack] | None = []

    def records(self) -> list[FitRecord]:
        """Every decision so far, in order."""
        with self._lock:
            self._read_on()
            return list(self._records)

    def history(self) -> list[FitRecord]:
        """Every decision and, where there was one, each rollback as one more promotion."""
        records = self.records()
        with self._lock:
            rolled = self._read_rollbacks()
        if not rolled:
            return records
        merged: list[FitRecord] = []
        for i in range(len(records) + 1):
            before = records[:i]
            merged += (_promoted_again(one, before) for one in rolled if one.after == i)
            merged += records[i : i + 1]
        return merged

    def rollbacks(self) -> int:
        """How many there were."""
        with self._lock:
            return len(self._read_rollbacks())

    def roll_back(self, model: str | None, time: int) -> str:
        """Have an earlier model used again from now on, until another is promoted.

        Args:
            model: Its id; None: the champion before the one in use first was, so that one rollback
                after another never brings back a model that was rolled back from.
            time: Now (µs UTC).

        Returns:
            The model's id.

        Raises:
            ValueError: It is in use, or there is no such model, or none before.
            SequenceConflictError: Another rollback was made at the same time.
        """
        records = self.records()
        history = self.history()
        now = _champion(history)
        promoted = [one.model for one in history if one.status == "promoted"]
        served = [one for one in promoted if one != now]
        had = ", ".join(dict.fromkeys(reversed(served))) or "none"
        if model is None:
            earlier = promoted[: promoted.index(now)] if now is not None else []
            if not earlier:
                msg = f"model must be named, for none was in use before {now}; there is {had}"
                raise ValueError(msg)
            model = earlier[-1]
        if model not in served:
            msg = f"model must be one that was in use before {now}; got {model}, there is {had}"
            raise ValueError(msg)
        number = self.rollbacks()
        entry = Entry(time, b"", msgspec.json.encode(RolledBack(model, len(records))))
        self._log.append(ROLLBACKS, 0, [entry], sequence=number)
        return model

    def end_of(self, count: int) -> int:
        """The offset in the topic after so many of its decisions."""
        with self._lock:
            self._read_on()
            return self._ends[count - 1] if count else 0

    def decided(self) -> int:
        """The newest boundary that is decided; 0 before the first."""
        return max((record.boundary for record in self.records()), default=0)

    def champion_at(self, boundary: int) -> tuple[bool, str | None]:
        """Whether the boundary is decided, and the champion after it (None: none yet)."""
        records = [record for record in self.history() if record.boundary <= boundary]
        decided = bool(records) and records[-1].boundary == boundary
        return decided, _champion(records)

    def champion(self) -> str | None:
        """The newest champion's id; None: none yet."""
        return _champion(self.history())

    def of(self, model: str) -> FitRecord:
        """The newest record of a model that has a file.

        Raises:
            UnknownModelError: No record names it.
        """
        for record in reversed(self.records()):
            if record.model == model and record.sha256:
                return record
        newest = dict.fromkeys(r.model for r in reversed(self.records()) if r.sha256)
        have = ", ".join(islice(newest, _MOST_NAMED)) or "none"
        msg = f"model must be in topic {TOPIC!r}; got {model!r}, it has {have}: was the log cut?"
        raise UnknownModelError(msg)

    def publish(self, record: FitRecord, *, unless_decided: bool = False) -> None:
        """Add a decision and the files it encloses; they are durable when this returns.

        Args:
            record: The decision.
            unless_decided: Leave it out where its boundary is decided by now: another trainer may
                have been at work on it too.

        Raises:
            LogError: It would not be read back as it was written; nothing was added.
        """
        value = msgspec.json.encode(record)
        try:
            read_back = msgspec.json.decode(value, type=FitRecord)
        except msgspec.DecodeError as error:
            msg = f"decision must be readable; got '{error}' in {TOPIC} at {record.boundary}"
            raise LogError(msg) from error
        if read_back != record:
            msg = f"decision must be read back as it is written; got {read_back} of {record}"
            raise LogError(msg)
        entries = []
        if self._enclosed is not None:
            for name in record.files:
                entries += chunks_of(name, self._enclosed.get(name), record.boundary)
        entries.append(Entry(record.boundary, b"", value))
        with self._lock:
            self._read_on()
            decided = max((one.boundary for one in self._records), default=0)
            if not unless_decided or decided < record.boundary:
                self._log.append(TOPIC, 0, entries, sequence=self._next)

    def _read_rollbacks(self) -> list[RolledBack]:
        if self._rolled is None:
            return []
        try:
            while new := self._log.read(ROLLBACKS, 0, len(self._rolled)):
                self._rolled += (decoded(ROLLBACKS, 0, r, RolledBack) for r in new)
        except UnknownTopicError:  # a log from before there were any
            self._rolled = None
            return []
        return self._rolled

    def _read_on(self) -> None:
        while new := self._log.read(TOPIC, 0, self._next):
            for record in new:
                if not is_chunk(TOPIC, record):
                    self._records.append(decoded(TOPIC, 0, record, FitRecord))
                    self._ends.append(record.offset + 1)
            self._next += len(new)


class Pinned:
    """Decisions that are all the same model.

    Args:
        published: Must name it, promoted or rejected.
        model: Its id.

    Raises:
        ValueError: It is not known.
    """

    def __init__(self, published: ModelRegistry, model: str) -> None:
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

    def rollbacks(self) -> int:
        """None."""
        return 0


def file_of(record: FitRecord, artifacts: ArtifactStore) -> bytes:
    """The MOJO that a record names, from wherever it is.

    Raises:
        ArtifactError: It is nowhere, or it is not what was published.
    """
    try:
        return artifacts.get(record.sha256)
    except ArtifactError as error:
        msg = (
            f"model {record.model} must have its file; {error} "
            "(`artifacts` in the settings says where models are kept)"
        )
        raise type(error)(msg) from error


def _promoted_again(rolled: RolledBack, before: list[FitRecord]) -> FitRecord:
    newest = next(one for one in reversed(before) if one.model == rolled.model and one.sha256)
    return msgspec.structs.replace(
        newest, status="promoted", boundary=before[-1].boundary, reason="rolled back to"
    )


def _champion(records: list[FitRecord]) -> str | None:
    promoted = [record.model for record in records if record.status == "promoted"]
    return promoted[-1] if promoted else None
