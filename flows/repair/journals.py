"""Find journal entries that are invalid, and values that can replace them."""

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec

from flows.home.journaled_settings import usable
from operators.partition.boundaries import Boundaries
from operators.partition.journal import TOPIC, Activated, Configured, LaterVersionError, read_entry
from operators.training.model_registry import ModelRegistry
from state.durations import MOST
from state.log import EVENTS, Log, LogError, newest_append_time
from state.log.sqlite import SqliteLog
from state.settings import Settings, deciding
from state.storage.artifact_chunks import MODELS
from state.stream import Stream

_FITS = "training."
"""Prefix of settings that only say how fits are made; the results of fits are recorded apart."""

_EXPONENT = re.compile(r"([1-9](?:\.\d{1,5})?e\+\d{2,3})s", re.ASCII)
"""Format of long durations (a million seconds or more) in an old version: six digits."""


class InvalidEntry(NamedTuple):
    """An invalid entry of the journal.

    Attributes:
        partition: Partition of the journal.
        offset: Offset in that partition.
        key: The invalid setting; empty: the whole entry is invalid.
        got: The invalid value, or the reason why the entry is invalid.
        instead: A value that can replace it without changing any output or decision; None: there is
            none.
    """

    partition: int
    offset: int
    key: str
    got: str
    instead: Any

    def __str__(self) -> str:
        """Format the place and the value for people."""
        place = f"{TOPIC}/{self.partition} at offset {self.offset}"
        return f"{place}: {self.key} = {self.got}" if self.key else f"{place}: {self.got}"


def broken_entries(log: Log, stream: Stream, today: Settings) -> list[InvalidEntry]:
    """All journal entries that are invalid, or activate an unknown model.

    Args:
        log: The log with the journal.
        stream: The log's stream.
        today: Current settings, which are valid.

    Raises:
        LaterVersionError: A later version of Headwater wrote the journal.
    """
    until = newest_append_time(log, EVENTS)
    models = {record.model for record in ModelRegistry(log).records() if record.sha256}
    return [
        one
        for partition in range(log.partitions(TOPIC))
        for offset, value in _entries(log, partition)
        for one in _look(partition, offset, value, today, (stream.refit_from_us, until), models)
    ]


def mend(log: SqliteLog, broken: list[InvalidEntry]) -> None:
    """Replace invalid values; each entry is replaced in one write."""
    places = {(one.partition, one.offset): one for one in broken}
    for partition, offset in places:
        (record,) = log.read(TOPIC, partition, offset, max_records=1)
        entry = read_entry(partition, offset, record.value)
        assert isinstance(entry, Configured)
        settings = entry.settings | {
            one.key: one.instead for one in broken if one[:2] == (partition, offset)
        }
        mended = msgspec.structs.replace(entry, settings=settings)
        log.amend(TOPIC, partition, offset, msgspec.json.encode(mended))


def _entries(log: Log, partition: int) -> Iterator[tuple[int, bytes]]:
    offset = log.start(TOPIC, partition)
    while records := log.read(TOPIC, partition, offset):
        yield from ((record.offset, record.value) for record in records)
        offset = records[-1].offset + 1


def _look(
    partition: int,
    offset: int,
    value: bytes,
    today: Settings,
    seen: tuple[int, int],
    models: AbstractSet[str],
) -> Iterator[InvalidEntry]:
    try:
        entry = read_entry(partition, offset, value)
    except LaterVersionError:
        raise
    except LogError as error:
        yield InvalidEntry(partition, offset, "", str(error), None)
        return
    if isinstance(entry, Activated) and entry.model not in {None, *models}:
        got = f"model {entry.model!r} is not in topic {MODELS!r}, which may be restored from a copy"
        yield InvalidEntry(partition, offset, "", got, None)
    if not isinstance(entry, Configured) or _wrong(today, entry.settings) is None:
        return
    apart = {key: of for key, of in entry.settings.items() if _wrong(today, {key: of})}
    instead = {key: _instead(key, of, today, *seen) for key, of in apart.items()}
    whole = _wrong(today, entry.settings | instead)
    if not apart or (whole and None not in instead.values()):
        yield InvalidEntry(
            partition, offset, "", whole or "settings that do not fit together", None
        )
        return
    for key, of in apart.items():
        yield InvalidEntry(partition, offset, key, msgspec.json.encode(of).decode(), instead[key])


def _wrong(today: Settings, values: dict[str, Any]) -> str | None:
    try:
        usable(today, values)
    except LogError as error:
        return str(error)
    return None


def _instead(key: str, got: Any, today: Settings, first: int, until: int) -> Any:
    """A value that can replace an invalid one without changing output; None: there is none.

    Args:
        key: Name of the setting.
        got: The invalid value.
        today: Current settings, which are valid.
        first: The first boundary (µs).
        until: The newest append time (µs).
    """
    if key == "training.every":
        return _as_long(got, first, until)
    return deciding(today).get(key) if key.startswith(_FITS) else None


def _as_long(got: Any, first: int, until: int) -> str | None:
    """A valid time between boundaries that gives the same boundaries as the invalid one."""
    match = _EXPONENT.fullmatch(got) if isinstance(got, str) else None
    if match is None:
        return None
    was = Boundaries(first, round(Fraction(match[1]) * 10**6)).newest(until)
    # Only the first boundary was crossed, and the longest valid time keeps that one.
    if was == Boundaries(first, MOST).newest(until) and was in {0, first}:
        return str(MOST)
    return None
