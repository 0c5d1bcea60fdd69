"""The in-process scorer: what the flow would answer to a request, in microseconds.

It is a replica of the flow's shards: the same core, restored from a checkpoint, that follows the
log in the background and writes nothing.
"""

import logging
import os
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec
import polars as pl

from flows.artifacts import reaching
from flows.configuration import find_stream, load_settings
from flows.home import Home, environment_home
from flows.logs import find_log
from flows.partitions import Partitions
from flows.scoring.answer import FIELDS, Answer
from flows.scoring.models import Models
from flows.scoring.turns import Turns, taking_turns
from operators.decisions import PublishedModels
from operators.following import Follower
from operators.left_right import BusyError
from operators.messages import Activation, Message
from operators.recovery import recover
from operators.replica import Difference, Load, ModelError, Replica, Score
from operators.shard import RefusedError, Shard
from state.events import Event
from state.log import EVENTS, Log, OffsetError, partition_of
from state.settings import Settings
from state.stream import Stream

_IDLE_S = 0.005
_BATCH_ROWS = 500
_RETRY_S = 1.0
_HEAL_S = 5.0
_END_S = 10.0
_COMPARE_S = 60.0
_TOLD = 8
_log = logging.getLogger("headwater")


class RequestError(ValueError):
    """A request that the flow would not answer, or that this scorer has no partition for."""


class StaleError(RuntimeError):
    """The scorer is further behind the log than it may be."""


class FollowError(RuntimeError):
    """The scorer cannot follow the log any more."""


class _ClosedError(Exception):
    """The scorer was closed while a replica began anew."""


class Staleness(NamedTuple):
    """How far a scorer is behind the log.

    Attributes:
        seconds: Since it was last known to have seen all of the log; infinite if it never had.
        records: Of `events` that it has not seen.
    """

    seconds: float
    records: int


class Scorer:
    """Answers requests as the flow would; any number of threads may ask.

    It goes as far in the log as the flow has surely gone, never further: then the model that the
    flow used is known. Its newest prediction or checkpoint tells, so that an observation counts
    here with the next request that the flow answers, or `checkpoints.every` later.

    Args:
        settings: The flow's.
        stream: The flow's.
        log: The flow's; only read.
        home: The flow's checkpoints and models.
        partitions: Which to follow; None: all.
        most_staleness: `score` raises `StaleError` beyond so many seconds; None: what
            `scoring.staleness` says.
        follow: Go on in the background; else only where `advance` is called.
        on_trouble: Told in a line when something goes wrong, in a thread of its own where the
            scorer follows by itself; None: logged as a warning.
    """

    def __init__(
        self,
        settings: Settings,
        stream: Stream,
        log: Log,
        home: Home,
        *,
        partitions: Iterable[int] | None = None,
        most_staleness: float | None = None,
        follow: bool = True,
        on_trouble: Callable[[str], object] | None = None,
    ) -> None:
        self.settings, self.stream = settings, stream
        self._log, self._home = log, home
        self._count = log.partitions(EVENTS)
        followed = range(self._count) if partitions is None else sorted(set(partitions))
        limit = settings.scoring.staleness
        if most_staleness is None and limit is not None:
            most_staleness = limit / 1e6
        self._most_staleness = most_staleness
        self._threshold = settings.decision.threshold
        self._decode = msgspec.json.Decoder(stream.request).decode
        self._encode = msgspec.json.Encoder().encode
        self._key = stream.key_of()
        self._on_trouble = on_trouble or _log.warning
        self._told: dict[int | None, deque[str]] = defaultdict(lambda: deque(maxlen=_TOLD))
        self._stop = threading.Event()
        self._shards = Partitions(settings, stream, log, home)
        self._published = self._shards.published
        self._models = Models(stream, self._published, home.artifacts())
        self._replicas = {p: self._open(p) for p in followed}
        self._warm_up()
        self._wrong: dict[int, str] = {}
        self._unusable: set[int] = set()
        self._otherwise: dict[int, str | None] = {}
        self._compare_at: dict[int, float] = {}
        self._retry_at: dict[int, float] = {}
        self._heal_at: dict[int, float] = {}
        self._looked_for_models = 0.0
        self._lost: Exception | None = None
        self._pid = os.getpid()
        self._follows = follow
        self._thread = threading.Thread(target=self._follow, name="follow the log", daemon=True)
        if follow:
            self._thread.start()

    @classmethod
    def open(
        cls,
        path: Path | str | None = None,
        *,
        home: Path | str | None = None,
        partitions: Iterable[int] | None = None,
        most_staleness: float | None = None,
        follow: bool = True,
        on_trouble: Callable[[str], object] | None = None,
    ) -> "Scorer":
        """The scorer of the flow that runs with these settings.

        Args:
            path: Of the settings; None: as for the flow.
            home: Of the flow; None: this process's.
            partitions: As for the class.
            most_staleness: As for the class.
            follow: As for the class.
            on_trouble: As for the class.

        Raises:
            ConfigurationError: The settings cannot be used.
            LogError: There is no log.
            ModelError: A model that the state needs cannot be loaded.
        """
        settings = load_settings(path)
        stream = find_stream(settings.stream)
        where = environment_home() if home is None else Home(Path(home).absolute())
        with ExitStack() as on_error:
            log = find_log(settings, where)
            on_error.callback(log.close)
            scorer = cls(
                settings,
                stream,
                log,
                reaching(where, settings, log),
                partitions=partitions,
                most_staleness=most_staleness,
                follow=follow,
                on_trouble=on_trouble,
            )
            on_error.pop_all()
        return scorer

    def score(self, request: Event | Mapping[str, Any]) -> Answer:
        """The answer to one request; nothing changes and nothing is written.

        Args:
            request: An event of the stream's request type, or its fields as JSON has them.

        Raises:
            RequestError: The flow would not answer it; the message names the field.
            StaleError: The scorer is too far behind.
            FollowError: The scorer has ended following, or was made before this process's `fork`.
        """
        event = self._checked(request)
        partition, key = self._placed(event)
        replica = self._replicas[partition]
        self._check_fresh(replica, partition)
        try:
            score = replica.score(event)
        except RefusedError as error:
            raise RequestError(str(error)) from None
        return self._answer(event, partition, key, score)

    def score_many(self, requests: pl.DataFrame) -> pl.DataFrame:
        """The answers to many requests.

        Args:
            requests: A column for each field of the request; times as whole µs UTC or as
                datetimes. A null is a field that is left out.

        Returns:
            A row for each request: the fields of `Answer.as_dict`.

        Raises:
            RequestError: As for `score`; the message names the row.
            StaleError: As for `score`.
            FollowError: As for `score`.
        """
        times = [name for name, kind in requests.schema.items() if kind == pl.Datetime]
        frame = requests.with_columns(pl.col(times).dt.epoch("us"))
        answers: list[Answer] = []
        for rows in frame.iter_slices(_BATCH_ROWS):
            answers += self._answers(rows.iter_rows(named=True), len(answers))
        columns = {name: [getattr(answer, name) for answer in answers] for name in FIELDS}
        return pl.DataFrame(columns, schema_overrides=_TYPES)

    @property
    def partitions(self) -> list[int]:
        """Those that it follows."""
        return list(self._replicas)

    @property
    def as_of(self) -> dict[int, tuple[int, int]]:
        """By partition, where it stands: the highest event time (µs UTC) and the next offset."""
        return {p: (one.as_of, one.offset) for p, one in self._replicas.items()}

    @property
    def models(self) -> dict[int, str | None]:
        """By partition, the offline model that answers."""
        return {p: one.model for p, one in self._replicas.items()}

    @property
    def published(self) -> PublishedModels:
        """What is known of the models."""
        return self._published

    @property
    def staleness(self) -> Staleness:
        """Of the partition that is furthest behind."""
        found = [_staleness(replica) for replica in self._replicas.values()]
        return Staleness(max(one.seconds for one in found), max(one.records for one in found))

    def unseen(self, answer: Answer) -> list[str]:
        """Columns whose level was new in a request: it was scored as an unknown one."""
        return self._replicas[answer.partition].unseen(answer.vector)

    @property
    def following(self) -> bool:
        """False once it has ended following, for a reason that only a new scorer heals."""
        return self._lost is None

    @property
    def trouble(self) -> str | None:
        """What is wrong; None: nothing, and answers are exactly the flow's."""
        if self._lost is not None:
            return f"following has ended: {self._lost}"
        wrong = map(self._trouble_of, self._replicas)
        return next((one for one in wrong if one is not None), None)

    @property
    def differences(self) -> dict[int, Difference]:
        """By partition, how the newest model in shadow differed from the one that answered."""
        found = {p: one.difference for p, one in self._replicas.items()}
        return {p: one for p, one in found.items() if one is not None}

    def advance(self) -> None:
        """Take in all that the flow has had; for a scorer that does not follow by itself.

        Raises:
            RuntimeError: It follows by itself: two threads must not change it.
        """
        if self._follows:
            msg = "follow must be False where `advance` is called; got True in Scorer"
            raise RuntimeError(msg)
        self._retry_at.clear()
        while self._step(_at_once):
            pass

    def close(self) -> None:
        """End following and let go of the log; `score` must not be called any more.

        What still reads the log after 10 s, for it does not answer, keeps it.
        """
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_END_S)
        if not self._thread.is_alive() and self._models.ended(_END_S):
            self._log.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def _answers(self, rows: Iterable[Mapping[str, Any]], first: int) -> list[Answer]:
        """To some rows, of which the first is of that number."""
        asked: dict[int, tuple[Event, int, str]] = {}
        by_partition: dict[int, dict[int, Event]] = {}
        for i, row in enumerate(rows, first):
            try:
                event = self._checked({k: value for k, value in row.items() if value is not None})
                partition, key = self._placed(event)
            except RequestError as error:
                msg = f"{error} in row {i}"
                raise RequestError(msg) from None
            asked[i] = event, partition, key
            by_partition.setdefault(partition, {})[i] = event
        scores: dict[int, Score] = {}
        for partition, requests in by_partition.items():
            replica = self._replicas[partition]
            self._check_fresh(replica, partition)
            try:
                scores |= zip(requests, replica.score_many(requests), strict=True)
            except RefusedError as error:
                raise RequestError(str(error)) from None
        return [self._answer(*one, scores[i]) for i, one in asked.items()]

    def _answer(self, event: Event, partition: int, key: str, score: Score) -> Answer:
        row, blend, model, offset, as_of = score
        return Answer(
            event.id,
            event.time,
            key,
            *blend,
            blend.probability >= self._threshold,
            model,
            partition,
            offset,
            as_of,
            row,
            self._replicas[partition].reasons,
        )

    def _checked(self, request: Event | Mapping[str, Any]) -> Event:
        """The request as the flow would read it from the log."""
        if isinstance(request, Event) and type(request) is not self.stream.request:
            msg = f"request must be a {self.stream.request.__name__}; got {type(request).__name__}"
            raise RequestError(msg)
        try:
            return self._decode(self._encode(request))
        except (msgspec.MsgspecError, TypeError, UnicodeError, RecursionError) as error:
            raise RequestError(str(error)) from None

    def _placed(self, event: Event) -> tuple[int, str]:
        key = self._key(event)
        partition = partition_of(key.encode(), self._count)
        if partition not in self._replicas:
            msg = (
                f"partition of the request must be one that is followed {self.partitions}; "
                f"got {partition} for {self.stream.key} {key!r}"
            )
            raise RequestError(msg)
        return partition, key

    def _check_fresh(self, replica: Replica, partition: int) -> None:
        if self._lost is not None:
            msg = f"following the log has ended: {self._lost}"
            raise FollowError(msg) from self._lost
        if self._follows and os.getpid() != self._pid:
            msg = (
                f"scorer must be made in the process that asks it; got one of process {self._pid}: "
                "make it after `fork`"
            )
            raise FollowError(msg)
        most = self._most_staleness
        if most is not None and time.monotonic() - replica.follower.level_at > most:
            behind = _staleness(replica)
            msg = (
                f"scorer must be at most {most:g} s behind the log; got {behind.seconds:.1f} s and "
                f"{behind.records} records in events/{partition}"
            )
            raise StaleError(msg)

    def _open(self, partition: int) -> Replica:
        """A replica from the newest checkpoint on, as far as the flow has come."""
        make = self._shards.shard
        store = self._home.checkpoints()
        load = self._models.offline
        left = recover(lambda: make(partition), store, self._log, load)
        follower = Follower(self._log, left, store, self.settings.reading.batch)
        while (message := follower.poll()) is not None:
            if self._stop.is_set():
                raise _ClosedError
            left.apply(_bound(message, left, load))
        right = make(partition)
        right.restore(left.snapshot(), lambda model: load(model, right))
        return Replica(left, right, follower, load, self.settings.scoring.shadow)

    def _follow(self) -> None:
        turns = Turns()
        try:
            while not self._stop.is_set():
                if not self._step(turns):
                    self._stop.wait(_IDLE_S)
        except Exception as error:  # noqa: BLE001 - it is raised where an answer is asked for
            self._lost = error
            self._tell(f"following the log has ended: {error}")

    def _step(self, pause: Callable[[], object]) -> bool:
        """One message of each partition."""
        self._prepare()
        moved = False
        for partition in self._replicas:
            moved = self._advance(partition, pause) or moved
        return moved

    def _advance(self, partition: int, pause: Callable[[], object]) -> bool:
        """One message; what is wrong with one partition is not the others'."""
        if time.monotonic() < self._retry_at.get(partition, 0.0):
            return False
        moved, replica = False, self._replicas[partition]
        activated = replica.activated
        try:
            if partition not in self._unusable:
                moved = replica.advance(pause)
                self._compare(partition)
        except (OSError, BusyError) as error:
            self._fails(partition, error)
        else:
            if partition in self._wrong and partition not in self._unusable:
                del self._wrong[partition]
                self._tell_end(f"events/{partition} is followed again", partition)
        if replica.activated != activated:
            self._heal_at.pop(partition, None)
        if replica.trouble is not None:
            self._tell(replica.trouble, partition)
        if replica.trouble is not None or partition in self._unusable:
            self._heal(partition)
        return moved

    def _trouble_of(self, partition: int) -> str | None:
        own = self._wrong.get(partition) or self._replicas[partition].trouble
        return own or self._otherwise.get(partition)

    def _compare(self, partition: int) -> None:
        """See whether the flow was given other settings."""
        now = time.monotonic()
        if now < self._compare_at.get(partition, 0.0):
            return
        self._compare_at[partition] = now + _COMPARE_S
        trouble = self._replicas[partition].settings_trouble(self._home.checkpoints())
        self._otherwise[partition] = trouble
        if trouble is not None:
            self._tell(trouble, partition)

    def _fails(self, partition: int, error: OSError | BusyError) -> None:
        """Following is tried again later, or, where that is of no use, begun anew."""
        self._wrong[partition] = str(error)
        self._retry_at[partition] = time.monotonic() + _RETRY_S
        self._tell(str(error), partition)
        if isinstance(error, BusyError):
            self._unusable.add(partition)
        elif isinstance(error, OffsetError):
            self._heal(partition)

    def _prepare(self) -> None:
        """Have a look for models that were published: they are loaded before they are needed."""
        now = time.monotonic()
        if now - self._looked_for_models >= _RETRY_S:
            self._looked_for_models = now
            try:
                self._models.prepare()
            except OSError as error:
                self._tell(str(error))
            else:
                self._told.pop(None, None)

    def _heal(self, partition: int) -> None:
        """Begin anew from a checkpoint, if it and its model can be had by now."""
        now = time.monotonic()
        if now < self._heal_at.get(partition, 0.0):
            return
        self._heal_at[partition] = now + _HEAL_S
        try:
            with taking_turns():
                self._replicas[partition] = self._open(partition)
        except (ModelError, OSError) as error:
            self._tell(str(error), partition)
            return
        except _ClosedError:
            return
        self._wrong.pop(partition, None)
        self._unusable.discard(partition)
        self._retry_at.pop(partition, None)
        self._tell_end(f"events/{partition} is exact again", partition)

    def _warm_up(self) -> None:
        """Compile what a request needs, before the first one comes."""
        for replica in self._replicas.values():
            replica.warm_up()

    def _tell(self, line: str, partition: int | None = None) -> None:
        """Once for each trouble of a partition, or of all."""
        if line in self._told[partition]:
            return
        self._told[partition].append(line)
        if not self._follows:
            self._on_trouble(line)
            return
        # What it raises goes to `threading.excepthook` and does not end following.
        telling = threading.Thread(target=self._on_trouble, args=(line,), name="tell", daemon=True)
        telling.start()
        telling.join(_RETRY_S)

    def _tell_end(self, line: str, partition: int) -> None:
        self._tell(line, partition)
        self._told[partition].clear()


_TYPES: dict[str, Any] = {
    "id": pl.String,
    "event_time": pl.Int64,
    "key": pl.String,
    "probability": pl.Float64,
    "online": pl.Float64,
    "offline": pl.Float64,
    "residual": pl.Float64,
    "decision": pl.Boolean,
    "model": pl.String,
    "partition": pl.Int64,
    "offset": pl.Int64,
    "as_of": pl.Int64,
}


def _bound(message: Message, shard: Shard, load: Load) -> Message:
    if isinstance(message, Activation) and message.model is not None:
        return message._replace(offline=load(message.model, shard))
    return message


def _staleness(replica: Replica) -> Staleness:
    follower = replica.follower
    seconds = max(time.monotonic() - follower.level_at, 0.0)
    return Staleness(seconds, max(follower.end - replica.offset, 0))


def _at_once() -> None:
    pass
