"""Preview the first records of a file, before any is appended."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from flows.intake.event_files import Line
from flows.intake.hints import hint
from flows.intake.refusals import Refusal, grouped, shown
from state.admission.label_routing import LabelRouting
from state.admission.no_event import Judge, Refused

RECORDS = 1_000
"""Number of records to check."""

_MOST_BYTES = 64 * 2**20
_SHOWN_EVENTS = 5
_MISREAD_IN = 100


class Preview(NamedTuple):
    """The first records of a file.

    Attributes:
        records: Number of checked records.
        refused: Records that would be dead letters, with the reasons.
        events: The first valid records.
        is_export: Some were written by an export, which may hold records that were refused before.
        misread: Those of `refused` that are so only because the file is written otherwise.
    """

    records: int
    refused: list[tuple[Refusal, bytes]]
    events: list[bytes]
    is_export: bool
    misread: list[tuple[Refusal, bytes]]

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
        for refusal, count, example in grouped(self.refused):
            yield f"{count:,} {refusal.reason}: {refusal.detail}"
            yield f"  {shown(example)}"


def preview(lines: Iterable[Line], judge: Judge, routing: LabelRouting) -> Preview:
    """Look at the first records, as far as they fit the memory.

    Args:
        lines: Of a file.
        judge: Of its stream.
        routing: Shown the events.
    """
    refused: list[tuple[Refusal, bytes]] = []
    misread: list[tuple[Refusal, bytes]] = []
    events: list[bytes] = []
    is_export, records, size = False, 0, 0
    for line in islice(lines, RECORDS):
        records += 1
        size += len(line.value)
        is_export = is_export or line.append_time is not None
        event = judge.event(line.value)
        if isinstance(event, Refused):
            found = hint(line.value, event)
            detail = event.detail if found is None else f"{event.detail}: {found.text}"
            refused.append((Refusal(event.reason, detail), line.value))
            if found is not None and found.is_of_file:
                misread.append(refused[-1])
        else:
            routing.see(event)
            if len(events) < _SHOWN_EVENTS:
                events.append(line.value)
        if size > _MOST_BYTES:
            break
    return Preview(records, refused, events, is_export, misread)
