"""The columns of a shard's vectors, against the training window of its champion.

Every vector counts as it is made. At a tick, once there are enough, each column is compared with
the same hours of the week in training, and the next window begins.
"""

from typing import NamedTuple

import msgspec
import numpy as np

from models.judging.column_drift import FLOOR, ColumnDrift, drift
from models.judging.column_faults import (
    LEAST_ROWS,
    TIME,
    FaultKind,
    Lateness,
    Sign,
    column_signs,
)
from models.judging.column_reference import Reference, is_as_long_as
from models.judging.column_window import LAGS, ColumnWindow
from models.judging.fault_text import SHORT, Seen, fault_text, moment
from state.events import TimeUs
from state.outputs.records import Alert, ColumnState
from state.restored import Count, check
from state.settings import Settings

_DIGITS = 6
_LISTED = 12
"""Number of columns in a record of metrics, unless more have faults."""
_FIGURES = ("psi", "critical", "importance", "nulls", "nulls_before", "beyond")
_WELL = 2
"""Number of windows in a row after which a fault is over."""


class _Fault(msgspec.Struct, array_like=True):
    """A fault that is on: since when (µs), and in how many newest windows it was not seen."""

    column: str
    kind: FaultKind
    since: TimeUs
    well: Count = 0


class _Notes(msgspec.Struct):
    """State besides the counts.

    Attributes:
        model: Id of the model whose training window is compared with; None: there is none.
        begin: Event time of the tick at which the window began, µs; 0: at no tick.
        lateness: The usual time between requests and their records.
        faults: The faults that are on.
        states: The columns that stood out at the last look, the first one most.
    """

    model: str | None = None
    begin: TimeUs = 0
    lateness: Lateness = Lateness()
    faults: list[_Fault] = []
    states: dict[str, ColumnState] = {}


class Looked(NamedTuple):
    """The result of a look at the columns.

    Attributes:
        states: The columns that stand out, the first one most.
        alerts: Faults that began or ended.
    """

    states: dict[str, ColumnState]
    alerts: list[Alert]


class ColumnWatch:
    """The live columns of one shard.

    Args:
        width: Length of a vector.
        partition: The shard's partition, which alerts name.
        settings: Settings `columns` apply.
    """

    def __init__(self, width: int, partition: int, settings: Settings) -> None:
        self._width, self._partition = width, partition
        self._season = int(settings.columns.season)
        self._reference: Reference | None = None
        self._notes = _Notes()
        self.window: ColumnWindow | None = None

    def configure(self, settings: Settings) -> None:
        """Apply other settings."""
        self._season = int(settings.columns.season)

    @property
    def is_used(self) -> bool:
        """Whether there is a profile, or there was one when a fault began."""
        return self.window is not None or bool(self._notes.faults)

    def refer(self, model: str | None, reference: Reference | None) -> None:
        """Compare with the training window of a champion from now on.

        Args:
            model: Id of the champion; None: there is none.
            reference: The champion's profile; None: it has none.
        """
        model = model if reference is not None else None
        notes = self._notes
        if model == notes.model:
            return
        self._bind(reference)
        notes.model, notes.begin, notes.states = model, 0, {}
        if model is None:
            notes.lateness = Lateness()

    def _bind(self, reference: Reference | None) -> None:
        self._reference = reference
        self.window = None if reference is None else ColumnWindow(reference, self._width)

    def look(self, time: int) -> Looked:
        """Compare the columns, if there are enough rows, and begin the next window.

        Args:
            time: Event time of the tick, µs.
        """
        notes, reference, window = self._notes, self._reference, self.window
        if reference is None or window is None:
            return Looked({}, self._end_all(time))
        if not is_as_long_as(reference.profile, self._season):
            return Looked({}, self._end_all(time))
        window.settle()
        if window.rows < LEAST_ROWS:
            notes.begin = notes.begin or time
            return Looked(notes.states, [])
        alerts = self._look(time, reference, window)
        window.restart()
        notes.begin = time
        return Looked(notes.states, alerts)

    def _look(self, time: int, reference: Reference, window: ColumnWindow) -> list[Alert]:
        notes = self._notes
        drifts = drift(reference, window.counts, window.hours)
        alerts, states = [], {}
        clock = notes.lateness.sign(window.lags)
        alerts += self._judge(time, TIME, [clock], -1)
        if clock.is_well or not notes.lateness.is_known:
            notes.lateness = notes.lateness.after(window.lags)
        names = [column.name for column in reference.profile.columns]
        faulty = [names.index(one.column) for one in notes.faults if one.column in names]
        drifted = np.flatnonzero(drifts.found[:, 0] > FLOOR).tolist()
        suspects = {*faulty, *window.stand_out(reference.usual).tolist()}
        for place in sorted({*suspects, *drifted}):
            name, of = names[place], drifts.of(place)
            if place in suspects:
                signs = column_signs(reference, window, place, time)
                alerts += self._judge(time, name, signs, place)
            faults = self._faults_of(name)
            if faults or of.is_drift:
                states[name] = _state_of(reference, window, place, of, faults)
        for one in [one for one in notes.faults if one.column not in {TIME, *names}]:
            alerts.append(self._ended(one, time))
        off = self._faults_of(TIME)
        if off:
            states[TIME] = ColumnState(window.rows, beyond=round(clock.live, _DIGITS), faults=off)
        most = max(_LISTED, sum(bool(one.faults) for one in states.values()))
        notes.states = dict(sorted(states.items(), key=_rank)[:most])
        return alerts

    def _faults_of(self, column: str) -> dict[str, int]:
        return {one.kind: one.since for one in self._notes.faults if one.column == column}

    def _judge(self, time: int, column: str, signs: list[Sign], place: int) -> list[Alert]:
        """Begin and end the faults of a column; the first sign stands for those after it."""
        notes, alerts, explained = self._notes, [], False
        for sign in signs:
            on = next((f for f in notes.faults if (f.column, f.kind) == (column, sign.kind)), None)
            if on is not None:
                on.well = on.well + 1 if sign.is_well else 0
                if on.well == _WELL:
                    alerts.append(self._ended(on, time))
            elif sign.is_fault and not explained:
                on = _Fault(column, sign.kind, self._since(sign, time))
                notes.faults.append(on)
                alerts.append(self._began(on, sign, time, place))
            explained |= sign.is_fault
        return alerts

    def _since(self, sign: Sign, time: int) -> int:
        """Event time since which a fault has been on, µs."""
        return min(sign.since if sign.since is not None else self._notes.begin or time, time)

    def _began(self, fault: _Fault, sign: Sign, time: int, place: int) -> Alert:
        assert self._reference is not None
        assert self.window is not None
        seen = Seen(self._reference, self.window, place, self._notes.model or "")
        text = fault_text(sign, fault.since, seen)
        return Alert("data_quality", time, f"{self._subject(fault.column)}: {text}")

    def _ended(self, fault: _Fault, time: int) -> Alert:
        self._notes.faults.remove(fault)
        what = f"{SHORT[fault.kind]} since {moment(fault.since)}"
        text = f"{self._subject(fault.column)}: over is '{what}'"
        return Alert("data_quality_recovered", time, text)

    def _subject(self, column: str) -> str:
        return f"{column} of partition {self._partition}"

    def _end_all(self, time: int) -> list[Alert]:
        """End all faults, as there is nothing any more to compare with."""
        self._notes.states = {}
        return [self._ended(one, time) for one in list(self._notes.faults)]

    def snapshot(self) -> bytes:
        """Encode the counts, and the faults that are on."""
        counts = b"" if self.window is None else self.window.snapshot()
        return msgspec.msgpack.encode((self._notes, counts))

    def restore(self, state: bytes, model: str | None, reference: Reference | None) -> None:
        """Restore a `snapshot`.

        Args:
            state: The bytes.
            model: Id of the champion.
            reference: The champion's profile; None: it has none.

        Raises:
            ValueError: The bytes do not fit the champion's profile.
            msgspec.DecodeError: The bytes have another form.
        """
        notes, counts = msgspec.msgpack.decode(state, type=tuple[_Notes, bytes])
        self._bind(reference)
        expected = None if reference is None else model
        check(notes.model == expected, f"columns must be compared with {expected}", notes.model)
        late, early = notes.lateness.late, notes.lateness.early
        check(0 <= min(late, early) <= max(late, early) < LAGS, "lags must be bins", (late, early))
        pairs = {(one.column, one.kind) for one in notes.faults}
        check(len(pairs) == len(notes.faults), "faults must be unique", notes.faults)
        if self.window is not None:
            self.window.restore(counts)
        self._notes = notes


def _state_of(
    reference: Reference, window: ColumnWindow, place: int, of: ColumnDrift, faults: dict[str, int]
) -> ColumnState:
    rows, nulls = window.rows, window.nulls(place)
    figures = [
        of.psi,
        of.critical,
        reference.profile.columns[place].importance,
        nulls / rows,
        reference.nulls(place, window.hours).share,
        window.beyond(place) / max(rows - nulls, 1),
    ]
    rounded = dict(zip(_FIGURES, (round(figure, _DIGITS) for figure in figures), strict=True))
    return ColumnState(rows, faults=faults, **rounded)


def _rank(of: tuple[str, ColumnState]) -> tuple[int, float, float, str]:
    """Faults first, a wrong clock before all; then importance times drift."""
    name, state = of
    first = 2 if not state.faults else int(name != TIME)
    return first, -state.importance * state.psi, -state.psi, name
