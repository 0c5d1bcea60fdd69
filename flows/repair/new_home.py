"""Replace a broken home by a new one with its events; the old home is kept complete.

The new home is built inside the old one, which may be a mount and thus cannot be renamed. When it
is complete, a note of the moves is written. Before the note, the old home is valid; after it, the
new one is, and all verbs except the repair refuse until the moves are done. After a kill at any
point, a second repair resumes.
"""

import os
import shutil
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple

import msgspec

from flows.home.home import Home, create_topics, read_note
from flows.home.unfinished_repair import ready_note, repair_folder
from flows.intake.envelope import wrap
from flows.repair.poisoned import BadAppendTimes, Peek, records_of
from state.atomic_write import sync, write_atomically
from state.ingest.append_time import append_times
from state.ingest.positions import LETTERS, carry_over
from state.log import EVENTS, Entry, Log, LogError, Record, UnknownTopicError
from state.log.batches import batches
from state.log.sqlite import SqliteLog
from state.topics import INGESTED

_NOTES = ("demo.json", "clock.json")
_STAYS = ("running", "demo.lock")
_ASIDE = "before-repair-"
_BATCH, _BATCH_BYTES = 10_000, 8 * 2**20


class _Moves(msgspec.Struct, frozen=True):
    """The moves that are left: `old` into the folder `aside`, then `new` into the home."""

    aside: str
    old: list[str]
    new: list[str]


class NewHome(NamedTuple):
    """Figures of a new home.

    Attributes:
        events: Number of records of `events`.
        repaired: Number of these with a repaired append time.
        left_out: File of the records that were left out; None: there are none.
        aside: Folder of the old home.
    """

    events: int
    repaired: int
    left_out: Path | None
    aside: Path


def make(home: Home, log: SqliteLog, peek: Peek, found: BadAppendTimes, latest: int) -> NewHome:
    """Build the new home and commit it; `take_place` then moves it into place.

    Args:
        home: The old home.
        log: The old home's log.
        peek: Returns event time and key of a record's value.
        found: Records to leave out or repair.
        latest: Upper bound of the append times in the new home (µs UTC).

    Raises:
        LogError: A mount inside the home cannot be moved.
    """
    stays = (*_STAYS, repair_folder(home.root).name)
    entries = sorted(
        path.name
        for path in home.root.iterdir()
        if path.name not in stays and not path.name.startswith(_ASIDE)
    )
    for name in entries:
        if os.path.ismount(home.root / name):
            msg = (
                f"a home must have no mount in it to be repaired; got {home.root / name}: "
                "unmount it first"
            )
            raise LogError(msg)
    number = next(n for n in count(1) if not (home.root / f"{_ASIDE}{n}").exists())
    shutil.rmtree(repair_folder(home.root), ignore_errors=True)
    new = Home(repair_folder(home.root) / "new")
    made = new.log()
    try:
        create_topics(made, log.partitions(EVENTS))
        counts = [_copy_events(log, made, p, found, peek, latest) for p in range(len(found.firsts))]
        _copy_ingest(log, made, latest)
    finally:
        made.close()
    for name in _NOTES:
        if (home.root / name).exists():
            write_atomically(new.root / name, (home.root / name).read_bytes())
    left_out = None
    if found.wrong:
        left_out = home.root / f"left-out-{number}.jsonl"
        lines = (wrap(r.append_time, r.value) + b"\n" for r in _left_out(log, found))
        write_atomically(new.root / left_out.name, b"".join(lines))
    aside = home.root / f"{_ASIDE}{number}"
    there = sorted(path.name for path in new.root.iterdir())
    write_atomically(ready_note(home.root), msgspec.json.encode(_Moves(aside.name, entries, there)))
    events = sum(copied for copied, _ in counts)
    return NewHome(events, sum(repaired for _, repaired in counts), left_out, aside)


def take_place(root: Path) -> Path:
    """Move the new home into the place of the old one, or resume the moves.

    Args:
        root: Directory of the home; `is_repair_unfinished` is true.

    Returns:
        The folder that holds the old home.
    """
    ready = read_note(ready_note(root), _Moves)
    assert ready is not None
    aside, new = root / ready.aside, repair_folder(root) / "new"
    aside.mkdir(exist_ok=True)
    for name in ready.old:
        if not (aside / name).exists():
            (root / name).rename(aside / name)
    sync(aside)
    for name in ready.new:
        if (new / name).exists():
            (new / name).rename(root / name)
    sync(root)
    ready_note(root).unlink()
    sync(repair_folder(root))
    shutil.rmtree(repair_folder(root))
    return aside


def _copy_events(
    log: Log, new: Log, partition: int, found: BadAppendTimes, peek: Peek, latest: int
) -> tuple[int, int]:
    """Copy events; return the number of records, and how many got another append time."""
    first, wrong = found.firsts[partition], {one[:2] for one in found.wrong}
    copied, floor = 0, 0
    sound = (
        Entry(*record[1:])
        for record in records_of(log, partition, log.start(EVENTS, partition), first)
    )
    for batch in _batches(sound):
        new.append(EVENTS, partition, batch)
        copied, floor = copied + len(batch), batch[-1].append_time
    rest = (
        record
        for record in records_of(log, partition, first, log.end(EVENTS, partition))
        if (partition, record.offset) not in wrong
    )
    repaired = 0
    for batch in _batches(_retimed(rest, peek, floor, latest)):
        new.append(EVENTS, partition, batch)
        repaired += len(batch)
    return copied + repaired, repaired


def _retimed(records: Iterable[Record], peek: Peek, floor: int, latest: int) -> Iterator[Entry]:
    """Give records new append times that are derived from their order."""
    waiting: deque[Record] = deque()

    def times() -> Iterator[int | None]:
        for record in records:
            waiting.append(record)
            time = peek(record.value)[0]
            yield None if time is None else min(time, latest)

    for time in append_times(times(), floor, latest):
        record = waiting.popleft()
        yield Entry(time, record.key, record.value)


def _batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    return batches(entries, _size, max_items=_BATCH, max_bytes=_BATCH_BYTES)


def _size(entry: Entry) -> int:
    return len(entry.value)


def _copy_ingest(log: SqliteLog, new: SqliteLog, latest: int) -> None:
    """Copy ingest positions and their dead letters, which cannot be derived from events."""
    partitions = log.partitions(EVENTS)
    try:
        if log.partitions(LETTERS) == new.partitions(LETTERS) == partitions + 1:
            log.copy(LETTERS, partitions, new, latest)
        log.partitions(INGESTED)
    except UnknownTopicError:  # a log made before foreign topics could be ingested
        return
    carry_over(log, new)


def _left_out(log: Log, found: BadAppendTimes) -> Iterator[Record]:
    for partition, offset, *_ in found.wrong:
        yield from log.read(EVENTS, partition, offset, max_records=1)
