"""A file of events that counts, while it is read, the records that a run would refuse."""

from collections.abc import Callable, Generator, Iterator
from datetime import UTC
from pathlib import Path

from flows.intake.dialect import Dialect
from flows.intake.event_files import Line
from flows.intake.hints import hint, refusal_of
from flows.intake.refusals import Groups, Refusal, reason_lines
from state.admission.no_event import Judge, Refused
from state.events import Event
from state.local_times import LocalTimes
from state.plurals import counted
from state.stream import Stream
from state.stream_functions import StreamFunctionError

_MOST_LINES = 20
_MOST_ADVISED = 1_000


class CountedFile:
    """A file of events; the counts are those of the last reading.

    Args:
        name: Name shown to people.
        path: The file.
        read: Reads it, as `flows.intake.stream_events.read_events` does.
        stream: Stream of the events.
        dialect: The conventions by which it is read.
        see: Called with each valid event.

    Attributes:
        name: Name shown to people.
        path: The file.
        read: As given.
        refused: The records that are no valid events.
        local: Counts of the times that name no zone.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        read: Callable[..., Generator[Line]],
        stream: Stream,
        dialect: Dialect,
        see: Callable[[Event], None],
    ) -> None:
        self.name, self.path, self.read, self._on_event = name, path, read, see
        self._judge, self._dialect = Judge(stream, f"in {name}"), dialect
        self._begin(LocalTimes())

    def lines(self) -> Generator[Line]:
        """All records, counted."""
        for line in self.read(self.path, on_local=self._begin):
            self._see(line.value)
            yield line

    def notes(self) -> Iterator[str]:
        """Lines about the records that the run will refuse, and about uncertain times."""
        if self.refused.total:
            letters = "a dead letter" if self.refused.total == 1 else "dead letters"
            yield f"{self.name}: {self.refused.total:,} of them will be {letters} of the run:"
            lines = list(reason_lines(self.refused))
            yield from (f"  {line}" for line in lines[:_MOST_LINES])
            if len(lines) > _MOST_LINES:
                yield f"  and {counted((len(lines) - _MOST_LINES) // 2, 'more reason')}"
        yield from time_notes(self.name, self.local)

    def _begin(self, local: LocalTimes) -> None:
        self.refused: Groups[bytes] = Groups()
        self.local = local

    def _see(self, value: bytes) -> None:
        try:
            found = self._judge.event(value)
        except StreamFunctionError as error:
            self.refused.add(Refusal("function", str(error)), value)
            return
        if isinstance(found, Refused):
            advice = None
            if self.refused.total < _MOST_ADVISED:
                advice = hint(value, found, self._dialect)
            self.refused.add(refusal_of(found, advice), value)
        else:
            self._on_event(found)


def _hours(local: LocalTimes) -> str:
    if local.second:
        return (
            f"by the order of the file {local.twice:,} in the first one and {local.second:,} in "
            "the second"
        )
    return (
        "here taken for the first one: an event of the second one is an hour too early, and may "
        "get no label"
    )


def zone_note(name: str, local: LocalTimes) -> str:
    """A line about times of a file that nobody gave a zone; empty: there are none."""
    if not local.count or local.zone is not UTC:
        return ""
    return f"{name}: times without a zone were taken for UTC: --time-zone says which it is"


def time_notes(name: str, local: LocalTimes) -> Iterator[str]:
    """Lines about the times of a file that stand for two moments, or for none."""
    one, several = f"time in {local.zone} lies", f"times in {local.zone} lie"
    if local.twice or local.second:
        times = counted(local.twice + local.second, one, several)
        yield (
            f"{name}: {times} in the hour that comes twice when clocks go back, {_hours(local)}; "
            "times with their offset are certain"
        )
    if local.never:
        yield (
            f"{name}: {counted(local.never, one, several)} in the hour that clocks skip when "
            "they go forward: another --time-zone than theirs, or wrong clocks"
        )
