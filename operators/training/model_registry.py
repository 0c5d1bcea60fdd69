"""The model registry: the trainer's decisions, read from the topic `models` as it grows."""

import threading
from itertools import islice

import msgspec

from models.refit.fit_record import FitRecord, newest_promoted, title_of
from models.refit.proposals import Proposals
from state.log import Entry, Log, LogError, Record, UnknownTopicError, decoded
from state.plain_text import plain_line
from state.storage.artifact_chunks import chunks_of, is_supplement
from state.storage.artifact_store import ArtifactError, ArtifactStore
from state.topics import MODELS as TOPIC
from state.topics import ROLLBACKS

_MOST_NAMED = 5
_PROPOSED = b"proposals"
"""Key of the proposals of a search; decisions have no key, and chunks of files others."""


class RolledBack(msgspec.Struct, frozen=True):
    """A person's decision to use an earlier model again at once.

    It has its own topic, as `models` has one writer, the trainer.

    Attributes:
        model: Id of the model.
        after: Number of decisions in `models` at that time; a model promoted later replaces it.
    """

    model: str
    after: int


class UnknownModelError(LogError):
    """A model is not in the topic `models`."""


class ModelRegistry:
    """All records of `models`, for readers in any thread, and a method to add one.

    Each record of the topic is read once, including chunks of model files.

    Args:
        log: Log with the topic, which has one partition.
        enclosed: Store with the files to publish in the log, before the record that names them;
            None: files are published elsewhere.
    """

    def __init__(self, log: Log, enclosed: ArtifactStore | None = None) -> None:
        self._log, self._enclosed = log, enclosed
        self._lock = threading.Lock()
        self._records: list[FitRecord] = []
        self._ends: list[int] = []
        self._next = 0
        self._proposed: Record | None = None
        self._rolled: list[RolledBack] | None = []
        self._history: tuple[int, int, list[FitRecord]] = 0, 0, []

    def records(self) -> list[FitRecord]:
        """Every decision so far, in order."""
        with self._lock:
            self._read_on()
            return list(self._records)

    def history(self) -> list[FitRecord]:
        """Every decision, with each rollback and each title kept or taken back as a promotion."""
        with self._lock:
            self._read_on()
            place = len(self._records), len(self._read_rollbacks())
        if self._history[:2] != place:  # a partition at its end asks all the time
            self._history = *place, self.history_before(place[0])
        return list(self._history[2])

    def history_before(self, count: int) -> list[FitRecord]:
        """The `history` of the first `count` decisions, and of the rollbacks until then."""
        decisions = self.decisions(count)
        if not any(map(_returns, decisions)):
            return decisions
        return [
            _promoted_again(one.model, decisions[:i]) if _returns(one) else one
            for i, one in enumerate(decisions)
        ]

    def decisions(self, count: int | None = None) -> list[FitRecord]:
        """The first `count` decisions, or all, with each rollback by a person as a promotion."""
        records, rolled = self.records()[:count], self.rolled_back()
        if not rolled:
            return records
        merged: list[FitRecord] = []
        for i in range(len(records) + 1):
            merged += (_promoted_again(one.model, records[:i]) for one in rolled if one.after == i)
            merged += records[i : i + 1]
        return merged

    def rolled_back(self) -> list[RolledBack]:
        """Every rollback so far, in order."""
        with self._lock:
            return list(self._read_rollbacks())

    def rollbacks(self) -> int:
        """Number of rollbacks."""
        return len(self.rolled_back())

    def roll_back(self, model: str | None, time: int) -> str:
        """Use an earlier model from now on, until another is promoted.

        Args:
            model: Id of the model; None: the one that has the title, or else the previous champion.
                Repeated rollbacks never return to a model that was rolled back.
            time: Current time (µs UTC).

        Returns:
            The id of the model.

        Raises:
            ValueError: The model is in use or unknown, or there is no previous one.
            SequenceConflictError: Another rollback was made at the same time.
        """
        records = self.records()
        history = self.history()
        now = _newest(history)
        promoted = [one.model for one in history if one.status == "promoted"]
        served = [one for one in promoted if one != now]
        had = ", ".join(dict.fromkeys(reversed(served))) or "none"
        if model is None and title_of(history) not in {None, now}:
            model = title_of(history)
        if model is None:
            earlier = promoted[: promoted.index(now)] if now is not None else []
            if not earlier:
                msg = f"model must be named, as none was in use before {now}; others are {had}"
                raise ValueError(msg)
            model = earlier[-1]
        if model not in served:
            before, got = f" before {now}" if now else "", plain_line(model[:100])
            msg = f"model must have been in use{before}; got {got}, others are {had}"
            raise ValueError(msg)
        number = self.rollbacks()
        entry = Entry(time, b"", msgspec.json.encode(RolledBack(model, len(records))))
        self._log.append(ROLLBACKS, 0, [entry], sequence=number)
        return model

    def end_of(self, count: int) -> int:
        """The offset in the topic after `count` decisions."""
        with self._lock:
            self._read_on()
            return self._ends[count - 1] if count else 0

    def decided(self) -> int:
        """The newest decided boundary; 0 before the first."""
        return max((record.boundary for record in self.records()), default=0)

    def model_at(self, boundary: int) -> tuple[bool, str | None]:
        """Whether the boundary is decided, and the newest promoted model (None: none yet)."""
        records = [record for record in self.history() if record.boundary <= boundary]
        decided = bool(records) and records[-1].boundary == boundary
        return decided, _newest(records)

    def newest_model(self) -> str | None:
        """Id of the newest promoted model; None: there is none."""
        return _newest(self.history())

    def title(self, boundary: int | None = None) -> str | None:
        """The model that has the title; None: there is no model.

        Args:
            boundary: As of the decision on this boundary; None: as of the newest one.
        """
        history = self.history()
        if boundary is not None:
            history = [record for record in history if record.boundary <= boundary]
        return title_of(history)

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
        """Add a decision and its files durably.

        Args:
            record: The decision.
            unless_decided: Skip it if its boundary has been decided meanwhile, as another trainer
                may have fitted it too.

        Raises:
            LogError: It could not be read back as written; nothing was added.
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

    def proposals(self, boundary: int) -> Proposals | None:
        """The newest proposals for a boundary; None: there are none."""
        with self._lock:
            self._read_on()
            record = self._proposed
        found = None if record is None else decoded(TOPIC, 0, record, Proposals)
        return found if found is not None and found.boundary == boundary else None

    def propose(self, proposals: Proposals) -> None:
        """Add the proposals of a search durably, before any of them is fitted."""
        entry = Entry(proposals.boundary, _PROPOSED, msgspec.json.encode(proposals))
        with self._lock:
            self._read_on()
            self._log.append(TOPIC, 0, [entry], sequence=self._next)

    def _read_rollbacks(self) -> list[RolledBack]:
        if self._rolled is None:
            return []
        try:
            while new := self._log.read(ROLLBACKS, 0, len(self._rolled)):
                self._rolled += (decoded(ROLLBACKS, 0, r, RolledBack) for r in new)
        except UnknownTopicError:  # an old log without rollbacks
            self._rolled = None
            return []
        return self._rolled

    def _read_on(self) -> None:
        while new := self._log.read(TOPIC, 0, self._next):
            for record in new:
                if record.key == _PROPOSED:
                    self._proposed = record
                elif not is_supplement(TOPIC, record):
                    self._records.append(decoded(TOPIC, 0, record, FitRecord))
                    self._ends.append(record.offset + 1)
                self._next = record.offset + 1


class Pinned:
    """A registry in which every decision is the same model.

    Args:
        published: Registry that has the model, promoted or rejected.
        model: Id of the model.

    Raises:
        ValueError: The model is unknown.
    """

    def __init__(self, published: ModelRegistry, model: str) -> None:
        known = [record.model for record in published.records() if record.sha256]
        if model not in known:
            msg = f"training.pinned must be a model in topic {TOPIC!r}; got {model!r}"
            raise ValueError(msg + f", it has {', '.join(known) or 'none'}")
        self._model = model

    def model_at(self, boundary: int) -> tuple[bool, str]:
        """Return that the boundary is decided, and the model."""
        del boundary
        return True, self._model

    def newest_model(self) -> str:
        """The model."""
        return self._model

    def title(self, boundary: int | None = None) -> str | None:
        """None: the title is not decided on."""
        del boundary
        return None

    def rollbacks(self) -> int:
        """Number of rollbacks: 0."""
        return 0


def file_of(record: FitRecord, artifacts: ArtifactStore) -> bytes:
    """The MOJO file of a record, from any source.

    Raises:
        ArtifactError: It was found nowhere, or has changed.
    """
    try:
        return artifacts.get(record.sha256)
    except ArtifactError as error:
        msg = (
            f"model {record.model} must have its file; {error} "
            "(`artifacts` in the settings says where models are kept)"
        )
        raise type(error)(msg) from error


def _returns(record: FitRecord) -> bool:
    """Whether a decision on the title takes the newest model out of use."""
    return record.status in {"dismissed", "returned"}


def _promoted_again(model: str, before: list[FitRecord]) -> FitRecord:
    newest = next(one for one in reversed(before) if one.model == model and one.sha256)
    return msgspec.structs.replace(
        newest,
        status="promoted",
        boundary=before[-1].boundary,
        reason="rolled back to",
        title=model,
    )


def _newest(records: list[FitRecord]) -> str | None:
    found = newest_promoted(records)
    return found.model if found else None
