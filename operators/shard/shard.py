"""The shard: the state machine of one log partition.

It takes records in log order and gives predictions, outcomes, metrics and alerts. It reads no
clock, no random source and no file, so the same log gives the same bytes wherever it runs.
"""

import hashlib
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, get_args

import msgspec
from msgspec import UNSET, UnsetType

from models.judging.drift_watch import drift_message
from models.judging.trust_counts import Thresholds, Trusted
from models.losses import RunningLosses, Sums, means
from models.scoring.blend import Blend, Serving
from models.scoring.bound_model import Offline
from operators.shard.column_watch import ColumnWatch
from operators.shard.labels import Labels
from operators.shard.learning import ActiveModels, Learning
from operators.shard.messages import (
    Activation,
    Boundary,
    Configuration,
    Cut,
    Emitted,
    Message,
    Quiet,
    Records,
)
from operators.shard.predictor import ASKED, Predictor, Row
from state.admission.clock_guard import ClockGuard
from state.admission.early_labels import EarlyLabel
from state.admission.no_event import MOST_EVENT_BYTES, no_event, too_large
from state.admission.pending_requests import Pending, PendingRequest
from state.admission.recent_ids import OTHER, REQUEST, RecentIds
from state.durations import Duration
from state.events import HOUR_US, SECOND_US, Event, TimeUs
from state.features import Labelled
from state.log import Entry
from state.log.running_hash import Hashed
from state.outputs.prediction_chain import START, link
from state.outputs.records import (
    OUTCOME_FIELDS,
    Alert,
    DeadLetter,
    DeadLetterReason,
    Losses,
    Metrics,
    Prediction,
    outcome_type,
)
from state.restored import MOST_US, Count, check
from state.settings import Risk, Settings
from state.stream import Stream
from state.stream_functions import raise_blamed
from state.user_code import USER_CODE_ERRORS, encodable
from state.vector.feature_state import FeatureState

VERSION = 8
"""Format version of `Shard.snapshot`."""

MODELS = ("ensemble", "online", "offline", "residual")
TOPICS = ("predictions", "outcomes", "metrics", "alerts", "dead_letters")
"""The output topics of a shard, each with its own partition."""

_RAW_BYTES = 64 * 2**10
_FORGET_EVERY_US = HOUR_US
_SILENT_SOURCE_US = 24 * HOUR_US
_Chain = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]
_encode = msgspec.json.Encoder().encode


class GapError(ValueError):
    """A record is not the next one of the partition."""


class DamagedStateError(ValueError):
    """Bytes are not a valid state of this shard; the message names the part and the rule."""


class RefusedError(ValueError):
    """A request whose content would make it a dead letter."""


class Position(msgspec.Struct):
    """Position of a shard in its input.

    Attributes:
        offset: Offset of the next record.
        boundary: The newest boundary crossed; 0 before the first.
        activations: Number of journal entries in effect.
    """

    offset: Count = 0
    boundary: Count = 0
    activations: Count = 0


class _Counts(msgspec.Struct):
    """Counters of a shard; `sequences` has the next sequence of each output topic."""

    sequences: dict[str, Count]
    dead_letters: dict[str, Count]
    requests: Count = 0
    labels: Count = 0
    high_us: TimeUs = 0
    tick_us: TimeUs = 0
    forgot_us: TimeUs = 0
    cuts: Count = 0
    cut_end: Count = 0
    last_cut: Cut | None = None
    chain: _Chain = START


class Shard:
    """One partition's state, and the rules by which records change it.

    Args:
        stream: Definition of the events, features and label.
        settings: Settings at the start.
        partition: Partition of `events`.

    Attributes:
        settings: Current settings.
        threshold: Probability from which `decision` is true, by the current settings.
        hashed: Hash of the records read; not part of the snapshot; not updated while silent.
        is_silent: Predictions, outcomes and metrics are skipped, because the flow has written them
            already (saves a fifth of the time). Snapshots restore into silent shards only.
    """

    def __init__(self, stream: Stream, settings: Settings, partition: int) -> None:
        columns = stream.columns
        self.stream = stream
        self.partition = partition
        self.position = Position()
        self.hashed = Hashed.at(0)
        self._decode = stream.decoder().decode
        self._check = stream.check()
        self._key = stream.key_of()
        self._features = FeatureState(stream)
        self._turn_at = 0
        self._pending = Pending(len(columns), stream.request)
        self._seen = RecentIds(stream.remembered)
        self._labels = Labels(
            stream,
            self._pending,
            self._seen,
            resolve=_weakly(self._resolve),
            forget=_weakly(self._forget),
            lose=_weakly(self._lose),
            alert=_weakly(self._warn_of_labels),
        )
        self._running = RunningLosses(len(MODELS))
        self.is_silent = False
        self._counts = _Counts(dict.fromkeys(TOPICS, 0), {})
        self._learning = Learning(stream, settings)
        self._columns = ColumnWatch(len(columns), partition, settings)
        self._set(settings)
        self._lateness = int(Duration.parse(stream.lateness))
        self._too_late = self._lateness + stream.horizon_us
        self._out: dict[str, list[Entry]] = {topic: [] for topic in TOPICS}
        self._outcome = outcome_type(stream)
        self._levels = [(i, levels.names) for i, levels in self._features.levels.items()]

    def _set(self, settings: Settings) -> None:
        """Build all parts that depend on the settings, without state."""
        clock = settings.clock
        self.settings = settings
        self.threshold = settings.decision.threshold
        self._metrics_every = int(settings.metrics.every)
        self._guard = ClockGuard(clock.tolerance, clock.span, clock.notice)
        self._predictor = self.predictor()

    def _reconfigure(self, settings: Settings) -> None:
        """Apply other settings, and keep all that was learned and seen."""
        guard = self._guard.snapshot()
        self._learning.configure(self.settings, settings)
        self._columns.configure(settings)
        self._set(settings)
        self._guard.restore(guard)

    @property
    def shape(self) -> str:
        """Layout that a checkpoint must share: version, stream, columns and their state."""
        columns = hashlib.sha256(repr(self.stream.columns).encode()).hexdigest()
        state = hashlib.sha256(self._features.layout.encode()).hexdigest()
        return f"{VERSION} {self.stream.name} {columns[:16]} {state[:16]}"

    @property
    def chain(self) -> str:
        """Hash chain of the newest prediction."""
        return self._counts.chain

    @property
    def cuts(self) -> int:
        """Number of cuts so far."""
        return self._counts.cuts

    @property
    def counters(self) -> dict[str, int]:
        """Number of records emitted to each topic."""
        return dict(self._counts.sequences)

    @property
    def levels(self) -> dict[int, list[str]]:
        """Level names of each categorical column, by number; the lists grow."""
        return dict(self._levels)

    @property
    def event_time(self) -> int:
        """The highest accepted event time (µs)."""
        return self._counts.high_us

    def losses(self) -> dict[str, Losses]:
        """Each model's losses since the first record."""
        return _losses(self._running.total)

    @property
    def model(self) -> str | None:
        """Id of the offline model in use."""
        return self._learning.in_use.model

    @property
    def older(self) -> str | None:
        """Id of the previous offline model, while it has a share in the answers."""
        return self._learning.in_use.older

    def wants_fit(self, labels: int) -> bool:
        """Whether the offline model is wrong since an alarm, and still is.

        Args:
            labels: Least number of labels since then, for a fit to be of use.
        """
        change = self._learning.watch.change
        return change is not None and change.labels >= labels

    def thresholds(self, risk: Risk) -> Thresholds:
        """Thresholds from which answers can be trusted, by the labels so far."""
        return self._learning.trust.found(
            risk.false_positives, risk.false_negatives, risk.confidence
        )

    def trusted(self, probability: float, *, decision: bool) -> Trusted | UnsetType:
        """Whether an answer can be trusted, by the journaled thresholds; UNSET: there are none."""
        thresholds = self._learning.trust.thresholds
        return UNSET if thresholds is None else thresholds.of(probability, decision=decision)

    @property
    def serving(self) -> Serving:
        """The offline models that answer."""
        return self._learning.serving

    def apply(self, message: Message) -> Emitted:
        """Apply one message, and return the output.

        Raises:
            GapError: A record is missing or repeated.
            StreamFunctionError: A function of the stream raised an error or returned an invalid
                value; this shard must not be used any more.
        """
        try:
            return self._apply(message)
        except USER_CODE_ERRORS as error:
            where = f"in events/{self.partition} at offset {self.position.offset}"
            raise_blamed(self.stream, error, where, self._features.hooks)
            raise

    def _apply(self, message: Message) -> Emitted:
        cut = None
        match message:
            case Records(records):
                for offset, append_time, key, value in records:
                    if offset != self.position.offset:
                        at = f"partition {self.partition}"
                        msg = f"next offset must be {self.position.offset}; got {offset} in {at}"
                        raise GapError(msg)
                    self._record(offset, append_time, key, value)
                    self.position.offset = offset + 1
                if not self.is_silent:
                    self.hashed = self.hashed.after(records)
            case Boundary(time, number):
                cut = self._cut(time)
                if number is not None:
                    self.position.activations = number + 1
            case Quiet(time, number):
                self.position.activations = number + 1
                self._advance(time - self._lateness, time)
            case Activation(number, model, offline, alone, champion, trust):
                self.position.activations = number + 1
                self._learning.activate(model, offline, alone=alone, champion=champion)
                self._learning.trust.decided(trust)
                self._columns.refer(*self._learning.champion)
            case Configuration(number, settings):
                self.position.activations = number + 1
                self._reconfigure(settings)
        return self._drain(cut)

    def predictor(self) -> Predictor:
        """An interface that answers requests from the current state; one per thread."""
        return Predictor(self._features, self._learning.compiled(), self.stream)

    def predict(self, request: Event) -> Prediction:
        """Predict as `apply` would if this request came next, without changing the shard.

        Its id and a time in the future are not checked, as that needs the log.

        Raises:
            RefusedError: `apply` would not answer it.
            StreamFunctionError: `apply` would raise it.
        """
        self.check(request)
        predictor = self.predictor()
        row = predictor.vector(request)
        blend = predictor.blend(row, predictor.knowing(self.serving))
        return self._prediction(request, self._key(request), blend)

    def check(self, request: Event) -> None:
        """Refuse a request whose content would make it a dead letter.

        Raises:
            RefusedError: The request is invalid; the message names the field.
            StreamFunctionError: `apply` would raise it.
        """
        try:
            wrong = self._check(request)
        except USER_CODE_ERRORS as error:
            raise_blamed(self.stream, error, ASKED)
            raise
        if wrong is None and request.time < self._counts.high_us - self._too_late:
            wrong = f"time must be at most {Duration(self._too_late)} behind the newest event's"
        if wrong is not None:
            msg = f"{wrong}; got request {request.id!r}"
            raise RefusedError(msg)

    def snapshot(self) -> bytes:
        """Encode the whole state, with offline models by id only; it begins with the version."""
        assert not any(self._out.values())
        try:
            parts = [part.snapshot() for part in self._parts().values()]
            if self._learning.metric_alerts.is_used:
                parts.append(self._learning.metric_alerts.snapshot())
        except USER_CODE_ERRORS as error:
            raise_blamed(self.stream, error, f"in a checkpoint of events/{self.partition}")
            raise
        sums = (self._running.total, self._running.lately)
        in_use = self._learning.in_use
        columns = (self._columns.snapshot(),) if self._columns.is_used else ()
        return msgspec.msgpack.encode(
            (VERSION, self.position, self._counts, in_use, sums, parts, *columns)
        )

    def restore(self, state: bytes, offline: Callable[[str], Offline | None]) -> None:
        """Restore a `snapshot` of a shard with the same stream and settings.

        Args:
            state: The bytes; everything that compiled code relies on is checked.
            offline: Returns the offline model of an id, bound to this shard.

        Raises:
            DamagedStateError: The bytes are not a valid state; this shard must not be used any
                more.
        """
        with _part("its head"):
            raw = msgspec.msgpack.decode(state, type=_Raws)
            version = msgspec.msgpack.decode(raw[0], type=int)
            check(version == VERSION, f"shard state must be of version {VERSION}", version)
            columns = msgspec.msgpack.decode(raw.pop(), type=bytes) if len(raw) > _HEAD else None
            self.position, self._counts, in_use, sums, parts = (
                msgspec.msgpack.decode(of, type=kind)
                for of, kind in zip(raw[1:], _HEAD_TYPES, strict=True)
            )
            self._check_counts()
        with _part("losses"):
            self._running.restore(*sums)
        if parts[len(self._parts()) :]:
            with _part("alerts on metrics"):
                self._learning.metric_alerts.restore(parts.pop())
        for (name, part), content in zip(self._parts().items(), parts, strict=True):
            with _part(name):
                part.restore(content)
        levels = {place: len(names) for place, names in self._levels}
        with _part("pending requests"):
            self._pending.check(self.partition, self.position.offset, levels)
        with _part("labels"):
            self._labels.check(self.position.offset)
        self._learning.in_use = in_use
        with _part("learning"):
            self._learning.check(self._pending.turns(), levels)
        self._turn_at = self._next_turn()
        self._learning.bind(in_use, offline)
        if columns is None:
            self._columns.refer(*self._learning.champion)
        elif in_use.model is None or self.serving.newest is not None:
            # Else no model was loaded: the shard is for looking at only.
            with _part("columns"):
                self._columns.restore(columns, *self._learning.champion)

    def _check_counts(self) -> None:
        """Check that the counters fit together.

        Raises:
            ValueError: They do not.
        """
        counts, cut = self._counts, self._counts.last_cut
        topics = sorted(counts.sequences)
        check(topics == sorted(TOPICS), f"topics must be {TOPICS}", topics)
        reasons, known = sorted(counts.dead_letters), get_args(DeadLetterReason)
        check({*reasons} <= {*known}, f"reasons must be of {known}", reasons)
        written = counts.sequences["outcomes"]
        check(counts.cut_end <= written, f"cuts must end by {written} outcomes", counts.cut_end)
        if cut is None:
            none = counts.cuts == counts.cut_end == self.position.boundary == 0
            check(none, "cuts must be none before the first", counts.cuts)
        else:
            last = Cut(
                counts.cuts - 1, self.position.boundary, cut.first, counts.cut_end, cut.change
            )
            check(0 <= cut.change <= MOST_US, f"a change must be at most {MOST_US}", cut.change)
            check(cut == last and 0 <= cut.first <= cut.end, f"last cut must be {last}", cut)

    def _parts(self) -> dict[str, Any]:
        return {
            "features": self._features,
            "pending requests": self._pending,
            "recent ids": self._seen,
            "clock guard": self._guard,
            **self._learning.parts(),
            "labels": self._labels,
        }

    def _record(self, offset: int, append_time: int, key: bytes, value: bytes) -> None:
        if len(value) > MOST_EVENT_BYTES:
            self._bury("invalid", too_large(value), offset, append_time, value)
            return
        try:
            event = self._decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._bury(*no_event(value, error), offset, append_time, value)
            return
        wrong = self._check(event)
        if wrong is not None:
            self._bury("invalid", wrong, offset, append_time, value)
        elif event.id in self._seen or event.id in self._pending:
            self._bury("duplicate", event.id, offset, append_time, value)
        elif not self._timely(event, append_time):
            detail = f"{(event.time - append_time) / SECOND_US:.0f} s ahead of its append time"
            self._bury("clock_skew", detail, offset, append_time, value)
        elif event.time < self._counts.high_us - self._too_late:
            detail = f"{(self._counts.high_us - event.time) / SECOND_US:.0f} s behind the newest"
            self._bury("late", detail, offset, append_time, value)
        else:
            self._accept(event, append_time, key, value)

    def _timely(self, event: Event, append_time: int) -> bool:
        accepted, ahead_us = self._guard.watch(event.source, event.time, append_time)
        if ahead_us:
            message = (
                f"the clock of source {event.source!r} is {ahead_us / SECOND_US:.3f} s ahead; "
                "events too far ahead are quarantined until it is set right"
            )
            alert = Alert("clock_ahead", append_time, message, event.source)
            self._out["alerts"].append(Entry(append_time, b"", _encode(alert)))
        return accepted

    def _accept(self, event: Event, append_time: int, key: bytes, value: bytes) -> None:
        counts, kind = self._counts, type(event)
        is_request = kind is self.stream.request
        seen = REQUEST if is_request else OTHER
        self._seen.add(event.id, max(event.time, counts.high_us), seen)
        if is_request:
            # Before the timers that its time fires: otherwise only a shard that has fired them, and
            # so has learned, could answer it.
            self._request(event, append_time, key)
        if event.time > counts.high_us:
            counts.high_us = event.time
            self._advance(event.time - self._lateness, append_time)
        self._features.observe(event)
        if is_request:
            self._labels.asked(event, append_time)
        if kind is self.stream.label.on:
            watermark = counts.high_us - self._lateness
            self._labels.told(event, self.position.offset, value, watermark, append_time)

    def _advance(self, watermark: int, append_time: int) -> None:
        """Fire the timers of a new watermark: deadlines, metrics, forgetting."""
        counts = self._counts
        self._labels.advance(watermark, append_time)
        tick = watermark - watermark % self._metrics_every
        if tick > counts.tick_us:
            if counts.tick_us:
                self._tick(tick, append_time)
            self._labels.look_back()
            counts.tick_us = tick
        if counts.high_us >= self._turn_at:
            since = self._turn_at - self._features.turn_us
            self._features.forget_in_turn(since, counts.high_us, counts.high_us - self._too_late)
            self._turn_at = self._next_turn()
        if watermark >= counts.forgot_us + _FORGET_EVERY_US:
            self._features.forget(counts.high_us - self._too_late)
            self._guard.forget(append_time - _SILENT_SOURCE_US)
            counts.forgot_us = watermark

    def _next_turn(self) -> int:
        """The event time (µs) at which rolling features must next forget."""
        every = self._features.turn_us
        return self._counts.high_us // every * every + every

    def _request(self, event: Event, append_time: int, key: bytes) -> None:
        place = self._pending.place()
        row = self._pending.rows[place]
        self._features.read(event, row)
        blend = self._predictor.blend(row, self._learning.serving)
        prediction = self._prediction(event, key.decode("utf-8", "backslashreplace"), blend)
        if self._columns.window is not None:
            self._columns.window.add(row, event.time, append_time)
        turn = self._learning.asked(self._predictor.models, blend.probability, event.time)
        self._pending.add(self.stream.label.deadline(event), prediction, event, turn)
        self._counts.requests += 1
        if not self.is_silent:
            self._counts.chain, value = link(self._counts.chain, prediction)
            self._out["predictions"].append(Entry(append_time, key, value))

    def _prediction(self, request: Event, key: str, blend: Blend) -> Prediction:
        decision = blend.probability >= self.threshold
        return Prediction(
            request.id,
            request.time,
            key,
            *blend,
            decision,
            self._learning.in_use.model,
            self.partition,
            self.position.offset,
            self.trusted(blend.probability, decision=decision),
        )

    def _resolve(
        self, waiting: PendingRequest, label: int, label_time: int, append_time: int
    ) -> None:
        made = waiting.prediction
        row = self._pending.rows[waiting.place]
        self._learning.learn(waiting, row, label)
        self._features.observe(Labelled(waiting.request, label, label_time))
        self._counts.labels += 1
        if self._learning.watch.found is not None:
            self._warn_of_drift(append_time)
        if not self.is_silent:
            self._write_outcome(made, row, label, label_time, append_time)

    def _forget(self, waiting: PendingRequest) -> None:
        """Drop a request without a label, as silence is not one."""
        self._learning.forget(waiting)
        if self._learning.watch.found is not None:
            self._warn_of_drift(self._counts.high_us)

    def _write_outcome(
        self, made: Prediction, row: Row, label: int, label_time: int, append_time: int
    ) -> None:
        probabilities = (made.probability, made.online, made.offline, made.residual)
        self._running.add(probabilities, label)
        values: list[float | str | None] = row.tolist()
        for i, names in self._levels:
            level = values[i]
            values[i] = names[int(level)] if isinstance(level, float) and level >= 0 else None
        fields = msgspec.structs.astuple(made)[:OUTCOME_FIELDS]
        outcome = _encode(self._outcome(*fields, label, label_time, *values))
        self._out["outcomes"].append(Entry(append_time, made.key.encode(), outcome))

    def _tick(self, time: int, append_time: int) -> None:
        counts = self._counts
        looked = self._columns.look(time)
        states, alerts = self._learning.metric_alerts.look(time, self.partition)
        self._learning.gather(time)
        if self.is_silent:
            return
        metrics = Metrics(
            time,
            self.position.offset,
            counts.requests,
            counts.labels,
            dict(counts.dead_letters),
            len(self._pending),
            self.model,
            self._guard.least_lag_us(),
            _losses(self._running.lately),
            _losses(self._running.total),
            self._labels.unlabelled,
            self._labels.early,
            self.older,
            self._learning.shares(),
            *self._learning.title(),
            states,
            *self._learning.look_ahead(),
            looked.states,
        )
        self._running.restart()
        alerts += looked.alerts
        self._out["alerts"] += [Entry(append_time, b"", _encode(alert)) for alert in alerts]
        self._out["metrics"].append(Entry(append_time, b"", _encode(metrics)))

    def _bury(
        self, reason: DeadLetterReason, detail: str, offset: int, append_time: int, value: bytes
    ) -> None:
        """Keep a record that takes no part as a dead letter."""
        letter = DeadLetter(
            reason, encodable(detail[:500]), self.partition, offset, len(value), value[:_RAW_BYTES]
        )
        counts = self._counts.dead_letters
        counts[reason] = counts.get(reason, 0) + 1
        self._out["dead_letters"].append(Entry(append_time, b"", _encode(letter)))

    def _lose(self, label: EarlyLabel, detail: str, append_time: int) -> None:
        self._bury("unmatched", detail, label.offset, append_time, label.raw)

    def _warn_of_labels(self, message: str, append_time: int) -> None:
        alert = Alert("labels_by_silence", self._counts.high_us, message)
        self._out["alerts"].append(Entry(append_time, b"", _encode(alert)))

    def _warn_of_drift(self, append_time: int) -> None:
        watch = self._learning.watch
        found, watch.found = watch.found, None
        assert found is not None
        alert = Alert("drift", self._counts.high_us, drift_message(found))
        self._out["alerts"].append(Entry(append_time, b"", _encode(alert)))

    def _cut(self, boundary: int) -> Cut:
        """The cut of a boundary; the newest one can be requested again."""
        counts = self._counts
        if counts.last_cut is None or counts.last_cut.boundary < boundary:
            end = counts.sequences["outcomes"]
            change = self._learning.cut()
            counts.last_cut = Cut(counts.cuts, boundary, counts.cut_end, end, change)
            counts.cuts += 1
            counts.cut_end = end
            self.position.boundary = boundary
        return counts.last_cut

    def _drain(self, cut: Cut | None) -> Emitted:
        entries = {}
        sequences = self._counts.sequences
        for topic, out in self._out.items():
            if out:
                entries[topic] = (sequences[topic], out)
                sequences[topic] += len(out)
                self._out[topic] = []
        return Emitted(self.partition, entries, cut)


_Raw = msgspec.Raw
_Sums = tuple[list[list[float]], list[list[float]]]
_Parts = Annotated[list[bytes], msgspec.Meta(min_length=14, max_length=15)]
"""The last one is of alerts on metrics, if the settings have any."""
_HEAD = 6
_HEAD_TYPES: tuple[Any, ...] = (Position, _Counts, ActiveModels, _Sums, _Parts)
_Raws = Annotated[list[_Raw], msgspec.Meta(min_length=_HEAD, max_length=_HEAD + 1)]
"""The version and what `_HEAD_TYPES` names; the last one is of columns, if they are compared."""


@contextmanager
def _part(name: str) -> Iterator[None]:
    """Turn an error in a part of a state into a DamagedStateError that names the part.

    Raises:
        DamagedStateError: The part is invalid.
    """
    try:
        yield
    except (ValueError, msgspec.MsgspecError, RecursionError) as error:
        msg = f"{error} in {name} of a shard's state"
        raise DamagedStateError(msg) from error


def _losses(sums: Sums) -> dict[str, Losses]:
    return {name: Losses(*own) for name, own in zip(MODELS, means(sums), strict=True) if own[0]}


def _weakly(method: Any) -> Callable[..., None]:
    """Wrap a method for use by a part, with a weak reference to avoid a reference cycle."""
    shard, function = weakref.ref(method.__self__), method.__func__

    def call(*given: Any) -> None:
        function(shard(), *given)

    return call
