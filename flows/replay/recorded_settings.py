"""The settings with which history was made, as the journal tells them."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from flows.home.journaled_settings import usable
from flows.replay.replay_range import Span
from operators.partition.journal import Configured, Journal
from state.log import Log
from state.settings import Settings, deciding


class Stretch(NamedTuple):
    """A part of a partition's history that was made with the same settings.

    Attributes:
        begin: Offset in `events`; it ends where the next one begins.
        settings: With which it was made.
    """

    begin: int
    settings: Settings


def stretches_of(log: Log, span: Span, today: Settings) -> list[list[Stretch]]:
    """Those of each partition up to the span's end, in order and without gaps.

    Args:
        log: Whose history.
        span: Up to where.
        today: What takes the place of what the journal does not tell.
    """
    return [
        _stretches(Journal(log, partition).entries, end, today)
        for partition, end in enumerate(span.ends)
    ]


def newest_of(stretches: Sequence[Sequence[Stretch]]) -> Settings:
    """The settings of the last stretch of all."""
    return max((of[-1] for of in stretches), key=lambda one: one.begin).settings


def told_settings(stretches: Sequence[Sequence[Stretch]], span: Span, today: Settings) -> str:
    """How the settings of today differ from those of the span, in a line; empty: in nothing."""
    found: dict[str, list[Any]] = {}
    for first, of in zip(span.firsts, stretches, strict=True):
        within = [one for one in of if one.begin > first]
        before = [one for one in of if one.begin <= first][-1:]
        for one in (*before, *within):
            for key, value in deciding(one.settings).items():
                values = found.setdefault(key, [])
                if value not in values:
                    values.append(value)
    now = deciding(today)
    parts = [
        f"{key} is {_json(now[key])} today, {' then '.join(map(_json, values))} when recorded"
        for key, values in found.items()
        if values != [now[key]]
    ]
    return f"With the settings as recorded: {'; '.join(parts)}." if parts else ""


def _stretches(entries: Iterable[object], end: int, today: Settings) -> list[Stretch]:
    found = [Stretch(0, today)]
    for entry in entries:
        if isinstance(entry, Configured) and entry.offset < end:
            # Of several at one offset the last one counts.
            found = [one for one in found if one.begin < entry.offset]
            found.append(Stretch(entry.offset, usable(today, entry.settings)))
    return found


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
