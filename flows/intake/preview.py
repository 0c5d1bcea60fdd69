"""Preview the first records of a file, before any is appended."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from flows.intake.dialect import Dialect
from flows.intake.event_files import Line
from flows.intake.hints import hint, refusal_of
from flows.intake.order import Order
from flows.intake.refusals import Refusal, grouped, reason_lines
from state.admission.label_routing import LabelRouting
from state.admission.no_event import Judge, Refused
from state.admission.shared_ids import SharedIds
from state.ingest.append_time import append_times

RECORDS = 1_000
"""Number of records to check."""

_MOST_BYTES = 64 * 2**20
_SHOWN_EVENTS = 5
_MISREAD_IN = 100
_DISORDERED_IN = 10


class Preview(NamedTuple):
    """The first records of a file.

    Attributes:
        records: Number of checked records.
        refused: Records that would be dead letters, with the reasons.
        events: The first valid records.
        is_export: Some were written by an export, which may hold records that were refused before.
        disorder: A clause about events that are not sorted by time; empty: they are.
        misread: Those of `refused` that are so only because the file is written otherwise.
        times: Times of the valid ones, µs UTC.
    """

    records: int
    refused: list[tuple[Refusal, bytes]]
    events: list[bytes]
    is_export: bool
    disorder: str
    misread: list[tuple[Refusal, bytes]]
    times: list[int]

    @property
    def is_hopeless(self) -> bool:
        """Whether all of them would be dead letters."""
        return bool(self.records) and self.records == len(self.refused) and not self.is_export

    @property
    def is_misread(self) -> bool:
        """Whether the file is written otherwise than it is read, and not only a record is bad."""
        return len(self.misread) > 1 and len(self.misread) * _MISREAD_IN >= self.records

    def reasons(self) -> Iterator[str]:
        """The reasons for dead letters: a line for each reason, and one with an example."""
        return reason_lines(grouped(self.refused))


def preview(
    lines: Iterable[Line],
    judge: Judge,
    routing: LabelRouting,
    order: Order,
    now: int,
    dialect: Dialect,
    ids: SharedIds,
) -> Preview:
    """Look at the first records, as far as they fit the memory.

    Args:
        lines: Lines of a file.
        judge: Checks the lines against the stream.
        routing: Follows the events.
        order: Follows the times of the events.
        now: Current time, µs UTC; later times are reported elsewhere.
        dialect: The conventions by which they were read.
        ids: Follows the ids of the events.
    """
    refused: list[tuple[Refusal, bytes]] = []
    misread: list[tuple[Refusal, bytes]] = []
    events: list[bytes] = []
    times: list[int] = []
    is_export, records, size = False, 0, 0
    for line in islice(lines, RECORDS):
        records += 1
        size += len(line.value)
        is_export = is_export or line.append_time is not None
        event = judge.event(line.value)
        if isinstance(event, Refused):
            found = hint(line.value, event, dialect)
            refused.append((refusal_of(event, found), line.value))
            if found is not None and found.is_of_file:
                misread.append(refused[-1])
        else:
            routing.see(event)
            ids.see(event)
            times.append(event.time)
            if len(events) < _SHOWN_EVENTS:
                events.append(line.value)
        if size > _MOST_BYTES:
            break
    known = [time for time in times if time <= now]
    for time, append_time in zip(known, append_times(known, 0), strict=True):
        order.see(time, append_time)
    disorder = "" if is_export else order.fault(_DISORDERED_IN)
    return Preview(records, refused, events, is_export, disorder, misread, times)
