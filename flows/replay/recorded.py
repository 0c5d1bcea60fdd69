"""The settings with which history was made, as the checkpoints tell them."""

import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec

from flows.home import Home
from flows.replay.span import Span
from state.checkpoints import Configured
from state.settings import Settings, changed, deciding


class Stretch(NamedTuple):
    """A part of a partition's history that was made with the same settings.

    Attributes:
        begin: Offset in `events`.
        end: Offset after it.
        settings: With which it was made.
    """

    begin: int
    end: int
    settings: Settings


def stretches_of(home: Home, span: Span, shape: str, today: Settings) -> list[list[Stretch]]:
    """Those of each partition up to the span's end, in order and without gaps.

    Args:
        home: Whose history.
        span: Up to where.
        shape: Of its shards.
        today: What takes the place of what no checkpoint tells.
    """
    return [
        _stretches(_configured(home, partition, shape), end, today)
        for partition, end in enumerate(span.ends)
    ]


def newest_of(stretches: Sequence[Sequence[Stretch]]) -> Settings:
    """The settings of the last stretch of all."""
    return max((of[-1] for of in stretches), key=lambda one: one.begin).settings


def told_settings(stretches: Sequence[Sequence[Stretch]], span: Span, today: Settings) -> str:
    """How the settings of today differ from those of the span, in a line; empty: in nothing."""
    found: dict[str, list[Any]] = {}
    for first, of in zip(span.firsts, stretches, strict=True):
        for one in of:
            for key, value in deciding(one.settings).items() if one.end > first else ():
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


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as a document.

    Example:
        >>> nested({"online.rate": 0.1, "stream": "quotes"})
        {'online': {'rate': 0.1}, 'stream': 'quotes'}
    """
    document: dict[str, Any] = {}
    for key, value in values.items():
        table, dot, name = key.partition(".")
        if dot:
            document.setdefault(table, {})[name] = value
        else:
            document[key] = value
    return document


def _configured(home: Home, partition: int, shape: str) -> Sequence[Configured]:
    found = home.checkpoints().newest_first(partition)
    return next((one.configured for one in found if one.shape == shape), ())


def _stretches(configured: Sequence[Configured], end: int, today: Settings) -> list[Stretch]:
    begins = [0, *(one.offset for one in configured[1:]), sys.maxsize]
    settings = [changed(today, nested(one.settings)) for one in configured] or [today]
    made = [Stretch(*of, own) for of, own in zip(pairwise(begins), settings, strict=True)]
    return [one for one in made if one.begin <= end]


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
