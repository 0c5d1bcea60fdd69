"""The stream: a user's complete definition of a problem, checked when it is made."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, reduce
from operator import or_
from reprlib import repr as shortened
from typing import Any, get_args

import msgspec

from state.durations import Duration
from state.event_times import YEAR_1990_US, Times, TimeTexts
from state.events import MOST_SOURCE, Event, TimeUnit
from state.features import Column, Counted, Feature, Labelled
from state.field_types import (
    KEY,
    PARTITION_KEY,
    TEXT,
    WHOLE,
    FieldRequirement,
    declared,
    is_boundless,
    is_text,
    spoken,
)
from state.kinds.arguments import StreamError, check_arguments
from state.kinds.keys import Keyed
from state.kinds.kind import Scope
from state.label import Label
from state.log import MOST_PARTITIONS
from state.partition_keys import PartitionKey, key_fields, key_peeker, key_reader
from state.plain_text import is_plain_line
from state.stream_functions import functions_of, misfit
from state.stream_numbers import Bound

__all__ = ["RESERVED", "Label", "Stream", "StreamError"]

_LABELS = (False, True)
_LEAST_DEDUP = Duration.parse("6h")


@dataclass(frozen=True)
class Stream:
    """Events, request, label and features of one problem.

    Args:
        name: Name shown to people; part of every checkpoint.
        events: All event types, including requests and labels.
        request: Event type that asks for a prediction.
        label: Rule for the outcome of a request.
        features: Features of the vector, in order.
        crosses: Pairs of categorical columns whose combinations the linear models learn.
        key: Field of every event that decides its partition; or by event type the field of each:
            `{Asked: "shop", Closed: None}`, where None sends all events of that type to one
            partition. None: there is one partition and no key.
        partitions: Number of partitions, fixed when the log is made.
        lateness: Distance of the watermark behind the highest event time.
        dedup: Time (event time) for which an id is remembered, at most twice that; at least
            lateness plus the longest window. None: these two together, and no less than 6 h.
        refit_from: Time before which there is no boundary, and from which they are counted; None:
            boundaries are multiples of `training.every` since 1970.
        time_unit: Unit of numeric times in ingested data; the log has microseconds.
        times_from: Time before which numbers are taken to be in another unit; None: 1990.

    Raises:
        StreamError: A field, its type, a column or a duration is invalid; the message names it.
    """

    name: str
    events: tuple[type[Event], ...]
    request: type[Event]
    label: Label
    features: tuple[Feature, ...]
    crosses: tuple[tuple[str, str], ...] = ()
    key: PartitionKey = None
    partitions: int = 1
    lateness: str = "0s"
    dedup: str | None = None
    refit_from: datetime | None = None
    time_unit: TimeUnit = "us"
    times_from: datetime | None = None

    def __post_init__(self) -> None:
        """Check the whole definition."""
        check_arguments(self)
        self._check_events()
        self._check_silence()
        for feature in self.features:
            self._check_feature(feature)
        self._check_columns()
        self._check_functions()
        self._check_dedup()

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """Columns of the feature vector, in order."""
        return tuple(c for feature in self.features for c in feature.columns)

    @cached_property
    def titles(self) -> tuple[str, ...]:
        """Name of each feature in messages: its kind and its first column."""
        return tuple(feature.title for feature in self.features)

    @cached_property
    def horizon_us(self) -> int:
        """Length of the longest rolling window, µs: an older event would count nowhere."""
        longest = max((feature.horizon_us for feature in self.features), default=0)
        return longest or Duration.parse("1h")

    @cached_property
    def remembered(self) -> Duration:
        """Time for which an id is remembered."""
        return Duration.parse(str(self.dedup))

    def scope(self, place: int) -> Scope:
        """The facts about the stream that a feature may use whose first column is `place`."""
        lateness = Duration.parse(self.lateness)
        return Scope(self.request, lateness, self.horizon_us, self.columns, place)

    @property
    def refit_from_us(self) -> int:
        """The first boundary (µs UTC); 0: boundaries are multiples since 1970."""
        return 0 if self.refit_from is None else _us(self.refit_from)

    def times(
        self, unit: TimeUnit | None = None, *, is_sure: bool = False, texts: TimeTexts | None = None
    ) -> Times:
        """The converter of event times, as they are ingested, to microseconds.

        Args:
            unit: Unit of numbers; None: `time_unit`.
            is_sure: See `state.event_times.Times`.
            texts: Form of times in text; None: RFC 3339, UTC without a zone.
        """
        since = YEAR_1990_US if self.times_from is None else _us(self.times_from)
        unit = unit or self.time_unit
        return Times(self.events, unit, since, is_sure=is_sure, texts=texts or TimeTexts())

    def check(self) -> Callable[[Event], str | None]:
        """A function that describes the value of an event that is out of bounds; None: none is.

        Times in the future must lie within the limits that features and label declare, or state
        would wait for them without end.
        """
        limits: dict[Counted, dict[str, int]] = {event: {} for event in self.events}
        for feature in self.features:
            for over, name, ahead in feature.limits():
                limits[over][name] = max(ahead, limits[over].get(name, 0))
        boundless = {event: _boundless(event) for event in self.events}
        request, deadline = self.request, self.label.deadline
        says, value = self.label.on, self.label.value
        needs_request = self.label.needs_request
        delay = Duration.parse(self.label.delay)

        def check(event: Event) -> str | None:
            if len(event.source) > MOST_SOURCE:  # not by its type, which homes have on record
                return f"source must be at most {MOST_SOURCE} characters"
            kind: Any = type(event)
            for name in boundless[kind]:
                if not -(2**63) <= (getattr(event, name) or 0) < 2**63:
                    return f"{name} must fit 64 bits"
            for name, ahead in limits[kind].items():
                if getattr(event, name) > event.time + ahead:
                    return f"{name} must be at most {Duration(ahead)} after time"
            if kind is request:
                wrong = _wrong_deadline(deadline(event), event.time, delay)
                if wrong is not None:
                    return wrong
            if kind is says and not needs_request and value(event) not in _LABELS:
                return "the label must be true or false"
            return None

        return check

    def decoder(self) -> msgspec.json.Decoder[Event]:
        """A decoder of this stream's events that checks types and ranges."""
        return msgspec.json.Decoder(reduce(or_, self.events))

    def key_of(self) -> Callable[[Event], str]:
        """A function that returns an event's partition key; empty if the stream has none."""
        return key_reader(self.key)

    @cached_property
    def key_fields(self) -> dict[type[Event], str | None]:
        """The routing field of each event type."""
        return key_fields(self.key, self.events)

    def peek(self) -> Callable[[bytes], tuple[int | None, bytes]]:
        """A function from raw bytes to event time (or None) and partition key."""
        return key_peeker(self.key)

    def _check_events(self) -> None:
        if not (self.name and is_plain_line(self.name)):
            msg = f"name must be a text on one line; got {shortened(self.name)} in Stream"
            raise StreamError(msg)
        self._check_label_arguments()
        for event in (self.request, self.label.on):
            if event not in self.events:
                msg = f"stream {self.name!r} must list {event.__name__} among its events"
                raise StreamError(msg)
        self._check_types()
        for event in self.events:
            _check_own_names(event, self.name)
        try:
            self.decoder()
        except TypeError as error:
            msg = f"events must be types that JSON can tell apart; got '{error}' in {self.name!r}"
            raise StreamError(msg) from error
        self._check_label()
        _check_duration(self.lateness, "lateness")
        if self.dedup is not None:
            _check_duration(self.dedup, "dedup")
        bound = Bound("partitions", self.partitions, 1, MOST_PARTITIONS)
        if bound.wrong or not isinstance(self.partitions, int):
            msg = f"{bound.wrong or 'partitions must be a whole number'} in stream {self.name!r}"
            raise StreamError(msg)
        for name in ("refit_from", "times_from"):
            moment = getattr(self, name)
            if moment is not None and moment.tzinfo is None:
                msg = f"{name} must have a time zone; got {moment} in stream {self.name!r}"
                raise StreamError(msg)
        if self.time_unit not in get_args(TimeUnit):
            units = ", ".join(get_args(TimeUnit))
            msg = f"time_unit must be one of {units}; got {self.time_unit!r} in {self.name!r}"
            raise StreamError(msg)
        self._check_key()

    def _check_key(self) -> None:
        if self.key is None:
            if self.partitions != 1:
                many = f"stream {self.name!r} has {self.partitions} partitions"
                msg = f"{many}: name a key to fill them"
                raise StreamError(msg)
            return
        names, fields = {event.__name__: event for event in self.events}, self.key_fields
        for name in sorted({event.__name__ for event in fields} ^ names.keys()):
            msg = (
                f"key must name the field of each event type, or None for it; got "
                f"{'none' if name in names else 'one'} for {name} in stream {self.name!r}"
            )
            raise StreamError(msg)
        for event, field in fields.items():
            if field is not None:
                self._check_key_field(event, field)
        for event in (self.request, self.label.on):
            if fields[event] is None:
                msg = (
                    f"key must name a field of {event.__name__}, or requests and their labels "
                    f"would be in different partitions; got None in stream {self.name!r}"
                )
                raise StreamError(msg)
        ours, theirs = fields[self.request], fields[self.label.on]
        if self.label.by is not None and self.label.fields.get(str(ours)) != theirs:
            msg = (
                f"label.by must hold the partition key, {ours!r} of {self.request.__name__} and "
                f"{theirs!r} of {self.label.on.__name__}, or a label could be in another partition "
                f"than its request; got {self.label.by} in stream {self.name!r}: add it, or leave "
                "out `key`, for one partition"
            )
            raise StreamError(msg)

    def _check_key_field(self, event: type[Event], field: str) -> None:
        try:
            _check_field(event, field, PARTITION_KEY, "key")
        except StreamError as error:
            fix = "route each event type by a field of its own, or by None to one partition"
            msg = f"{error}: {fix}, as in key={{{event.__name__}: None, …}}"
            raise StreamError(msg) from None

    def _check_label_arguments(self) -> None:
        """Refuse arguments of the label that are of other types."""
        label = self.label
        if not (isinstance(label.on, type) and issubclass(label.on, Event)):
            msg = (
                f"label.on must be an event type; got {shortened(label.on)} in stream {self.name!r}"
            )
            raise StreamError(msg)
        if not isinstance(label.delay, str):
            msg = f"label.delay must be a text such as '1h'; got {label.delay!r} in {self.name!r}"
            raise StreamError(msg)
        names = [*(label.by or ()), *label.fields.values(), label.of or ""]
        if isinstance(label.by, str) or not all(isinstance(name, str) for name in names):
            got = f"{shortened(label.by)} and {shortened(label.of)}"
            rule = "label.by must be a tuple of field names, label.of one"
            msg = f"{rule}; got {got} in stream {self.name!r}"
            raise StreamError(msg)

    def _check_label(self) -> None:
        label = self.label
        _check_duration(label.delay, "label.delay")
        if not Duration.parse(label.delay):
            msg = (
                "label.delay must be longer than 0s, as it is the longest time from a request to "
                f"its deadline; got {label.delay!r} in stream {self.name!r}"
            )
            raise StreamError(msg)
        if (label.of is None) == (label.by is None):
            msg = (
                f"label must have either `of` or `by`; got {label.of!r} and {label.by!r} "
                f"in stream {self.name!r}"
            )
            raise StreamError(msg)
        if label.of is not None:
            _check_field(label.on, label.of, TEXT, "label")
        for asked, told in label.fields.items():
            _check_field(self.request, asked, KEY, "label.by")
            _check_field(label.on, told, KEY, "label.by")
            self._check_pair(asked, told)

    def _check_pair(self, asked: str, told: str) -> None:
        """Refuse to pair a text with a number, as they never match."""
        ours, theirs = declared(self.request)[asked], declared(self.label.on)[told]
        if not {*map(is_text, ours)} & {*map(is_text, theirs)}:
            msg = (
                f"label.by must pair texts with texts and numbers with numbers; got {asked!r} of "
                f"{self.request.__name__} ({spoken(ours)}) and {told!r} of "
                f"{self.label.on.__name__} ({spoken(theirs)}) in stream {self.name!r}"
            )
            raise StreamError(msg)

    def _check_types(self) -> None:
        by_tag: dict[Any, type[Event]] = {}
        for event in self.events:
            tag = event.__struct_config__.tag
            other = by_tag.setdefault(tag, event)
            if other is not event or self.events.count(event) > 1:
                msg = (
                    f"events must have types of their own; got {other.__name__} and "
                    f"{event.__name__}, both {tag!r}, in stream {self.name!r}"
                )
                raise StreamError(msg)

    def _check_feature(self, feature: Feature) -> None:
        if not feature.columns:
            msg = f"{type(feature).__name__} must have a column; got {feature} in {self.name!r}"
            raise StreamError(msg)
        where = f"feature {feature.title}"
        for over in feature.overs if isinstance(feature, Keyed) else ():
            if over is not Labelled and over not in self.events:
                msg = (
                    f"over must be among the stream's events, or Labelled; got {over!r} in {where}"
                )
                raise StreamError(msg)
        for event, name, need in feature.uses(self.request):
            _check_field(event, name, need, where)
        for text in feature.durations():
            _check_duration(text, where)
        for name in ("expires", "forget"):
            text = getattr(feature, name, "1s")
            if not Duration.parse(text):
                msg = f"{name} must be longer than 0s, or all is missing; got {text!r} in {where}"
                raise StreamError(msg)
        for bound in feature.bounds(Duration.parse(self.lateness)):
            if bound.wrong:
                msg = f"{bound.wrong} in {where} of stream {self.name!r}"
                raise StreamError(msg)

    def _check_silence(self) -> None:
        if not isinstance(self.label.silence, bool | None):
            got = shortened(self.label.silence)
            msg = f"label.silence must be true, false or None; got {got} in stream {self.name!r}"
            raise StreamError(msg)

    def _check_functions(self) -> None:
        for function in functions_of(self):
            if wrong := misfit(function):
                msg = f"{wrong} in stream {self.name!r}"
                raise StreamError(msg)

    def _check_dedup(self) -> None:
        least = Duration.parse(self.lateness) + self.horizon_us
        if self.dedup is None:
            object.__setattr__(self, "dedup", str(Duration(max(_LEAST_DEDUP, least))))
        elif self.remembered < least:
            msg = (
                f"dedup must be at least {Duration(least)}, lateness and the longest window "
                f"together, or a late duplicate would count twice; got {self.dedup!r} "
                f"in stream {self.name!r}"
            )
            raise StreamError(msg)

    def _check_columns(self) -> None:
        names = [column.name for column in self.columns]
        if not names:
            msg = f"features must hold at least one; got none in stream {self.name!r}"
            raise StreamError(msg)
        for name in names:
            if not _is_name(name):
                msg = (
                    "column must have a name without double quotes, backslashes, control "
                    "characters, space around it, or # or [ at its beginning; got "
                    f"{shortened(name)} in stream {self.name!r}"
                )
                raise StreamError(msg)
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            of = [f.title for f in self.features if {c.name for c in f.columns} & {*twice}]
            msg = (
                f"columns must have names of their own; got {twice} more than once, in features "
                f"{', '.join(of)} of stream {self.name!r}: `names` or `name` gives others"
            )
            raise StreamError(msg)
        reserved = sorted(set(names) & RESERVED)
        if reserved:
            msg = f"columns must not take the names of outcome fields; got {reserved}"
            raise StreamError(msg)
        levels = {column.name for column in self.columns if column.categorical}
        place = 0
        for feature in self.features:
            wrong = feature.wrong(self.scope(place))
            if wrong:
                raise StreamError(wrong)
            place += len(feature.columns)
        for pair in self.crosses:
            if len(pair) != len(("one", "other")):
                msg = f"crosses must be pairs of columns; got {pair} in stream {self.name!r}"
                raise StreamError(msg)
            for name in pair:
                if name not in levels:
                    msg = f"crosses must pair categorical columns {sorted(levels)}; got {name!r}"
                    raise StreamError(msg)


RESERVED = frozenset({
    "id", "event_time", "key", "probability", "online", "offline", "residual", "decision", "model",
    "partition", "offset", "label", "label_time",
})  # fmt: skip
"""Fields of an outcome besides the feature columns."""


def _is_name(name: object) -> bool:
    """Whether JSON, Parquet and H2O all accept a text as the name of a column."""
    plain = isinstance(name, str) and is_plain_line(name) and name == name.strip()
    return plain and str(name)[:1] not in {"", "#", "["} and not {*str(name)} & {*'"\\'}


def _us(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)


def _boundless(event: type[Event]) -> list[str]:
    """Fields that may hold an unbounded whole number."""
    return [name for name, types in declared(event).items() if any(map(is_boundless, types))]


def _check_own_names(event: type[Event], stream: str) -> None:
    """Refuse fields that JSON has by another name: keys and columns are found by their own."""
    for field in msgspec.structs.fields(event):
        if field.encode_name != field.name:
            msg = (
                f"field must have its own name in JSON; got {field.name!r} of {event.__name__}, "
                f"renamed to {field.encode_name!r}, in stream {stream!r}: leave out `rename`"
            )
            raise StreamError(msg)


def _check_field(event: Counted, name: str, need: FieldRequirement, where: str) -> None:
    fields = declared(event)
    if name not in fields:
        have = ", ".join(fields)
        msg = f"{where} names field {name!r} that {event.__name__} lacks; it has {have}"
        raise StreamError(msg)
    if not all(map(need.takes, fields[name])):
        got = spoken(fields[name])
        msg = f"field {name!r} of {event.__name__} must be {need.what}; got {got} in {where}"
        if need in {PARTITION_KEY, TEXT} and all(map(WHOLE.takes, fields[name])):
            msg += " (declared as str, it takes the whole numbers of files too)"
        raise StreamError(msg)


def _check_duration(text: str, where: str) -> None:
    try:
        Duration.parse(text)
    except ValueError as error:
        msg = f"{error} in {where}"
        raise StreamError(msg) from None


def _wrong_deadline(ends: Any, time: int, delay: Duration) -> str | None:
    """Describe why the deadline of a stream's function is invalid; None: it is valid."""
    if type(ends) is not int:  # JSON has other forms for its subclasses, or none
        return "the label's deadline must be a whole number"
    if ends > time + delay:
        return f"the label's deadline must be at most {delay} after time"
    return "the label's deadline must not be before 1970" if ends < 0 else None
