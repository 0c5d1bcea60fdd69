"""Examine a home and repair it."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec

from flows.errors.user_errors import CommandError
from flows.home.file_lock import lock_alone
from flows.home.home import Home, sharing
from flows.home.unfinished_repair import is_repair_unfinished
from flows.home.wall_clock import latest_time
from flows.repair.journals import InvalidEntry, broken_entries, mend
from flows.repair.new_home import NewHome, make, take_place
from flows.repair.poisoned import BadAppendTimes, BadRecord, poisoned
from flows.terminal.time_format import format_time
from state.events import DAY_US
from state.log import EVENTS, Log
from state.log.sqlite import SqliteLog
from state.settings import Settings
from state.stream import Stream

_MOST_NAMED = 100


class Findings(NamedTuple):
    """Faults of a log.

    Attributes:
        broken: Invalid entries of the journal.
        poisoned: Append times ahead of the clock, and their causes.
        beyond: Number of records of `events` with such an append time.
    """

    broken: list[InvalidEntry]
    poisoned: BadAppendTimes
    beyond: int

    @property
    def needs_new_home(self) -> bool:
        """Whether the home cannot be repaired in place."""
        return bool(self.beyond) or any(one.instead is None for one in self.broken)


def examine(log: Log, home: Home, stream: Stream, today: Settings) -> Findings:
    """Find the faults that `repair` mends; nothing is changed."""
    latest = latest_time(home) + today.clock.tolerance
    found = poisoned(log, stream.peek(), latest)
    beyond = sum(log.end(EVENTS, p) - first for p, first in enumerate(found.firsts))
    return Findings(broken_entries(log, stream, today), found, beyond)


def repair(
    home: Home, stream: Stream, settings: Settings, say: Callable[[str], None], *, dry_run: bool
) -> None:
    """Repair a home on the embedded log, or report that it is healthy.

    Args:
        home: The home to repair.
        stream: The home's stream.
        settings: Current settings.
        say: Called with each line about findings and repairs.
        dry_run: Only report what would be done.

    Raises:
        CommandError: The log is in Kafka or missing, or the clock is wrong.
        ConfigurationError: Another process uses the home.
        LogError: The log is unreadable.
    """
    if settings.log == "kafka":
        msg = (
            "doctor --repair must have the log in the home; got log = 'kafka', whose records "
            "cannot be changed. Instead: `headwater export events --out events.jsonl`, set another "
            "kafka.prefix and HEADWATER_HOME, `headwater topics --apply`, `headwater ingest "
            "events.jsonl`, which accepts no append time beyond the clock"
        )
        raise CommandError(msg)
    root = home.root
    if is_repair_unfinished(root):
        locks = len(list((root / "running").glob("*.lock")))
        if dry_run:
            say("A repair was interrupted: without --dry-run it is resumed.")
            return
        with lock_alone(root, locks):
            aside = take_place(root)
        say(f"The interrupted repair is complete: the old home is in {aside}.")
        return
    if not (root / "log" / EVENTS).is_dir():
        msg = f"home must hold a log to be repaired; got none in {root}"
        raise CommandError(msg)
    log = home.log()
    try:
        found = examine(log, home, stream, settings)
        if not found.broken and not found.beyond:
            say(f"The home in {root} is healthy (journal, append times): nothing was changed.")
        elif dry_run:
            _describe(found, say)
            what = "starts a new home" if found.needs_new_home else "mends the journal in place"
            say(f"Nothing was changed: without --dry-run this {what}.")
        else:
            if found.beyond:
                _check_clock(home)
            with lock_alone(root, log.partitions(EVENTS)):
                # Examine again: records may have come before the lock was acquired.
                _heal(log, home, stream, settings, examine(log, home, stream, settings), say)
    finally:
        log.close()


def _check_clock(home: Home) -> None:
    """Refuse a clock that is behind the home: good records would be left out.

    Raises:
        CommandError: The clock is behind.
    """
    made = round((home.root / "log" / EVENTS / "topic.json").stat().st_mtime * 1e6)
    if made > latest_time(home) + DAY_US:
        msg = (
            f"this machine's clock must be right for a repair; got "
            f"{format_time(latest_time(home))}, before the home was made, {format_time(made)}"
        )
        raise CommandError(msg)


def _heal(
    log: SqliteLog,
    home: Home,
    stream: Stream,
    settings: Settings,
    found: Findings,
    say: Callable[[str], None],
) -> None:
    _describe(found, say)
    if found.needs_new_home:
        _start_anew(log, home, stream, settings, found, say)
    else:
        _forget_journal(home, {one.partition for one in found.broken})
        mend(log, found.broken)
        say("The journal was mended in place: no output and no decision depends on the change.")


def _forget_journal(home: Home, partitions: Iterable[int]) -> None:
    """Delete the journal's hash from checkpoints, as the journal is about to change."""
    store = home.checkpoints()
    for partition in partitions:
        for checkpoint in store.newest_first(partition):
            if checkpoint.journal:
                store.save(msgspec.structs.replace(checkpoint, journal=""))


def _start_anew(
    log: SqliteLog,
    home: Home,
    stream: Stream,
    settings: Settings,
    found: Findings,
    say: Callable[[str], None],
) -> None:
    partitions = range(log.partitions(EVENTS))
    if trimmed := sum(log.start(EVENTS, partition) for partition in partitions):
        say(f"{trimmed:,} events had been trimmed: what was learned from them is lost.")
    shared = sharing(home, settings).shared
    if shared is not None:
        for partition in partitions:
            shared.clear(partition)
    made = make(home, log, stream.peek(), found.poisoned, latest_time(home))
    log.close()
    take_place(home.root)
    for line in _summary(made, home):
        say(line)


def _summary(made: NewHome, home: Home) -> Iterator[str]:
    yield (
        f"New home in {home.root}: {made.events:,} events, {made.repaired:,} of them with a "
        "repaired append time; ingest resumes where it was."
    )
    if made.left_out is not None:
        yield f"The records left out are in {made.left_out}."
    yield (
        f"The old home is kept complete in {made.aside}. The next `headwater run` derives all "
        "outputs again; rollbacks and branches are in the old home only."
    )


def _describe(found: Findings, say: Callable[[str], None]) -> None:
    for line in _described(found):
        say(line)


def _described(found: Findings) -> Iterator[str]:
    for one in found.broken:
        if one.instead is None:
            yield f"{one}: output depends on it, so all outputs are derived again in a new home"
        elif found.needs_new_home:
            yield f"{one}: it stays behind in the old home"
        else:
            yield f"{one}: no output depends on it, so {one.instead!r} replaces it"
    if found.beyond:
        yield f"{found.beyond:,} records of {EVENTS} have append times beyond this machine's clock"
    wrong = found.poisoned.wrong
    yield from map(_named, wrong[:_MOST_NAMED])
    if len(wrong) > _MOST_NAMED:
        yield f"and {len(wrong) - _MOST_NAMED:,} more"


def _named(one: BadRecord) -> str:
    event = "no event" if one.event_time is None else f"event time {format_time(one.event_time)}"
    return (
        f"{EVENTS}/{one.partition} at offset {one.offset}: id {one.id!r}, appended "
        f"{format_time(one.append_time)}, {event}: left out"
    )
