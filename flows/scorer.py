"""The in-process scorer: it answers a request as the flow would, in microseconds.

It is a replica of the flow's shards: restored from a checkpoint, it follows the log in the
background and writes nothing.
"""

import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import polars as pl
from msgspec import UNSET
from msgspec.structs import astuple

from flows.definition.note import check_definition
from flows.home.configuration import load_settings
from flows.home.deployment import Deployment
from flows.home.file_lock import lock_shared
from flows.home.home import Home, environment_home
from flows.home.wall_clock import check_append_times, microseconds_now
from flows.runtime.kept_rows import LOADING
from flows.runtime.partitions import Partitions
from flows.scoring.answer import FIELDS, Answer
from flows.scoring.gil_yield import GilYielder, taking_turns
from flows.scoring.notifier import OnceNotifier
from flows.scoring.replica_supervisor import EndedError, ReplicaSupervisor
from flows.scoring.requests import RequestError, Requests, RoutedRequest
from models.refit.fit_record import FitRecord
from operators.partition.journal import Activated, Journal
from operators.partition.ordered_input import with_model
from operators.partition.recovery import check_version, recover
from operators.replica.follower import Follower
from operators.replica.replica import Replica, RowError, Score, ShadowDifference
from operators.shard.shard import RefusedError, Shard
from state.events import Event
from state.log import EVENTS, Log
from state.settings import Settings
from state.stream import Stream

__all__ = ["FollowError", "RequestError", "Scorer", "StaleError", "Staleness"]

_IDLE_S = 0.005
_BATCH_ROWS = 500
_MOST_READ = 200
"""Records per read: more of them would hold the interpreter's lock for a millisecond."""
_LOOK_S = 1.0
_END_S = 10.0
_log = logging.getLogger("headwater")


class StaleError(RuntimeError):
    """The scorer is further behind the log than allowed."""


class FollowError(RuntimeError):
    """The scorer can no longer follow the log."""


class Staleness(NamedTuple):
    """Lag of a scorer behind the log.

    Attributes:
        seconds: Time since it last was level with the log; infinite if it never was.
        records: Number of records of `events` that it has not read.
    """

    seconds: float
    records: int


class Scorer:
    """Answers requests as the flow would; any number of threads may ask.

    It follows the log only as far as the flow is known to have come, so that it knows the model
    that the flow used. The flow's newest prediction or checkpoint shows that position. So an
    observation counts here with the next request that the flow answers, or within
    `checkpoints.every`; within twice that if checkpoints come from a store.

    Args:
        settings: The flow's settings.
        stream: The flow's stream.
        log: The flow's log; only read.
        home: The flow's home, with checkpoints and models.
        partitions: Partitions to follow; None: all.
        most_staleness: Seconds behind the log beyond which `score` raises `StaleError`; None:
            `scoring.staleness` of the settings.
        follow: Follow in a background thread; False: only when `advance` is called.
        on_trouble: Called with a line when something goes wrong, in a thread of its own if
            `follow`;
            None: logged as a warning.

    Raises:
        ValueError: A partition does not exist.
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
        if not followed or followed[0] < 0 or followed[-1] >= self._count:
            msg = (
                f"partitions must be some of 0 to {self._count - 1}; got {list(followed)} in Scorer"
            )
            raise ValueError(msg)
        limit = settings.scoring.staleness
        if most_staleness is None and limit is not None:
            most_staleness = limit / 1e6
        self._most_staleness = most_staleness
        self._requests = Requests(stream, self._count, set(followed))
        self._stop = threading.Event()
        loading = LOADING._replace(turns=taking_turns)
        self._shards = Partitions(settings, stream, log, home, loading=loading)
        self._models = self._shards.models
        self._models.start_java(settings.training.algorithm)
        listener = on_trouble or _log.warning
        self._tell = OnceNotifier(listener, aside=follow)
        self._followed = {
            p: ReplicaSupervisor(
                p,
                self._open(p),
                partial(self._begin_anew, p),
                OnceNotifier(listener, aside=follow),
                waits=not follow,
            )
            for p in followed
        }
        self._warm_up()
        self._warn_of_limit()
        self._looked_for_models = 0.0
        self._lost: BaseException | None = None
        self._pid = os.getpid()
        self._held: int | None = None
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
        """Open the scorer of the flow that runs with these settings.

        Args:
            path: Path of the settings; None: the file that the flow reads.
            home: The flow's home; None: this process's.
            partitions: See the class.
            most_staleness: See the class.
            follow: See the class.
            on_trouble: See the class.

        Raises:
            ConfigurationError: The settings are invalid, or the stream's definition differs from
                the one that the home was begun with.
            LogError: There is no log.
            ModelError: A model that the state needs cannot be loaded.
            ValueError: A partition does not exist.
        """
        settings = load_settings(path)
        where = environment_home() if home is None else Home(Path(home).absolute())
        with ExitStack() as on_error:
            deployment = Deployment.open(settings, where)
            on_error.callback(deployment.close)
            check_definition(where.root, deployment.stream)
            held = None
            if settings.log == "sqlite" and where.root.is_dir():
                held = lock_shared(where.root)
                on_error.callback(os.close, held)
                check_append_times(deployment.log, where)
            deployment.check_kept()
            scorer = cls(
                settings,
                deployment.stream,
                deployment.log,
                deployment.home,
                partitions=partitions,
                most_staleness=most_staleness,
                follow=follow,
                on_trouble=on_trouble,
            )
            scorer._held = held
            on_error.pop_all()
        return scorer

    def score(self, request: Event | Mapping[str, Any]) -> Answer:
        """Answer one request; nothing is changed or written.

        Args:
            request: An event of the stream's request type, or its fields as JSON values; times in
                microseconds since 1970 UTC, or as text in RFC 3339.

        Raises:
            RequestError: The flow would refuse it; the message names the field. A time further
                ahead than `clock.tolerance` of both this machine's clock (the flow uses the append
                time) and the newest event is refused too.
            StaleError: The scorer is too far behind the log.
            FollowError: The scorer has stopped following, or was made before this process's `fork`.
            StreamFunctionError: A function of the stream raised an error on this request.
        """
        asked = self._requests.read(request)
        replica = self._followed[asked.partition].replica
        self._check_fresh(replica, asked.partition)
        try:
            score = replica.score(asked.event, microseconds_now)
        except RefusedError as error:
            raise RequestError(str(error)) from None
        return _answer(asked, score, replica)

    def answers(self, requests: Iterable[Event | Mapping[str, Any]]) -> list[Answer]:
        """Answer some requests, those of a partition all at one point of the log.

        The follower of a partition waits meanwhile.

        Args:
            requests: Requests as for `score`.

        Raises:
            RequestError: As for `score`, with the row; no request is answered.
            StaleError: As for `score`.
            FollowError: As for `score`.
        """
        return self._answers(list(requests), 0)

    def score_many(self, requests: pl.DataFrame) -> pl.DataFrame:
        """Answer many requests.

        Args:
            requests: A column for each field of the request; times as whole µs UTC or as datetimes.
                A null means that the field is missing.

        Returns:
            A row for each request, with the fields of `Answer.as_dict`; `trust` is the last.

        Raises:
            RequestError: As for `score`; the message names the row.
            StaleError: As for `score`.
            FollowError: As for `score`.
        """
        times = [name for name, kind in requests.schema.items() if kind == pl.Datetime]
        frame = requests.with_columns(pl.col(times).dt.epoch("us"))
        answers: list[Answer] = []
        for rows in frame.iter_slices(_BATCH_ROWS):
            answers += self._answers(_given(rows), len(answers))
        columns: dict[str, Sequence[Any]] = dict(
            zip(FIELDS, zip(*map(astuple, answers), strict=True), strict=False)
        )
        types = dict(_TYPES)
        trust = [None if one is UNSET else one for one in columns.pop("trust", ())]
        if any(trust):  # nothing is said of it where `risk` is not set
            columns["trust"], types["trust"] = trust, pl.String
        return pl.DataFrame(columns, types)

    def with_times(self, raw: bytes) -> bytes:
        """Requests in JSON with times as numbers: `flows.scoring.requests.Requests.with_times`."""
        return self._requests.with_times(raw)

    @property
    def partitions(self) -> list[int]:
        """The followed partitions."""
        return list(self._followed)

    @property
    def as_of(self) -> dict[int, tuple[int, int]]:
        """The highest event time (µs UTC) and the next offset, by partition."""
        return {p: (one.as_of, one.offset) for p, one in self._replicas()}

    @property
    def models(self) -> dict[int, str | None]:
        """Id of the offline model that answers, by partition."""
        return {p: one.model for p, one in self._replicas()}

    @property
    def records(self) -> dict[str, FitRecord]:
        """Published records of the loaded models, by id; no log is read."""
        return dict(self._models.records)

    @property
    def staleness(self) -> Staleness:
        """Lag of the partition that is furthest behind."""
        found = [_staleness(replica) for _, replica in self._replicas()]
        return Staleness(max(one.seconds for one in found), max(one.records for one in found))

    @property
    def following(self) -> bool:
        """False once following has stopped for a reason that only a new scorer resolves."""
        return self._lost is None

    @property
    def unreadable(self) -> str | None:
        """The reason why a partition cannot be followed now; None: all can."""
        found = (one.unreadable for one in self._followed.values())
        return next((why for why in found if why is not None), None)

    @property
    def trouble(self) -> str | None:
        """The reason why answers may differ from the flow's; None: they do not."""
        if self._lost is not None:
            return f"following has ended: {self._lost}"
        found = (one.trouble for one in self._followed.values())
        return next((why for why in found if why is not None), None)

    @property
    def differences(self) -> dict[int, ShadowDifference]:
        """Figures on the newest model in shadow against the model that answered, by partition."""
        found = {p: one.difference for p, one in self._replicas()}
        return {p: one for p, one in found.items() if one is not None}

    def advance(self) -> None:
        """Apply all records that the flow has processed; for a scorer made with `follow=False`.

        Raises:
            RuntimeError: The scorer follows in a thread, which alone may change it.
        """
        if self._follows:
            msg = "follow must be False where `advance` is called; got True in Scorer"
            raise RuntimeError(msg)
        for one in self._followed.values():
            one.retry()
        while self._step(_at_once):
            pass

    def close(self) -> None:
        """Stop following and close the log; `score` must not be called any more.

        The log stays open if something still reads it after 10 s without an answer.
        """
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_END_S)
        followed = all(one.ended(_END_S) for one in self._followed.values())
        if not self._thread.is_alive() and followed and self._models.ended(_END_S):
            self._log.close()
            if self._held is not None:
                os.close(self._held)
                self._held = None

    def __enter__(self) -> Self:
        """Return this scorer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the scorer."""
        self.close()

    def _replicas(self) -> list[tuple[int, Replica]]:
        return [(partition, one.replica) for partition, one in self._followed.items()]

    def _answers(self, requests: Sequence[Event | Mapping[str, Any]], first: int) -> list[Answer]:
        """Answer requests, of which the first has row number `first`."""
        asked = self._requests.read_many(requests, first)
        answers: dict[int, Answer] = {}
        places: dict[int, list[int]] = defaultdict(list)
        for i, one in enumerate(asked):
            places[one.partition].append(i)
        for partition, of in places.items():
            replica = self._followed[partition].replica
            self._check_fresh(replica, partition)
            try:
                scores = replica.score_many([asked[i].event for i in of], microseconds_now)
            except RowError as error:
                raise RequestError(str(error), first + of[error.row]) from None
            for i, score in zip(of, scores, strict=True):
                answers[i] = _answer(asked[i], score, replica)
        return [answers[i] for i in range(len(asked))]

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
        """Make a replica from the newest checkpoint, advanced as far as the flow has come."""
        shards, load = self._shards, self._models.offline
        store = self._home.checkpoints()
        check_version(self._log, store, partition)
        left = recover(lambda of: shards.shard(partition, of), partition, store, self._log, load)
        left.is_silent = True
        batch = min(self.settings.reading.batch, _MOST_READ)
        follower = Follower(self._log, left, store, shards.settings_of, batch)
        while (message := follower.poll()) is not None:
            if self._stop.is_set():
                raise EndedError
            left.apply(with_model(message, left, load))
        right = Shard(self.stream, left.settings, partition)
        right.is_silent = True
        right.restore(left.snapshot(), lambda model: load(model, right))
        return Replica(left, right, follower, load, self.settings.scoring.shadow)

    def _follow(self) -> None:
        turns = GilYielder()
        try:
            while not self._stop.is_set():
                if not self._step(turns):
                    self._stop.wait(_IDLE_S)
        except BaseException as error:  # noqa: BLE001 - raised again by the next answer
            self._lost = error
            self._tell(f"following the log has ended: {error}")

    def _step(self, pause: Callable[[], object]) -> bool:
        """Advance each partition by one message; return whether there was one."""
        self._prepare()
        moved = False
        for one in self._followed.values():
            moved = one.advance(pause) or moved
        return moved

    def _prepare(self) -> None:
        """Load published models from time to time, before they are activated."""
        now = time.monotonic()
        if now - self._looked_for_models >= _LOOK_S:
            self._looked_for_models = now
            try:
                self._models.prepare()
            except OSError as error:
                self._tell(str(error))
            else:
                self._tell.forget()

    def _begin_anew(self, partition: int, before: str | None) -> Replica:
        """Make another replica; `before` still answers if the new model was in shadow."""
        replica = self._open(partition)
        if self.settings.scoring.shadow and self._is_newer(partition, replica.model, before):
            replica.keep(before)
        return replica

    def _is_newer(self, partition: int, model: str | None, other: str | None) -> bool:
        """Whether a model was first used after another; false after a rollback to it."""
        entries = Journal(self._log, partition).entries
        used = [None, *(entry.model for entry in entries if isinstance(entry, Activated))]
        return other in used and model not in used[: used.index(other) + 1]

    def _warn_of_limit(self) -> None:
        """Warn of a limit that a healthy scorer would exceed again and again."""
        most, every = self._most_staleness, self.settings.checkpoints.every
        often = "" if self._home.shared is None else "twice "
        if most is not None and most < (2 if often else 1) * every / 1e6:
            self._tell(
                f"scoring.staleness should be at least {often}{every}, checkpoints.every: the flow "
                f"may show no progress for so long; got {most:g} s"
            )

    def _warm_up(self) -> None:
        """Compile the kernels of a request before the first one."""
        for _, replica in self._replicas():
            replica.warm_up()


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


def _given(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows as dictionaries without nulls."""
    dicts = rows.to_dicts()
    if not any(rows.null_count().row(0)):
        return dicts
    return [{name: of for name, of in row.items() if of is not None} for row in dicts]


def _answer(asked: RoutedRequest, score: Score, replica: Replica) -> Answer:
    event, partition, key = asked
    row, unseen, blend, decision, model, offset, as_of, trust = score
    return Answer(
        event.id,
        event.time,
        key,
        *blend,
        decision,
        model,
        partition,
        offset,
        trust,
        as_of,
        row,
        unseen,
        replica.reasons,
    )


def _staleness(replica: Replica) -> Staleness:
    follower = replica.follower
    seconds = max(time.monotonic() - follower.level_at, 0.0)
    return Staleness(seconds, max(follower.end - replica.offset, 0))


def _at_once() -> None:
    pass
