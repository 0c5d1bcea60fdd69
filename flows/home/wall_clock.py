"""The latest valid append time of a home: this machine's clock, or a declared later time."""

import time
from typing import Annotated

import msgspec

from flows.home.configuration import ConfigurationError
from flows.home.home import Home, read_note
from flows.terminal.time_format import format_time
from state.atomic_write import write_atomically
from state.events import DAY_US
from state.ingest.append_time import NEVER
from state.log import EVENTS, Log, newest_append_time

Time = Annotated[int, msgspec.Meta(ge=0, le=NEVER)]
_LEEWAY_US = DAY_US
"""After a clock was set back some hours, append times are ahead of it, but not for long."""


class _Declared(msgspec.Struct, frozen=True):
    """Content of a home's `clock.json`: the µs UTC at which its generated history ends."""

    declared: Time


class _Until(msgspec.Struct, frozen=True):
    """The one field of a home's `demo.json` that is needed here."""

    until: Time


class AheadError(ConfigurationError):
    """The log holds append times that this machine's clock has not reached."""


def microseconds_now() -> int:
    """This machine's clock, microseconds UTC."""
    return time.time_ns() // 1000


def latest_time(home: Home) -> int:
    """The latest append time that a record of a home may have, microseconds UTC.

    It is this machine's clock, or the declared end of a generated history if that is later.

    Raises:
        ConfigurationError: A note with a declared time is unreadable.
    """
    declared = read_note(home.root / "clock.json", _Declared)
    demo = read_note(home.root / "demo.json", _Until)
    return max(microseconds_now(), declared.declared if declared else 0, demo.until if demo else 0)


def declare_time(home: Home, time_us: int) -> None:
    """Note the end of a generated history that is ahead of this machine's clock."""
    if time_us > latest_time(home):
        write_atomically(home.root / "clock.json", msgspec.json.encode(_Declared(time_us)))


def check_append_times(log: Log, home: Home) -> None:
    """Refuse a log whose newest append time is more than a day ahead of the clock.

    Raises:
        AheadError: It is; later events would count as late until the clock reaches that time.
    """
    newest, latest = newest_append_time(log, EVENTS), latest_time(home)
    if newest > latest + _LEEWAY_US:
        msg = (
            f"append times must not lie beyond this machine's clock, {format_time(latest)}; got "
            f"{format_time(newest)} in {EVENTS}: set the clock right, or `headwater doctor "
            "--repair` starts a new home without the records that brought it"
        )
        raise AheadError(msg)
