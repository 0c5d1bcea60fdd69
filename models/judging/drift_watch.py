"""The watch over a shard's answers, label by label in request order."""

import math
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import numpy as np

from models.judging.betting import LEAST, MOST, Floats
from models.judging.drift import MEMORY, Detectors, Finding, alarming, finding

_LARGEST = 2.0**60
_Whole = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class _Notes(msgspec.Struct, forbid_unknown_fields=True):
    """Counts of a watch.

    Attributes:
        begun_at: Event time of the first request that was looked at, µs; 0: there was none.
        begun: Number of weighed requests at that time.
        limit: Capital from which on there is an alarm; 0: too few labels have come.
        alarmed_at: Event time of the last alarm, µs; 0: there was none.
        is_doubted: There was an alarm since the newest boundary.
        doubts: The detectors of the offline model then; else empty.
    """

    begun_at: _Whole = 0
    begun: _Whole = 0
    limit: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    alarmed_at: _Whole = 0
    is_doubted: bool = False
    doubts: bytes = b""


class DriftWatch:
    """Detects that the answers have become wrong; see `models.judging.drift`.

    When they have, it begins to watch the newest offline model itself. If that is wrong from then
    on, a fit is wanted, though the learners may have corrected the answers meanwhile. What passes,
    such as a storm, asks for no fit.

    Args:
        false_alarms: Least mean event time between two false alarms, µs.
        rest: Least event time between two alarms, µs.

    Attributes:
        address: Address of the detectors, for compiled code.
        limit: Capital from which on there is an alarm.
        found: The alarm that was not told yet; None: there is none.
    """

    def __init__(self, false_alarms: int, rest: int) -> None:
        self._memory, self._doubtful = np.empty(MEMORY), np.empty(MEMORY)
        self._state, self._doubts = Detectors(*self._memory), Detectors(*self._doubtful)
        self.address: int = self._memory.ctypes.data
        self._doubts_address: int = self._doubtful.ctypes.data
        self._notes = _Notes()
        self.limit = math.inf
        self.found: Finding | None = None
        self.configure(false_alarms, rest)
        self._restart()

    def configure(self, false_alarms: int, rest: int) -> None:
        """Apply other settings."""
        self._false_alarms, self._rest = false_alarms, rest

    def _restart(self) -> None:
        self._memory[:] = 0.0
        self._state.capitals[:] = 1.0
        self.trust_again()

    def trust_again(self) -> None:
        """Forget the evidence against the offline model: it is another."""
        self._doubtful[:] = 0.0
        self._doubts.capitals[:] = 1.0

    @property
    def doubts(self) -> int:
        """Address of the offline model's detectors, for compiled code; 0: it is not watched."""
        return self._doubts_address if self._notes.is_doubted else 0

    @property
    def change(self) -> Finding | None:
        """The evidence that the offline model is wrong now; None: it does not suffice."""
        kind = alarming(self._doubts, self.limit) if self._notes.is_doubted else -1
        return finding(self._doubts, kind) if kind >= 0 else None

    @property
    def is_calm(self) -> bool:
        """Whether no detector has half of the evidence that an alarm takes.

        That is the square root of its capital, as evidence multiplies. False before there is a
        limit.
        """
        return self.limit < math.inf and alarming(self._state, math.sqrt(self.limit)) < 0

    def look(self, weighed: int, event_time: int) -> None:
        """Set the limit by the number of labels that come in `false_alarms`.

        Args:
            weighed: Number of weighed requests.
            event_time: Time of the newest one, µs.
        """
        notes = self._notes
        if not notes.begun_at:
            notes.begun_at, notes.begun = event_time, weighed
            return
        span = max(event_time - notes.begun_at, 1)
        notes.limit = max(1.0, (weighed - notes.begun) * self._false_alarms / span)
        self.limit = notes.limit

    def alarm(self, kind: int, event_time: int) -> None:
        """Note an alarm, unless the last one was within the rest."""
        notes = self._notes
        if notes.alarmed_at and event_time - notes.alarmed_at < self._rest:
            return
        self.found, notes.alarmed_at = finding(self._state, kind), event_time
        if not notes.is_doubted:
            notes.is_doubted = True
            self.trust_again()

    def cut(self) -> int:
        """A fit is due: return the event time of `change`, or 0; the detectors start again then."""
        change, self._notes.is_doubted = self.change, False
        if change is None:
            return 0
        self._restart()
        return change.since

    def snapshot(self) -> bytes:
        """Encode the detectors and the counts."""
        self._notes.doubts = self._doubtful.tobytes() if self._notes.is_doubted else b""
        return msgspec.msgpack.encode((self._memory.tobytes(), self._notes))

    def restore(self, state: bytes) -> None:
        """Restore a `snapshot`.

        Raises:
            ValueError: A length or a number is invalid.
            msgspec.DecodeError: The bytes have another form.
        """
        content, notes = msgspec.msgpack.decode(state, type=tuple[bytes, _Notes])
        read = _read(content)
        self.trust_again()
        if notes.is_doubted:
            self._doubtful[:] = _read(notes.doubts)
        if not math.isfinite(notes.limit):
            msg = f"a limit must be finite; got {notes.limit}"
            raise ValueError(msg)
        self._memory[:], self._notes = read, notes
        self.limit = notes.limit or math.inf


def _read(content: bytes) -> Floats:
    expected = 8 * math.prod(MEMORY)
    if len(content) != expected:
        msg = f"detectors must be of {expected} bytes; got {len(content)}"
        raise ValueError(msg)
    read = np.frombuffer(content).reshape(MEMORY)
    capitals, labels, starts, excess = Detectors(*read)
    within = ((capitals >= LEAST) & (capitals <= MOST)).all()
    within &= all(((of >= 0) & (of < _LARGEST)).all() for of in (labels, starts))
    if not (within and (np.abs(excess) < _LARGEST).all()):
        msg = "detectors must be of capitals, numbers of labels, times and sums; got others"
        raise ValueError(msg)
    return read


def drift_message(found: Finding) -> str:
    """An alarm, as a sentence.

    Example:
        >>> drift_message(Finding("too sure", 1_704_067_200_000_000, 812, 0.01234))
        'answers are too sure since 2024-01-01 00:00: log-loss 0.0123 above expected, by 812 labels'
    """
    since = datetime.fromtimestamp(found.since // 1_000_000, UTC)
    sign = "above" if found.excess >= 0.0 else "below"
    said = found.kind if found.kind.startswith("too") else f"off, with {found.kind} than predicted,"
    return (
        f"answers are {said} since {since:%Y-%m-%d %H:%M}: log-loss {abs(found.excess):.4f} "
        f"{sign} expected, by {found.labels:,} labels"
    )
