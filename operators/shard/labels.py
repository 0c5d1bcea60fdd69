"""Join label events with pending requests; either may come first, or never."""

from collections.abc import Callable, Hashable
from operator import attrgetter
from typing import Any

import msgspec

from state.admission.early_labels import EarlyLabel, EarlyLabels
from state.admission.pending_requests import Pending, PendingRequest
from state.admission.recent_ids import OTHER, REQUEST, RecentIds
from state.durations import Duration
from state.events import Event
from state.restored import Count, check
from state.stream import Stream, StreamError

_LEAST = 10
_LEAST_BY_KEY = 200
"""Number of label events before an alert: with a key, most of them need not meet a request."""


class _LabelCounts(msgspec.Struct, forbid_unknown_fields=True):
    """Recent counts of labels, for the alert.

    Attributes:
        told: Number of requests labelled by an event.
        silent: Number of requests labelled by silence.
        missed: Number of label events that labelled no request.
        warned: Whether an alert was written, and the counts have not improved since.
        unlabelled: Number of requests dropped without a label, since the first record.
    """

    told: Count = 0
    silent: Count = 0
    missed: Count = 0
    warned: bool = False
    unlabelled: Count = 0


class Labels:
    """Joins label events with the requests of a shard.

    A label event that comes before its request waits for it: by id for lateness plus the label's
    delay, by key for lateness, as then no request can be before it any more. A label event is lost
    if its request never comes, or if it took so long that silence became the label and says
    otherwise.

    Args:
        stream: Stream with the label rule.
        pending: The pending requests.
        seen: Recent event ids.
        resolve: Called with a labelled request, its label, the label's time (µs), and the append
            time of the record that brought it.
        forget: Called with a request that gets no label.
        lose: Called with a lost label event, the reason, and the append time.
        alert: Called with a message and the append time.
    """

    def __init__(
        self,
        stream: Stream,
        pending: Pending,
        seen: RecentIds,
        *,
        resolve: Callable[[PendingRequest, int, int, int], None],
        forget: Callable[[PendingRequest], None],
        lose: Callable[[EarlyLabel, str, int], None],
        alert: Callable[[str, int], None],
    ) -> None:
        self._stream, self._label = stream, stream.label
        self._pending, self._seen = pending, seen
        self._on_label, self._on_lost, self._on_alert = resolve, lose, alert
        self._on_unlabelled = forget
        self._is_by_key = self._label.of is None
        self._lateness = int(Duration.parse(stream.lateness))
        self._wait = 0 if self._is_by_key else int(Duration.parse(self._label.delay))
        self._key_of_event, self._key_of_request = _keys(stream)
        self._early = EarlyLabels(self._wait, self._key_of_event, _reader(stream))
        self._by_key: dict[Hashable, dict[str, int]] = {}
        self._watched = _LabelCounts()
        self._needs_request = self._label.needs_request
        self._least = _LEAST_BY_KEY if self._is_by_key else _LEAST

    @property
    def early(self) -> int:
        """Number of label events that wait for their request."""
        return 0 if self._is_by_key else len(self._early.waiting)

    @property
    def unlabelled(self) -> int:
        """Number of requests dropped without a label."""
        return self._watched.unlabelled

    def asked(self, request: Event, append_time: int) -> None:
        """Label a new pending request if its label event came before it."""
        if self._early.waiting:
            label = self._before(request, append_time)
            if label is not None:
                self._tell(request.id, label.event, append_time)
                return
        if self._is_by_key:
            waiting = self._by_key.setdefault(self._key_of_request(request), {})
            waiting[request.id] = request.time

    def told(self, event: Event, offset: int, raw: bytes, watermark: int, append_time: int) -> None:
        """Label the requests of a label event, or let the event wait.

        Args:
            event: The label event.
            offset: Offset of its record.
            raw: Value of its record.
            watermark: Watermark after this event (µs).
            append_time: Append time of its record.
        """
        if self._is_by_key:
            label = EarlyLabel(offset, event, raw)
            self._told_by_key(label, append_time)
            if self._early.end_of(event) > watermark:
                self._early.add(*label)
            return
        request_id = self._key_of_event(event)
        is_own = request_id == event.id
        waiting = None if is_own else self._pending.take(request_id)
        if waiting is not None:
            self._watched.told += 1
            said = self._value(event, waiting.request)
            self._on_label(waiting, said, event.time, append_time)
            return
        note = OTHER if is_own else self._seen.note(request_id) or OTHER
        if note == REQUEST:
            return  # a second label
        label = EarlyLabel(offset, event, raw)
        if note > REQUEST:
            self._come_late(label, note, append_time)
        elif self._early.end_of(event) > watermark:
            self._early.add(*label)
        else:
            self._give_up(label, append_time)

    def advance(self, watermark: int, append_time: int) -> None:
        """Apply silence to requests whose deadline has come, and drop labels waiting too long."""
        silence = self._label.silence
        while (waiting := self._pending.due(watermark)) is not None:
            self._watched.silent += 1
            self._seen.fall_silent(waiting.prediction.id, waiting.deadline)
            if self._is_by_key:
                self._drop_from_key(waiting.request)
            if silence is None:
                self._watched.unlabelled += 1
                self._on_unlabelled(waiting)
            else:
                self._on_label(waiting, int(silence), waiting.deadline, append_time)
        while self._early.waiting and (early := self._early.due(watermark)) is not None:
            if not self._is_by_key:
                self._give_up(early, append_time)

    def look_back(self) -> None:
        """Restart the counts for the alert, once there are enough of them."""
        watched = self._watched
        if watched.told + watched.missed >= self._least:
            watched.warned = watched.warned and self._are_missed()
            watched.told = watched.silent = watched.missed = 0

    def snapshot(self) -> bytes:
        """Encode the waiting labels and the counts."""
        return msgspec.msgpack.encode((self._early.snapshot(), self._watched))

    def restore(self, state: bytes) -> None:
        """Restore a `snapshot`, after the pending requests.

        Raises:
            ValueError: A waiting event is not a label event.
            msgspec.DecodeError: The bytes have another form.
        """
        early, self._watched = msgspec.msgpack.decode(state, type=tuple[bytes, _LabelCounts])
        self._early.restore(early)

    def check(self, end: int) -> None:
        """Refuse a restored state that does not fit the shard; index the waiting requests again.

        Args:
            end: Offset after the last record.

        Raises:
            ValueError: The state does not fit.
        """
        self._early.check(end)
        if self._label.silence is not None:
            unlabelled = self._watched.unlabelled
            check(not unlabelled, "requests without a label must be none", unlabelled)
        if self._is_by_key:
            for request in self._pending.requests():
                waiting = self._by_key.setdefault(self._key_of_request(request), {})
                waiting[request.id] = request.time

    def _tell(self, request_id: str, event: Event, append_time: int) -> bool:
        """Label one request; return whether it was pending."""
        waiting = self._pending.take(request_id)
        if waiting is None:
            return False
        self._watched.told += 1
        self._on_label(waiting, self._value(event, waiting.request), event.time, append_time)
        return True

    def _told_by_key(self, label: EarlyLabel, append_time: int) -> None:
        """Label all requests of an event's key that are not after it."""
        event = label.event
        key = self._key_of_event(event)
        waiting = self._by_key.get(key, {})
        found = [r for r, time in waiting.items() if time <= event.time and r != event.id]
        for request_id in found:
            del waiting[request_id]
            self._tell(request_id, event, append_time)
        if not waiting:
            self._by_key.pop(key, None)
        if not found:
            self._miss(append_time)

    def _before(self, request: Event, append_time: int) -> EarlyLabel | None:
        """The label event that came before its request, unless it is after the deadline."""
        deadline = self._label.deadline(request)
        end = deadline + self._lateness
        key = self._key_of_request(request)
        if self._is_by_key:
            first = self._early.first_after(key, request.time)
            return None if first is None or first.event.time >= end else first
        found = self._early.take(key)
        in_time = next((one for one in found if one.event.time < end), None)
        for one in found if in_time is None else ():
            self._come_late(one, deadline, append_time)
        return in_time

    def _come_late(self, label: EarlyLabel, deadline: int, append_time: int) -> None:
        """Handle a label event whose request was labelled by silence.

        Nothing is lost if it agrees with silence, or if its own time is after the deadline.
        Otherwise it arrived too late, and is lost.
        """
        event, declared = label.event, self._label
        if not self._needs_request and declared.value(event) == declared.silence:
            return
        if event.time < deadline:
            why = f"came after the deadline of its request: {self._key_of_event(event)!r}"
            self._on_lost(label, why, append_time)
        self._miss(append_time)

    def _give_up(self, label: EarlyLabel, append_time: int) -> None:
        waited = Duration(self._wait + self._lateness)
        request_id = self._key_of_event(label.event)
        self._on_lost(
            label, f"its request did not come within {waited}: {request_id!r}", append_time
        )
        self._miss(append_time)

    def _drop_from_key(self, request: Event) -> None:
        key = self._key_of_request(request)
        waiting = self._by_key[key]
        del waiting[request.id]
        if not waiting:
            del self._by_key[key]

    def _value(self, event: Event, request: Event) -> int:
        if not self._needs_request:
            return int(self._label.value(event))
        said = self._label.value(event, request)
        if said not in {False, True}:
            msg = (
                f"the label must be true or false; got {said!r} of event {event.id!r} for request "
                f"{request.id!r} in stream {self._stream.name!r}"
            )
            raise StreamError(msg)
        return int(said)

    def _miss(self, append_time: int) -> None:
        """Count a label event that labelled no request, and write the alert if it is due."""
        watched = self._watched
        watched.missed += 1
        if not watched.warned and self._are_missed():
            watched.warned = True
            self._on_alert(self._warning(), append_time)

    def _are_missed(self) -> bool:
        """Whether most label events label no request, and silence gives most labels."""
        watched = self._watched
        most = watched.told == 0 if self._is_by_key else watched.missed > watched.told
        return most and watched.missed >= self._least and watched.silent > watched.told

    def _warning(self) -> str:
        label, watched = self._label, self._watched
        name = label.on.__name__
        by = f"{name}.{label.of}" if label.of else f"the key of {name}"
        hint = f"does {by} name requests, and do they come in time?"
        if self._stream.key is not None:
            hint += f" And does `key` send each {name} to the partition of its request?"
        became = "no label" if label.silence is None else "their label by silence"
        return (
            f"{watched.silent} requests got {became}, {watched.told} from an event, and "
            f"{watched.missed} {name} events met no request: {hint}"
        )


def _keys(
    stream: Stream,
) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Functions that return the common key of a label event and of a request."""
    label = stream.label
    if label.of is not None:
        return attrgetter(label.of), attrgetter("id")
    if not label.fields:
        return (lambda _: ()), (lambda _: ())
    return attrgetter(*label.fields.values()), attrgetter(*label.fields)


def _reader(stream: Stream) -> Callable[[bytes], Event]:
    decode, wrong_in, kind = stream.decoder().decode, stream.check(), stream.label.on

    def read(raw: bytes) -> Event:
        event = decode(raw)
        check(type(event) is kind, f"an early label must be {kind.__name__}", event)
        wrong = wrong_in(event)
        check(wrong is None, "an early label must be a valid event", wrong)
        return event

    return read
