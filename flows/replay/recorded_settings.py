"""The settings with which history was made, as the journal records them."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from flows.home.journaled_settings import usable
from flows.replay.replay_range import ReplayRange
from operators.partition.journal import Configured, Journal
from state.log import Log
from state.settings import Settings, deciding


class SettingsPeriod(NamedTuple):
    """A part of a partition's history that was made with the same settings.

    Attributes:
        begin: First offset in `events`; the period ends where the next one begins.
        settings: Settings in force.
    """

    begin: int
    settings: Settings


def stretches_of(log: Log, span: ReplayRange, today: Settings) -> list[list[SettingsPeriod]]:
    """Periods of each partition up to the range's end, in order and without gaps.

    Args:
        log: The log with the journal.
        span: Range whose end is the last offset.
        today: Current settings, for keys that the journal does not record.
    """
    return [
        _stretches(Journal(log, partition).entries, end, today)
        for partition, end in enumerate(span.ends)
    ]


def newest_of(stretches: Sequence[Sequence[SettingsPeriod]]) -> Settings:
    """The settings of the newest period of any partition."""
    return max((of[-1] for of in stretches), key=lambda one: one.begin).settings


def told_settings(
    stretches: Sequence[Sequence[SettingsPeriod]], span: ReplayRange, today: Settings
) -> str:
    """A line on how today's settings differ from those of the range; empty: they are equal."""
    found: dict[str, list[Any]] = {}
    now = deciding(today)
    for first, of in zip(span.firsts, stretches, strict=True):
        within = [one for one in of if one.begin > first]
        before = [one for one in of if one.begin <= first][-1:]
        for one in (*before, *within):
            recorded = deciding(one.settings)
            for key in recorded | now:
                value = recorded.get(key, {})
                values = found.setdefault(key, [])
                if value not in values:
                    values.append(value)
    parts = [
        f"{key} is {_json(own)} today, {' then '.join(map(_json, values))} when recorded"
        for key, values in found.items()
        for own in [now.get(key, {})]
        if values != [own]
    ]
    return f"With the settings as recorded: {'; '.join(parts)}." if parts else ""


def _stretches(entries: Iterable[object], end: int, today: Settings) -> list[SettingsPeriod]:
    found = [SettingsPeriod(0, today)]
    for entry in entries:
        if isinstance(entry, Configured) and entry.offset < end:
            # Of several entries at one offset, the last one counts.
            found = [one for one in found if one.begin < entry.offset]
            found.append(SettingsPeriod(entry.offset, usable(today, entry.settings)))
    return found


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
