"""This machine's clock, and what a home was told to take for it: no append time lies beyond."""

import time
from pathlib import Path
from typing import TypeVar

import msgspec

from flows.configuration import ConfigurationError
from flows.home import Home
from flows.moments import told
from state.atomic import write_atomically
from state.events import DAY_US
from state.log import EVENTS, Log, newest_append_time

T = TypeVar("T")
_LEEWAY_US = DAY_US
"""A clock that was set back leaves append times ahead of it: a few hours pass by themselves."""


class _Declared(msgspec.Struct, frozen=True):
    """What `clock.json` of a home says: the time, in µs UTC, up to which its history was made."""

    declared: int


class _Until(msgspec.Struct, frozen=True):
    """What `demo.json` of a home says, as far as it is needed here."""

    until: int


class AheadError(ConfigurationError):
    """The log holds append times that this machine's clock has not come to."""


def microseconds_now() -> int:
    """The time of this machine, microseconds UTC."""
    return time.time_ns() // 1000


def latest_time(home: Home) -> int:
    """The latest append time that a record of a home can have by now, microseconds UTC.

    That is this machine's, or what was declared for a history that was made up.
    """
    declared = _read(home.root / "clock.json", _Declared)
    demo = _read(home.root / "demo.json", _Until)
    return max(microseconds_now(), declared.declared if declared else 0, demo.until if demo else 0)


def declare_time(home: Home, time_us: int) -> None:
    """Note that the history of a home goes on up to a time, whatever this machine's clock says."""
    if time_us > latest_time(home):
        write_atomically(home.root / "clock.json", msgspec.json.encode(_Declared(time_us)))


def check_append_times(log: Log, home: Home) -> None:
    """Refuse a log whose newest append time is more than a day ahead.

    Raises:
        AheadError: It is: what comes next would be late for as long.
    """
    newest, latest = newest_append_time(log, EVENTS), latest_time(home)
    if newest > latest + _LEEWAY_US:
        msg = (
            f"append times must not lie beyond this machine's clock, {told(latest)}; got "
            f"{told(newest)} in {EVENTS}: `headwater doctor --repair` starts a new home without "
            "the records that brought it (or set the clock right)"
        )
        raise AheadError(msg)


def _read(path: Path, kind: type[T]) -> T | None:
    return msgspec.json.decode(path.read_bytes(), type=kind) if path.exists() else None
