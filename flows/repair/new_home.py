"""A new home in the place of a broken one, with its events; the old one is kept aside whole.

The new one is made aside, within the home, which may be a mount and so cannot be renamed itself.
Once it is complete a note of what goes where is written: up to then the old home stands, from then
on the new one, and every verb but the repair refuses until all is in its place. Killed at any
point, a second repair goes on.
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
from flows.repair.poisoned import Peek, Poisoned, records_of
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


class _Ready(msgspec.Struct, frozen=True):
    """What is left to be done: `old` goes to the folder `aside`, then `new` takes its place."""

    aside: str
    old: list[str]
    new: list[str]


class Made(NamedTuple):
    """What a new home has.

    Attributes:
        events: Records of `events`.
        repaired: Of these, with another append time.
        left_out: File of the records that are not in it; None: it has all.
        aside: Folder of the old home.
    """

    events: int
    repaired: int
    left_out: Path | None
    aside: Path


def make(home: Home, log: SqliteLog, peek: Peek, found: Poisoned, latest: int) -> Made:
    """Make the new home aside and decide for it; `take_place` puts it in its place.

    Args:
        home: The old one.
        log: Its log.
        peek: Event time and key of a value.
        found: What is not to be in the new one.
        latest: No append time of the new one lies beyond.

    Raises:
        LogError: Something of the home cannot be moved.
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
    write_atomically(ready_note(home.root), msgspec.json.encode(_Ready(aside.name, entries, there)))
    events = sum(copied for copied, _ in counts)
    return Made(events, sum(repaired for _, repaired in counts), left_out, aside)


def take_place(root: Path) -> Path:
    """Put what `make` made in the place of the old home, or go on where that was broken off.

    Args:
        root: Of the home; `is_repair_unfinished`.

    Returns:
        The folder in which the old home is.
    """
    ready = read_note(ready_note(root), _Ready)
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
    log: Log, new: Log, partition: int, found: Poisoned, peek: Peek, latest: int
) -> tuple[int, int]:
    """How many records were copied, and how many of them with another append time."""
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
    """The records with append times that are told from their order."""
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
    """How far ingest is, and its dead letters, which are not made from events."""
    partitions = log.partitions(EVENTS)
    try:
        if log.partitions(LETTERS) == new.partitions(LETTERS) == partitions + 1:
            log.copy(LETTERS, partitions, new, latest)
        log.partitions(INGESTED)
    except UnknownTopicError:  # a log from before there was ingest of foreign topics
        return
    carry_over(log, new)


def _left_out(log: Log, found: Poisoned) -> Iterator[Record]:
    for partition, offset, *_ in found.wrong:
        yield from log.read(EVENTS, partition, offset, max_records=1)
